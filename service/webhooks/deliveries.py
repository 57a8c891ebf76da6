"""Deliveries: what is due, who tries it, and what becomes of it.

The one rule: a claim is committed before the attempt, and what became of it is noted after, each
in a transaction of its own with one delivery. A process that dies between leaves a delivery that
is due again when its lease ends, so each ends as delivered or dead, and none is forgotten.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import func, insert, or_, select, update
from sqlalchemy.orm import Session

from service import events
from service.db import db_now, new_id
from service.models import (
    ATTEMPTS,
    DELIVERIES,
    ENDPOINTS,
    EVENTS,
    DeliveryStatus,
    Endpoint,
)
from service.webhooks import endpoints

# Standard Webhooks 1.0.0, "Retry schedule": the pauses after the first failure, the second, …
PAUSES_SECONDS = (5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)
ATTEMPTS_MOST = len(PAUSES_SECONDS) + 1
DISABLED_AFTER = timedelta(days=5)
BACKLOG_MOST = 10_000
_JITTER = 0.1
# The longest that a receiver can have us wait, by Retry-After, for its next attempt.
_RETRY_AFTER_MOST_SECONDS = 86_400.0
_GONE = 410
_SLOW_DOWN = frozenset({429, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class Claim:
    """A delivery to try now.

    Attributes:
        number: of the attempt, from 1.
        url: where to.
        event_id: `webhook-id`.
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
    body: bytes
    secrets: tuple[str, ...]
    occurred_at: datetime


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an attempt.

    Attributes:
        status: of the answer; `None` if none came whole.
        failure: in one word, why none did.
        excerpt: the beginning of the answer, for people.
        retry_after_seconds: how long the receiver asks us to wait, if it does.
        duration_ms: from the attempt's beginning to its end.
    """

    status: int | None
    failure: str | None = None
    excerpt: str = ""
    retry_after_seconds: float | None = None
    duration_ms: int = 0

    @property
    def is_success(self) -> bool:
        """Whether it was delivered: 2xx and nothing else."""
        return self.status is not None and 200 <= self.status < 300

    @property
    def told(self) -> str:
        """The same for people."""
        return f"answered {self.status}" if self.status is not None else str(self.failure)


def busy(session: Session) -> list[str]:
    """Give the endpoints to which something is due, without a look at how much."""
    due = (
        select(DELIVERIES.c.id)
        .where(DELIVERIES.c.endpoint_id == ENDPOINTS.c.id, DELIVERIES.c.due_at <= db_now())
        .exists()
    )
    return list(session.scalars(select(ENDPOINTS.c.id).where(due)))


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
    endpoint = connection.execute(select(ENDPOINTS).where(ENDPOINTS.c.id == endpoint_id)).first()
    if endpoint is None:
        return None
    if endpoint.disabled_reason is not None:
        endpoints.bury(
            session, endpoint_id, endpoint.disabled_reason, DELIVERIES.c.due_at <= db_now()
        )
        return None
    earlier = DELIVERIES.alias()
    held_up = (
        select(earlier.c.id)
        .where(
            earlier.c.endpoint_id == endpoint_id,
            earlier.c.comment_id == DELIVERIES.c.comment_id,
            earlier.c.event_number < DELIVERIES.c.event_number,
            earlier.c.due_at.is_not(None),
            or_(earlier.c.attempts == 0, earlier.c.claimed_at.is_not(None)),
        )
        .exists()
    )
    due = (
        select(DELIVERIES.c.id)
        .where(DELIVERIES.c.endpoint_id == endpoint_id, DELIVERIES.c.due_at <= db_now(), ~held_up)
        .order_by(DELIVERIES.c.due_at, DELIVERIES.c.event_number)
        .limit(1)
        .with_for_update(skip_locked=True)  # PostgreSQL; on SQLite the transaction is the lock
    )
    row = connection.execute(
        update(DELIVERIES)
        .where(DELIVERIES.c.id.in_(due.scalar_subquery()))
        .values(
            due_at=db_now(lease_seconds),
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
    ).first()
    if row is None:
        return None
    event = connection.execute(select(EVENTS).where(EVENTS.c.number == row.event_number)).one()
    attempt_id = new_id("att")
    connection.execute(
        insert(ATTEMPTS).values(
            id=attempt_id, delivery_id=row.id, number=row.attempts, started_at=row.claimed_at
        )
    )
    secrets = [endpoint.secret]
    if endpoint.old_secret is not None and endpoint.old_secret_until > row.claimed_at:
        secrets.append(endpoint.old_secret)
    return Claim(
        delivery_id=row.id,
        attempt_id=attempt_id,
        endpoint_id=endpoint_id,
        number=row.attempts,
        url=endpoint.url,
        event_id=event.id,
        body=events.body(
            event.type,
            event.occurred_at,
            event.number,
            event.data,
            event.personal if row.is_personal else None,
        ),
        secrets=tuple(secrets),
        occurred_at=event.occurred_at,
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
    now: datetime = connection.execute(select(db_now())).scalar_one()
    connection.execute(
        update(ATTEMPTS)
        .where(ATTEMPTS.c.id == claim.attempt_id)
        .values(
            ended_at=now,
            duration_ms=outcome.duration_ms,
            status=outcome.status,
            failure=outcome.failure,
            excerpt=outcome.excerpt or None,
        )
    )
    # A success is one even if the lease had ended and somebody else tries again.
    attempts = DELIVERIES.c.attempts
    still_ours = attempts >= claim.number if outcome.is_success else attempts == claim.number
    noted = connection.execute(
        update(DELIVERIES)
        .where(
            DELIVERIES.c.id == claim.delivery_id,
            DELIVERIES.c.status == DeliveryStatus.WAITING,
            still_ours,
        )
        .values(claimed_at=None, **_after(claim, outcome, now, pick))
        .returning(DELIVERIES.c.status)
    ).first()
    if outcome.is_success:
        connection.execute(
            update(ENDPOINTS)
            .where(ENDPOINTS.c.id == claim.endpoint_id, ENDPOINTS.c.failing_since.is_not(None))
            .values(failing_since=None)
        )
    else:
        _count_failure(session, claim.endpoint_id, outcome, now)
    return None if noted is None else DeliveryStatus(noted.status)


def mark_full(session: Session) -> None:
    """Have what is new for endpoints with too much waiting be dead at once, until less waits."""
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


def overdue_seconds(session: Session) -> float | None:
    """Give how long the delivery that waits longest has been due; `None` if none is."""
    row = session.execute(
        select(DELIVERIES.c.due_at, db_now())
        .where(DELIVERIES.c.due_at <= db_now())
        .order_by(DELIVERIES.c.due_at)
        .limit(1)
    ).first()
    return None if row is None else float((row[1] - row[0]).total_seconds())


def _after(
    claim: Claim, outcome: Outcome, now: datetime, pick: Callable[[float, float], float]
) -> dict[str, Any]:
    """Give where a delivery stands after an attempt."""
    if outcome.is_success:
        return {
            "status": DeliveryStatus.DELIVERED,
            "reason": None,
            "due_at": None,
            "ended_at": now,
        }
    if outcome.status == _GONE or claim.number >= ATTEMPTS_MOST:
        return {
            "status": DeliveryStatus.DEAD,
            "reason": f"{outcome.told}, attempt {claim.number} of {ATTEMPTS_MOST}",
            "due_at": None,
            "ended_at": now,
        }
    pause = PAUSES_SECONDS[claim.number - 1] * pick(1 - _JITTER, 1 + _JITTER)
    if outcome.status in _SLOW_DOWN and outcome.retry_after_seconds is not None:
        pause = max(pause, min(outcome.retry_after_seconds, _RETRY_AFTER_MOST_SECONDS))
    return {
        "status": DeliveryStatus.WAITING,
        "reason": outcome.told,
        "due_at": now + timedelta(seconds=pause),
        "ended_at": None,
    }


def _count_failure(session: Session, endpoint_id: str, outcome: Outcome, now: datetime) -> None:
    """Note that an endpoint fails; disable one that is gone or has failed for too long."""
    endpoint = session.get(Endpoint, endpoint_id, with_for_update=True, populate_existing=True)
    if endpoint is None:
        return
    if endpoint.failing_since is None:
        endpoint.failing_since = now
    if endpoint.disabled_at is not None:
        endpoints.bury(session, endpoint_id, endpoint.disabled_reason or "")
    elif outcome.status == _GONE:
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
