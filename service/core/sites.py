"""Sites and their keys.

The one rule: a key is shown once, at its making; the ledger keeps only its hash.
"""

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from service.base.errors import FieldError, Invalid, NotFound, Unauthenticated
from service.core import changes
from service.core.changes import OPERATOR
from service.ledger.db import db_now, new_id, utc_now
from service.ledger.models import ApiKey, Site
from service.pure.policy import Policy

_SLUG = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_ORIGIN = re.compile(r"https?://[a-z0-9.\-]+(?::\d{1,5})?|https?://\[[0-9a-f:.]+\](?::\d{1,5})?")


class Scope(StrEnum):
    """What a key may do."""

    SUBMIT = "submit"
    MODERATE = "moderate"
    WEBHOOKS = "webhooks"


@dataclass(frozen=True, slots=True)
class SiteView:
    """A site as the hot path needs it: a value, free of any session."""

    id: str
    slug: str
    name: str
    origins: frozenset[str]
    policy: Policy


@dataclass(frozen=True, slots=True)
class KeyView:
    """A live key: its id, its site and what it may do."""

    id: str
    site_id: str
    scopes: frozenset[Scope]


def create(session: Session, slug: str, *, name: str = "", origins: list[str]) -> SiteView:
    """Make a site.

    Args:
        session: a transaction's session.
        slug: 1-63 of a-z, 0-9 and inner hyphens; it stands in URLs.
        name: for people; default the slug.
        origins: exact origins whose pages may submit, such as `https://example.org`.

    Raises:
        Invalid: a bad slug or origin, or the slug is taken.
    """
    origins, bad_origins = _read_origins(origins)
    errors = []
    if not _SLUG.fullmatch(slug):
        errors.append(FieldError("/slug", "1 to 63 of a-z, 0-9 and hyphens between them"))
    elif session.scalar(select(Site.id).where(Site.slug == slug)) is not None:
        errors.append(_taken(slug))
    if errors or bad_origins:
        raise Invalid([*errors, *bad_origins])
    site = Site(
        id=new_id("sit"),
        slug=slug,
        name=name or slug,
        origins=origins,
        policy={},
        created_at=utc_now(),
    )
    session.add(site)
    try:
        session.flush()
    except IntegrityError:  # somebody else made it at the same moment
        raise Invalid([_taken(slug)]) from None
    return _view(site)


def find(session: Session, slug: str) -> SiteView:
    """Give the site with this slug.

    Raises:
        NotFound: there is none.
    """
    site = session.scalar(select(Site).where(Site.slug == slug))
    if site is None:
        raise NotFound(f"there is no site “{slug}”")
    return _view(site)


def find_by_id(session: Session, site_id: str) -> SiteView:
    """Give the site with this id.

    Raises:
        NotFound: there is none.
    """
    site = session.get(Site, site_id)
    if site is None:
        raise NotFound("there is no such site")
    return _view(site)


def set_origins(
    session: Session, site_id: str, origins: list[str], *, actor: str = OPERATOR
) -> None:
    """Put other origins in place of a site's; noted for good.

    Args:
        session: a transaction's.
        site_id: whose.
        origins: exact ones, such as `https://example.org`.
        actor: who changes them.

    Raises:
        Invalid: one is no origin.
    """
    origins, errors = _read_origins(origins)
    if errors:
        raise Invalid(errors)
    before = session.scalar(select(Site.origins).where(Site.id == site_id))
    changes.note(session, site_id, "origins", before, origins, actor=actor)
    session.execute(update(Site).where(Site.id == site_id).values(origins=origins))


def set_policy(session: Session, site_id: str, policy: Policy, *, actor: str = OPERATOR) -> None:
    """Put a new policy in place of the old one, for comments decided from now on.

    What changes is noted for good: each setting, before and after, and by whom.
    """
    before = Policy.model_validate(
        session.scalar(select(Site.policy).where(Site.id == site_id)) or {}
    ).model_dump(mode="json")
    after = policy.model_dump(mode="json")
    for name, value in after.items():
        changes.note(session, site_id, name, before[name], value, actor=actor)
    values = policy.model_dump(mode="json", exclude_defaults=True)
    session.execute(update(Site).where(Site.id == site_id).values(policy=values))


def listing(session: Session) -> list[SiteView]:
    """Give all sites, by slug."""
    return [_view(site) for site in session.scalars(select(Site).order_by(Site.slug))]


def create_key(session: Session, site_id: str, scopes: set[Scope], *, actor: str = OPERATOR) -> str:
    """Make a key for a site and give it, for the only time, as `hg_<id>_<secret>`."""
    key_id = new_id("key")
    secret = secrets.token_urlsafe(32)
    session.add(
        ApiKey(
            id=key_id,
            site_id=site_id,
            digest=_hash(secret),
            scopes=sorted(scopes),
            created_at=utc_now(),
        )
    )
    changes.note(session, site_id, f"key {key_id}", None, sorted(scopes), actor=actor)
    session.flush()
    return f"hg_{key_id.removeprefix('key_')}_{secret}"


def keys(session: Session, site_id: str) -> list[ApiKey]:
    """Give a site's keys, oldest first."""
    return list(
        session.scalars(select(ApiKey).where(ApiKey.site_id == site_id).order_by(ApiKey.id))
    )


def revoke_key(session: Session, site_id: str, key_id: str, *, actor: str = OPERATOR) -> None:
    """End a key's life; every request with it is refused within two seconds.

    Raises:
        NotFound: the site has no such live key.
    """
    revoked = session.execute(
        update(ApiKey)
        .where(ApiKey.id == key_id, ApiKey.site_id == site_id, ApiKey.revoked_at.is_(None))
        .values(revoked_at=db_now())
        .returning(ApiKey.scopes)
    ).first()
    if revoked is None:
        raise NotFound(f"there is no live key {key_id}")
    changes.note(session, site_id, f"key {key_id}", revoked.scopes, None, actor=actor)


def authenticate(session: Session, key: str) -> KeyView:
    """Tell whose key this is.

    Raises:
        Unauthenticated: it is not a key, or not a live one.
    """
    prefix, _, rest = key.partition("_")
    key_id, _, secret = rest.partition("_")
    if prefix == "hg" and key_id.isascii() and key_id.isalnum():
        row = session.get(ApiKey, f"key_{key_id}")
        if row is not None and hmac.compare_digest(row.digest, _hash(secret)):
            if row.revoked_at is not None:
                raise Unauthenticated("this key has been revoked")
            return KeyView(row.id, row.site_id, frozenset(Scope(scope) for scope in row.scopes))
    raise Unauthenticated("this is not a key of this server")


def note_use(session: Session, key_id: str) -> None:
    """Note that a key is used now; not to be called for each request."""
    session.execute(update(ApiKey).where(ApiKey.id == key_id).values(used_at=db_now()))


def _read_origins(written: list[str]) -> tuple[list[str], list[FieldError]]:
    """Give the origins as browsers send them, each once, and what is wrong with them."""
    origins = [_as_sent(origin) for origin in written]
    errors = [
        FieldError(
            f"/origins/{number}",
            f"“{origin}” is no origin; write it as https://example.org, without a path",
        )
        for number, origin in enumerate(origins)
        if not _ORIGIN.fullmatch(origin)
    ]
    return sorted(set(origins)), errors


def _taken(slug: str) -> FieldError:
    return FieldError("/slug", f"there is a site “{slug}” already")


def _as_sent(origin: str) -> str:
    """Leave out a default port, as browsers do in the Origin field (RFC 6454 section 6.1)."""
    return origin.removesuffix(":443" if origin.startswith("https:") else ":80")


def _hash(secret: str) -> str:
    # The secret is 256 random bits: a plain hash is as good as a slow one, and 1,000 times faster.
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()


def _view(site: Site) -> SiteView:
    policy = Policy.model_validate(site.policy)
    return SiteView(site.id, site.slug, site.name, frozenset(site.origins), policy)
