"""Saved filters: views of a site's comments that its people gave a name.

The one rule: a saved filter is the query of an address and nothing else; whoever opens it sees
what they may see anyway.
"""

from dataclasses import dataclass

from sqlalchemy import ColumnElement, and_, delete, insert, select, update
from sqlalchemy.orm import Session

from service.base.errors import FieldError, Forbidden, Invalid, NotFound
from service.ledger.db import utc_now
from service.ledger.models import FILTERS, FILTERS_MOST, SITES
from service.pure import text

_NAME_MOST = 60


@dataclass(frozen=True, slots=True)
class SavedView:
    """A saved filter: its name, the query of its address, the actor who made it."""

    name: str
    query: str
    made_by: str


def listing(session: Session, site_id: str) -> list[SavedView]:
    """Give a site's saved filters, by name."""
    rows = session.execute(
        select(FILTERS.c.name, FILTERS.c.query, FILTERS.c.made_by).where(
            FILTERS.c.site_id == site_id
        )
    )
    return sorted((SavedView(*row) for row in rows), key=lambda one: one.name.casefold())


def save(
    session: Session, site_id: str, name: str, query: str, *, actor: str, is_owner: bool
) -> None:
    """Save a view under a name; one's own of that name is replaced, an owner replaces any.

    Raises:
        Invalid: the name is empty, too long or a colleague's, or the site has 50 already.
    """
    name = " ".join(name.split())
    if not text.has_visible(name) or text.has_control(name) or len(name) > _NAME_MOST:
        raise _refused(f"Write a name of 1 to {_NAME_MOST} characters.")
    _wait_for_others(session, site_id)
    there = {one.name: one for one in listing(session, site_id)}
    if name in there:
        if not _may_change(there[name], actor, is_owner=is_owner):
            raise _refused("A colleague's filter has this name. Choose another.")
        session.execute(update(FILTERS).where(_named(site_id, name)).values(query=query))
        return
    places = select(FILTERS.c.place).where(FILTERS.c.site_id == site_id)
    free = set(range(1, FILTERS_MOST + 1)).difference(session.scalars(places))
    if not free:
        raise _refused(f"There are {FILTERS_MOST} already. Remove one that nobody needs.")
    row = {"site_id": site_id, "place": min(free), "name": name, "query": query}
    session.execute(insert(FILTERS).values(**row, made_by=actor, made_at=utc_now()))


def remove(session: Session, site_id: str, name: str, *, actor: str, is_owner: bool) -> None:
    """Remove a saved filter.

    Raises:
        NotFound: the site has none of that name.
        Forbidden: it is a colleague's, and the actor is no owner.
    """
    _wait_for_others(session, site_id)
    there = {one.name: one for one in listing(session, site_id)}
    if name not in there:
        raise NotFound("there is no saved filter of that name")
    if not _may_change(there[name], actor, is_owner=is_owner):
        raise Forbidden("Only who made a filter, or an owner, removes it.")
    session.execute(delete(FILTERS).where(_named(site_id, name)))


def _may_change(one: SavedView, actor: str, *, is_owner: bool) -> bool:
    return is_owner or one.made_by == actor


def _named(site_id: str, name: str) -> ColumnElement[bool]:
    return and_(FILTERS.c.site_id == site_id, FILTERS.c.name == name)


def _wait_for_others(session: Session, site_id: str) -> None:
    """Let changes of a site's filters follow each other; on SQLite any transaction does."""
    session.execute(select(SITES.c.id).where(SITES.c.id == site_id).with_for_update(key_share=True))


def _refused(message: str) -> Invalid:
    return Invalid([FieldError("/name", message)])
