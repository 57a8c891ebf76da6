"""Storms: a site on which too much is odd at once looks at every comment first, for a while.

The one rule: a storm holds and never drops, and ends by itself; what it held waits for a person.
What is marked as spam anyway does not count: the classifier copes with it, and people who write
meanwhile should not wait for that.
"""

from collections import Counter
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, func, or_, select, union_all, update
from sqlalchemy.orm import Session, aliased

from service import changes
from service.db import Database, first_id, insert_into, made_at, new_id, utc_now
from service.errors import NotFound
from service.models import COMMENTS, SITES, STORMS
from service.policy import Policy, Status

WATCH = "watch"
WINDOW = timedelta(minutes=10)
LASTS_LEAST = timedelta(minutes=10)
# After a person has ended one, none begins by itself for so long.
STILL_AFTER = timedelta(hours=1)

# What is looked at of a window: how many are counted, and of how many it is asked who wrote them.
_LOOKED_AT = 300
_COUNTED = 2_000
_BUSY_LOOKED_AT = 20_000
_USUAL_DAYS = timedelta(days=7)
_USUAL_LOOKED_AT = 5_000
# How much a window has to hold before it can be odd at all, and how odd it has to be.
_FLOOD_LEAST, _FLOOD_TIMES, _STRANGERS = 30, 5, 0.7
_ALIKE_LEAST, _ALIKE = 10, 0.5
_USUAL_LEAST = 4


@dataclass(frozen=True, slots=True)
class Evidence:
    """What came in ten minutes, without what was marked as spam or rejected.

    Attributes:
        comments: how many, up to 2,000.
        usual: how many came in the busiest fiftieth of the last week's ten minutes.
        strangers: share from e-mail addresses that never wrote on the site before, 0-1.
        alike: share that says nearly the same as two others of them, 0-1.
    """

    comments: int
    usual: int = 0
    strangers: float = 0.0
    alike: float = 0.0

    @property
    def is_odd(self) -> bool:
        """Whether a storm begins."""
        return self._is_odd(1.0)

    @property
    def is_calm(self) -> bool:
        """Whether a storm ends: far from what would begin one."""
        return not self._is_odd(0.5)

    @property
    def told(self) -> str:
        """The same for people."""
        if not self.comments:
            return "declared by a person"
        return (
            f"{self.comments} comments in 10 minutes, usually {self.usual} at most;"
            f" {self.strangers:.0%} from new authors, {self.alike:.0%} nearly the same"
        )

    def _is_odd(self, part: float) -> bool:
        usual = max(self.usual, _USUAL_LEAST)
        flood = self.comments >= part * max(_FLOOD_LEAST, _FLOOD_TIMES * usual)
        chorus = self.comments >= part * max(_ALIKE_LEAST, usual)
        return (flood and self.strangers >= _STRANGERS) or (chorus and self.alike >= _ALIKE)


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
            for site_id in _busy(session, now) - raging.keys()
            if not _was_ended(session, site_id, now)
            and (evidence := gather(session, site_id, now)).is_odd
        }
    if not calm and not odd:
        return []
    with database.transaction() as session:
        ended = [(site_id, _end(session, site_id, WATCH, now)) for site_id in calm]
        begun = [
            (site_id, begin(session, site_id, evidence, actor=WATCH, now=now))
            for site_id, evidence in odd.items()
        ]
    return [(site_id, storm) for site_id, storm in ended if storm is not None] + begun


def gather(session: Session, site_id: str, now: datetime) -> Evidence:
    """Look at what came to a site in the ten minutes before a time."""
    window = [*_came(site_id, now - WINDOW, now), COMMENTS.c.status.in_(_COUNTS)]
    count = _capped(session, window)
    if count < _ALIKE_LEAST / 2:  # neither begins a storm nor keeps one
        return Evidence(count)
    earlier = aliased(COMMENTS)
    known = (
        select(earlier.c.id)
        .where(
            earlier.c.site_id == site_id,
            earlier.c.email_normalised == COMMENTS.c.email_normalised,
            earlier.c.id < first_id("cmt", now - WINDOW),
            earlier.c.status.in_(_COUNTS),
        )
        .exists()
    )
    rows = session.execute(
        select(known.label("known"), COMMENTS.c.campaign_id)
        .where(*window)
        .order_by(COMMENTS.c.id.desc())
        .limit(_LOOKED_AT)
    ).all()
    campaigns = Counter(row.campaign_id for row in rows if row.campaign_id is not None)
    return Evidence(
        comments=count,
        usual=_usual(session, site_id, now),
        strangers=sum(not row.known for row in rows) / len(rows),
        alike=sum(count for count in campaigns.values() if count >= 3) / len(rows),
    )


def begin(
    session: Session,
    site_id: str,
    evidence: Evidence,
    *,
    actor: str,
    now: datetime | None = None,
) -> StormView:
    """Begin a storm; give the one that is on, if there is one."""
    row = {
        "id": new_id("sto"),
        "site_id": site_id,
        "evidence": asdict(evidence),
        "started_at": now or utc_now(),
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
        there = current(session, site_id)
        return there or begin(session, site_id, evidence, actor=actor, now=now)
    changes.note(session, site_id, "storm", None, evidence.told, actor=actor)
    return _view(row)


def end(session: Session, site_id: str, *, actor: str, now: datetime | None = None) -> StormView:
    """End the storm that is on; ended by a person, none begins by itself for an hour.

    Raises:
        NotFound: none is on.
    """
    ended = _end(session, site_id, actor, now or utc_now())
    if ended is None:
        raise NotFound("there is no storm; it may have ended by itself")
    return ended


def hush(session: Session, site_id: str, *, actor: str, now: datetime | None = None) -> None:
    """Have no storm begin by itself for an hour, for who is about to post many comments."""
    now = now or utc_now()
    if current(session, site_id) is None:
        begin(session, site_id, Evidence(0), actor=actor, now=now)
        end(session, site_id, actor=actor, now=now)


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


_COUNTS = (Status.PENDING, Status.APPROVED)


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


def _raging(session: Session) -> dict[str, StormView]:
    """Give the storms that are on, by site."""
    rows = session.execute(select(STORMS).where(STORMS.c.ended_at.is_(None)))
    return {row.site_id: _view(dict(row._mapping)) for row in rows}


def _busy(session: Session, now: datetime) -> set[str]:
    """Give the sites with storm mode to which enough came in the window, of its newest comments."""
    window = (
        select(COMMENTS.c.site_id)
        .where(COMMENTS.c.id >= first_id("cmt", now - WINDOW), COMMENTS.c.id < first_id("cmt", now))
        .order_by(COMMENTS.c.id.desc())
        .limit(_BUSY_LOOKED_AT)
        .subquery()
    )
    rows = session.execute(
        select(SITES.c.id, SITES.c.policy)
        .join(window, window.c.site_id == SITES.c.id)
        .group_by(SITES.c.id, SITES.c.policy)
        .having(func.count() >= _ALIKE_LEAST)
    )
    return {row.id for row in rows if Policy.model_validate(row.policy).storm_mode}


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


def _came(site_id: str, since: datetime, until: datetime) -> list[ColumnElement[bool]]:
    """The conditions of having come in a time. Ids sort by time, so it is a range of an index."""
    return [
        COMMENTS.c.site_id == site_id,
        COMMENTS.c.id >= first_id("cmt", since),
        COMMENTS.c.id < first_id("cmt", until),
    ]


def _capped(session: Session, conditions: list[ColumnElement[bool]]) -> int:
    some = select(COMMENTS.c.id).where(*conditions).limit(_COUNTED)
    return session.scalar(select(func.count()).select_from(some.subquery())) or 0


def _usual(session: Session, site_id: str, now: datetime) -> int:
    """Give how many comments came in the busiest fiftieth of the last week's ten minutes.

    Of a busy site it is the last few thousand comments that say so: ids tell when each was made,
    so nothing but an index is read.
    """
    until = now - WINDOW
    parts = [
        select(COMMENTS.c.id)
        .where(*_came(site_id, until - _USUAL_DAYS, until), COMMENTS.c.status == status)
        .order_by(COMMENTS.c.id.desc())
        .limit(_USUAL_LOOKED_AT)
        .subquery()
        for status in _COUNTS
    ]
    ids = [row[0] for row in session.execute(union_all(*(select(part.c.id) for part in parts)))]
    if len(ids) < _USUAL_LEAST:
        return 0
    made = [made_at(one) for one in ids]
    # Of a full part what is older was not looked at.
    span = until - min(made) if len(ids) >= _USUAL_LOOKED_AT else _USUAL_DAYS
    windows = [0] * max(1, round(span / WINDOW))
    for moment in made:
        windows[min(int((until - moment) / WINDOW), len(windows) - 1)] += 1
    return sorted(windows)[len(windows) * 49 // 50]


def _view(row: dict[str, Any]) -> StormView:
    return StormView(
        id=row["id"],
        evidence=Evidence(**row["evidence"]),
        started_at=row["started_at"],
        started_by=row["started_by"],
        ended_at=row["ended_at"],
        ended_by=row["ended_by"],
    )
