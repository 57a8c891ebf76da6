"""The first page: the sites one is a member of."""

import flask
from flask import Blueprint
from werkzeug.wrappers import Response

from service.base.errors import NotFound
from service.core import queue, sites
from service.dashboard import session, template
from service.serving.here import here

blueprint = Blueprint("landing", __name__)


@blueprint.get("/")
def show() -> str:
    """List the sites of who is signed in, and how much waits on each."""
    who = session.person()
    with here().database.reading() as ledger:
        mine = [site for site in sites.listing(ledger) if site.id in who.roles]
        waiting = queue.counts(ledger, [site.id for site in mine])
    return flask.render_template(
        "landing.html",
        sites=mine,
        roles=who.roles,
        entries=template.entries(),
        waiting=waiting,
        most=queue.COUNT_MOST,
    )


@blueprint.get("/<path:rest>")
def nothing(rest: str) -> Response:
    """Say that there is no such page, to who is signed in.

    Raises:
        Unauthenticated: nobody is.
        NotFound: somebody is.
    """
    session.person()
    raise NotFound(f"there is no page /dashboard/{rest}")
