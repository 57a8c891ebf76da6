"""Search: a site's comments by what they are, who wrote them and what they say.

The one rule: a page looks at no more than `WINDOW` comments, newest first, however many there
are; where they do not suffice, the next page goes on where this one stopped. What has an index
(status, e-mail, page, campaign, time) narrows before that, the rest within it.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, func, or_, select
from sqlalchemy.orm import Session, aliased

from service.db import first_id
from service.models import COMMENTS, DECISIONS, THREADS, is_automatic
from service.policy import Status

WINDOW = 20_000
PAGE = 50


@dataclass(frozen=True, slots=True)
class Filters:
    """What to look for; an empty one is left out.

    Attributes:
        status: of the comment.
        email: as normalised.
        page_url: exactly this page's.
        campaign_id: the near-duplicates it belongs to.
        since, until: days it came in on, both included.
        address: the network address it came from.
        author: part of the name.
        words: part of the text.
        rule: that decided automatically.
        score_from, score_to: of the automatic decision, 0-1.
    """

    status: Status | None = None
    email: str | None = None
    page_url: str | None = None
    campaign_id: str | None = None
    since: date | None = None
    until: date | None = None
    address: str | None = None
    author: str | None = None
    words: str | None = None
    rule: str | None = None
    score_from: float | None = None
    score_to: float | None = None


@dataclass(frozen=True, slots=True)
class Hit:
    """A comment that was found."""

    id: str
    status: Status
    version: int
    name: str
    email: str
    body: str
    page_url: str
    page_title: str | None
    rule: str | None
    score: float | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Found:
    """A page of hits.

    Attributes:
        hits: newest first.
        cursor: where the next page begins; `None` at the end.
    """

    hits: tuple[Hit, ...]
    cursor: str | None


def find(
    session: Session, site_id: str, filters: Filters, *, before: str | None = None, most: int = PAGE
) -> Found:
    """Look for comments.

    Args:
        session: for reading.
        site_id: whose.
        filters: what has to hold.
        before: the cursor of the page before.
        most: hits a page.
    """
    window = _window(site_id, filters, before)
    rows = session.execute(
        _within(window, filters).order_by(COMMENTS.c.id.desc()).limit(most + 1)
    ).all()
    if len(rows) > most:
        return Found(tuple(_hit(row) for row in rows[:most]), rows[most - 1].id)
    last, looked_at = session.execute(
        select(func.min(window.c.id), func.count()).select_from(window)
    ).one()
    return Found(tuple(_hit(row) for row in rows), last if looked_at == WINDOW else None)


def _window(site_id: str, filters: Filters, before: str | None) -> Any:
    """Give the ids of the newest comments that an index can tell apart."""
    conditions: list[ColumnElement[bool]] = [COMMENTS.c.site_id == site_id]
    if before is not None:
        conditions.append(COMMENTS.c.id < before)
    if filters.status is not None:
        conditions.append(COMMENTS.c.status == filters.status)
    if filters.email is not None:
        conditions.append(COMMENTS.c.email_normalised == filters.email)
    if filters.campaign_id is not None:
        conditions.append(COMMENTS.c.campaign_id == filters.campaign_id)
    if filters.page_url is not None:
        thread = select(THREADS.c.id).where(
            THREADS.c.site_id == site_id, THREADS.c.page_url == filters.page_url
        )
        conditions.append(COMMENTS.c.thread_id.in_(thread))
    # Ids sort by time of making, so a day is a range of ids.
    if filters.since is not None:
        conditions.append(COMMENTS.c.id >= first_id("cmt", _midnight(filters.since)))
    if filters.until is not None:
        after = _midnight(filters.until + timedelta(days=1))
        conditions.append(COMMENTS.c.id < first_id("cmt", after))
    return (
        select(COMMENTS.c.id)
        .where(*conditions)
        .order_by(COMMENTS.c.id.desc())
        .limit(WINDOW)
        .subquery("looked_at")
    )


def _within(window: Any, filters: Filters) -> Select[Any]:
    machine = aliased(DECISIONS)
    conditions: list[ColumnElement[bool]] = []
    if filters.address is not None:
        conditions.append(COMMENTS.c.address == filters.address)
    if filters.author is not None:
        conditions.append(_has(COMMENTS.c.name, filters.author))
    if filters.words is not None:
        conditions += [_has(COMMENTS.c.body, word) for word in filters.words.split()]
    if filters.rule is not None:
        conditions.append(machine.c.rule == filters.rule)
    if filters.score_from is not None:
        conditions.append(machine.c.score >= filters.score_from)
    if filters.score_to is not None:
        conditions.append(machine.c.score <= filters.score_to)
    return (
        select(
            COMMENTS.c.id,
            COMMENTS.c.status,
            COMMENTS.c.version,
            COMMENTS.c.name,
            COMMENTS.c.email,
            COMMENTS.c.body,
            THREADS.c.page_url,
            THREADS.c.page_title,
            machine.c.rule,
            machine.c.score,
            COMMENTS.c.created_at,
        )
        .join(window, window.c.id == COMMENTS.c.id)
        .join(THREADS, THREADS.c.id == COMMENTS.c.thread_id)
        .outerjoin(
            machine,
            is_automatic(machine),
        )
        .where(*conditions)
    )


def _has(column: Any, part: str) -> ColumnElement[bool]:
    """The condition that a text has a part, whatever the case of its letters."""
    escaped = part.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    pattern = f"%{escaped}%"
    return or_(
        column.ilike(pattern, escape="\\"),
        # SQLite knows the two cases of ASCII letters only.
        column.like(f"%{escaped.capitalize()}%", escape="\\"),
    )


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def _hit(row: Row[Any]) -> Hit:
    values = dict(row._mapping)
    return Hit(**{**values, "status": Status(row.status)})
