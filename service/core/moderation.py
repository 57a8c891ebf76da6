"""Decisions: the only writer of a comment's status.

The one rule: `record()` appends the decision, sets the status and tells the webhooks in one
transaction, only if the comment is still the version that was decided on. A machine additionally
loses to whatever decided before it, so a person is never overruled.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import func, null, select, update
from sqlalchemy.orm import Session

from service.base.errors import HamgateError, NotFound, Stale
from service.core import forgetting, indexing
from service.core.webhooks import outbox
from service.ledger import tallies
from service.ledger.bulk import any_of, inserting, updating
from service.ledger.db import db_now, new_id, tally_of, utc_now
from service.ledger.models import (
    AUTHOR_ACTOR,
    COMMENTS,
    DECISIONS,
    OBJECTIONS,
    POLICY_ACTOR,
    THREADS,
    Comment,
)
from service.pure.policy import Status

BULK_MOST = 500
_CERTAIN_LATER = timedelta(hours=12)


@dataclass(frozen=True, slots=True)
class Ballot:
    """A decision about to be recorded.

    Attributes:
        comment_id: the comment.
        seen_version: the version that was looked at; any other means the comment changed.
        status: what it shall be.
        actor: `policy`, `moderator:<id>`, `key:<id>` or `author`.
        reason: why, for people.
        rule: the rule that answered, for `policy` only.
        score: probability of spam, 0-1, if a classifier gave one.
        model_version: of the model that gave the score.
        clues: what spoke for and against, most telling first.
        act_id: what was done in one go, and can be undone in one go, bears the same; `None` for
            a machine's.
        undoes: the decision that this one takes back.
        campaign_id: the near-duplicates that were found beside the decision, if it looked for any.
        echoes: how many; `None` where it did not look.
    """

    comment_id: str
    seen_version: int
    status: Status
    actor: str
    reason: str
    rule: str | None = None
    score: float | None = None
    model_version: str | None = None
    clues: tuple[Mapping[str, Any], ...] = ()
    act_id: str | None = None
    undoes: str | None = None
    campaign_id: str | None = None
    echoes: int | None = None


@dataclass(frozen=True, slots=True)
class DecisionView:
    """A recorded decision as a value."""

    id: str
    status: Status
    old_status: Status
    actor: str
    rule: str | None
    reason: str
    score: float | None
    model_version: str | None
    clues: tuple[Mapping[str, Any], ...]
    decided_at: datetime
    act_id: str | None = None
    undoes: str | None = None


def record(
    session: Session, ballots: Sequence[Ballot], *, site_id: str | None = None
) -> list[DecisionView | HamgateError]:
    """Record decisions; each stands or falls by itself.

    Args:
        session: a transaction's session.
        ballots: taken in order; a second one on a comment has to have seen the first.
        site_id: only comments of this site are found; `None` for the workers, who serve all.

    Returns:
        For each ballot, in order: the decision; `Stale` if the comment is not the version that
        was seen, or a machine came second; `NotFound`.
    """
    if not ballots:
        return []
    current = _lock(session, [ballot.comment_id for ballot in ballots], site_id)
    outcome: list[DecisionView | HamgateError] = []
    rows: list[dict[str, Any]] = []
    changes: dict[str, dict[str, Any]] = {}
    unread = [found for found in current.values() if found.due]
    for ballot in ballots:
        found = current.get(ballot.comment_id)
        refusal = _refusal(ballot, found)
        if refusal is not None or found is None:
            outcome.append(refusal or NotFound("there is no such comment"))
            continue
        row = {
            "id": new_id("dec"),
            "site_id": found.site_id,
            "comment_id": ballot.comment_id,
            "comment_version": found.version,
            "comment_revision": found.revision,
            "old_status": found.status,
            "status": ballot.status,
            "actor": ballot.actor,
            "rule": ballot.rule,
            "reason": ballot.reason,
            "score": ballot.score,
            "model_version": ballot.model_version,
            "clues": list(ballot.clues),
            "decided_at": utc_now(),
            "act_id": ballot.act_id,
            "undoes": ballot.undoes,
        }
        rows.append(row)
        outcome.append(_view(row))
        changes[ballot.comment_id] = {
            "id": ballot.comment_id,
            "status": ballot.status,
            "version": found.version + 1,
            "decision_id": row["id"],
            "queue_at": queue_time(found.created_at, ballot.score),
            "campaign_id": ballot.campaign_id,
            "echoes": ballot.echoes,
        }
        found.status, found.version, found.due = ballot.status, found.version + 1, False
    if rows:
        connection = session.connection()
        _APPEND(connection, rows)
        _CHANGE(connection, list(changes.values()))
        indexing.enter(connection, [found for found in unread if not found.due])
        _mark_threads(session, rows, current)
        _answer_objections(session, rows)
        outbox.decided(connection, rows)
        tally = tally_of(connection)
        for decision in rows:
            tallies.decided(tally, decision, current[decision["comment_id"]].created_at)
    return outcome


def is_person(actor: str | None) -> bool:
    """Whether a decision's actor is a person who judges, not a machine, not the author."""
    return actor not in (None, POLICY_ACTOR, AUTHOR_ACTOR)


def undo(
    session: Session, site_id: str, act_id: str, actor: str
) -> dict[str, DecisionView | HamgateError]:
    """Take back what was done in one go, by decisions that put each comment back where it was.

    The label goes with it: neither an undone decision nor its undoing teaches anything.

    Args:
        session: a transaction's.
        site_id: only acts on this site are found.
        act_id: what was done.
        actor: who takes it back.

    Returns:
        By comment id: the decision; `Stale` where somebody has decided since, or it was taken
        back already, and nothing was done.

    Raises:
        NotFound: there is no such act on the site.
    """
    rows = session.execute(
        select(DECISIONS.c.id, DECISIONS.c.comment_id, DECISIONS.c.comment_version,
               DECISIONS.c.old_status)
        .where(
            DECISIONS.c.act_id == act_id,
            DECISIONS.c.site_id == site_id,
            DECISIONS.c.undoes.is_(None),
        )
        .order_by(DECISIONS.c.id)
    ).all()  # fmt: skip
    if not rows:
        raise NotFound("there is nothing of that name to undo")
    again = new_id("act")
    ballots = [
        Ballot(
            comment_id=row.comment_id,
            seen_version=row.comment_version + 1,
            status=Status(row.old_status),
            actor=actor,
            reason="undone",
            act_id=again,
            undoes=row.id,
        )
        for row in rows
    ]
    outcomes = record(session, ballots, site_id=site_id)
    return {row.comment_id: one for row, one in zip(rows, outcomes, strict=True)}


def queue_time(created_at: datetime, score: float | None) -> datetime:
    """Give where a comment stands in the queue: the earlier, the sooner a person sees it.

    Old ones come first, and uncertain ones as if they were up to twelve hours older. A time
    that never changes can be an index; a usefulness that changes with the clock cannot.
    """
    certainty = 0.0 if score is None else abs(score - 0.5) * 2
    return created_at + certainty * _CERTAIN_LATER


def history(session: Session, site_id: str, comment_id: str) -> list[DecisionView]:
    """Give all decisions on a comment, oldest first.

    Raises:
        NotFound: the site has no such comment.
    """
    known = session.scalar(
        select(Comment.id).where(Comment.id == comment_id, Comment.site_id == site_id)
    )
    if known is None:
        raise NotFound("there is no such comment")
    rows = session.execute(
        select(DECISIONS)
        .where(DECISIONS.c.comment_id == comment_id)
        .order_by(DECISIONS.c.comment_version)
    )
    return [_view(dict(row._mapping)) for row in rows]


def latest(session: Session, decision_ids: Sequence[str]) -> dict[str, DecisionView]:
    """Give decisions by id."""
    if not decision_ids:
        return {}
    rows = session.execute(select(DECISIONS).where(DECISIONS.c.id.in_(decision_ids)))
    return {row.id: _view(dict(row._mapping)) for row in rows}


def overdue_seconds(session: Session) -> float | None:
    """Give how long the comment that waits longest has been due; `None` if none is."""
    row = session.execute(
        select(COMMENTS.c.classify_at, db_now())
        .where(COMMENTS.c.classify_at <= db_now())
        .order_by(COMMENTS.c.classify_at)
        .limit(1)
    ).first()
    return None if row is None else float((row[1] - row[0]).total_seconds())


_APPEND = inserting(DECISIONS)
_CHANGE = updating(
    COMMENTS,
    ("status", "version", "decision_id", "queue_at", "campaign_id", "echoes"),
    lambda given: {
        "status": given["status"],
        "version": given["version"],
        "decision_id": given["decision_id"],
        "queue_at": func.coalesce(COMMENTS.c.queue_at, given["queue_at"]),
        "campaign_id": func.coalesce(given["campaign_id"], COMMENTS.c.campaign_id),
        "echoes": func.coalesce(given["echoes"], COMMENTS.c.echoes),
        "classify_at": null(),
    },
)
_MARK_THREAD = updating(
    THREADS,
    ("approved",),
    lambda given: {
        "version": THREADS.c.version + 1,
        "approved": THREADS.c.approved + given["approved"],
    },
)


@dataclass(slots=True)
class _Current:
    """How a comment stands, the decisions of this transaction included."""

    status: Status
    id: str
    site_id: str
    thread_id: str
    name: str
    email: str
    body: str
    version: int
    revision: int
    created_at: datetime
    due: bool
    has_text: bool


_LOCKED = (
    Comment.status, Comment.id, Comment.site_id, Comment.thread_id, Comment.name, Comment.email,
    Comment.body, Comment.version, Comment.revision, Comment.created_at,
    Comment.classify_at.is_not(None), forgetting.has_text(),
)  # fmt: skip


def _lock(session: Session, ids: Sequence[str], site_id: str | None) -> dict[str, _Current]:
    """Lock the comments, always in the order of their ids, and give how each stands.

    On SQLite the whole transaction is the lock.
    """
    query = (
        select(*_LOCKED)
        .where(any_of(session.connection(), COMMENTS.c.id, ids))
        .order_by(Comment.id)
        .with_for_update()
    )
    if site_id is not None:
        query = query.where(Comment.site_id == site_id)
    found = (_Current(Status(status), *rest) for status, *rest in session.execute(query))
    return {one.id: one for one in found}


def _mark_threads(
    session: Session, rows: Sequence[Mapping[str, Any]], current: Mapping[str, _Current]
) -> None:
    """Count what became public or ceased to be, in the order of ids, so that nobody deadlocks."""
    shifts: Counter[str] = Counter()
    for row in rows:
        before, after = (status is Status.APPROVED for status in (row["old_status"], row["status"]))
        if before is not after:
            shifts[current[row["comment_id"]].thread_id] += after - before
    _MARK_THREAD(
        session.connection(),
        [{"id": thread_id, "approved": shift} for thread_id, shift in sorted(shifts.items())],
    )


def _answer_objections(session: Session, rows: Sequence[Mapping[str, Any]]) -> None:
    """Close what was open against comments that a person decided on; open it again on undo."""
    final = {
        row["comment_id"]: row
        for row in rows
        if is_person(row["actor"]) or row["status"] is Status.DELETED
    }
    if not final:
        return
    objected = select(OBJECTIONS.c.comment_id).where(OBJECTIONS.c.comment_id.in_(final)).distinct()
    for comment_id in session.scalars(objected).all():
        row = final[comment_id]
        before, after = (None, row["id"]) if row["undoes"] is None else (row["undoes"], None)
        session.execute(
            update(OBJECTIONS)
            .where(OBJECTIONS.c.comment_id == comment_id, OBJECTIONS.c.decision_id == before)
            .values(decision_id=after)
        )


def _refusal(ballot: Ballot, found: _Current | None) -> HamgateError | None:
    if found is None:
        return NotFound("there is no such comment")
    if found.version != ballot.seen_version:
        return Stale(
            f"the comment is at version {found.version}, you saw {ballot.seen_version}",
            version=found.version,
        )
    if found.status is Status.DELETED and ballot.undoes is None:
        return Stale("it is deleted, and nobody decides on it any more", version=found.version)
    if not found.has_text and ballot.status is not Status.DELETED:
        return Stale("its text was forgotten, and nobody can judge it", version=found.version)
    if ballot.actor == POLICY_ACTOR and not found.due:
        return Stale("it was decided already", version=found.version)
    return None


def _view(row: Mapping[str, Any]) -> DecisionView:
    return DecisionView(
        id=row["id"],
        status=Status(row["status"]),
        old_status=Status(row["old_status"]),
        actor=row["actor"],
        rule=row["rule"],
        reason=row["reason"],
        score=row["score"],
        model_version=row["model_version"],
        clues=tuple(row["clues"]),
        decided_at=row["decided_at"],
        act_id=row["act_id"],
        undoes=row["undoes"],
    )
