"""The outbox: events and their deliveries, written in the transaction of what they tell of.

The one rule: what is told has happened, and what has happened is told; one commit has both. An
event is kept only where an endpoint of its site wants to know it: on a site without endpoints a
decision costs one look-up more, and nothing else.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, insert, select, update

from service.core.webhooks.audience import Audience, Listener, read_audiences, read_contents
from service.ledger.db import db_now, new_id
from service.ledger.models import (
    AUTHOR_ACTOR,
    DELIVERIES,
    EVENTS,
    DeliveryStatus,
)
from service.pure import events
from service.pure.events import EventType, Told

FULL = "too much was waiting for this endpoint"


@dataclass(frozen=True, slots=True)
class _Fact:
    """An event about to be kept, for these endpoints."""

    type: EventType
    audience: Audience
    listeners: Sequence[Listener]
    told: Told
    occurred_at: datetime
    comment_id: str | None = None
    decision_id: str | None = None
    personal: str | None = None
    after_seconds: int = 0


def submitted(connection: Connection, comment_ids: Mapping[str, str], now: datetime) -> None:
    """Tell that comments came: by comment id, the site's."""
    _keep_of_comments(
        connection,
        [
            (EventType.COMMENT_SUBMITTED, site_id, comment_id, {})
            for comment_id, site_id in comment_ids.items()
        ],
        now,
    )


def decided(connection: Connection, decisions: Sequence[Mapping[str, Any]]) -> None:
    """Tell of decisions that were recorded; of a person's only after the site's undo window.

    One that is taken back within it is not told at all: its deliveries are recalled, and to
    those endpoints nothing is restored.

    Args:
        connection: of the transaction that recorded them, after the comments were changed.
        decisions: their rows.
    """
    audiences = read_audiences(connection, {row["site_id"] for row in decisions})
    if not audiences:
        return
    recalled = _recall(connection, [row["undoes"] for row in decisions if row["undoes"]])
    told = [row for row in decisions if row["site_id"] in audiences]
    contents = read_contents(connection, {row["comment_id"] for row in told})
    facts = []
    for row in told:
        audience, content = audiences[row["site_id"]], contents[row["comment_id"]]
        event_type = events.of_decision(
            row["status"],
            by_author=row["actor"] == AUTHOR_ACTOR,
            is_undo=row["undoes"] is not None,
        )
        # The comment as it was by this decision, if the same transaction decided on it again.
        comment = content.comment.model_copy(
            update={"status": row["status"], "version": row["comment_version"] + 1}
        )
        is_undoable = row["act_id"] is not None and row["undoes"] is None
        facts.append(
            _Fact(
                type=event_type,
                audience=audience,
                listeners=[
                    one
                    for one in audience.listeners
                    if one.wants(event_type) and one.id not in recalled[row["undoes"]]
                ],
                told=events.DecisionTold(
                    site=audience.site, comment=comment, decision=_decision(row)
                ),
                occurred_at=row["decided_at"],
                comment_id=row["comment_id"],
                decision_id=row["id"],
                personal=events.personal_of(content.email, content.address),
                after_seconds=audience.policy.undo_seconds if is_undoable else 0,
            )
        )
    _keep(connection, facts)


def objected(
    connection: Connection, site_id: str, comment_id: str, objection: Mapping[str, Any]
) -> None:
    """Tell that a reader reported a comment, or its author appealed.

    Args:
        connection: of the transaction that keeps the objection.
        site_id: of the comment.
        comment_id: which.
        objection: its row.
    """
    appeal = objection["source"] == AUTHOR_ACTOR
    told = events.Objection.model_validate(
        {name: objection[name] for name in ("id", "reason", "created_at")}
    )
    _keep_of_comments(
        connection,
        [
            (
                EventType.COMMENT_APPEALED if appeal else EventType.COMMENT_REPORTED,
                site_id,
                comment_id,
                {"objection": told},
            )
        ],
        objection["created_at"],
    )


def tell(
    connection: Connection,
    event_type: EventType,
    site_id: str,
    told: Callable[[events.Site], Told],
    now: datetime,
    *,
    comment_id: str | None = None,
    personal: str | None = None,
    only: str | None = None,
) -> None:
    """Tell of what is not about the state of one comment.

    Args:
        connection: of the transaction in which it happened.
        event_type: what happened.
        site_id: where.
        told: makes the data, of the site; asked only if somebody wants to know.
        now: when it happened.
        comment_id: of the comment with which it is forgotten, if there is one.
        personal: of `events.personal_of`, for those who may be told.
        only: the endpoint that alone is told, whatever types it wants; default all that want it.
    """
    audience = read_audiences(connection, {site_id}).get(site_id)
    if audience is None:
        return
    listeners = [
        one
        for one in audience.listeners
        if (one.wants(event_type) if only is None else one.id == only)
    ]
    if listeners:
        data = told(audience.site)
        _keep(
            connection,
            [_Fact(event_type, audience, listeners, data, now, comment_id, personal=personal)],
        )


def _keep_of_comments(
    connection: Connection,
    happened: Sequence[tuple[EventType, str, str, Mapping[str, Any]]],
    now: datetime,
) -> None:
    """Keep events about comments as they stand: type, site, comment, and what else is told."""
    audiences = read_audiences(connection, {site_id for _, site_id, _, _ in happened})
    if not audiences:
        return
    wanted = [one for one in happened if one[1] in audiences]
    contents = read_contents(connection, {comment_id for _, _, comment_id, _ in wanted})
    _keep(
        connection,
        [
            _Fact(
                type=event_type,
                audience=(audience := audiences[site_id]),
                listeners=[one for one in audience.listeners if one.wants(event_type)],
                told=events.SHAPES[event_type].model_validate(
                    {"site": audience.site, "comment": contents[comment_id].comment, **more}
                ),
                occurred_at=now,
                comment_id=comment_id,
                personal=events.personal_of(
                    contents[comment_id].email, contents[comment_id].address
                ),
            )
            for event_type, site_id, comment_id, more in wanted
        ],
    )


def _decision(row: Mapping[str, Any]) -> events.Decision:
    return events.Decision.model_validate(
        {name: row[name] for name in events.Decision.model_fields}
        | {"clues": events.cut_clues(row["clues"])}
    )


def _recall(
    connection: Connection, decision_ids: Sequence[str]
) -> defaultdict[str | None, set[str]]:
    """Recall what was to be told of decisions and nobody has begun to; by decision, to whom."""
    recalled: defaultdict[str | None, set[str]] = defaultdict(set)
    if not decision_ids:
        return recalled
    numbers = {
        row.number: row.decision_id
        for row in connection.execute(
            select(EVENTS.c.number, EVENTS.c.decision_id).where(
                EVENTS.c.decision_id.in_(decision_ids)
            )
        )
    }
    if not numbers:
        return recalled
    rows = connection.execute(
        update(DELIVERIES)
        .where(
            DELIVERIES.c.event_number.in_(numbers),
            DELIVERIES.c.status == DeliveryStatus.WAITING,
            DELIVERIES.c.attempts == 0,
        )
        .values(
            status=DeliveryStatus.RECALLED,
            reason="undone before it was told",
            due_at=None,
            ended_at=db_now(),
        )
        .returning(DELIVERIES.c.event_number, DELIVERIES.c.endpoint_id)
    )
    for row in rows:
        recalled[numbers[row.event_number]].add(row.endpoint_id)
    return recalled


def _keep(connection: Connection, facts: Sequence[_Fact]) -> None:
    """Write events and their deliveries."""
    heard = {new_id("evt"): fact for fact in facts if fact.listeners}
    if not heard:
        return
    now: datetime = connection.execute(select(db_now())).scalar_one()
    rows = connection.execute(
        insert(EVENTS).returning(EVENTS.c.id, EVENTS.c.number),
        [
            {
                "id": event_id,
                "site_id": fact.audience.site.id,
                "type": fact.type,
                "comment_id": fact.comment_id,
                "decision_id": fact.decision_id,
                "data": events.data_of(fact.told),
                "personal": fact.personal
                if any(_is_personal(fact, listener) for listener in fact.listeners)
                else None,
                "occurred_at": fact.occurred_at,
            }
            for event_id, fact in heard.items()
        ],
    )
    numbers = {row.id: row.number for row in rows}
    connection.execute(
        insert(DELIVERIES),
        [
            _delivery(fact, listener, numbers[event_id], now)
            for event_id, fact in heard.items()
            for listener in fact.listeners
        ],
    )


def _delivery(fact: _Fact, listener: Listener, number: int, now: datetime) -> dict[str, Any]:
    """Give a delivery's row; what an endpoint has no room for is dead, and can be replayed."""
    return {
        "id": new_id("dlv"),
        "event_number": number,
        "endpoint_id": listener.id,
        "site_id": fact.audience.site.id,
        "comment_id": fact.comment_id,
        "is_personal": _is_personal(fact, listener),
        "status": DeliveryStatus.DEAD if listener.is_full else DeliveryStatus.WAITING,
        "reason": FULL if listener.is_full else None,
        "due_at": None if listener.is_full else now + timedelta(seconds=fact.after_seconds),
        "created_at": now,
        "ended_at": now if listener.is_full else None,
    }


def _is_personal(fact: _Fact, listener: Listener) -> bool:
    """Whether an endpoint is told what is personal: it asked, and the site allows it."""
    allowed = listener.wants_personal and fact.audience.policy.share_personal
    return allowed and fact.personal is not None
