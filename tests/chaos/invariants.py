"""What has to hold after any fault: the invariants I1-I9 of the promises, asked of the ledger."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import func, select

from service.ledger.db import Database
from service.ledger.models import (
    ATTEMPTS,
    COMMENTS,
    DECISIONS,
    DELIVERIES,
    EVENTS,
    POLICY_ACTOR,
    DeliveryStatus,
)
from service.pure.policy import Status
from tests.chaos.doomed import POISON

ENDED = (DeliveryStatus.DELIVERED, DeliveryStatus.DEAD, DeliveryStatus.RECALLED)


@dataclass
class Seen:
    """What clients and the receiver saw, which the ledger has to agree with.

    Attributes:
        accepted: comment ids that were answered with a 2xx, by the Idempotency-Key sent.
        judged: what a person decided last, by comment id.
        received: bodies that the receiver had and answered with 2xx, by event id.
        public: ids on the public thread at the end.
    """

    accepted: dict[str, set[str]] = field(default_factory=dict)
    judged: dict[str, Status] = field(default_factory=dict)
    received: dict[str, set[bytes]] = field(default_factory=dict)
    public: set[str] = field(default_factory=set)


def undecided(database: Database) -> int:
    """Count the comments that nobody has decided on or held."""
    with database.reading() as session:
        query = select(func.count()).where(COMMENTS.c.classify_at.is_not(None))
        return session.scalar(query) or 0


def undelivered(database: Database) -> int:
    """Count the deliveries that have not ended."""
    with database.reading() as session:
        query = select(func.count()).where(DELIVERIES.c.status.not_in(ENDED))
        return session.scalar(query) or 0


def broken(database: Database, seen: Seen) -> dict[str, Sequence[str]]:
    """Give what is not as it has to be, by invariant; empty if all holds.

    I2 and I5 say in which time, so whoever asks has waited for them.
    """
    checks: Mapping[str, Callable[[Database, Seen], Sequence[str]]] = {
        "I1 what was accepted is in the ledger": _accepted_is_there,
        "I2 what was accepted is decided or held": _accepted_is_decided,
        "I3 one automatic decision for each text": _decided_once,
        "I4 what was decided is told, and nothing else": _decisions_are_told,
        "I5 each delivery has ended": _deliveries_ended,
        "I5 what was delivered arrived, and nothing else did": _delivered_is_received,
        "I6 one comment for each Idempotency-Key": _one_for_each_key,
        "I7 what kills the classifier is held": _poison_is_held,
        "I9 what is public is approved, and the reverse": _public_is_approved,
        "a person's decision stands": _people_are_not_overruled,
        "each event has one body": _bodies_never_change,
    }
    found = {name: check(database, seen) for name, check in checks.items()}
    return {name: wrong for name, wrong in found.items() if wrong}


def _ids(seen: Seen) -> set[str]:
    return set().union(*seen.accepted.values()) if seen.accepted else set()


def _accepted_is_there(database: Database, seen: Seen) -> Sequence[str]:
    with database.reading() as session:
        return sorted(_ids(seen) - set(session.scalars(select(COMMENTS.c.id))))


def _accepted_is_decided(database: Database, seen: Seen) -> Sequence[str]:
    with database.reading() as session:
        decided = set(session.scalars(select(DECISIONS.c.comment_id)))
        return sorted(set(session.scalars(select(COMMENTS.c.id))) - decided)


def _decided_once(database: Database, seen: Seen) -> Sequence[str]:
    with database.reading() as session:
        rows = session.execute(
            select(DECISIONS.c.comment_id, DECISIONS.c.comment_revision).where(
                DECISIONS.c.actor == POLICY_ACTOR
            )
        )
        return [str(one) for one, count in Counter(map(tuple, rows)).items() if count > 1]


def _decisions_are_told(database: Database, seen: Seen) -> Sequence[str]:
    with database.reading() as session:
        decisions = set(session.scalars(select(DECISIONS.c.id)))
        told = Counter(
            session.scalars(select(EVENTS.c.decision_id).where(EVENTS.c.decision_id.is_not(None)))
        )
        came = Counter(
            session.scalars(select(EVENTS.c.comment_id).where(EVENTS.c.type == "comment.submitted"))
        )
        comments = set(session.scalars(select(COMMENTS.c.id)))
        events = set(session.scalars(select(EVENTS.c.number)))
        delivered = set(session.scalars(select(DELIVERIES.c.event_number)))
    return [
        *(f"{one} was not told" for one in sorted(decisions - told.keys())),
        *(f"{one} was never decided" for one in sorted(told.keys() - decisions)),
        *(f"{one} was told {count} times" for one, count in (told + came).items() if count > 1),
        *(f"{one} came and was not told" for one in sorted(comments ^ came.keys())),
        *(f"event {one} goes nowhere" for one in sorted(events ^ delivered)),
    ]


def _deliveries_ended(database: Database, seen: Seen) -> Sequence[str]:
    with database.reading() as session:
        query = select(DELIVERIES.c.id).where(DELIVERIES.c.status.not_in(ENDED))
        return session.scalars(query).all()


def _delivered_is_received(database: Database, seen: Seen) -> Sequence[str]:
    with database.reading() as session:
        rows = session.execute(
            select(EVENTS.c.id, DELIVERIES.c.status).join(
                DELIVERIES, DELIVERIES.c.event_number == EVENTS.c.number
            )
        ).all()
        answered = set(
            session.scalars(
                select(EVENTS.c.id)
                .join(DELIVERIES, DELIVERIES.c.event_number == EVENTS.c.number)
                .join(ATTEMPTS, ATTEMPTS.c.delivery_id == DELIVERIES.c.id)
                .where(ATTEMPTS.c.status.between(200, 299))
            )
        )
    delivered = {row.id for row in rows if row.status == DeliveryStatus.DELIVERED}
    return [
        *(f"{one} is said to be delivered" for one in sorted(delivered - seen.received.keys())),
        *(f"{one} arrived from nowhere" for one in sorted(seen.received.keys() - delivered)),
        *(f"{one} was delivered without an attempt" for one in sorted(delivered - answered)),
    ]


def _one_for_each_key(database: Database, seen: Seen) -> Sequence[str]:
    several = [key for key, ids in seen.accepted.items() if len(ids) > 1]
    with database.reading() as session:
        keys = Counter(session.scalars(select(COMMENTS.c.idempotency_key)))
    return several + [str(key) for key, count in keys.items() if key is not None and count > 1]


def _poison_is_held(database: Database, seen: Seen) -> Sequence[str]:
    with database.reading() as session:
        rows = session.execute(
            select(COMMENTS.c.id, DECISIONS.c.rule, DECISIONS.c.status)
            .join(DECISIONS, DECISIONS.c.comment_id == COMMENTS.c.id)
            .where(COMMENTS.c.body.contains(POISON), DECISIONS.c.actor == POLICY_ACTOR)
        )
        return [
            f"{row.id}: {row.rule}, {row.status}"
            for row in rows
            if (row.rule, row.status) != ("classifier_error", Status.PENDING)
        ]


def _public_is_approved(database: Database, seen: Seen) -> Sequence[str]:
    with database.reading() as session:
        query = select(COMMENTS.c.id).where(COMMENTS.c.status == Status.APPROVED)
        return sorted(set(session.scalars(query)) ^ seen.public)


def _people_are_not_overruled(database: Database, seen: Seen) -> Sequence[str]:
    with database.reading() as session:
        rows = session.execute(
            select(COMMENTS.c.id, COMMENTS.c.status).where(COMMENTS.c.id.in_(seen.judged))
        )
        return [row.id for row in rows if row.status != seen.judged[row.id]]


def _bodies_never_change(database: Database, seen: Seen) -> Sequence[str]:
    return [event_id for event_id, bodies in seen.received.items() if len(bodies) > 1]
