"""Overview: how a site's moderation has gone lately, in a few figures and one picture.

The one rule: it looks at a bounded number of the newest comments, so that it costs the same on
a site of ten years as on one of ten days.
"""

import statistics
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session, aliased

from service.core import moderation, queue, storms
from service.core.storms import StormView
from service.ledger.db import utc_now
from service.ledger.models import COMMENTS, DECISIONS, came_since, is_automatic
from service.pure.policy import Status

DAYS = 14
HOURS = 48
COMMENTS_MOST = 10_000


@dataclass(slots=True)
class Overview:
    """What happened on a site in the last 14 days, by at most 10,000 of its newest comments.

    Attributes:
        comments: how many were looked at.
        days: how many comments of each status came in each day, oldest first, no day left out.
        hours: the same for each of the last 48 hours.
        storms: those of these days, newest first.
        decided: how many the rules decided, by status; held ones are `pending`.
        corrected: of those, how many a person later decided otherwise, by the rules' status
            and the person's.
        waiting: how many wait for a person now, up to 1,000.
        oldest_seconds: how long the oldest of them has waited; `None` if none does.
        median_seconds: from coming in to a person's decision, of those that were held.
    """

    comments: int = 0
    days: dict[datetime, Counter[Status]] = field(default_factory=dict)
    hours: dict[datetime, Counter[Status]] = field(default_factory=dict)
    storms: list[StormView] = field(default_factory=list)
    decided: Counter[Status] = field(default_factory=Counter)
    corrected: Counter[tuple[Status, Status]] = field(default_factory=Counter)
    waiting: int = 0
    oldest_seconds: float | None = None
    median_seconds: float | None = None

    def precision(self, status: Status) -> float | None:
        """Share of the rules' decisions for a status that no person has changed, 0-1."""
        if not self.decided[status]:
            return None
        wrong = sum(count for (was, now), count in self.corrected.items() if was == status != now)
        return 1.0 - wrong / self.decided[status]


def of_site(session: Session, site_id: str) -> Overview:
    """Look at a site's newest comments."""
    now = utc_now()
    machine, last = aliased(DECISIONS), aliased(DECISIONS)
    rows = session.execute(
        select(
            COMMENTS.c.status,
            COMMENTS.c.created_at,
            machine.c.status.label("ruled"),
            last.c.status.label("said"),
            last.c.actor,
            last.c.decided_at,
        )
        .outerjoin(
            machine,
            is_automatic(machine),
        )
        .outerjoin(last, last.c.id == COMMENTS.c.decision_id)
        .where(COMMENTS.c.site_id == site_id, came_since(now - timedelta(days=DAYS - 1)))
        .order_by(COMMENTS.c.id.desc())
        .limit(COMMENTS_MOST)
    ).all()
    found = Overview(comments=len(rows), waiting=queue.count(session, site_id))
    days: defaultdict[datetime, Counter[Status]] = defaultdict(Counter)
    hours: defaultdict[datetime, Counter[Status]] = defaultdict(Counter)
    waited: list[float] = []
    for row in rows:
        days[_day(row.created_at)][Status(row.status)] += 1
        hours[_hour(row.created_at)][Status(row.status)] += 1
        if row.ruled is None:
            continue
        ruled = Status(row.ruled)
        found.decided[ruled] += 1
        if moderation.is_person(row.actor):
            found.corrected[(ruled, Status(row.said))] += 1
            if ruled is Status.PENDING is not Status(row.said):
                waited.append((row.decided_at - row.created_at).total_seconds())
    found.days = {day: days[day] for day in _last(_day(now), timedelta(days=1), DAYS)}
    found.hours = {hour: hours[hour] for hour in _last(_hour(now), timedelta(hours=1), HOURS)}
    found.storms = storms.listing(session, site_id, next(iter(found.days)))
    found.median_seconds = statistics.median(waited) if waited else None
    found.oldest_seconds = _oldest(session, site_id, now)
    return found


def _day(moment: datetime) -> datetime:
    return _hour(moment).replace(hour=0)


def _hour(moment: datetime) -> datetime:
    return moment.replace(minute=0, second=0, microsecond=0)


def _last(newest: datetime, step: timedelta, many: int) -> list[datetime]:
    return [newest - back * step for back in range(many - 1, -1, -1)]


def _oldest(session: Session, site_id: str, now: datetime) -> float | None:
    """Give how long the oldest that waits has waited; the queue begins with the most useful."""
    came = queue.oldest(session, site_id)
    return None if came is None else (now - came).total_seconds()
