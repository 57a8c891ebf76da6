"""Authoring: what authors may do with their own comments once they are sent.

The one rule: an edited comment is a new one to everybody who judges. It is public again only
when it was decided again, so that nobody gets one text approved and shows another.
"""

from datetime import datetime, timedelta

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from service.base.errors import Forbidden, HamgateError, NotFound
from service.base.jobs import Job
from service.core import moderation
from service.core.moderation import Ballot
from service.ledger.db import db_now, ring_after, utc_now
from service.ledger.models import AUTHOR_ACTOR, COMMENTS
from service.pure.policy import Status

_EDITABLE = (Status.PENDING, Status.APPROVED)


def editable_until(status: Status, created_at: datetime, seconds: int) -> datetime | None:
    """Give until when a comment can be edited; `None` if it cannot be.

    Args:
        status: as it stands.
        created_at: when it came.
        seconds: `Settings.edit_seconds`.
    """
    if status not in _EDITABLE or not seconds:
        return None
    return created_at + timedelta(seconds=seconds)


def edit(session: Session, comment_id: str, body: str, seconds: int) -> None:
    """Put another text in place of a comment's, and have it decided anew.

    Args:
        session: a transaction's; the workers are rung for after its commit.
        comment_id: whose author asks.
        body: valid, as a submission's.
        seconds: `Settings.edit_seconds`.

    Raises:
        NotFound: there is no such comment.
        Forbidden: its time is over, or it was refused, or withdrawn.
        Stale: it changed at this moment.
    """
    row = session.execute(
        select(COMMENTS.c.version, COMMENTS.c.status, COMMENTS.c.created_at, COMMENTS.c.body)
        .where(COMMENTS.c.id == comment_id)
        .with_for_update()
    ).first()
    if row is None:
        raise NotFound("there is no such comment")
    until = editable_until(Status(row.status), row.created_at, seconds)
    if until is None:
        raise Forbidden(f"a comment that is {row.status} cannot be edited")
    if utc_now() > until:
        raise Forbidden(f"it could be edited for {seconds // 60} minutes, which are over")
    if body == row.body:
        return
    # The text first, so that what is told of the edit has it; it counts as a new one only after
    # the decision, which is on the old one.
    session.execute(
        update(COMMENTS).where(COMMENTS.c.id == comment_id).values(body=body, edited_at=utc_now())
    )
    _record(session, comment_id, row.version, Status.PENDING, "edited by its author")
    session.execute(
        update(COMMENTS)
        .where(COMMENTS.c.id == comment_id)
        .values(
            revision=COMMENTS.c.revision + 1,
            classify_at=db_now(),
            classify_attempts=0,
            queue_at=None,
            campaign_id=None,
            echoes=0,
        )
    )
    ring_after(session.connection(), Job.CLASSIFY)


def withdraw(session: Session, comment_id: str) -> None:
    """Take a comment back for good; replies to it stay.

    Raises:
        NotFound: there is no such comment.
        Stale: it changed at this moment.
    """
    row = session.execute(
        select(COMMENTS.c.version, COMMENTS.c.status)
        .where(COMMENTS.c.id == comment_id)
        .with_for_update()
    ).first()
    if row is None:
        raise NotFound("there is no such comment")
    if row.status != Status.DELETED:
        _record(session, comment_id, row.version, Status.DELETED, "withdrawn by its author")


# Without an act: to take an edit back would publish the new text under the old one's decision.
def _record(session: Session, comment_id: str, version: int, status: Status, why: str) -> None:
    ballot = Ballot(
        comment_id=comment_id,
        seen_version=version,
        status=status,
        actor=AUTHOR_ACTOR,
        reason=why,
    )
    (outcome,) = moderation.record(session, [ballot])
    if isinstance(outcome, HamgateError):
        raise outcome
