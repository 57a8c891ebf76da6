"""The API: programs with a key, and browsers that submit. JSON in, JSON or a problem out."""

import flask
from flask import Response

from service.api import (
    authors,
    challenges,
    comments,
    confirmations,
    decisions,
    deliveries,
    docs,
    endpoints,
    events,
    health,
    objections,
    thread,
)
from service.base.errors import Forbidden, NotFound
from service.serving import access
from service.serving.here import here

_MAX_AGE_SECONDS = 600

blueprint = flask.Blueprint("api", __name__, url_prefix="/api/v1")
blueprint.register_blueprint(authors.blueprint)
blueprint.register_blueprint(challenges.blueprint)
blueprint.register_blueprint(comments.blueprint)
blueprint.register_blueprint(confirmations.blueprint)
blueprint.register_blueprint(decisions.blueprint)
blueprint.register_blueprint(deliveries.blueprint)
blueprint.register_blueprint(endpoints.blueprint)
blueprint.register_blueprint(objections.blueprint)
blueprint.register_blueprint(thread.blueprint)


def register(app: flask.Flask) -> None:
    """Add the API, its documents and the probes to an application."""
    app.register_blueprint(blueprint)
    app.register_blueprint(docs.blueprint)
    app.register_blueprint(events.blueprint)
    app.register_blueprint(health.blueprint)


@blueprint.before_request
def _admit() -> Response | None:
    if any("\x00" in str(part) for part in (flask.request.view_args or {}).values()):
        raise NotFound("no id or slug holds a NUL")  # PostgreSQL would not even compare it
    # A submission is counted by its own view, which knows e-mail and thread.
    if flask.request.method == "OPTIONS":
        here().limits.hit_other()
        return _preflight()
    if flask.request.endpoint != "api.comments.create":
        here().limits.hit_other()
    return None


@blueprint.after_request
def _private(answer: Response) -> Response:
    answer.headers.setdefault("Cache-Control", "no-store")
    answer.headers.setdefault("Vary", "Origin")
    return answer


def _preflight() -> Response:
    """Answer a browser that asks whether a page may send a request (Fetch, CORS protocol)."""
    arguments = flask.request.view_args or {}
    if "site" in arguments:
        if not access.allow_origin(here().access.site(arguments["site"])):
            raise Forbidden("this origin is not one of the site's")
    else:
        site = here().access.site_by_id(comments.site_id_of(arguments["comment_id"]))
        if not access.allow_origin(site):  # to strangers it is as if it were not there
            raise NotFound("there is no such comment")
    answer = Response(status=204)
    answer.headers["Access-Control-Allow-Methods"] = "GET, POST, PATCH, DELETE"
    answer.headers["Access-Control-Allow-Headers"] = (
        "Authorization, Content-Type, Idempotency-Key, Prefer"
    )
    answer.headers["Access-Control-Max-Age"] = str(_MAX_AGE_SECONDS)
    return answer
