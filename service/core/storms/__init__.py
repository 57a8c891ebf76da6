"""Storms: a site on which too much is odd at once looks at every comment first, for a while.

The one rule: a storm holds and never drops, and ends by itself; what it held waits for a person.
What is marked as spam anyway does not count: the classifier copes with it, and people who write
meanwhile should not wait for that.
"""

from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import func, or_, select, update
from sqlalchemy.orm import Session

from service.base.errors import NotFound
from service.core import changes
from service.core.storms.evidence import WINDOW, Evidence, busy, gather
from service.core.webhooks import outbox
from service.ledger.db import Database, insert_into, new_id, utc_now
from service.ledger.models import STORMS
from service.pure.events import EventType, StormTold

__all__ = [
    "LASTS_LEAST",
    "STILL_AFTER",
    "WATCH",
    "WINDOW",
    "Evidence",
    "StormView",
    "begin",
    "count_open",
    "current",
    "end",
    "gather",
    "get",
    "hush",
    "listing",
    "watch",
]

WATCH = "watch"
LASTS_LEAST = timedelta(minutes=10)
# After a person has ended one, none begins by itself for so long.
STILL_AFTER = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class StormView:
    """A storm as a value; `ended_at` is `None` while it lasts."""

    id: str
    evidence: Evidence
    started_at: datetime
    started_by: str
    ended_at: datetime | None
    ended_by: str | None

    @property
    def told(self) -> str:
        """What was seen at its beginning, for people."""
        return self.evidence.told


def watch(database: Database, now: datetime | None = None) -> list[tuple[str, StormView]]:
    """Begin and end storms, and give those that changed with their sites' ids.

    One that a person declared goes on until a person ends it. Looked for without a lock, and only
    on sites to which something came, so that it costs the same with a thousand quiet ones.

    Args:
        database: the ledger.
        now: default the present.
    """
    now = now or utc_now()
    with database.reading() as session:
        raging = _raging(session)
        calm = [
            site_id
            for site_id, storm in raging.items()
            if storm.started_by == WATCH
            and now - storm.started_at >= LASTS_LEAST
            and gather(session, site_id, now).is_calm
        ]
        odd = {
            site_id: evidence
            for site_id in busy(session, now) - raging.keys()
            if not _was_ended(session, site_id, now)
            and (evidence := gather(session, site_id, now)).is_odd
        }
    if not calm and not odd:
        return []
    with database.transaction() as session:
        changed = [(site_id, _end(session, site_id, WATCH, now)) for site_id in calm]
        changed += [
            (site_id, _begin(session, site_id, evidence, WATCH, now))
            for site_id, evidence in odd.items()
        ]
        # Somebody else may have been faster.
        mine = [(site_id, storm) for site_id, storm in changed if storm is not None]
        for site_id, storm in mine:
            _tell(session, site_id, storm)
    return mine


def begin(
    session: Session,
    site_id: str,
    evidence: Evidence,
    *,
    actor: str,
    now: datetime | None = None,
) -> StormView:
    """Begin a storm; give the one that is on, if there is one."""
    begun = _begin(session, site_id, evidence, actor, now or utc_now())
    if begun is not None:
        _tell(session, site_id, begun)
        return begun
    there = current(session, site_id)
    return there or begin(session, site_id, evidence, actor=actor, now=now)


def end(session: Session, site_id: str, *, actor: str, now: datetime | None = None) -> StormView:
    """End the storm that is on; ended by a person, none begins by itself for an hour.

    Raises:
        NotFound: none is on.
    """
    ended = _end(session, site_id, actor, now or utc_now())
    if ended is None:
        raise NotFound("there is no storm; it may have ended by itself")
    _tell(session, site_id, ended)
    return ended


def hush(session: Session, site_id: str, *, actor: str, now: datetime | None = None) -> None:
    """Have no storm begin by itself for an hour, for who is about to post many comments."""
    now = now or utc_now()
    if _begin(session, site_id, Evidence(0), actor, now) is not None:
        _end(session, site_id, actor, now)


def get(session: Session, site_id: str, storm_id: str) -> StormView:
    """Give one storm.

    Raises:
        NotFound: the site had no such storm.
    """
    row = session.execute(
        select(STORMS).where(STORMS.c.id == storm_id, STORMS.c.site_id == site_id)
    ).first()
    if row is None:
        raise NotFound("there was no such storm")
    return _view(dict(row._mapping))


def current(session: Session, site_id: str) -> StormView | None:
    """Give the storm that is on, if any."""
    row = session.execute(
        select(STORMS).where(STORMS.c.site_id == site_id, STORMS.c.ended_at.is_(None))
    ).first()
    return None if row is None else _view(dict(row._mapping))


def listing(session: Session, site_id: str, since: datetime, most: int = 20) -> list[StormView]:
    """Give a site's newest storms since a time, newest first; not what was only hushed."""
    rows = session.execute(
        select(STORMS)
        .where(
            STORMS.c.site_id == site_id,
            STORMS.c.started_at >= since,
            or_(STORMS.c.ended_at.is_(None), STORMS.c.ended_at > STORMS.c.started_at),
        )
        .order_by(STORMS.c.id.desc())
        .limit(most)
    )
    return [_view(dict(row._mapping)) for row in rows]


def count_open(session: Session) -> int:
    """Count the sites on which a storm is on."""
    return session.scalar(select(func.count()).where(STORMS.c.ended_at.is_(None))) or 0


def _begin(
    session: Session, site_id: str, evidence: Evidence, actor: str, now: datetime
) -> StormView | None:
    """Begin a storm; `None` if one is on."""
    row = {
        "id": new_id("sto"),
        "site_id": site_id,
        "evidence": asdict(evidence),
        "started_at": now,
        "started_by": actor,
        "ended_at": None,
        "ended_by": None,
    }
    connection = session.connection()
    begun = connection.execute(
        insert_into(connection, STORMS)
        .values(row)
        .on_conflict_do_nothing(
            index_elements=[STORMS.c.site_id], index_where=STORMS.c.ended_at.is_(None)
        )
        .returning(STORMS.c.id)
    ).first()
    if begun is None:
        return None
    changes.note(session, site_id, "storm", None, evidence.told, actor=actor)
    return _view(row)


def _end(session: Session, site_id: str, actor: str, now: datetime) -> StormView | None:
    """End the storm that is on; `None` if somebody else was faster."""
    ended = session.execute(
        update(STORMS)
        .where(STORMS.c.site_id == site_id, STORMS.c.ended_at.is_(None))
        .values(ended_at=now, ended_by=actor)
        .returning(*STORMS.c)
    ).first()
    if ended is None:
        return None
    storm = _view(dict(ended._mapping))
    changes.note(session, site_id, "storm", storm.told, None, actor=actor)
    return storm


def _tell(session: Session, site_id: str, storm: StormView) -> None:
    """Tell the webhooks that a storm began or ended."""
    ended = storm.ended_at is not None
    outbox.tell(
        session.connection(),
        EventType.STORM_ENDED if ended else EventType.STORM_STARTED,
        site_id,
        lambda site: StormTold(
            site=site,
            storm_id=storm.id,
            told=storm.told,
            actor=storm.ended_by or storm.started_by,
            started_at=storm.started_at,
            ended_at=storm.ended_at,
        ),
        storm.ended_at or storm.started_at,
    )


def _raging(session: Session) -> dict[str, StormView]:
    """Give the storms that are on, by site."""
    rows = session.execute(select(STORMS).where(STORMS.c.ended_at.is_(None)))
    return {row.site_id: _view(dict(row._mapping)) for row in rows}


def _was_ended(session: Session, site_id: str, now: datetime) -> bool:
    """Whether a person has ended a storm just now."""
    last = session.execute(
        select(STORMS.c.ended_at, STORMS.c.ended_by)
        .where(STORMS.c.site_id == site_id)
        .order_by(STORMS.c.id.desc())
        .limit(1)
    ).first()
    if last is None or last.ended_at is None or last.ended_by == WATCH:
        return False
    return bool(now - last.ended_at < STILL_AFTER)


def _view(row: dict[str, Any]) -> StormView:
    return StormView(
        id=row["id"],
        evidence=Evidence(**row["evidence"]),
        started_at=row["started_at"],
        started_by=row["started_by"],
        ended_at=row["ended_at"],
        ended_by=row["ended_by"],
    )
