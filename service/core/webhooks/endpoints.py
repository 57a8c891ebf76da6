"""Endpoints: where a site wants to be told.

The one rule: a secret is shown when it is made and never again. Whether an address may be used
at all is settled by the caller with `check`, which knows the installation's settings.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, func, select, update
from sqlalchemy.orm import Session

from service.base.errors import FieldError, Forbidden, Invalid, NotFound
from service.core import changes
from service.core.webhooks import outbox, signing
from service.ledger.db import db_now, new_id, utc_now
from service.ledger.models import DELIVERIES, DeliveryStatus, Endpoint
from service.pure.events import EndpointTold, EventType

ENDPOINTS_MOST = 20
OVERLAP = timedelta(days=1)
BY_PERSON = "by a person"
DELIVERY = "delivery"

Check = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class EndpointView:
    """An endpoint as a value, without its secrets.

    Attributes:
        events: the types it wants; empty for all.
        wants_personal: whether it asked for e-mail and network addresses.
        old_secret_until: until when the secret before the present one signs beside it.
        failing_since: when its attempts began to fail without a success between.
        is_full: whether too much waits for it, so that what is new is dead at once.
        disabled_at: since when it is not served, with the reason; `None` while it is.
    """

    id: str
    site_id: str
    url: str
    description: str
    events: tuple[EventType, ...]
    wants_personal: bool
    created_at: datetime
    old_secret_until: datetime | None
    failing_since: datetime | None
    is_full: bool
    disabled_at: datetime | None
    disabled_reason: str | None


def create(
    session: Session,
    site_id: str,
    url: str,
    *,
    check: Check,
    actor: str,
    events: Sequence[EventType] = (),
    description: str = "",
    wants_personal: bool = False,
) -> tuple[EndpointView, str]:
    """Make an endpoint, and give it with its secret, which is shown this once.

    Args:
        session: a transaction's.
        site_id: whose.
        url: where to.
        check: gives the address as it will be called, or raises `Invalid`.
        actor: who makes it.
        events: the types it wants; none for all.
        description: for people.
        wants_personal: whether to tell e-mail and network addresses, as far as the site's policy
            allows it.

    Raises:
        Invalid: the address cannot be used, or the site has too many.
    """
    count = session.scalar(select(func.count()).where(Endpoint.site_id == site_id)) or 0
    if count >= ENDPOINTS_MOST:
        raise Invalid([FieldError("/url", f"a site has at most {ENDPOINTS_MOST} endpoints")])
    secret = signing.new_secret()
    endpoint = Endpoint(
        id=new_id("whe"),
        site_id=site_id,
        url=check(url),
        description=description,
        events=sorted(set(events)),
        wants_personal=wants_personal,
        secret=secret,
        created_at=utc_now(),
        is_full=False,
    )
    session.add(endpoint)
    session.flush()
    changes.note(session, site_id, _name(endpoint.id), None, _noted(endpoint), actor=actor)
    return _view(endpoint), secret


def listing(session: Session, site_id: str) -> list[EndpointView]:
    """Give a site's endpoints, oldest first."""
    rows = session.scalars(
        select(Endpoint).where(Endpoint.site_id == site_id).order_by(Endpoint.id)
    )
    return [_view(row) for row in rows]


def given_up(session: Session, site_id: str) -> list[EndpointView]:
    """Give a site's endpoints that failures have disabled, until a person has seen to it."""
    rows = session.scalars(
        select(Endpoint)
        .where(
            Endpoint.site_id == site_id,
            Endpoint.disabled_at.is_not(None),
            Endpoint.disabled_reason != BY_PERSON,
        )
        .order_by(Endpoint.id)
    )
    return [_view(row) for row in rows]


def get(session: Session, site_id: str, endpoint_id: str) -> EndpointView:
    """Give one endpoint.

    Raises:
        NotFound: the site has no such endpoint.
    """
    return _view(_find(session, site_id, endpoint_id))


def change(
    session: Session,
    site_id: str,
    endpoint_id: str,
    *,
    check: Check,
    actor: str,
    url: str | None = None,
    events: Sequence[EventType] | None = None,
    description: str | None = None,
    wants_personal: bool | None = None,
    enabled: bool | None = None,
) -> EndpointView:
    """Change what is given of an endpoint; for what happens from now on.

    What waits goes to the new address. Enabling one that was disabled forgets its failures; what
    died meanwhile can be replayed. To disable one that was disabled by its failures is to agree.

    Raises:
        NotFound: the site has no such endpoint.
        Invalid: the address cannot be used.
    """
    endpoint = _find(session, site_id, endpoint_id, lock=True)
    before = _noted(endpoint)
    if url is not None:
        endpoint.url = check(url)
    if events is not None:
        endpoint.events = sorted(set(events))
    if description is not None:
        endpoint.description = description
    if wants_personal is not None:
        endpoint.wants_personal = wants_personal
    if enabled and endpoint.disabled_at is not None:
        endpoint.disabled_at = endpoint.disabled_reason = endpoint.failing_since = None
    session.flush()
    changes.note(session, site_id, _name(endpoint_id), before, _noted(endpoint), actor=actor)
    if enabled is False and endpoint.disabled_at is None:
        stop(session, endpoint, BY_PERSON, actor=actor)
    elif enabled is False:
        endpoint.disabled_reason = BY_PERSON
        session.flush()
    return _view(endpoint)


def delete(session: Session, site_id: str, endpoint_id: str, *, actor: str) -> None:
    """Delete an endpoint with all that was to be told to it and the log of what was.

    Raises:
        NotFound: the site has no such endpoint.
    """
    endpoint = _find(session, site_id, endpoint_id, lock=True)
    changes.note(session, site_id, _name(endpoint_id), _noted(endpoint), None, actor=actor)
    session.delete(endpoint)
    session.flush()


def rotate(session: Session, site_id: str, endpoint_id: str, *, actor: str) -> str:
    """Give an endpoint a new secret; the one before signs beside it for a day.

    Raises:
        NotFound: the site has no such endpoint.
        Forbidden: two secrets are in use already.
    """
    endpoint = _find(session, site_id, endpoint_id, lock=True)
    now = utc_now()
    if endpoint.old_secret_until is not None and endpoint.old_secret_until > now:
        raise Forbidden(
            f"two secrets are in use until {endpoint.old_secret_until:%Y-%m-%d %H:%M} UTC; a third"
            " would end the first before its time"
        )
    endpoint.old_secret, endpoint.old_secret_until = endpoint.secret, now + OVERLAP
    endpoint.secret = signing.new_secret()
    changes.note(session, site_id, f"secret of {endpoint_id}", None, "rotated", actor=actor)
    session.flush()
    return endpoint.secret


def test(session: Session, site_id: str, endpoint_id: str) -> None:
    """Send an endpoint an event of its own, `endpoint.tested`, whatever types it wants.

    Raises:
        NotFound: the site has no such endpoint.
        Forbidden: it is disabled.
    """
    endpoint = _find(session, site_id, endpoint_id)
    if endpoint.disabled_at is not None:
        raise Forbidden("it is disabled; enable it first")
    _tell(session, EventType.ENDPOINT_TESTED, endpoint, "a person tries it", only=endpoint_id)


def stop(session: Session, endpoint: Endpoint, reason: str, *, actor: str) -> None:
    """Disable an endpoint: what waits is dead, and can be replayed once it is enabled again.

    Noted for good, and the site's other endpoints are told.
    """
    before = _noted(endpoint)
    endpoint.disabled_at, endpoint.disabled_reason = utc_now(), reason
    session.flush()
    after = _noted(endpoint) | {"reason": reason}
    changes.note(session, endpoint.site_id, _name(endpoint.id), before, after, actor=actor)
    bury(session, endpoint.id, reason)
    _tell(session, EventType.ENDPOINT_DISABLED, endpoint, reason)


def bury(session: Session, endpoint_id: str, reason: str, *conditions: ColumnElement[bool]) -> None:
    """Have what waits for a disabled endpoint be dead; not what is being tried at this moment."""
    session.execute(
        update(DELIVERIES)
        .where(
            DELIVERIES.c.endpoint_id == endpoint_id,
            *(conditions or [DELIVERIES.c.claimed_at.is_(None)]),
            DELIVERIES.c.due_at.is_not(None),
        )
        .values(
            status=DeliveryStatus.DEAD,
            reason=f"the endpoint was disabled: {reason}"[:200],
            due_at=None,
            claimed_at=None,
            ended_at=db_now(),
        )
    )


def _tell(
    session: Session,
    event_type: EventType,
    endpoint: Endpoint,
    reason: str,
    only: str | None = None,
) -> None:
    outbox.tell(
        session.connection(),
        event_type,
        endpoint.site_id,
        lambda site: EndpointTold(
            site=site, endpoint_id=endpoint.id, url=endpoint.url, reason=reason
        ),
        utc_now(),
        only=only,
    )


def _find(session: Session, site_id: str, endpoint_id: str, *, lock: bool = False) -> Endpoint:
    query = select(Endpoint).where(Endpoint.id == endpoint_id, Endpoint.site_id == site_id)
    endpoint = session.scalar(query.with_for_update() if lock else query)
    if endpoint is None:
        raise NotFound("there is no such endpoint")
    return endpoint


def _name(endpoint_id: str) -> str:
    return f"webhook {endpoint_id}"


def _noted(endpoint: Endpoint) -> dict[str, Any]:
    """Give what the history keeps of an endpoint: all but its secrets."""
    return {
        "url": endpoint.url,
        "events": endpoint.events,
        "description": endpoint.description,
        "wants_personal": endpoint.wants_personal,
        "enabled": endpoint.disabled_at is None,
    }


def _view(endpoint: Endpoint) -> EndpointView:
    return EndpointView(
        id=endpoint.id,
        site_id=endpoint.site_id,
        url=endpoint.url,
        description=endpoint.description,
        events=tuple(EventType(one) for one in endpoint.events),
        wants_personal=endpoint.wants_personal,
        created_at=endpoint.created_at,
        old_secret_until=endpoint.old_secret_until,
        failing_since=endpoint.failing_since,
        is_full=endpoint.is_full,
        disabled_at=endpoint.disabled_at,
        disabled_reason=endpoint.disabled_reason,
    )
