"""Export: all that is kept about a person, as they may ask for it (GDPR, articles 15 and 20)."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row, Select, Table, select
from sqlalchemy.orm import Session

from service.core.moderators.accounts import actor_of
from service.core.moderators.tables import Identity, Membership, Moderator, SignedIn
from service.ledger.models import (
    COMMENTS,
    CONFIRMATIONS,
    DECISIONS,
    DELIVERIES,
    EVENTS,
    OBJECTIONS,
    SITES,
    THREADS,
    VERIFIED_AUTHORS,
    SettingChange,
)
from service.operations.persons.who import Person

_AT_ONCE = 200
# Of no meaning outside of the ledger, or what one could sign in with.
_LEFT_OUT = {"digest", "request_digest", "password", "email_key", "classify_at", "queue_at"}


def records(session: Session, person: Person) -> Iterator[dict[str, Any]]:
    """Give everything about a person, each with its `kind`.

    Comments with the decisions on them and the objections to them, what webhooks were told of
    them, verifications, bans; of a moderator the account, roles, sessions and what they decided.
    Readers' reports bear no name or address, so nobody can say which were theirs.
    """
    slugs = {row.id: row.slug for row in session.execute(select(SITES.c.id, SITES.c.slug))}
    for site_id, ids in person.comments.items():
        for first in range(0, len(ids), _AT_ONCE):
            yield from _comments(session, slugs[site_id], ids[first : first + _AT_ONCE])
    yield from _of(
        "verification",
        session,
        select(VERIFIED_AUTHORS).where(person.address.column(VERIFIED_AUTHORS.c.email)),
    )
    for row in session.execute(select(SITES.c.slug, SITES.c.policy)):
        entries = row.policy.get("banned_emails", [])
        for entry in filter(person.address.is_in, entries):
            yield {"kind": "ban", "site": row.slug, "entry": entry}
    if person.moderator_id is not None:
        yield from _moderator(session, person.moderator_id)


def _comments(session: Session, slug: str, ids: Sequence[str]) -> Iterator[dict[str, Any]]:
    query = (
        select(*COMMENTS.c, THREADS.c.page_url, THREADS.c.page_title)
        .join(THREADS, THREADS.c.id == COMMENTS.c.thread_id)
        .where(COMMENTS.c.id.in_(ids))
        .order_by(COMMENTS.c.id)
    )
    for row in _of("comment", session, query):
        yield {**row, "site": slug}
    parts: tuple[tuple[str, Table], ...] = (
        ("decision", DECISIONS),
        ("objection", OBJECTIONS),
        ("confirmation", CONFIRMATIONS),
        ("event", EVENTS),
        ("delivery", DELIVERIES),
    )
    for kind, table in parts:
        query = select(*table.c).where(table.c.comment_id.in_(ids)).order_by(table.c.id)
        yield from _of(kind, session, query)


def _moderator(session: Session, moderator_id: str) -> Iterator[dict[str, Any]]:
    actor = actor_of(moderator_id)
    for kind, query in (
        ("account", select(*Moderator.__table__.c).where(Moderator.id == moderator_id)),
        ("role", select(*Membership.__table__.c).where(Membership.moderator_id == moderator_id)),
        ("session", select(*SignedIn.__table__.c).where(SignedIn.moderator_id == moderator_id)),
        ("identity", select(*Identity.__table__.c).where(Identity.moderator_id == moderator_id)),
        ("decided", select(*DECISIONS.c).where(DECISIONS.c.actor == actor)),
        ("changed", select(*SettingChange.__table__.c).where(SettingChange.actor == actor)),
    ):
        yield from _of(kind, session, query)


def _of(kind: str, session: Session, query: Select[Any]) -> Iterator[dict[str, Any]]:
    for row in session.execute(query):
        yield {"kind": kind, **_written(row)}


def _written(row: Row[Any]) -> dict[str, Any]:
    return {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in row._mapping.items()
        if value is not None and name not in _LEFT_OUT
    }
