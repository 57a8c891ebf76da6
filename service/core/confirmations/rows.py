"""What is asked of confirmations from every side: what one is about, and who wants no mail."""

from datetime import timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from service.ledger.models import COMMENTS, CONFIRMATIONS, SILENCED_MAILBOXES, SITES, THREADS
from service.pure.policy import Status

# How long a link is good.
LASTS = timedelta(days=3)
DAY_SECONDS = 86_400
# What a comment has to be for its author to be written to.
WELCOME = (Status.PENDING, Status.APPROVED)


def about(session: Session, confirmation_id: str) -> Any:
    """Give what a confirmation is about; `None` if its comment is gone."""
    return session.execute(
        select(
            CONFIRMATIONS.c.comment_id,
            CONFIRMATIONS.c.site_id,
            CONFIRMATIONS.c.created_at,
            CONFIRMATIONS.c.confirmed_at,
            COMMENTS.c.email_normalised,
            COMMENTS.c.status,
            THREADS.c.page_url,
            SITES.c.slug,
            SITES.c.name,
        )
        .join(COMMENTS, COMMENTS.c.id == CONFIRMATIONS.c.comment_id)
        .join(THREADS, THREADS.c.id == COMMENTS.c.thread_id)
        .join(SITES, SITES.c.id == CONFIRMATIONS.c.site_id)
        .where(CONFIRMATIONS.c.id == confirmation_id)
    ).first()


def is_silenced(session: Session, mailbox: str) -> bool:
    """Whether nobody may write to a mailbox any more."""
    return (
        session.scalar(
            select(SILENCED_MAILBOXES.c.mailbox).where(SILENCED_MAILBOXES.c.mailbox == mailbox)
        )
        is not None
    )
