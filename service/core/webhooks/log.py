"""The log of deliveries, for people: what was told to whom, each attempt, and replay.

The one rule: a replay sends the same event again, id and body unchanged; what was noted of the
earlier attempts stays.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, and_, or_, select, update
from sqlalchemy.orm import Session

from service.base.errors import NotFound
from service.ledger.db import db_now, first_id
from service.ledger.models import ATTEMPTS, DELIVERIES, ENDPOINTS, EVENTS, DeliveryStatus
from service.pure import events

PAGE_MOST = 100
REPLAYED_MOST = 5_000


@dataclass(frozen=True, slots=True)
class AttemptView:
    """One HTTP try; without `ended_at` it is under way, or was cut off."""

    id: str
    number: int
    started_at: datetime
    ended_at: datetime | None
    duration_ms: int | None
    status: int | None
    failure: str | None
    excerpt: str | None


@dataclass(frozen=True, slots=True)
class DeliveryView:
    """A delivery as a value, with the event it is of."""

    id: str
    endpoint_id: str
    url: str
    event_id: str
    event_type: str
    sequence: int
    comment_id: str | None
    status: DeliveryStatus
    reason: str | None
    attempts: int
    due_at: datetime | None
    created_at: datetime
    ended_at: datetime | None


def listing(
    session: Session,
    site_id: str,
    *,
    endpoint_id: str | None = None,
    status: DeliveryStatus | None = None,
    event_type: str | None = None,
    comment_id: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    before: str | None = None,
    most: int = 50,
) -> list[DeliveryView]:
    """Give deliveries, newest first.

    Args:
        session: for reading.
        site_id: whose.
        endpoint_id: only to this one.
        status: only these.
        event_type: only of such events.
        comment_id: only about this comment.
        since: only those made at this time or later.
        until: only those made before.
        before: only those older than this one; the last of a page is the cursor to the next.
        most: 1-100.
    """
    conditions: list[ColumnElement[bool]] = [DELIVERIES.c.site_id == site_id]
    if endpoint_id is not None:
        conditions.append(DELIVERIES.c.endpoint_id == endpoint_id)
    if status is not None:
        conditions.append(DELIVERIES.c.status == status)
    if event_type is not None:
        conditions.append(EVENTS.c.type == event_type)
    if comment_id is not None:
        conditions.append(EVENTS.c.comment_id == comment_id)
    if since is not None:
        conditions.append(DELIVERIES.c.id >= first_id("dlv", since))
    if until is not None:
        conditions.append(DELIVERIES.c.id < first_id("dlv", until))
    if before is not None:
        conditions.append(DELIVERIES.c.id < before)
    query = _VIEW.where(and_(*conditions)).order_by(DELIVERIES.c.id.desc())
    return [_view(row) for row in session.execute(query.limit(min(most, PAGE_MOST)))]


def get(session: Session, site_id: str, delivery_id: str) -> DeliveryView:
    """Give one delivery.

    Raises:
        NotFound: the site has no such delivery.
    """
    row = session.execute(
        _VIEW.where(DELIVERIES.c.id == delivery_id, DELIVERIES.c.site_id == site_id)
    ).first()
    if row is None:
        raise NotFound("there is no such delivery")
    return _view(row)


def body(session: Session, site_id: str, delivery_id: str) -> bytes:
    """Give what is sent, to the byte.

    Raises:
        NotFound: the site has no such delivery.
    """
    row = session.execute(
        select(EVENTS, DELIVERIES.c.is_personal)
        .join(DELIVERIES, DELIVERIES.c.event_number == EVENTS.c.number)
        .where(DELIVERIES.c.id == delivery_id, DELIVERIES.c.site_id == site_id)
    ).first()
    if row is None:
        raise NotFound("there is no such delivery")
    personal = row.personal if row.is_personal else None
    return events.body(row.type, row.occurred_at, row.number, row.data, personal)


def attempts(session: Session, delivery_ids: Sequence[str]) -> dict[str, list[AttemptView]]:
    """Give the attempts of deliveries, oldest first, by delivery."""
    found: dict[str, list[AttemptView]] = {delivery_id: [] for delivery_id in delivery_ids}
    rows = session.execute(
        select(ATTEMPTS).where(ATTEMPTS.c.delivery_id.in_(delivery_ids)).order_by(ATTEMPTS.c.id)
    )
    for row in rows:
        values = dict(row._mapping)
        found[values.pop("delivery_id")].append(AttemptView(**values))
    return found


def replay(session: Session, site_id: str, delivery_ids: Sequence[str]) -> int:
    """Send deliveries again, from the first attempt on; and give how many will be.

    Not one that is being tried at this moment, that was recalled, or whose endpoint is disabled.
    """
    return _replay(session, site_id, DELIVERIES.c.id.in_(delivery_ids))


def replay_since(
    session: Session, site_id: str, endpoint_id: str, since: datetime, *, dead_only: bool = False
) -> int:
    """Send again all that was to be told to an endpoint since a time, the oldest 5,000 of it.

    Args:
        session: a transaction's.
        site_id: whose.
        endpoint_id: to which.
        since: when what is told was written down.
        dead_only: only what did not get there.

    Returns:
        How many will be sent.
    """
    oldest = (
        select(DELIVERIES.c.id)
        .where(
            DELIVERIES.c.endpoint_id == endpoint_id,
            DELIVERIES.c.id >= first_id("dlv", since),
            DELIVERIES.c.status == DeliveryStatus.DEAD
            if dead_only
            else DELIVERIES.c.status != DeliveryStatus.RECALLED,
        )
        .order_by(DELIVERIES.c.id)
        .limit(REPLAYED_MOST)
    )
    return _replay(session, site_id, DELIVERIES.c.id.in_(oldest.scalar_subquery()))


def _replay(session: Session, site_id: str, condition: ColumnElement[bool]) -> int:
    in_service = (
        select(ENDPOINTS.c.id)
        .where(ENDPOINTS.c.id == DELIVERIES.c.endpoint_id, ENDPOINTS.c.disabled_at.is_(None))
        .exists()
    )
    # What waits out an undo window is not hurried.
    begun = or_(DELIVERIES.c.attempts > 0, DELIVERIES.c.status != DeliveryStatus.WAITING)
    rows = session.execute(
        update(DELIVERIES)
        .where(
            condition,
            DELIVERIES.c.site_id == site_id,
            DELIVERIES.c.status != DeliveryStatus.RECALLED,
            DELIVERIES.c.claimed_at.is_(None),
            begun,
            in_service,
        )
        .values(
            status=DeliveryStatus.WAITING, reason=None, due_at=db_now(), attempts=0, ended_at=None
        )
        .returning(DELIVERIES.c.id)
    )
    return len(rows.all())


_VIEW = (
    select(
        DELIVERIES.c.id,
        DELIVERIES.c.endpoint_id,
        ENDPOINTS.c.url,
        EVENTS.c.id.label("event_id"),
        EVENTS.c.type.label("event_type"),
        EVENTS.c.number.label("sequence"),
        DELIVERIES.c.comment_id,
        DELIVERIES.c.status,
        DELIVERIES.c.reason,
        DELIVERIES.c.attempts,
        DELIVERIES.c.due_at,
        DELIVERIES.c.created_at,
        DELIVERIES.c.ended_at,
    )
    .join(EVENTS, EVENTS.c.number == DELIVERIES.c.event_number)
    .join(ENDPOINTS, ENDPOINTS.c.id == DELIVERIES.c.endpoint_id)
)


def _view(row: Row[*tuple[Any, ...]]) -> DeliveryView:
    values = dict(row._mapping)
    values["status"] = DeliveryStatus(values["status"])
    return DeliveryView(**values)
