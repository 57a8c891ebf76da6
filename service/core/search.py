"""Search: a site's comments by what they are, who wrote them and what they say.

The one rule: a page reads no more than some thousand rows, each by an index, however many comments
there are. It looks at the newest first, which finds what is common; then the index of words lists
what is rare. Only where a word is too common to be listed, or there is none, do windows of
`WINDOW` comments follow each other, narrowed by whatever has an index of its own (status, e-mail,
page, campaign, time); the next page goes on where this one stopped.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, and_, or_, select, text
from sqlalchemy.orm import Session, aliased

from service.core import indexing
from service.ledger.models import (
    COMMENTS,
    DECISIONS,
    ENTRIES,
    THREADS,
    came_before,
    came_since,
    is_automatic,
)
from service.pure import terms
from service.pure.policy import Status
from service.pure.terms import Sought

WINDOW = 20_000
PAGE = 50
# So many of the newest are looked at before the index of words is asked.
_FIRST = 500
# More than so many are not listed by a word.
_LISTED = 10_000
_AT_ONCE = 1_000
# So many of those that wait for the classifier are looked at, whichever site's.
_DUE = 2_000


@dataclass(frozen=True, slots=True)
class Filters:
    """What to look for; an empty one is left out.

    Attributes:
        status: of the comment.
        email: as normalised, or part of it.
        page_url: exactly this page's.
        campaign_id: the near-duplicates it belongs to.
        since, until: days it came in on, both included.
        address: the network address it came from.
        author: the beginnings of words of the name.
        words: the beginnings of words of the text, the name or the e-mail address.
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


@dataclass(frozen=True, slots=True)
class Gaps:
    """Where words are not found yet.

    Attributes:
        before: comments older than this still have to be entered into the index.
        waiting: more comments wait for the classifier than are looked at.
    """

    before: datetime | None
    waiting: bool


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
    sought = _sought(filters)
    due = _due(session, site_id, sought) if sought else []
    conditions = _conditions(site_id, filters, sought, due)
    hits: list[Hit] = []
    for size in (_FIRST, WINDOW):
        ids = _newest(session, site_id, filters, before, size)
        hits += _hits(session, ids, conditions, most + 1 - len(hits))
        if len(hits) > most:
            return Found(tuple(hits[:most]), hits[most - 1].id)
        if len(ids) < size:
            return Found(tuple(hits), None)
        before = ids[-1]
        listed = _listed(session, site_id, sought) if sought.needles and size == _FIRST else None
        if listed is not None:
            older = sorted((one for one in {*listed, *due} if one < before), reverse=True)
            hits += _hits(session, older, conditions, most + 1 - len(hits))
            return Found(tuple(hits[:most]), hits[most - 1].id if len(hits) > most else None)
    return Found(tuple(hits), before)


def gaps(session: Session) -> Gaps:
    """Say where words are not found yet."""
    return Gaps(indexing.filled_to(session), len(_due_rows(session)) == _DUE)


def _sought(filters: Filters) -> Sought:
    """Give what the index of words can say of all filters."""
    written = (filters.words, filters.author, None if _is_whole(filters.email) else filters.email)
    return sum((terms.seek(one) for one in written if one), Sought())


def _is_whole(email: str | None) -> bool:
    return email is not None and "@" in email.strip("@")


def _due_rows(session: Session) -> Sequence[Any]:
    """Give the newest comments that nobody has decided: they are not in the index of words."""
    return session.execute(
        select(
            COMMENTS.c.id, COMMENTS.c.site_id, COMMENTS.c.name, COMMENTS.c.email, COMMENTS.c.body
        )
        .where(COMMENTS.c.classify_at.is_not(None))
        .order_by(COMMENTS.c.classify_at.desc())
        .limit(_DUE)
    ).all()


def _due(session: Session, site_id: str, sought: Sought) -> list[str]:
    return [
        row.id
        for row in _due_rows(session)
        if row.site_id == site_id and sought.is_in(row.name, row.email, row.body)
    ]


def _newest(
    session: Session, site_id: str, filters: Filters, before: str | None, most: int
) -> Sequence[str]:
    """Give the ids of the newest comments that an index can tell apart."""
    conditions = _narrow(site_id, filters)
    if before is not None:
        conditions.append(COMMENTS.c.id < before)
    return session.scalars(
        select(COMMENTS.c.id).where(*conditions).order_by(COMMENTS.c.id.desc()).limit(most)
    ).all()


def _listed(session: Session, site_id: str, sought: Sought) -> Sequence[str] | None:
    """Give the ids of what the index of words finds; `None` if that is too common to list."""
    site = f" {indexing.site_term(site_id)} "
    sqlite = session.get_bind().dialect.name == "sqlite"
    if sqlite:
        asked = " AND ".join(map(_fts5, (site, *sought.needles)))
    else:
        asked = " & ".join(map(_tsquery, (site, *sought.needles)))
    statement = _FTS5 if sqlite else _GIN
    ids = session.scalars(statement, {"asked": asked, "most": _LISTED + 1}).all()
    return None if len(ids) > _LISTED else ids


# The index has the last word on how it is read: the terms first, then the entries they lead to.
_FTS5 = text(
    "SELECT comment_id FROM search_words CROSS JOIN search_entries ON number = search_words.rowid"
    " WHERE search_words MATCH :asked LIMIT :most"
)
_GIN = text(
    "SELECT comment_id FROM search_entries"
    " WHERE search_terms(words) @@ CAST(:asked AS tsquery) LIMIT :most"
)


def _fts5(needle: str) -> str:
    return f'"{needle.strip()}"' + ("" if needle.endswith(" ") else "*")


def _tsquery(needle: str) -> str:
    return f"'{needle.strip()}'" + ("" if needle.endswith(" ") else ":*")


def _narrow(site_id: str, filters: Filters) -> list[ColumnElement[bool]]:
    """Give the conditions that have an index, in the order of ids or nearly."""
    conditions: list[ColumnElement[bool]] = [COMMENTS.c.site_id == site_id]
    if filters.status is not None:
        conditions.append(COMMENTS.c.status == filters.status)
    if _is_whole(filters.email):
        conditions.append(COMMENTS.c.email_normalised == filters.email)
    if filters.campaign_id is not None:
        conditions.append(COMMENTS.c.campaign_id == filters.campaign_id)
    if filters.page_url is not None:
        thread = select(THREADS.c.id).where(
            THREADS.c.site_id == site_id, THREADS.c.page_url == filters.page_url
        )
        conditions.append(COMMENTS.c.thread_id.in_(thread))
    if filters.since is not None:
        conditions.append(came_since(_midnight(filters.since)))
    if filters.until is not None:
        after = _midnight(filters.until + timedelta(days=1))
        conditions.append(came_before(after))
    return conditions


def _conditions(
    site_id: str, filters: Filters, sought: Sought, due: Sequence[str]
) -> list[ColumnElement[bool]]:
    """Everything that has to hold of a hit."""
    conditions = _narrow(site_id, filters)
    if sought:
        says = _says(sought)
        conditions.append(or_(says, COMMENTS.c.id.in_(due)) if due else says)
    if filters.email is not None:
        conditions.append(_has(COMMENTS.c.email, filters.email))
    if filters.author is not None:
        conditions += [_has(COMMENTS.c.name, word) for word in filters.author.split()]
    if filters.address is not None:
        conditions.append(COMMENTS.c.address == filters.address)
    if filters.rule is not None:
        conditions.append(_MACHINE.c.rule == filters.rule)
    if filters.score_from is not None:
        conditions.append(_MACHINE.c.score >= filters.score_from)
    if filters.score_to is not None:
        conditions.append(_MACHINE.c.score <= filters.score_to)
    return conditions


def _says(sought: Sought) -> ColumnElement[bool]:
    """The condition that a comment's entry and text have what is looked for."""
    texts = (COMMENTS.c.body, COMMENTS.c.name, COMMENTS.c.email)
    return and_(
        *(ENTRIES.c.words.contains(needle) for needle in sought.needles),
        *(or_(*(_has(text, literal) for text in texts)) for literal in sought.literals),
    )


_MACHINE = aliased(DECISIONS)
_HITS: Select[Any] = (
    select(
        COMMENTS.c.id,
        COMMENTS.c.status,
        COMMENTS.c.version,
        COMMENTS.c.name,
        COMMENTS.c.email,
        COMMENTS.c.body,
        THREADS.c.page_url,
        THREADS.c.page_title,
        _MACHINE.c.rule,
        _MACHINE.c.score,
        COMMENTS.c.created_at,
    )
    .join(THREADS, THREADS.c.id == COMMENTS.c.thread_id)
    .outerjoin(_MACHINE, is_automatic(_MACHINE))
    .outerjoin(ENTRIES, ENTRIES.c.comment_id == COMMENTS.c.id)
    .order_by(COMMENTS.c.id.desc())
)


def _hits(
    session: Session, ids: Sequence[str], conditions: list[ColumnElement[bool]], wanted: int
) -> list[Hit]:
    """Give those of the comments of which the conditions hold; ids and hits newest first."""
    hits: list[Hit] = []
    for start in range(0, len(ids), _AT_ONCE):
        some = COMMENTS.c.id.in_(ids[start : start + _AT_ONCE])
        found = _HITS.where(some, *conditions).limit(wanted - len(hits))
        hits += [_hit(row) for row in session.execute(found)]
        if len(hits) == wanted:
            break
    return hits


def _has(column: Any, part: str) -> ColumnElement[bool]:
    """The condition that a text has a part, whatever the case of its letters."""
    escaped = part.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    # SQLite knows the two cases of ASCII letters only.
    cases = {escaped} if part.isascii() else {escaped.lower(), escaped.upper(), escaped.title()}
    return or_(*(column.ilike(f"%{case}%", escape="\\") for case in sorted(cases)))


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def _hit(row: Row[Any]) -> Hit:
    values = dict(row._mapping)
    return Hit(**{**values, "status": Status(row.status)})
