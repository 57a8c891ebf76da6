"""Deliveries: what is due, who tries it, and what becomes of it.

The one rule: a claim is committed before the attempt, and what became of it is noted after, each
in a transaction of its own with one delivery. A process that dies between leaves a delivery that
is due again when its lease ends, so each ends as delivered or dead, and none is forgotten.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Float, Integer, and_, bindparam, case, func, insert, or_, select, update
from sqlalchemy.orm import Session

from service.core.webhooks import endpoints, schedule
from service.core.webhooks.schedule import Outcome
from service.ledger.db import db_now, new_id
from service.ledger.models import (
    ATTEMPTS,
    DELIVERIES,
    ENDPOINTS,
    EVENTS,
    DeliveryStatus,
    Endpoint,
)
from service.pure import events

__all__ = [
    "BACKLOG_MOST",
    "DISABLED_AFTER",
    "Claim",
    "Outcome",
    "busy",
    "claim",
    "note",
    "overdue_seconds",
    "tidy",
]

DISABLED_AFTER = timedelta(days=5)
# No attempt lasts so long by a clock that nobody moves: the longest lease.
_CLOCK_MOVED_SECONDS = 600
BACKLOG_MOST = 10_000


@dataclass(frozen=True, slots=True)
class Claim:
    """A delivery to try now.

    Attributes:
        number: of the attempt, from 1.
        url: where to.
        event_id: `webhook-id`.
        comment_id: what it tells of; `None` if of no comment.
        body: the same bytes at every attempt.
        secrets: to sign with, the present one first.
        occurred_at: when what is told happened.
    """

    delivery_id: str
    attempt_id: str
    endpoint_id: str
    number: int
    url: str
    event_id: str
    comment_id: str | None
    body: bytes
    secrets: tuple[str, ...]
    occurred_at: datetime


def busy(session: Session) -> list[str]:
    """Give the endpoints in service to which something is due, without a look at how much."""
    return list(session.connection().scalars(_BUSY))


def claim(session: Session, endpoint_id: str, lease_seconds: float) -> Claim | None:
    """Lease what is due to an endpoint the longest, and note that an attempt begins.

    What is told of one comment goes in the order in which it happened, as far as first attempts
    go: it waits while an earlier event has not been tried, or is being tried. One that failed
    holds up nothing after it; a receiver sorts by `sequence`.

    Args:
        session: a transaction's; commit before the attempt.
        endpoint_id: whose.
        lease_seconds: longer than an attempt may take.

    Returns:
        `None` if nothing is due that may go now.
    """
    connection = session.connection()
    row = connection.execute(
        _CLAIM, {"b_endpoint_id": endpoint_id, "b_lease_seconds": lease_seconds}
    ).first()
    if row is None:
        return None
    told = connection.execute(_TOLD, {"b_id": row.id}).one()
    attempt_id = new_id("att")
    connection.execute(
        _BEGIN_ATTEMPT,
        {
            "id": attempt_id,
            "delivery_id": row.id,
            "number": row.attempts,
            "started_at": row.claimed_at,
        },
    )
    secrets = [told.secret]
    if told.old_secret is not None and told.old_secret_until > row.claimed_at:
        secrets.append(told.old_secret)
    return Claim(
        delivery_id=row.id,
        attempt_id=attempt_id,
        endpoint_id=endpoint_id,
        number=row.attempts,
        url=told.url,
        event_id=told.id,
        comment_id=told.comment_id,
        body=events.body(
            told.type,
            told.occurred_at,
            told.number,
            told.data,
            told.personal if row.is_personal else None,
        ),
        secrets=tuple(secrets),
        occurred_at=told.occurred_at,
    )


def note(
    session: Session,
    claim: Claim,
    outcome: Outcome,
    *,
    pick: Callable[[float, float], float] = random.uniform,
) -> DeliveryStatus | None:
    """Note what became of an attempt: delivered, to be tried again, or dead.

    Only 2xx is delivered. 410 disables the endpoint, and so do five days of nothing but
    failures. 429, 502, 503 and 504 are given the time they ask for.

    Args:
        session: a transaction's.
        claim: what was tried.
        outcome: what became of it.
        pick: gives a number between two, for the jitter.

    Returns:
        Where the delivery stands; `None` if it is somebody else's by now, since the lease had
        ended or it was replayed, and only the attempt was noted.
    """
    connection = session.connection()
    now = connection.scalar(
        _END_ATTEMPT,
        {
            "b_id": claim.attempt_id,
            "b_began_seconds": -outcome.duration_ms / 1000,
            "b_duration_ms": outcome.duration_ms,
            "b_status": outcome.status,
            "b_failure": outcome.failure,
            "b_excerpt": outcome.excerpt or None,
        },
    )
    if now is None:  # the endpoint was deleted meanwhile, and all that was about it
        return None
    failures = 0
    if not outcome.is_success:
        asked = {"b_delivery_id": claim.delivery_id, "b_number": claim.number}
        failures = connection.execute(_FAILURES, asked).scalar_one()
    stands = schedule.after(outcome, failures, claim.number, now, pick)
    # A success is one even if the lease had ended and somebody else tries again.
    noted = connection.execute(
        _NOTE,
        {
            "b_id": claim.delivery_id,
            "b_attempts_least": claim.number,
            "b_attempts_most": schedule.CLAIMS_MOST if outcome.is_success else claim.number,
            "b_status": stands.status,
            "b_reason": stands.reason,
            "b_due_at": stands.due_at,
            "b_ended_at": None if stands.due_at else now,
        },
    ).first()
    if outcome.is_success:
        connection.execute(_FORGIVE, {"b_endpoint_id": claim.endpoint_id})
    else:
        _count_failure(session, claim.endpoint_id, outcome, now)
    return None if noted is None else DeliveryStatus(noted.status)


def tidy(session: Session) -> None:
    """Do what no single delivery asks for, every few seconds.

    What is new for endpoints with too much waiting is dead at once until less waits; what was
    being tried when its endpoint was disabled, by somebody who died of it, is dead as well; and
    what a clock that was ahead has put off is due.
    """
    waiting = (
        select(DELIVERIES.c.id)
        .where(DELIVERIES.c.endpoint_id == ENDPOINTS.c.id, DELIVERIES.c.due_at.is_not(None))
        .limit(BACKLOG_MOST)
        .correlate(ENDPOINTS)
        .subquery()
    )
    is_full = select(func.count()).select_from(waiting).scalar_subquery() >= BACKLOG_MOST
    session.execute(
        update(ENDPOINTS)
        .where(ENDPOINTS.c.is_full != is_full, ENDPOINTS.c.disabled_at.is_(None))
        .values(is_full=is_full)
    )
    left_over = (
        select(ENDPOINTS.c.id, ENDPOINTS.c.disabled_reason)
        .join(DELIVERIES, DELIVERIES.c.endpoint_id == ENDPOINTS.c.id)
        .where(DELIVERIES.c.due_at <= db_now(), ENDPOINTS.c.disabled_at.is_not(None))
        .distinct()
    )
    for row in session.execute(left_over).all():
        endpoints.bury(session, row.id, row.disabled_reason, DELIVERIES.c.due_at <= db_now())
    session.execute(update(DELIVERIES).where(_PUT_OFF).values(due_at=db_now()))


def overdue_seconds(session: Session) -> float | None:
    """Give how long the delivery that waits longest has been due; `None` if none is."""
    row = session.execute(
        select(DELIVERIES.c.due_at, db_now())
        .where(DELIVERIES.c.due_at <= db_now())
        .order_by(DELIVERIES.c.due_at)
        .limit(1)
    ).first()
    return None if row is None else float((row[1] - row[0]).total_seconds())


_EARLIER = DELIVERIES.alias()
_HELD_UP = (
    select(_EARLIER.c.id)
    .where(
        _EARLIER.c.endpoint_id == DELIVERIES.c.endpoint_id,
        _EARLIER.c.comment_id == DELIVERIES.c.comment_id,
        _EARLIER.c.event_number < DELIVERIES.c.event_number,
        _EARLIER.c.due_at.is_not(None),
        or_(_EARLIER.c.attempts == 0, _EARLIER.c.claimed_at.is_not(None)),
    )
    .exists()
)
_DUE = (
    select(DELIVERIES.c.id)
    .where(
        DELIVERIES.c.endpoint_id == bindparam("b_endpoint_id"),
        DELIVERIES.c.due_at <= db_now(),
        ~_HELD_UP,
    )
    .order_by(DELIVERIES.c.due_at, DELIVERIES.c.event_number)
    .limit(1)
    .with_for_update(skip_locked=True)  # PostgreSQL; on SQLite the transaction is the lock
)
# Made, or tried the last time, when the database's clock was ahead of what it is now: waiting for
# the clock to come there again could take as long as it was ahead. Each is found by an index.
_TRIED_AHEAD = (
    select(ATTEMPTS.c.delivery_id)
    .join(DELIVERIES, DELIVERIES.c.id == ATTEMPTS.c.delivery_id)
    .where(ATTEMPTS.c.started_at > db_now(), ATTEMPTS.c.number == DELIVERIES.c.attempts)
)
_PUT_OFF = and_(
    DELIVERIES.c.due_at > db_now(),
    or_(
        and_(DELIVERIES.c.attempts == 0, DELIVERIES.c.created_at > db_now()),
        DELIVERIES.c.id.in_(_TRIED_AHEAD),
    ),
)
# Made once: to put them together costs more than to run them.
_BUSY = select(ENDPOINTS.c.id).where(
    ENDPOINTS.c.disabled_at.is_(None),
    select(DELIVERIES.c.id)
    .where(DELIVERIES.c.endpoint_id == ENDPOINTS.c.id, DELIVERIES.c.due_at <= db_now())
    .exists(),
)
_CLAIM = (
    update(DELIVERIES)
    .where(DELIVERIES.c.id.in_(_DUE.scalar_subquery()))
    .values(
        due_at=db_now(bindparam("b_lease_seconds", type_=Float)),
        claimed_at=db_now(),
        attempts=DELIVERIES.c.attempts + 1,
    )
    .returning(
        DELIVERIES.c.id,
        DELIVERIES.c.event_number,
        DELIVERIES.c.is_personal,
        DELIVERIES.c.attempts,
        DELIVERIES.c.claimed_at,
    )
)
_TOLD = (
    select(
        EVENTS.c.id,
        EVENTS.c.type,
        EVENTS.c.occurred_at,
        EVENTS.c.number,
        EVENTS.c.comment_id,
        EVENTS.c.data,
        EVENTS.c.personal,
        ENDPOINTS.c.url,
        ENDPOINTS.c.secret,
        ENDPOINTS.c.old_secret,
        ENDPOINTS.c.old_secret_until,
    )
    .join(DELIVERIES, DELIVERIES.c.event_number == EVENTS.c.number)
    .join(ENDPOINTS, ENDPOINTS.c.id == DELIVERIES.c.endpoint_id)
    .where(DELIVERIES.c.id == bindparam("b_id"))
)
_BEGIN_ATTEMPT = insert(ATTEMPTS)
# By the clock that also says when the next attempt is due, if that was moved since this one began;
# else as it is, which spares the database an entry in each index.
_BEGAN = db_now(bindparam("b_began_seconds", type_=Float))
_STARTED_AT = case(
    (
        and_(
            ATTEMPTS.c.started_at <= db_now(), ATTEMPTS.c.started_at > db_now(-_CLOCK_MOVED_SECONDS)
        ),
        ATTEMPTS.c.started_at,
    ),
    else_=_BEGAN,
)
_END_ATTEMPT = (
    update(ATTEMPTS)
    .where(ATTEMPTS.c.id == bindparam("b_id"))
    .values(
        started_at=_STARTED_AT,
        ended_at=db_now(),
        duration_ms=bindparam("b_duration_ms"),
        status=bindparam("b_status"),
        failure=bindparam("b_failure"),
        excerpt=bindparam("b_excerpt"),
    )
    .returning(ATTEMPTS.c.ended_at)
)
# Of the attempts since the delivery was made or replayed, those that ended.
_LATEST = (
    select(ATTEMPTS.c.ended_at)
    .where(ATTEMPTS.c.delivery_id == bindparam("b_delivery_id"))
    .order_by(ATTEMPTS.c.id.desc())
    .limit(bindparam("b_number", type_=Integer))
    .subquery()
)
_FAILURES = select(func.count()).select_from(_LATEST).where(_LATEST.c.ended_at.is_not(None))
_NOTE = (
    update(DELIVERIES)
    .where(
        DELIVERIES.c.id == bindparam("b_id"),
        DELIVERIES.c.status == DeliveryStatus.WAITING,
        DELIVERIES.c.attempts.between(bindparam("b_attempts_least"), bindparam("b_attempts_most")),
    )
    .values(
        claimed_at=None,
        status=bindparam("b_status"),
        reason=bindparam("b_reason"),
        due_at=bindparam("b_due_at"),
        ended_at=bindparam("b_ended_at"),
    )
    .returning(DELIVERIES.c.status)
)
_FORGIVE = (
    update(ENDPOINTS)
    .where(ENDPOINTS.c.id == bindparam("b_endpoint_id"), ENDPOINTS.c.failing_since.is_not(None))
    .values(failing_since=None)
)


def _count_failure(session: Session, endpoint_id: str, outcome: Outcome, now: datetime) -> None:
    """Note that an endpoint fails; disable one that is gone or has failed for too long."""
    endpoint = session.get(Endpoint, endpoint_id, with_for_update=True, populate_existing=True)
    if endpoint is None:
        return
    if endpoint.failing_since is None:
        endpoint.failing_since = now
    if endpoint.disabled_at is not None:
        endpoints.bury(session, endpoint_id, endpoint.disabled_reason or "")
    elif outcome.is_gone:
        endpoints.stop(session, endpoint, "it answered 410, gone", actor=endpoints.DELIVERY)
    elif now - endpoint.failing_since >= DISABLED_AFTER:
        days = (now - endpoint.failing_since).days
        endpoints.stop(
            session,
            endpoint,
            f"nothing but failures for {days} days, at last: {outcome.told}",
            actor=endpoints.DELIVERY,
        )
    session.flush()
