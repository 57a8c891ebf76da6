"""Indexing: decided comments get the entry they are found by.

The one rule: an entry is made by the decision, in its transaction, never by the intake, and never
changed: what is due has none and is looked at itself (`search`), what is edited loses it at once
and is due again, what is erased takes it along (triggers and foreign keys of the ledger).
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, delete, select, update
from sqlalchemy.orm import Session

from service.ledger.bulk import inserting
from service.ledger.db import made_at
from service.ledger.models import COMMENTS, ENTRIES, FILL
from service.pure import terms

_FILL_MOST = 500
# At once, since FTS5 writes its part of the index out at the end of each statement: entered one by
# one, a hundred comments took eight milliseconds, and up to fifty in a ledger of 400,000.
_ENTER = inserting(ENTRIES, "comment_id", "words", where_missing=True, at_once=True)


def enter(connection: Connection, comments: Iterable[Any]) -> None:
    """Make the entries of comments; one that has its entry keeps it.

    Args:
        connection: of a transaction.
        comments: with `id`, `site_id`, `name`, `email`, `body`.
    """
    entries = [
        {"comment_id": one.id, "words": words(one.site_id, one.name, one.email, one.body)}
        for one in comments
    ]
    _ENTER(connection, entries)


def words(site_id: str, *texts: str) -> str:
    """Give what an entry holds: the terms of its texts and of its site.

    The site's comes last, where it is in order after all terms of plain letters.
    """
    return f"{terms.entry(*texts)}{site_term(site_id)} "


def site_term(site_id: str) -> str:
    """Give the term that all entries of a site have, and no text can have."""
    return "§" + site_id.replace("_", "")


def fill(session: Session) -> None:
    """Enter some of the comments that were there before their entries, the newest first.

    Of several who do, one works and the others go by.
    """
    next_id = session.scalar(select(FILL.c.next_id).with_for_update(skip_locked=True))
    if next_id is None:
        return
    rows = session.execute(
        select(
            COMMENTS.c.id,
            COMMENTS.c.site_id,
            COMMENTS.c.name,
            COMMENTS.c.email,
            COMMENTS.c.body,
            COMMENTS.c.classify_at,
        )
        .where(COMMENTS.c.id <= next_id)
        .order_by(COMMENTS.c.id.desc())
        .limit(_FILL_MOST + 1)
    ).all()
    now, later = rows[:_FILL_MOST], rows[_FILL_MOST:]
    enter(session.connection(), [row for row in now if row.classify_at is None])
    if later:
        session.execute(update(FILL).values(next_id=later[0].id))
    else:
        session.execute(delete(FILL))


def filled_to(session: Session) -> datetime | None:
    """Give the time before which comments still have to be entered; `None` if all are."""
    next_id = session.scalar(select(FILL.c.next_id))
    return None if next_id is None else made_at(next_id)
