"""Deliveries: the log of what was sent to endpoints, and sending it again."""

import dataclasses
from datetime import datetime
from typing import Annotated, Any

import flask
from flask import Response
from pydantic import ConfigDict, Field, StrictBool

from service.api import parsing
from service.api.comments import answer_json
from service.api.openapi import operation
from service.api.schemas import Answer, Blank, Line, Request, Time
from service.base.errors import Forbidden
from service.core.sites import Scope, SiteView
from service.core.webhooks import endpoints, log
from service.core.webhooks.log import DeliveryView
from service.ledger.models import DeliveryStatus
from service.pure.events import EventType
from service.serving.here import here

blueprint = flask.Blueprint("deliveries", __name__)

_WHO = "A key with scope `webhooks`."
SELECTED_MOST = 500
NOT_NOW = (
    "it is being tried at this moment, waits for its first attempt, was recalled, or its endpoint"
    " is disabled"
)

Id = Annotated[Line, Field(max_length=30)]


class DeliveryQuery(Request):
    """What to list."""

    endpoint_id: Blank[Id] = Field(None, description="Only to this endpoint.")
    status: Blank[DeliveryStatus] = Field(None, description="Only deliveries that stand so.")
    type: Blank[EventType] = Field(None, description="Only of events of this type.")
    comment_id: Blank[Id] = Field(None, description="Only about this comment.")
    since: Blank[Time] = Field(None, description="Only those made at this time or later.")
    until: Blank[Time] = Field(None, description="Only those made before this time.")
    cursor: Blank[Id] = Field(None, description="`next_cursor` of the page before.")
    limit: Annotated[int, Field(ge=1, le=100)] = Field(50, description="Deliveries a page.")


class Attempt(Answer):
    """One HTTP try; without `ended_at` it is under way, or was cut off."""

    model_config = ConfigDict(from_attributes=True)

    id: str
    number: int = Field(description="From 1; a replay begins again.")
    started_at: datetime
    ended_at: datetime | None
    duration_ms: int | None
    status: int | None = Field(description="Of the answer; `null` if there was none.")
    failure: str | None = Field(description="Why there was none, in one word.")
    excerpt: str | None = Field(description="The beginning of the answer.")


class Delivery(Answer):
    """One event to one endpoint."""

    id: str
    endpoint_id: str
    url: str = Field(description="The endpoint's, as it is now.")
    event_id: str = Field(description="`webhook-id`, the same at every attempt.")
    event_type: str
    sequence: int = Field(description="Grows with every event of a comment.")
    comment_id: str | None
    status: DeliveryStatus
    reason: str | None = Field(description="Of the status, for people.")
    attempt_count: int = Field(description="Since it was made, or replayed.")
    due_at: datetime | None = Field(description="When it is tried next; `null` at its end.")
    created_at: datetime
    ended_at: datetime | None


class DeliveryInFull(Delivery):
    """A delivery with what is sent and what became of it."""

    body: str = Field(description="What is sent, to the byte.")
    attempts: list[Attempt] = Field(description="All of them, oldest first.")


class DeliveryPage(Answer):
    """One page of deliveries, newest first."""

    deliveries: list[Delivery]
    next_cursor: str | None = Field(description="Send as `cursor` for the page after; or null.")


class Selection(Request):
    """Deliveries to send again."""

    delivery_ids: Annotated[list[Id], Field(min_length=1, max_length=SELECTED_MOST)]


class Since(Request):
    """From when on to send again."""

    since: Time = Field(description="What was written down at this time or later.")
    dead_only: StrictBool = Field(False, description="Only what did not get there.")


class Replayed(Answer):
    """How many deliveries are sent again."""

    replayed: int


@blueprint.get("/sites/<site>/deliveries")
@operation(
    "List deliveries",
    who=_WHO,
    query=DeliveryQuery,
    answers={200: DeliveryPage},
    problems=[401, 403, 404, 422, 429, 503],
)
def index(site: str) -> Response:
    """List what was sent or is to be sent, newest first, a page at a time."""
    owner = _site(site)
    query = parsing.query(DeliveryQuery)
    with here().database.reading() as session:
        found = log.listing(
            session,
            owner.id,
            endpoint_id=query.endpoint_id,
            status=query.status,
            event_type=query.type,
            comment_id=query.comment_id,
            since=query.since,
            until=query.until,
            before=query.cursor,
            most=query.limit,
        )
    return answer_json(
        DeliveryPage(
            deliveries=[Delivery(**_values(one)) for one in found],
            next_cursor=found[-1].id if len(found) == query.limit else None,
        ),
        200,
    )


@blueprint.get("/sites/<site>/deliveries/<delivery_id>")
@operation(
    "Read a delivery",
    who=_WHO,
    answers={200: DeliveryInFull},
    problems=[401, 403, 404, 429, 503],
)
def show(site: str, delivery_id: str) -> Response:
    """Read a delivery with its body, to the byte, and each attempt."""
    owner = _site(site)
    with here().database.reading() as session:
        view = log.get(session, owner.id, delivery_id)
        body = log.body(session, owner.id, delivery_id)
        attempts = log.attempts(session, [delivery_id])[delivery_id]
    return answer_json(
        DeliveryInFull(
            **_values(view),
            body=body.decode(),
            attempts=[Attempt.model_validate(one) for one in attempts],
        ),
        200,
    )


@blueprint.post("/sites/<site>/deliveries/<delivery_id>/replay")
@operation(
    "Replay a delivery",
    who=_WHO,
    answers={200: Replayed},
    problems=[401, 403, 404, 429, 503],
)
def replay(site: str, delivery_id: str) -> Response:
    """Send it again: same id, same body, from the first attempt on.

    403 while it is being tried or waits for its first attempt, if it was recalled, or while its
    endpoint is disabled.
    """
    owner = _site(site)
    with here().database.transaction() as session:
        log.get(session, owner.id, delivery_id)
        if not log.replay(session, owner.id, [delivery_id]):
            raise Forbidden(NOT_NOW)
    return answer_json(Replayed(replayed=1), 200)


@blueprint.post("/sites/<site>/deliveries/replay")
@operation(
    "Replay many deliveries",
    who=_WHO,
    body=Selection,
    answers={200: Replayed},
    problems=[400, 401, 403, 404, 413, 415, 422, 429, 503],
)
def replay_many(site: str) -> Response:
    """Send up to 500 again, and answer how many; the others are left as they are."""
    owner = _site(site)
    sent = parsing.body(Selection)
    with here().database.transaction() as session:
        count = log.replay(session, owner.id, sent.delivery_ids)
    return answer_json(Replayed(replayed=count), 200)


@blueprint.post("/sites/<site>/endpoints/<endpoint_id>/replay")
@operation(
    "Replay everything since a moment",
    who=_WHO,
    body=Since,
    answers={200: Replayed},
    problems=[400, 401, 403, 404, 413, 415, 422, 429, 503],
)
def replay_since(site: str, endpoint_id: str) -> Response:
    """Send an endpoint again all that it was to be told since a moment, the oldest 5,000 of it."""
    owner = _site(site)
    sent = parsing.body(Since)
    with here().database.transaction() as session:
        endpoints.get(session, owner.id, endpoint_id)
        count = log.replay_since(
            session, owner.id, endpoint_id, sent.since, dead_only=sent.dead_only
        )
    return answer_json(Replayed(replayed=count), 200)


def _site(site: str) -> SiteView:
    return here().access.keyholder(site, Scope.WEBHOOKS)[0]


def _values(view: DeliveryView) -> dict[str, Any]:
    values = dataclasses.asdict(view)
    values["attempt_count"] = values.pop("attempts")
    return values
