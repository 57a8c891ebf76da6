"""Who is to be told, and what can be told of a comment; read where an event is kept."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection, bindparam, select

from service.ledger.models import COMMENTS, ENDPOINTS, SITES, THREADS
from service.pure import events
from service.pure.events import EventType
from service.pure.policy import Policy


@dataclass(frozen=True, slots=True)
class Listener:
    """An endpoint in service, as far as writing to it asks."""

    id: str
    events: frozenset[str]
    wants_personal: bool
    is_full: bool

    def wants(self, event_type: EventType) -> bool:
        """Whether it is to be told of events of a type."""
        return not self.events or event_type in self.events


@dataclass(frozen=True, slots=True)
class Audience:
    """A site with its endpoints in service."""

    site: events.Site
    policy: Policy
    listeners: Sequence[Listener]


@dataclass(frozen=True, slots=True)
class Content:
    """A comment as it is told, and what only some are told."""

    comment: events.Comment = field(repr=False)
    email: str
    address: str | None


# Built once: it is asked with each group of comments that comes in.
_LISTENING = (
    select(
        ENDPOINTS.c.id,
        ENDPOINTS.c.site_id,
        ENDPOINTS.c.events,
        ENDPOINTS.c.wants_personal,
        ENDPOINTS.c.is_full,
        SITES.c.slug,
        SITES.c.policy,
    )
    .join(SITES, SITES.c.id == ENDPOINTS.c.site_id)
    .where(
        ENDPOINTS.c.site_id.in_(bindparam("site_ids", expanding=True)),
        ENDPOINTS.c.disabled_at.is_(None),
    )
    .order_by(ENDPOINTS.c.id)
)


def read_audiences(connection: Connection, site_ids: set[str]) -> dict[str, Audience]:
    """Give the sites among these that have endpoints in service."""
    if not site_ids:
        return {}
    rows = connection.execute(_LISTENING, {"site_ids": sorted(site_ids)}).all()
    listeners: defaultdict[str, list[Listener]] = defaultdict(list)
    for row in rows:
        listeners[row.site_id].append(
            Listener(row.id, frozenset(row.events), row.wants_personal, row.is_full)
        )
    return {
        row.site_id: Audience(
            events.Site(id=row.site_id, slug=row.slug),
            Policy.model_validate(row.policy),
            listeners[row.site_id],
        )
        for row in rows
    }


def read_contents(connection: Connection, comment_ids: Iterable[str]) -> dict[str, Content]:
    """Give comments as they stand."""
    rows = connection.execute(
        select(
            COMMENTS.c.id,
            COMMENTS.c.external_id,
            COMMENTS.c.status,
            COMMENTS.c.version,
            THREADS.c.page_url,
            THREADS.c.page_title,
            COMMENTS.c.parent_id,
            COMMENTS.c.name,
            COMMENTS.c.url,
            COMMENTS.c.body,
            COMMENTS.c.created_at,
            COMMENTS.c.edited_at,
            COMMENTS.c.email,
            COMMENTS.c.address,
        )
        .join(THREADS, THREADS.c.id == COMMENTS.c.thread_id)
        .where(COMMENTS.c.id.in_(comment_ids))
    )
    return {
        row.id: Content(
            events.Comment(
                id=row.id,
                external_id=row.external_id,
                status=row.status,
                version=row.version,
                page_url=row.page_url,
                page_title=row.page_title,
                parent_id=row.parent_id,
                author=events.Author(name=row.name, url=row.url),
                body=row.body,
                body_truncated=False,
                created_at=row.created_at,
                edited_at=row.edited_at,
            ),
            row.email,
            row.address,
        )
        for row in rows
    }
