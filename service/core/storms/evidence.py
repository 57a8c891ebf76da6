"""What came to a site lately: how much, from whom, and how much of it is alike.

The one rule: what is marked as spam anyway does not count.
"""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, func, select, union_all
from sqlalchemy.orm import Session, aliased

from service.ledger.db import first_id, made_at
from service.ledger.models import COMMENTS, SITES, came_before, came_since
from service.pure.policy import Policy, Status

WINDOW = timedelta(minutes=10)
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


_COUNTS = (Status.PENDING, Status.APPROVED)


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


def busy(session: Session, now: datetime) -> set[str]:
    """Give the sites with storm mode to which enough came in the window, of its newest comments."""
    window = (
        select(COMMENTS.c.site_id)
        .where(came_since(now - WINDOW), came_before(now))
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


def _came(site_id: str, since: datetime, until: datetime) -> list[ColumnElement[bool]]:
    """The conditions of having come to a site in a time."""
    return [
        COMMENTS.c.site_id == site_id,
        came_since(since),
        came_before(until),
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
