"""Authors: a moderator takes the trust in a verified address away, or gives it back.

The one rule: no address stands in a URL; an author is named by one of their comments.
"""

import flask
from flask import Blueprint
from werkzeug.wrappers import Response

from service.base.errors import FieldError, Invalid
from service.core import authors, comments
from service.core.moderators import Role
from service.dashboard.session import require
from service.serving.here import here

blueprint = Blueprint("authors", __name__)

_CHANGES = {"take": authors.distrust, "give": authors.pardon}


@blueprint.post("/sites/<slug>/comments/<comment_id>/author")
def change(slug: str, comment_id: str) -> Response:
    """Change whether the author of a comment is trusted on the site."""
    site, person = require(slug, Role.MODERATOR)
    wanted = _CHANGES.get(flask.request.form.get("trust", ""))
    if wanted is None:
        raise Invalid([FieldError("/trust", "is take or give")])
    with here().database.transaction() as session:
        email = comments.get(session, comment_id, site_id=site.id).email_normalised
        wanted(session, site.id, email, comment_id=comment_id, actor=person.actor)
    page = flask.url_for("dashboard.queue.comment", slug=slug, comment_id=comment_id)
    return flask.redirect(page, 303)
