"""The JSON Schemas of events, for receivers: public, and the same for everybody."""

import json
from typing import Any

import flask
from flask import Response
from werkzeug.wrappers import Response as AnyResponse

from service.base.errors import NotFound
from service.pure import events
from service.pure.events import EventType
from service.serving.here import here

blueprint = flask.Blueprint("events", __name__, url_prefix="/schemas")

_AGE_SECONDS = 3600


@blueprint.before_request
def _admit() -> None:
    here().limits.hit_other()


@blueprint.get("/")
def index() -> AnyResponse:
    """List every type of event: what it means, and where its schema is."""
    return _public(
        {
            "version": events.SCHEMA_VERSION,
            "events": {
                one: {"means": events.MEANINGS[one], "schema": schema_url(one)} for one in EventType
            },
        },
        "application/json",
    )


@blueprint.get(f"/v{events.SCHEMA_VERSION}/<event_type>.json")
def schema(event_type: str) -> AnyResponse:
    """Give the JSON Schema (2020-12) of the bodies of one type of event."""
    if event_type not in set(EventType):
        raise NotFound("there is no such type of event")
    return _public(events.schema(EventType(event_type), _base()), "application/schema+json")


def schema_url(event_type: EventType) -> str:
    """Give where an event's schema is served."""
    return f"{_base()}/v{events.SCHEMA_VERSION}/{event_type}.json"


def _base() -> str:
    return f"{here().settings.public_url}/schemas"


def _public(document: dict[str, Any], mimetype: str) -> AnyResponse:
    answer = Response(json.dumps(document, indent=1), mimetype=mimetype)
    answer.headers["Access-Control-Allow-Origin"] = "*"
    answer.headers["Cache-Control"] = f"public, max-age={_AGE_SECONDS}"
    answer.add_etag()
    return answer.make_conditional(flask.request)
