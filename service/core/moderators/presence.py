"""Presence: which comment each moderator is looking at, so that two do not do one's work.

The one rule: it informs and never locks. Whoever looks away, closes the page or loses the
network is forgotten after half a minute; a decision needs no presence and is not refused for one.
"""

from datetime import timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from service.core.moderators.tables import Moderator, Presence
from service.ledger.db import insert_into, utc_now

SECONDS = 30


def look(session: Session, site_id: str, moderator_id: str, comment_id: str) -> None:
    """Note that a moderator looks at a comment now, and at no other one.

    Args:
        session: a transaction's.
        site_id: where.
        moderator_id: who.
        comment_id: at what; need not be there any more.
    """
    connection = session.connection()
    seen = {"site_id": site_id, "comment_id": comment_id, "seen_at": utc_now()}
    statement = insert_into(connection, Presence).values(moderator_id=moderator_id, **seen)
    connection.execute(statement.on_conflict_do_update(index_elements=["moderator_id"], set_=seen))


def others(session: Session, site_id: str, moderator_id: str) -> dict[str, list[str]]:
    """Give the names of the colleagues who look at a comment of a site, by comment id."""
    rows = session.execute(
        select(Presence.comment_id, Moderator.name)
        .join(Moderator, Moderator.id == Presence.moderator_id)
        .where(
            Presence.site_id == site_id,
            Presence.moderator_id != moderator_id,
            Presence.seen_at > utc_now() - timedelta(seconds=SECONDS),
        )
        .order_by(Moderator.name)
    )
    found: dict[str, list[str]] = {}
    for comment_id, name in rows:
        found.setdefault(comment_id, []).append(name)
    return found
