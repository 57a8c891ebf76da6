"""Audit: who changed what, when, from what to what, and why; for reading only.

The one rule: it is put together from rows that are only ever added, so there is nothing here
that could be edited.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session, aliased

from service.ledger.models import COMMENTS, DECISIONS, POLICY_ACTOR, ModelChange, SettingChange

PAGE = 50
_CHUNK = 1000


@dataclass(frozen=True, slots=True)
class Entry:
    """One change.

    Attributes:
        id: sorts by time.
        kind: `decision`, `setting` or `model`.
        at: when.
        actor: who.
        subject: which comment (its id), which setting, or `model`.
        before: what it was.
        after: what it is.
        reason: why, for people; may be empty.
        act_id: what it can be undone by, if it can.
        about: the comment's author and beginning, for a decision.
    """

    id: str
    kind: str
    at: datetime
    actor: str
    subject: str
    before: Any
    after: Any
    reason: str
    act_id: str | None = None
    about: str = ""


def decisions(
    session: Session,
    site_id: str,
    *,
    people_only: bool = True,
    before: str | None = None,
    most: int = PAGE,
) -> list[Entry]:
    """Give a site's decisions, newest first.

    Args:
        session: for reading.
        site_id: whose.
        people_only: leave out what the rules decided by themselves.
        before: only those older than the decision with this id.
        most: how many.
    """
    undoing = aliased(DECISIONS)
    query = (
        select(
            DECISIONS.c.id,
            DECISIONS.c.decided_at,
            DECISIONS.c.actor,
            DECISIONS.c.comment_id,
            DECISIONS.c.old_status,
            DECISIONS.c.status,
            DECISIONS.c.reason,
            DECISIONS.c.act_id,
            DECISIONS.c.undoes,
            undoing.c.id.label("undone"),
            COMMENTS.c.name,
            COMMENTS.c.body,
        )
        .join(COMMENTS, COMMENTS.c.id == DECISIONS.c.comment_id)
        .outerjoin(undoing, undoing.c.undoes == DECISIONS.c.id)
        .where(DECISIONS.c.site_id == site_id)
        .order_by(DECISIONS.c.id.desc())
        .limit(most)
    )
    if people_only:
        query = query.where(DECISIONS.c.actor != POLICY_ACTOR)
    if before is not None:
        query = query.where(DECISIONS.c.id < before)
    return [
        Entry(
            id=row.id,
            kind="decision",
            at=row.decided_at,
            actor=row.actor,
            subject=row.comment_id,
            before=row.old_status,
            after=row.status,
            reason=row.reason,
            act_id=None if row.undoes or row.undone else row.act_id,
            about=f"{row.name}: {' '.join(row.body.split())[:80]}",
        )
        for row in session.execute(query)
    ]


def settings(session: Session, site_id: str, most: int = PAGE) -> list[Entry]:
    """Give the newest changes of a site's settings and of its model, newest first."""
    changed = session.scalars(
        select(SettingChange)
        .where(SettingChange.site_id == site_id)
        .order_by(SettingChange.id.desc())
        .limit(most)
    )
    entries = [
        Entry(one.id, "setting", one.changed_at, one.actor, one.setting, one.before, one.after, "")
        for one in changed
    ]
    models = session.scalars(
        select(ModelChange)
        .where(ModelChange.site_id == site_id)
        .order_by(ModelChange.id.desc())
        .limit(most)
    )
    entries += [
        Entry(
            one.id, "model", one.changed_at, one.actor, "model", one.old_number, one.number,
            one.reason,
        )
        for one in models
    ]  # fmt: skip
    return sorted(entries, key=lambda entry: entry.at, reverse=True)[:most]


def everything(session: Session, site_id: str) -> Iterator[Entry]:
    """Give all there is, newest first of each kind, for an export of any length."""
    yield from settings(session, site_id, 1_000_000)
    before = None
    while page := decisions(session, site_id, people_only=False, before=before, most=_CHUNK):
        yield from page
        before = page[-1].id
