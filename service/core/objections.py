"""Objections: readers report a comment, an author appeals; a person looks again.

The one rule: an objection changes nothing by itself. It asks for a person's decision, and that
decision answers it, whichever it is (`moderation.record`).
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from service.base.errors import Forbidden, NotFound
from service.core.webhooks import outbox
from service.ledger.db import insert_into, new_id, utc_now
from service.ledger.models import AUTHOR_ACTOR, COMMENTS, OBJECTIONS
from service.pure.policy import Status

COUNT_MOST = 1000
COMMENTS_MOST = 50
_READ_MOST = 500
# Ten who say so are as good a reason to look as a thousand.
_REPORTS_MOST = 10
REFUSED = (Status.REJECTED, Status.SPAM)


@dataclass(frozen=True, slots=True)
class ObjectionView:
    """An objection as a value; `appeal` tells the author's from a reader's report."""

    id: str
    comment_id: str
    appeal: bool
    reason: str
    created_at: datetime


class _Objected(NamedTuple):
    site_id: str
    status: Status
    revision: int


def report(session: Session, comment_id: str, reason: str, source: str) -> None:
    """Say that a public comment should not be there; saying it again changes nothing.

    Args:
        session: a transaction's.
        comment_id: which.
        reason: the reader's words.
        source: 1-40 characters that tell one reader from another.

    Raises:
        NotFound: there is no such comment, or it is not public.
    """
    row = _comment(session, comment_id)
    if row is None or row.status != Status.APPROVED:
        raise NotFound("there is no such comment")
    same_text = [
        OBJECTIONS.c.comment_id == comment_id,
        OBJECTIONS.c.comment_revision == row.revision,
    ]
    reported = session.scalar(select(func.count()).where(*same_text)) or 0
    if reported < _REPORTS_MOST:
        _add(session, row, comment_id, reason, source)


def appeal(session: Session, comment_id: str, reason: str) -> None:
    """Ask, as its author, that a person look at a refused comment again; once.

    Args:
        session: a transaction's.
        comment_id: which.
        reason: the author's words.

    Raises:
        NotFound: there is no such comment.
        Forbidden: it was not refused.
    """
    row = _comment(session, comment_id)
    if row is None:
        raise NotFound("there is no such comment")
    if row.status not in REFUSED:
        raise Forbidden(f"a comment that is {row.status} was not refused")
    if _add(session, row, comment_id, reason, AUTHOR_ACTOR):
        session.execute(
            update(COMMENTS).where(COMMENTS.c.id == comment_id).values(appealed_at=utc_now())
        )


def waiting(session: Session, site_id: str) -> dict[str, list[ObjectionView]]:
    """Give open objections by comment, the oldest first, of up to 50 comments."""
    rows = session.execute(
        select(
            OBJECTIONS.c.id,
            OBJECTIONS.c.comment_id,
            OBJECTIONS.c.source,
            OBJECTIONS.c.reason,
            OBJECTIONS.c.created_at,
        )
        .where(OBJECTIONS.c.site_id == site_id, OBJECTIONS.c.decision_id.is_(None))
        .order_by(OBJECTIONS.c.id)
        .limit(_READ_MOST)
    )
    found: defaultdict[str, list[ObjectionView]] = defaultdict(list)
    for row in rows:
        if row.comment_id in found or len(found) < COMMENTS_MOST:
            found[row.comment_id].append(_view(row))
    return found


def of_comment(session: Session, comment_id: str) -> Sequence[ObjectionView]:
    """Give all objections to a comment, answered or not, the oldest first."""
    rows = session.execute(
        select(OBJECTIONS).where(OBJECTIONS.c.comment_id == comment_id).order_by(OBJECTIONS.c.id)
    )
    return [_view(row) for row in rows]


def count(session: Session, site_id: str) -> int:
    """Count the open objections of a site, up to `COUNT_MOST`."""
    some = (
        select(OBJECTIONS.c.id)
        .where(OBJECTIONS.c.site_id == site_id, OBJECTIONS.c.decision_id.is_(None))
        .limit(COUNT_MOST)
    )
    return session.scalar(select(func.count()).select_from(some.subquery())) or 0


def _comment(session: Session, comment_id: str) -> _Objected | None:
    # Locked, so that a decision that is being recorded does not miss the objection.
    row = session.execute(
        select(COMMENTS.c.site_id, COMMENTS.c.status, COMMENTS.c.revision)
        .where(COMMENTS.c.id == comment_id)
        .with_for_update()
    ).first()
    return None if row is None else _Objected(*row)


def _add(session: Session, row: _Objected, comment_id: str, reason: str, source: str) -> bool:
    """Insert it; false if this source has objected to this text before."""
    connection = session.connection()
    objection = {
        "id": new_id("obj"),
        "site_id": row.site_id,
        "comment_id": comment_id,
        "comment_revision": row.revision,
        "source": source,
        "reason": reason,
        "created_at": utc_now(),
    }
    made = connection.scalar(
        insert_into(connection, OBJECTIONS)
        .values(objection)
        .on_conflict_do_nothing()
        .returning(OBJECTIONS.c.id)
    )
    if made is None:
        return False
    outbox.objected(connection, row.site_id, comment_id, objection)
    return True


def _view(row: Any) -> ObjectionView:
    return ObjectionView(
        id=row.id,
        comment_id=row.comment_id,
        appeal=row.source == AUTHOR_ACTOR,
        reason=row.reason,
        created_at=row.created_at,
    )
