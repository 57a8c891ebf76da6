"""Reading: what the public sees of a page's comments, in the order in which it is shown.

The one rule: only what is approved is ever in here. A parent that is not public leaves no trace;
its replies stand under the nearest comment above it that is.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sqlalchemy import not_, select
from sqlalchemy.orm import Session

from service.base.errors import NotFound
from service.core.comments import thread_id
from service.ledger.models import COMMENTS, IS_PUBLIC, THREADS
from service.pure import text

PAGE = 100
COUNTS_MOST = 100
NEWEST_MOST = 50
DEEPEST = 4


class Order(StrEnum):
    """Which of the comments that answer no other comes first; replies are oldest first always."""

    OLDEST = "oldest"
    NEWEST = "newest"


@dataclass(frozen=True, slots=True)
class Mark:
    """A thread as it stands: as long as `version` is the same, all that is public is.

    Attributes:
        thread_id: of the thread; of one without comments too.
        version: 0 where there never was anything to see.
        count: how many comments are public.
        title: of the page, as far as anybody told.
        closed: whether it takes no more comments.
    """

    thread_id: str
    version: int = 0
    count: int = 0
    title: str | None = None
    closed: bool = False


@dataclass(frozen=True, slots=True)
class Shown:
    """A public comment in its place; `depth` stops at 4, wherever it stands."""

    id: str
    parent_id: str | None
    depth: int
    name: str
    url: str | None
    body: str
    created_at: datetime
    edited_at: datetime | None


def mark(session: Session, site_id: str, page_url: str) -> Mark:
    """Look at a thread; one look by its id.

    Args:
        session: for reading.
        site_id: whose.
        page_url: in the form of `text.page_url`.
    """
    wanted = thread_id(site_id, page_url)
    row = session.execute(
        select(THREADS.c.version, THREADS.c.approved, THREADS.c.page_title, THREADS.c.closed).where(
            THREADS.c.id == wanted
        )
    ).first()
    return Mark(wanted) if row is None else Mark(wanted, *row)


def counts(session: Session, site_id: str, page_urls: Sequence[str]) -> dict[str, int]:
    """Give how many public comments each page has."""
    wanted = {thread_id(site_id, url): url for url in page_urls}
    rows = session.execute(select(THREADS.c.id, THREADS.c.approved).where(THREADS.c.id.in_(wanted)))
    return dict.fromkeys(page_urls, 0) | {wanted[row.id]: row.approved for row in rows}


@dataclass(frozen=True, slots=True)
class Page:
    """A hundred comments as they are shown, each before its replies.

    Attributes:
        comments: those.
        before: how many stand before them.
        next: the cursor of the next page; `None` at the end.
    """

    comments: list[Shown]
    before: int
    next: str | None


def page(
    session: Session,
    thread: Mark,
    order: Order,
    *,
    after: str | None = None,
    at: str | None = None,
) -> Page:
    """Give a page of a thread.

    Args:
        session: for reading.
        thread: which.
        order: of the comments that answer no other.
        after: the cursor of the page before.
        at: a comment that is to be on it, instead.

    Raises:
        NotFound: the cursor's comment is not public any more, or that one.
    """
    # By an index of what is public alone: most of what a thread holds may be spam.
    public = {
        row.id: row.parent_id
        for row in session.execute(
            select(COMMENTS.c.id, COMMENTS.c.parent_id)
            .where(COMMENTS.c.thread_id == thread.thread_id, IS_PUBLIC)
            .order_by(COMMENTS.c.id)
        )
    }
    places = _arrange(public, _hidden_above(session, public), order)
    start = 0
    wanted = after or at
    if wanted is not None:
        known = {place[0]: number for number, place in enumerate(places)}
        if wanted not in known:
            raise NotFound("the comments have changed; read them from the beginning")
        start = known[wanted] + 1 if after else known[wanted] // PAGE * PAGE
    picked = places[start : start + PAGE]
    more = picked[-1][0] if start + PAGE < len(places) else None
    return Page(_with_texts(session, picked), start, more)


def name_of(session: Session, thread: Mark, comment_id: str) -> str | None:
    """Give who wrote a comment of a thread; `None` if it is not public there."""
    return session.scalar(
        select(COMMENTS.c.name).where(
            COMMENTS.c.id == comment_id,
            COMMENTS.c.thread_id == thread.thread_id,
            IS_PUBLIC,
        )
    )


@dataclass(frozen=True, slots=True)
class Entry:
    """A public comment and where it was written."""

    id: str
    page_url: str
    page_title: str | None
    name: str
    body: str
    created_at: datetime
    edited_at: datetime | None


def newest(session: Session, site_id: str, page_url: str | None = None) -> list[Entry]:
    """Give the fifty newest public comments of a site, or of one page."""
    where = COMMENTS.c.site_id == site_id
    if page_url is not None:
        where = COMMENTS.c.thread_id == thread_id(site_id, page_url)
    rows = session.execute(
        select(
            COMMENTS.c.id,
            THREADS.c.page_url,
            THREADS.c.page_title,
            COMMENTS.c.name,
            COMMENTS.c.body,
            COMMENTS.c.created_at,
            COMMENTS.c.edited_at,
        )
        .join(THREADS, THREADS.c.id == COMMENTS.c.thread_id)
        .where(where, IS_PUBLIC)
        .order_by(COMMENTS.c.id.desc())
        .limit(NEWEST_MOST)
    )
    return [Entry(*row) for row in rows]


_Place = tuple[str, str | None, int]


def _hidden_above(session: Session, public: Mapping[str, str | None]) -> dict[str, str | None]:
    """Give what public comments answer that is not public itself, and what that answers, and so on.

    Args:
        session: for reading.
        public: all of a thread, each with its parent.

    Returns:
        Each with its parent.
    """
    wanted = {parent for parent in public.values() if parent is not None} - public.keys()
    if not wanted:
        return {}
    columns = (COMMENTS.c.id, COMMENTS.c.parent_id)
    hidden = select(*columns).where(COMMENTS.c.id.in_(wanted)).cte("hidden", recursive=True)
    above = select(*columns).where(COMMENTS.c.id == hidden.c.parent_id, not_(IS_PUBLIC))
    rows = session.execute(select(hidden.union(above)))
    return {row.id: row.parent_id for row in rows}


def _arrange(
    public: Mapping[str, str | None], hidden: Mapping[str, str | None], order: Order
) -> list[_Place]:
    """Give the public ones as (id, public parent, depth), each before its replies.

    Args:
        public: their parents, oldest first.
        hidden: the parents of what they answer that is not public.
        order: of those without a public parent.
    """
    above: dict[str | None, str | None] = {}  # the public one above what is not

    def answered(parent_id: str | None) -> str | None:
        return parent_id if parent_id in public else above.get(parent_id)

    for comment_id, parent_id in sorted(hidden.items()):  # a parent before its replies
        above[comment_id] = answered(parent_id)
    replies: dict[str | None, list[str]] = {}
    for comment_id, parent_id in public.items():
        replies.setdefault(answered(parent_id), []).append(comment_id)
    roots = replies.get(None, [])
    # A stack and not recursion: a thread may be one long chain.
    stack: list[_Place] = [
        (one, None, 0) for one in (reversed(roots) if order is Order.OLDEST else roots)
    ]
    found = []
    while stack:
        place = stack.pop()
        found.append(place)
        comment_id, _, depth = place
        below = min(depth + 1, DEEPEST)
        stack += [(reply, comment_id, below) for reply in reversed(replies.get(comment_id, []))]
    return found


def _with_texts(session: Session, places: Sequence[_Place]) -> list[Shown]:
    rows = session.execute(
        select(
            COMMENTS.c.id,
            COMMENTS.c.name,
            COMMENTS.c.url,
            COMMENTS.c.body,
            COMMENTS.c.created_at,
            COMMENTS.c.edited_at,
        ).where(
            COMMENTS.c.id.in_([place[0] for place in places]),
            IS_PUBLIC,  # it may have changed since they were arranged
        )
    )
    texts = {row.id: row for row in rows}
    return [
        Shown(
            id=comment_id,
            parent_id=parent_id,
            depth=depth,
            name=texts[comment_id].name,
            url=_web(texts[comment_id].url),
            body=texts[comment_id].body,
            created_at=texts[comment_id].created_at,
            edited_at=texts[comment_id].edited_at,
        )
        for comment_id, parent_id, depth in places
        if comment_id in texts
    ]


def _web(url: str | None) -> str | None:
    """Give an author's address if it leads to the web: what was stored need not have come by us."""
    if url is None:
        return None
    try:
        text.page_url(url)
    except ValueError:
        return None
    return url
