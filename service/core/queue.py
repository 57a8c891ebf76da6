"""The moderators' queue: what waits for a person, the most useful first.

The one rule: a page costs the same however long the queue is. Order and grouping come from
indexes, counts stop at a cap, and the next page begins after the last row of this one.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Integer,
    Row,
    Select,
    String,
    func,
    literal,
    or_,
    select,
    tuple_,
    union_all,
)
from sqlalchemy.orm import Session, aliased

from service.ledger.bulk import any_of, listed
from service.ledger.models import (
    COMMENTS,
    DECISIONS,
    SITES,
    THREADS,
    came_before,
    came_since,
    is_automatic,
)
from service.pure.policy import Status

PAGE_MOST = 50
MEMBERS_MOST = 500
COUNT_MOST = 1000
_HISTORY_MOST = 100
_PENDING = literal(Status.PENDING.value, String(8), literal_execute=True)
_ORDER = (COMMENTS.c.queue_at, COMMENTS.c.id)
_MACHINE = aliased(DECISIONS)
# Of each comment what `Waiting` says; made once, as that took longer than to ask.
_SHOWN: Select[Any] = (
    select(
        COMMENTS.c.id,
        COMMENTS.c.status,
        COMMENTS.c.version,
        COMMENTS.c.name,
        COMMENTS.c.email,
        COMMENTS.c.email_normalised,
        COMMENTS.c.url,
        COMMENTS.c.body,
        COMMENTS.c.address,
        COMMENTS.c.created_at,
        COMMENTS.c.campaign_id,
        COMMENTS.c.queue_at,
        THREADS.c.page_url,
        THREADS.c.page_title,
        _MACHINE.c.rule,
        _MACHINE.c.reason,
        _MACHINE.c.score,
        _MACHINE.c.clues,
    )
    .join(THREADS, THREADS.c.id == COMMENTS.c.thread_id)
    .outerjoin(_MACHINE, is_automatic(_MACHINE))
)


@dataclass(frozen=True, slots=True)
class Waiting:
    """One comment that waits, with what a person wants to know of it.

    Attributes:
        id, status, version, name, email, url, body, address, created_at: of the comment.
        page_url, page_title: where it was written.
        campaign_id: the near-duplicates it belongs to, if any.
        alike: how many of those wait, this one included, up to `COUNT_MOST`.
        rule, reason, score, clues: of the automatic decision, if there was one.
        history: how many comments this e-mail has had on the site by status, of up to 100 of them.
        queue_at: its place; with `id` the cursor to what follows.
    """

    id: str
    status: Status
    version: int
    name: str
    email: str
    url: str | None
    body: str
    address: str | None
    created_at: datetime
    page_url: str
    page_title: str | None
    campaign_id: str | None
    alike: int
    rule: str | None
    reason: str
    score: float | None
    clues: tuple[Mapping[str, Any], ...]
    history: Counter[Status]
    queue_at: datetime


Cursor = tuple[datetime, str]


def page(
    session: Session, site_id: str, *, after: Cursor | None = None, most: int = 25
) -> list[Waiting]:
    """Give what waits on a site, a campaign as its first member.

    Args:
        session: for reading.
        site_id: whose.
        after: place and id of the last row of the page before.
        most: 1-50.
    """
    most = min(most, PAGE_MOST)
    picked: list[Row[Any]] = []
    seen: set[str] = set()
    place = after
    while len(picked) < most:
        rows = session.execute(_next(site_id, place, seen, most)).all()
        for row in sorted(rows, key=lambda row: (row.queue_at, row.id)):
            place = (row.queue_at, row.id)
            if row.campaign_id in seen:
                continue
            if row.campaign_id is not None:
                seen.add(row.campaign_id)
                if after is not None and _was_shown(session, site_id, row.campaign_id, place):
                    continue
            picked.append(row)
            if len(picked) == most:
                break
        if len(rows) < most:
            break
    return _waiting(session, site_id, picked)


def members(session: Session, site_id: str, campaign_id: str) -> list[Waiting]:
    """Give those of a campaign that wait on a site, up to 500."""
    return _rows(session, site_id, _of(site_id, campaign_id), MEMBERS_MOST)


def held_by(
    session: Session, site_id: str, rule: str, since: datetime, until: datetime
) -> list[Waiting]:
    """Give those that came in a time and wait because of one rule, up to 500."""
    came = [came_since(since), came_before(until)]
    return _rows(session, site_id, [*_here(site_id), *came], MEMBERS_MOST, rule=rule)


def wherever(session: Session, site_id: str, comment_ids: Sequence[str]) -> list[Waiting]:
    """Give these comments in this order, wherever they stand, but for deleted ones; up to 50."""
    wanted = [
        COMMENTS.c.site_id == site_id,
        any_of(session.connection(), COMMENTS.c.id, comment_ids),
        COMMENTS.c.status != Status.DELETED,
    ]
    rows = {row.id: row for row in _rows(session, site_id, wanted, PAGE_MOST)}
    return [rows[one] for one in comment_ids if one in rows]


def count(session: Session, site_id: str) -> int:
    """Count what waits, up to `COUNT_MOST`."""
    return _count(session, _here(site_id))


def counts(session: Session, site_ids: Collection[str]) -> dict[str, int]:
    """Count what waits on each of these sites, up to `COUNT_MOST`, in one statement."""
    some = _some(_here(SITES.c.id)).correlate(SITES).subquery()
    many = select(func.count()).select_from(some).scalar_subquery().label("many")
    these = any_of(session.connection(), SITES.c.id, site_ids)
    return {row.id: row.many for row in session.execute(select(SITES.c.id, many).where(these))}


def oldest(session: Session, site_id: str) -> datetime | None:
    """Give when the oldest that waits came in; `None` if nothing does."""
    first = select(COMMENTS.c.created_at).where(*_here(site_id)).order_by(COMMENTS.c.id).limit(1)
    return session.scalar(first)


def _next(site_id: str, after: Cursor | None, without: set[str], most: int) -> Select[Any]:
    """Walk the queue's index from a place on, past campaigns that are known already.

    One condition on each row, where asking of each whether it is its campaign's first would
    look up another: with 10,000 members in front, 117 ms for a page of a million comments. What
    is shown of a comment is read only for those on which the walk ends: the rows, in any order.
    """
    conditions = _here(site_id)
    if after is not None:
        conditions.append(_is_behind(after))
    if without:
        conditions.append(
            or_(COMMENTS.c.campaign_id.is_(None), COMMENTS.c.campaign_id.not_in(without))
        )
    places = (
        select(COMMENTS.c.id)
        .where(*conditions)
        .order_by(*_ORDER)
        .limit(_limit(most))
        .subquery("places")
    )
    return _SHOWN.join(places, places.c.id == COMMENTS.c.id)


def _is_behind(place: Cursor) -> ColumnElement[bool]:
    """The condition of standing behind a place.

    Asked for and not given, so that the planner does not see it: it takes so few rows for left
    behind most places that each page was planned anew, at the price of answering it.
    """
    asked = (
        select(literal(value, column.type)).scalar_subquery()
        for value, column in zip(place, _ORDER, strict=True)
    )
    return tuple_(*_ORDER) > tuple_(*asked)


def _was_shown(session: Session, site_id: str, campaign_id: str, place: Cursor) -> bool:
    """Whether a campaign has a member that waits before a place, on an earlier page."""
    earlier = select(COMMENTS.c.id).where(
        *_of(site_id, campaign_id),
        tuple_(*_ORDER) < tuple_(*place),
    )
    return session.scalar(earlier.limit(1)) is not None


def _here(site_id: str | ColumnElement[str]) -> list[ColumnElement[bool]]:
    """The conditions of waiting on a site, in the partial index's words, or it were not used."""
    return [
        COMMENTS.c.site_id == site_id,
        COMMENTS.c.status == _PENDING,
        COMMENTS.c.queue_at.is_not(None),
    ]


def _limit(most: int) -> ColumnElement[int]:
    """Give a limit in the words of a statement, where the planner can see it.

    As a parameter it was taken for a tenth of all rows, and every page planned anew: at ten
    million comments that took longer than to answer.
    """
    return literal(most, Integer, literal_execute=True)


def _of(site_id: str, campaign_id: str) -> list[ColumnElement[bool]]:
    return [*_here(site_id), COMMENTS.c.campaign_id == campaign_id]


def _rows(
    session: Session,
    site_id: str,
    conditions: Sequence[ColumnElement[bool]],
    most: int,
    *,
    rule: str | None = None,
) -> list[Waiting]:
    if rule is not None:
        conditions = [*conditions, _MACHINE.c.rule == rule]
    rows = session.execute(_SHOWN.where(*conditions).order_by(*_ORDER).limit(_limit(most)))
    return _waiting(session, site_id, rows.all())


def _waiting(session: Session, site_id: str, rows: Sequence[Row[Any]]) -> list[Waiting]:
    histories = _histories(session, site_id, {row.email_normalised for row in rows})
    alike = _alike(session, site_id, {row.campaign_id for row in rows} - {None})
    return [
        Waiting(
            id=row.id,
            status=Status(row.status),
            version=row.version,
            name=row.name,
            email=row.email,
            url=row.url,
            body=row.body,
            address=row.address,
            created_at=row.created_at,
            page_url=row.page_url,
            page_title=row.page_title,
            campaign_id=row.campaign_id,
            alike=alike.get(row.campaign_id, 1),
            rule=row.rule,
            reason=row.reason or "",
            score=row.score,
            clues=tuple(row.clues or ()),
            history=histories[row.email_normalised],
            queue_at=row.queue_at,
        )
        for row in rows
    ]


def _count(session: Session, conditions: Sequence[ColumnElement[bool]]) -> int:
    some = _some(conditions).subquery()
    return session.scalar(select(func.count()).select_from(some)) or 0


def _some(conditions: Sequence[ColumnElement[bool]]) -> Select[tuple[str]]:
    """Give what is counted: up to `COUNT_MOST` comments."""
    return select(COMMENTS.c.id).where(*conditions).limit(_limit(COUNT_MOST))


def _alike(session: Session, site_id: str, campaign_ids: set[str]) -> dict[str, int]:
    """Count what waits of each campaign, up to `COUNT_MOST`, in one round trip."""
    campaigns = sorted(campaign_ids)
    parts = []
    for place, campaign_id in enumerate(campaigns):
        some = _some(_of(site_id, campaign_id)).subquery()
        parts.append(select(literal(place), func.count()).select_from(some))
    if not parts:
        return {}
    return {campaigns[place]: many for place, many in session.execute(union_all(*parts))}


def _histories(
    session: Session, site_id: str, emails: Collection[str]
) -> dict[str, Counter[Status]]:
    """Count what became of authors' comments on the site, by e-mail and status.

    Of each only so many are read: somebody may have written a hundred thousand.
    """
    connection = session.connection()
    authors = listed(connection, COMMENTS.c.email_normalised.type, emails).subquery("authors")
    some = (
        select(COMMENTS.c.status)
        .where(COMMENTS.c.site_id == site_id, COMMENTS.c.email_normalised == authors.c.value)
        .limit(_limit(_HISTORY_MOST))
        .correlate(authors)
        .subquery()
    )
    statuses = select(func.aggregate_strings(some.c.status, " ")).scalar_subquery()
    rows = connection.execute(select(authors.c.value, statuses))
    return {email: _by_status(written or "") for email, written in rows}


def _by_status(written: str) -> Counter[Status]:
    return Counter({Status(name): many for name, many in Counter(written.split()).items()})
