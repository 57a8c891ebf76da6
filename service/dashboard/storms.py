"""Storms: declared and ended by people, and what one held, to be decided at once."""

import flask
from flask import Blueprint
from werkzeug.wrappers import Response

from service.core import queue, storms
from service.core.moderators import Role
from service.core.storms import Evidence
from service.dashboard.session import own_path, require
from service.ledger.db import utc_now
from service.pure.policy import storm as rule
from service.serving.here import here

blueprint = Blueprint("storms", __name__)


@blueprint.post("/sites/<slug>/storm/begin")
def begin(slug: str) -> Response:
    """Have every comment wait from now on."""
    site, person = require(slug, Role.MODERATOR)
    with here().database.transaction() as session:
        storms.begin(session, site.id, Evidence(0), actor=person.actor)
    return _back(slug)


@blueprint.post("/sites/<slug>/storm/end")
def end(slug: str) -> Response:
    """Go back to normal; what was held waits for a person."""
    site, person = require(slug, Role.MODERATOR)
    with here().database.transaction() as session:
        storms.end(session, site.id, actor=person.actor)
    return _back(slug)


@blueprint.get("/sites/<slug>/storms/<storm_id>")
def held(slug: str, storm_id: str) -> str:
    """Show what waits because of a storm alone."""
    site, _ = require(slug, Role.VIEWER)
    with here().database.reading() as session:
        found = storms.get(session, site.id, storm_id)
        since, until = found.started_at - storms.WINDOW, found.ended_at or utc_now()
        rows = queue.held_by(session, site.id, rule.__name__, since, until)
    return flask.render_template(
        "queue.html",
        rows=rows,
        waiting=len(rows),
        most=queue.MEMBERS_MOST,
        next_page=None,
        title=f"Held by the storm: {len(rows)}",
        done=None,
    )


def _back(slug: str) -> Response:
    page = own_path(flask.request.form.get("back"))
    return flask.redirect(page or flask.url_for("dashboard.overview.show", slug=slug), 303)
