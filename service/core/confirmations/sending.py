"""Which mail is due, and what became of it: for whoever sends.

The one rule: whatever happens to a sender, the mail stays due. A claim moves `send_at` forward by
the lease; only what became of it takes it away. So a kill at any moment loses none, and at worst
sends one twice, with the same Message-ID.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, case, func, select, update
from sqlalchemy.orm import Session

from service.core.confirmations import rows
from service.ledger.db import db_now, utc_now
from service.ledger.models import CONFIRMATIONS

ATTEMPTS_MOST = 5
# After the first failure, the second, …; whoever is down for longer has other worries.
_PAUSES_SECONDS = (60, 300, 1_800, 7_200)


@dataclass(frozen=True, slots=True)
class Due:
    """A mail that is to be sent now, by whoever claimed it.

    Attributes:
        attempts: this one included; tells one claim from a later one.
        email: normalised.
    """

    id: str
    attempts: int
    email: str
    language: str
    site_slug: str
    site_name: str
    asked_at: datetime


def claim(session: Session, lease_seconds: float) -> Due | None:
    """Lease the mail that is due first; what may not be sent any more is given up on the way."""
    while True:
        row = _claim_next(session, lease_seconds)
        if row is None:
            return None
        about = rows.about(session, row.id)
        why = _why_not(session, row, about)
        if why is None and about is not None:
            return Due(
                id=row.id,
                attempts=row.attempts,
                email=about.email_normalised,
                language=row.language,
                site_slug=about.slug,
                site_name=about.name,
                asked_at=row.created_at,
            )
        _close(session, row.id, row.attempts, fault=why)


def sent(session: Session, due: Due) -> None:
    """Note that the server has taken a mail."""
    _close(session, due.id, due.attempts, sent_at=utc_now(), fault=None)


def failed(session: Session, due: Due, fault: str, *, final: bool) -> None:
    """Note that it has not, and when to try again; never if that is useless.

    Args:
        session: a transaction's.
        due: the mail.
        fault: why, without any address.
        final: whether to give up.
    """
    if final or due.attempts >= ATTEMPTS_MOST:
        _close(session, due.id, due.attempts, fault=fault)
        return
    pause = _PAUSES_SECONDS[min(due.attempts, len(_PAUSES_SECONDS)) - 1]
    _update(session, due.id, due.attempts, send_at=db_now(pause), fault=fault)


def latest(lease_seconds: float) -> ColumnElement[datetime]:
    """Give the latest time at which a mail can be due, by the clock as it is now.

    That is now before it was tried, and then its lease or the pause after as many failures.
    """
    attempts = CONFIRMATIONS.c.attempts
    waits = [
        (attempts == failures, float(max(pause, lease_seconds)))
        for failures, pause in enumerate(_PAUSES_SECONDS, start=1)
    ]
    return db_now(case((attempts == 0, 0.0), *waits, else_=waits[-1][1]))


def overdue_seconds(session: Session) -> float | None:
    """Give for how long the mail that is due first has been due; `None` if none is."""
    first, now = session.execute(
        select(func.min(CONFIRMATIONS.c.send_at), db_now()).where(
            CONFIRMATIONS.c.send_at <= db_now()
        )
    ).one()
    return None if first is None else (now - first).total_seconds()


def given_up(session: Session) -> int:
    """Count the mails of the last day that were given up for a fault of somebody's server."""
    return (
        session.scalar(
            select(func.count())
            .select_from(CONFIRMATIONS)
            .where(
                CONFIRMATIONS.c.created_at > db_now(-rows.DAY_SECONDS),
                CONFIRMATIONS.c.attempts > 0,
                CONFIRMATIONS.c.sent_at.is_(None),
                CONFIRMATIONS.c.fault.is_not(None),
            )
        )
        or 0
    )


def _claim_next(session: Session, lease_seconds: float) -> Row[Any] | None:
    due = (
        select(CONFIRMATIONS.c.id)
        .where(CONFIRMATIONS.c.send_at <= db_now())
        .order_by(CONFIRMATIONS.c.send_at)
        .limit(1)
        .with_for_update(skip_locked=True)  # PostgreSQL; on SQLite the transaction is the lock
    )
    claimed = (
        update(CONFIRMATIONS)
        .where(CONFIRMATIONS.c.id.in_(due.scalar_subquery()))
        .values(send_at=db_now(lease_seconds), attempts=CONFIRMATIONS.c.attempts + 1)
        .returning(*CONFIRMATIONS.c)
    )
    return session.connection().execute(claimed).first()


def _why_not(session: Session, row: Row[Any], about: Any) -> str | None:
    if about is None or not about.email_normalised or about.status not in rows.WELCOME:
        return "the comment was refused or is gone"
    if rows.is_silenced(session, row.mailbox):
        return "no more mail is wanted there"
    if utc_now() - row.created_at >= rows.LASTS:
        return row.fault or "nobody sent it in time"
    if row.attempts > ATTEMPTS_MOST:
        return row.fault or "its senders were killed"
    return None


def _close(session: Session, confirmation_id: str, attempts: int, **values: Any) -> None:
    _update(session, confirmation_id, attempts, send_at=None, **values)


def _update(session: Session, confirmation_id: str, attempts: int, **values: Any) -> None:
    # Compare and set: whoever comes back after the lease has lost it to the next claim.
    session.execute(
        update(CONFIRMATIONS)
        .where(CONFIRMATIONS.c.id == confirmation_id, CONFIRMATIONS.c.attempts == attempts)
        .values(**values)
    )
