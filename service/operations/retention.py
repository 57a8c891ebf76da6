"""Retention: what is not needed any more is forgotten, by itself, a little at a time.

Ids sort by the time of their making, so whatever grows old is found by walking a table in the
order of its primary key, and a row in `retention_marks` says how far each walk came. So nothing
is looked at twice, no index is kept for it on the tables that every comment pays for, and no
transaction is longer than some hundred rows. The one rule: a walk begins anew every month, for
what came with a clock that was behind.
"""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, Select, and_, bindparam, delete, func, select, update
from sqlalchemy.orm import Session

from service.base.config import Settings
from service.core import campaigns, forgetting
from service.judgement import previews
from service.ledger.db import Database, first_id, insert_into, made_at, utc_now
from service.ledger.models import (
    ATTEMPTS,
    CAMPAIGNS,
    COMMENTS,
    DECISIONS,
    DELIVERIES,
    EVENTS,
    RETENTION_MARKS,
    came_before,
    came_since,
)
from service.pure.policy import Status

_AT_ONCE = 200
_ANEW_AFTER = timedelta(days=30)
# Later than this a row is overdue; the sweeper looks every few seconds.
_LATE = timedelta(hours=1)
_FIRST = ""
_BEYOND = 2**62

Rows = Sequence[Row[Any]]


@dataclass(frozen=True, slots=True)
class _Walk:
    """One walk: over which rows, the oldest first, and what becomes of them.

    Attributes:
        name: of its mark.
        read: gives the statement for rows after a mark that are old enough; their first column
            is the next mark.
        forget: does it.
    """

    name: str
    read: Callable[[str, datetime], Select[Any]]
    forget: Callable[[Session, Rows], None]


def forget(
    database: Database,
    settings: Settings,
    *,
    now: datetime | None = None,
    most_seconds: float = float("inf"),
) -> int:
    """Forget what is old, until there is no more or the time is over; give how many rows that was.

    Safe to run in several places at once: of one walk, one takes a step and the others go by.

    Args:
        database: the ledger.
        settings: how long what is kept.
        now: default the present.
        most_seconds: how long to go on.
    """
    now = now or utc_now()
    until = time.monotonic() + most_seconds
    total = 0
    for step in (*map(_walking, _walks(settings)), _forget_attempts(settings), _forget_previews):
        while (done := step(database, now)) and time.monotonic() < until:
            total += done
        total += done
    return total


def overdue(session: Session, settings: Settings, now: datetime | None = None) -> datetime | None:
    """Give since when addresses should have been truncated that are not; `None` if none is."""
    limit = (now or utc_now()) - timedelta(hours=settings.keep_address_hours) - _LATE
    reached = session.scalar(
        select(RETENTION_MARKS.c.reached).where(RETENTION_MARKS.c.name == _ADDRESSES)
    )
    rows = session.execute(
        select(COMMENTS.c.id, COMMENTS.c.address)
        .where(COMMENTS.c.id > (reached or _FIRST), came_before(limit))
        .order_by(COMMENTS.c.id)
        .limit(_AT_ONCE)
    )
    return next((made_at(row.id) for row in rows if forgetting.is_whole(row.address)), None)


_ADDRESSES = "addresses"


def _walks(settings: Settings) -> list[_Walk]:
    address_age = timedelta(hours=settings.keep_address_hours)
    campaign_age = timedelta(days=settings.keep_campaign_days)
    event_age = timedelta(days=settings.keep_event_days)
    ages = {
        Status.SPAM: timedelta(days=settings.keep_spam_days),
        Status.DELETED: timedelta(days=settings.keep_deleted_days),
    }
    return [
        _Walk(
            _ADDRESSES,
            lambda reached, now: select(COMMENTS.c.id, COMMENTS.c.address).where(
                COMMENTS.c.id > reached, came_before(now - address_age)
            ),
            _truncate_addresses,
        ),
        _Walk("events' addresses", _personal(address_age), _truncate_personal),
        *(_Walk(f"{status} texts", _texts(status, age), _blank) for status, age in ages.items()),
        _Walk("campaigns", _campaigns(campaign_age), _forget_campaigns),
        _Walk("events", _events(event_age), _forget_events),
    ]


def _walking(walk: _Walk) -> Callable[[Database, datetime], int]:
    """Give what takes one step of a walk and says how many rows it passed."""

    def step(database: Database, now: datetime) -> int:
        with database.reading() as session:
            mark = _mark(session, walk.name)
            reached, began = (_FIRST, now) if mark is None else mark
            if not session.execute(_page(walk, reached, now, most=1)).first():
                if now - began < _ANEW_AFTER:
                    return 0
                reached = _FIRST
        with database.transaction() as session:
            _ensure_mark(session, walk.name, now)
            mark = _mark(session, walk.name, lock=True)
            if mark is None:
                return 0  # another takes this step
            if reached == _FIRST and now - mark[1] >= _ANEW_AFTER:
                _set_mark(session, walk.name, reached=_FIRST, began_at=now)
            else:
                reached = mark[0]
            rows = session.execute(_page(walk, reached, now)).all()
            if rows:
                walk.forget(session, rows)
                _set_mark(session, walk.name, reached=str(rows[-1][0]))
            return len(rows)

    return step


def _page(walk: _Walk, reached: str, now: datetime, most: int = _AT_ONCE) -> Select[Any]:
    statement = walk.read(reached, now)
    return statement.order_by(statement.selected_columns[0]).limit(most)


def _mark(session: Session, name: str, *, lock: bool = False) -> tuple[str, datetime] | None:
    query = select(RETENTION_MARKS.c.reached, RETENTION_MARKS.c.began_at).where(
        RETENTION_MARKS.c.name == name
    )
    row = session.execute(query.with_for_update(skip_locked=True) if lock else query).first()
    return None if row is None else (row.reached, row.began_at)


def _ensure_mark(session: Session, name: str, now: datetime) -> None:
    connection = session.connection()
    connection.execute(
        insert_into(connection, RETENTION_MARKS)
        .values(name=name, reached=_FIRST, began_at=now)
        .on_conflict_do_nothing()
    )


def _set_mark(session: Session, name: str, **values: object) -> None:
    session.execute(update(RETENTION_MARKS).where(RETENTION_MARKS.c.name == name).values(**values))


def _truncate_addresses(session: Session, rows: Rows) -> None:
    whole = [row for row in rows if forgetting.is_whole(row.address)]
    if whole:
        session.connection().execute(
            update(COMMENTS)
            .where(COMMENTS.c.id == bindparam("b_id"))
            .values(address=bindparam("b_address")),
            [{"b_id": row.id, "b_address": forgetting.network(row.address)} for row in whole],
        )


def _truncate_personal(session: Session, rows: Rows) -> None:
    """Truncate the addresses that were told with events, of which nothing is to be told now."""
    changed = []
    for row in rows:
        told = json.loads(row.personal) if row.personal is not None else {}
        if forgetting.is_whole(told.get("address")):
            told["address"] = forgetting.network(told["address"])
            written = json.dumps(told, separators=(",", ":"), ensure_ascii=False)
            changed.append({"b_number": row.number, "b_personal": written})
    if changed:
        session.connection().execute(
            update(EVENTS)
            .where(EVENTS.c.number == bindparam("b_number"))
            .values(personal=bindparam("b_personal")),
            changed,
        )


def _texts(status: Status, age: timedelta) -> Callable[[str, datetime], Select[Any]]:
    """Walk the decisions; where one gave this status and it stands, the text is old enough."""

    def read(reached: str, now: datetime) -> Select[Any]:
        stands = and_(
            COMMENTS.c.id == DECISIONS.c.comment_id,
            COMMENTS.c.decision_id == DECISIONS.c.id,
            COMMENTS.c.status == status,
            forgetting.has_text(),
        )
        return (
            select(DECISIONS.c.id, COMMENTS.c.id.label("comment_id"))
            .outerjoin(COMMENTS, stands)
            .where(DECISIONS.c.id > reached, DECISIONS.c.id < first_id("dec", now - age))
        )

    return read


def _blank(session: Session, rows: Rows) -> None:
    found = [row.comment_id for row in rows if row.comment_id is not None]
    if found:
        forgetting.blank(session.connection(), found)


def _campaigns(age: timedelta) -> Callable[[str, datetime], Select[Any]]:
    """Walk old campaigns; one to which something came lately is kept until the next walk."""

    def read(reached: str, now: datetime) -> Select[Any]:
        lately = (
            select(COMMENTS.c.id)
            .where(
                COMMENTS.c.campaign_id == CAMPAIGNS.c.id,
                came_since(now - age),
            )
            .exists()
        )
        return select(CAMPAIGNS.c.id, lately.label("is_alive")).where(
            CAMPAIGNS.c.id > reached, CAMPAIGNS.c.id < first_id("cpn", now - age)
        )

    return read


def _forget_campaigns(session: Session, rows: Rows) -> None:
    campaigns.forget(session, [row.id for row in rows if not row.is_alive])


def _personal(age: timedelta) -> Callable[[str, datetime], Select[Any]]:
    """Walk the events up to the first that is still to be told, with the address it came with."""

    def read(reached: str, now: datetime) -> Select[Any]:
        waiting = select(func.min(DELIVERIES.c.event_number)).where(
            DELIVERIES.c.due_at.is_not(None)
        )
        return select(EVENTS.c.id, EVENTS.c.number, EVENTS.c.personal).where(
            EVENTS.c.id > reached,
            EVENTS.c.id < first_id("evt", now - age),
            EVENTS.c.number < func.coalesce(waiting.scalar_subquery(), _BEYOND),
        )

    return read


def _events(age: timedelta) -> Callable[[str, datetime], Select[Any]]:
    """Walk the old events, but for the newest: the number of the next one follows from it."""

    def read(reached: str, now: datetime) -> Select[Any]:
        newest = select(func.max(EVENTS.c.number)).scalar_subquery()
        return select(EVENTS.c.id, forgetting.is_waiting().label("is_waiting")).where(
            EVENTS.c.id > reached,
            EVENTS.c.id < first_id("evt", now - age),
            EVENTS.c.number < newest,
        )

    return read


def _forget_events(session: Session, rows: Rows) -> None:
    session.execute(
        delete(EVENTS).where(EVENTS.c.id.in_([row.id for row in rows if not row.is_waiting]))
    )


def _forget_attempts(settings: Settings) -> Callable[[Database, datetime], int]:
    def step(database: Database, now: datetime) -> int:
        old = (
            select(ATTEMPTS.c.id)
            .where(
                ATTEMPTS.c.started_at < now - timedelta(days=settings.keep_attempt_days),
                ATTEMPTS.c.ended_at.is_not(None),
            )
            .order_by(ATTEMPTS.c.started_at)
            .limit(_AT_ONCE)
        )
        with database.reading() as session:
            found = session.scalars(old).all()
        if found:
            with database.transaction() as session:
                session.execute(delete(ATTEMPTS).where(ATTEMPTS.c.id.in_(found)))
        return len(found)

    return step


def _forget_previews(database: Database, now: datetime) -> int:
    with database.reading() as session:
        if not previews.has_old(session, now):
            return 0
    with database.transaction() as session:
        return previews.forget_old(session, now)
