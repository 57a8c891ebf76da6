"""The clock: what one that was ahead has put off is due once it was put back.

The one rule: nothing waits for longer than it would by a clock that is right. What is due later
than any lease or pause lasts was written by a clock that was ahead of what it is now, and would
wait until the clock comes there again. Deliveries are seen to by `core.webhooks.deliveries`.
"""

import logging
from datetime import datetime

from sqlalchemy import Column, ColumnElement, and_, select, update

from service.base.config import Settings
from service.core.confirmations import sending
from service.ledger.db import Database, db_now
from service.ledger.models import COMMENTS, CONFIRMATIONS
from workers import mailing

log = logging.getLogger(__name__)


def put_right(database: Database, settings: Settings) -> int:
    """Make due, and say so, what was put off; give how much that was."""
    lease = settings.classify_lease_seconds
    comments = _hasten(database, COMMENTS.c.classify_at, db_now(lease))
    mails = _hasten(database, CONFIRMATIONS.c.send_at, sending.latest(mailing.LEASE_SECONDS))
    if comments or mails:
        log.warning(
            "the database's clock was put back; what it had put off is due: %d comments, %d mails",
            comments,
            mails,
        )
    return comments + mails


def _hasten(
    database: Database, due_at: Column[datetime | None], latest: ColumnElement[datetime]
) -> int:
    # The first condition is one that an index serves, and the order is the index's, or PostgreSQL
    # reads the table from its beginning to find none.
    put_off = and_(due_at > db_now(), due_at > latest)
    found = select(due_at).where(put_off).order_by(due_at.desc()).limit(1)
    # Looked for before, since a transaction that writes has SQLite to itself.
    with database.reading() as session:
        if session.scalar(found) is None:
            return 0
    with database.transaction() as session:
        hasten = update(due_at.table).where(put_off).values({due_at: db_now()}).returning(due_at)
        return len(session.connection().execute(hasten).all())
