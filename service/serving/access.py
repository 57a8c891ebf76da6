"""Who is asking: a browser on one of the site's origins, a key, or an author with a receipt.

The one rule: another site's things are not there. A key finds only what is its own site's, and
what it may not see is a 404, so that existence is not confirmed.
"""

import functools
import hashlib
import ipaddress
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import flask

from service.base.config import Settings
from service.base.errors import Forbidden, NotFound, Unauthenticated, Unavailable
from service.base.memory import Memory
from service.base.values import IpNetwork
from service.core import sites
from service.core.sites import KeyView, Scope, SiteView
from service.ledger.db import Database
from service.pure.seals import Seals

log = logging.getLogger(__name__)

# A revoked key or a changed origin list takes effect everywhere within this time.
_REMEMBER_SECONDS = 2.0
# Each process notes the use of a key so often, instead of writing for each request.
_USE_NOTED_SECONDS = 3600.0
_RECEIPT = "hamgate receipt"
_RECEIPT_PREFIX = "rcp_"
# Parsing an address takes as long as all else that is asked about it.
_ADDRESSES_MOST = 1024
# Some proxies write the port too: 192.0.2.1:4711, [2001:db8::1]:4711.
_HOP = re.compile(r"\[([0-9a-fA-F:.]+)\](?::\d{1,5})?|([0-9.]+):\d{1,5}")


@dataclass(frozen=True, slots=True)
class Caller:
    """Who submits to which site: with a key, or from a browser on `origin`."""

    site: SiteView
    key: KeyView | None
    origin: str | None

    @property
    def name(self) -> str:
        """What tells callers of one site apart, for idempotency keys."""
        return self.key.id if self.key else "browser"


class Access:
    """Answers who is asking, for one application."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self._proxies = settings.trusted_proxies
        self.seals = Seals(settings.signing_key(), settings.previous_signing_key())
        self._database = database
        self._sites: Memory[SiteView] = Memory(_REMEMBER_SECONDS)
        self._sites_by_id: Memory[SiteView] = Memory(_REMEMBER_SECONDS)
        self._keys: Memory[KeyView] = Memory(_REMEMBER_SECONDS)
        self._uses: Memory[None] = Memory(_USE_NOTED_SECONDS)

    def site(self, slug: str) -> SiteView:
        """Give the site with this slug.

        Raises:
            NotFound: there is none.
        """

        def look_up() -> SiteView:
            with self._database.reading() as session:
                return sites.find(session, slug)

        return self._sites.get(slug, look_up)

    def known_site(self, slug: str) -> SiteView | None:
        """Give the site with this slug if it was looked up a moment ago."""
        return self._sites.known(slug)

    def known_submitter(self, slug: str, environ: Mapping[str, Any]) -> Caller | None:
        """Tell who wants to submit, by what was looked up a moment ago; see `submitter`.

        Args:
            slug: the site's.
            environ: of a request that Flask has not begun with.

        Returns:
            `None` if it is not known, or not one who may.
        """
        site = self._sites.known(slug)
        if site is None:
            return None
        authorization = environ.get("HTTP_AUTHORIZATION")
        if authorization is None:
            origin = environ.get("HTTP_ORIGIN")
            return Caller(site, None, origin) if origin in site.origins else None
        scheme, _, token = authorization.partition(" ")
        key = self._keys.known(_token_digest(token.strip())) if scheme.lower() == "bearer" else None
        if key is None or key.site_id != site.id or Scope.SUBMIT not in key.scopes:
            return None
        return Caller(site, key, None)

    def site_by_id(self, site_id: str) -> SiteView:
        """Give the site with this id, which must be there."""

        def look_up() -> SiteView:
            with self._database.reading() as session:
                return sites.find_by_id(session, site_id)

        return self._sites_by_id.get(site_id, look_up)

    def key(self) -> KeyView | None:
        """Give the key of the current request, `None` if it has none.

        Raises:
            Unauthenticated: it has one that is not valid, or a broken Authorization header.
        """
        token = _credentials("bearer")
        if token is None:
            return None

        def look_up() -> KeyView:
            with self._database.reading() as session:
                found = sites.authenticate(session, token)
            self._uses.get(found.id, lambda: self._note_use(found.id))
            return found

        return self._keys.get(_token_digest(token), look_up)

    def submitter(self, slug: str) -> Caller:
        """Tell who wants to submit a comment to a site.

        Raises:
            Unauthenticated: neither a key nor an Origin header.
            Forbidden: an origin that is not the site's, or a key without scope `submit`.
            NotFound: no such site, or not the key's.
        """
        key = self.key()
        if key is not None:
            return Caller(self._keyed_site(key, slug, Scope.SUBMIT), key, None)
        site = self.site(slug)
        origin = flask.request.headers.get("Origin")
        if origin is None:
            raise Unauthenticated("send a key, or submit from a page of the site")
        if not allow_origin(site):
            raise Forbidden(f"{origin} is not an origin of this site")
        return Caller(site, None, origin)

    def keyholder(self, slug: str, scope: Scope) -> tuple[SiteView, KeyView]:
        """Tell whose key this is, where only a key will do.

        Raises:
            Unauthenticated: no valid key.
            Forbidden: the key lacks the scope.
            NotFound: no such site, or not the key's.
        """
        key = self.any_key(scope)
        return self._keyed_site(key, slug, scope), key

    def any_key(self, scope: Scope | None = None) -> KeyView:
        """Give the key of the current request, whichever site it belongs to.

        Raises:
            Unauthenticated: no valid key.
            Forbidden: the key lacks the scope.
        """
        key = self.key()
        if key is None:
            raise Unauthenticated("this needs a key: Authorization: Bearer hg_…")
        if scope is not None and scope not in key.scopes:
            raise Forbidden(f"this key lacks the scope “{scope}”")
        return key

    def receipt(self, comment_id: str) -> str:
        """Make the token that lets the author of a comment see it again."""
        return _RECEIPT_PREFIX + self.mac(_RECEIPT, comment_id)

    def reader(self, comment_id: str) -> str:
        """Give what tells readers of one comment apart, and says nothing about them elsewhere."""
        subject = limit_subject(self.client_address())
        return self.mac("hamgate reader", f"{comment_id} {subject}")

    def mac(self, purpose: str, text: str) -> str:
        """Sign a text, to know it again; see `Seals.mac`."""
        return self.seals.mac(purpose, text)

    def holds_receipt(self, comment_id: str) -> bool:
        """Whether the current request carries the receipt of this comment."""
        shown = _credentials("receipt") or flask.request.args.get("receipt")
        if shown is None or not shown.startswith(_RECEIPT_PREFIX):
            return False
        return self.seals.is_mac(shown.removeprefix(_RECEIPT_PREFIX), _RECEIPT, comment_id)

    def client_address(self) -> str | None:
        """Give the client's IP address: the right-most hop that is not a trusted proxy."""
        if "client_address" not in flask.g:
            flask.g.client_address = self.address_of(flask.request.environ)
        address: str | None = flask.g.client_address
        return address

    def address_of(self, environ: Mapping[str, Any]) -> str | None:
        """Give the same of a request that Flask has not begun with."""
        # WSGI has several fields of one name as one, with commas between.
        forwarded_for = environ.get("HTTP_X_FORWARDED_FOR", "")
        return client_address(environ.get("REMOTE_ADDR"), [forwarded_for], self._proxies)

    def _note_use(self, key_id: str) -> None:
        try:
            with self._database.transaction() as session:
                sites.note_use(session, key_id)
        except Unavailable as error:  # who only reads is not sent away for it
            log.warning("could not note that %s was used: %s", key_id, error)

    def _keyed_site(self, key: KeyView, slug: str, scope: Scope) -> SiteView:
        site = self.site(slug)
        if site.id != key.site_id:
            raise NotFound(f"there is no site “{slug}”")
        if scope not in key.scopes:
            raise Forbidden(f"this key lacks the scope “{scope}”")
        return site


def check_own_origin(own: Sequence[str]) -> None:
    """Refuse a form of which the browser itself says that it came from elsewhere.

    Args:
        own: the origins of this server.

    Raises:
        Forbidden: it did. A browser that says nothing is believed.
    """
    fetch_site = flask.request.headers.get("Sec-Fetch-Site", "same-origin")
    origin = flask.request.headers.get("Origin")
    if fetch_site != "same-origin" or (origin is not None and origin not in own):
        raise Forbidden(
            "This request came from another site. If it came from here, HAMGATE_URL is not the"
            " address in your browser."
        )


def allow_origin(site: SiteView) -> bool:
    """Whether the request's Origin is on the site's list; if so, the answer will say so (CORS)."""
    origin = flask.request.headers.get("Origin")
    if origin is None or origin not in site.origins:
        return False
    flask.g.allowed_origin = origin
    return True


def allowed_origin() -> str | None:
    """Give the Origin whose page may read the answer, if one was allowed to."""
    origin: str | None = flask.g.get("allowed_origin")
    return origin


def client_address(
    peer: str | None, forwarded_for: Sequence[str], proxies: Sequence[IpNetwork]
) -> str | None:
    """Give the right-most hop outside the trusted proxies, in canonical form.

    Args:
        peer: who is connected to us.
        forwarded_for: the X-Forwarded-For fields, in order; believed only from trusted hops.
        proxies: networks of the trusted proxies.

    Returns:
        The address, with IPv4 in IPv6 unwrapped; `None` if even the peer's is not an address.
    """
    hops = [hop.strip() for field in forwarded_for for hop in field.split(",")]
    address = _address(peer)
    while address is not None and hops and any(address in network for network in proxies):
        claimed = _address(hops.pop())
        if claimed is None:  # a trusted proxy wrote nonsense: the proxy itself is who we know
            break
        address = claimed
    return None if address is None else str(address)


@functools.lru_cache(maxsize=_ADDRESSES_MOST)
def limit_subject(address: str | None) -> str:
    """Give what a limit by address counts: an IPv4 address, or an IPv6 /64, which one home has."""
    if address is None:
        return "unknown"
    parsed = ipaddress.ip_address(address)
    if parsed.version == 6:
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)


@functools.lru_cache(maxsize=_ADDRESSES_MOST)
def _address(text: str | None) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    match = _HOP.fullmatch(text or "")
    try:
        parsed = ipaddress.ip_address((match[1] or match[2]) if match else text or "")
    except ValueError:
        return None
    if parsed.version == 4:
        return parsed
    return parsed.ipv4_mapped or ipaddress.IPv6Address(int(parsed))  # without the zone's name


def _token_digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()


def _credentials(scheme: str) -> str | None:
    header = flask.request.headers.get("Authorization")
    if header is None:
        return None
    given, _, token = header.partition(" ")
    if given.lower() == scheme:
        return token.strip()
    if given.lower() not in ("bearer", "receipt"):
        raise Unauthenticated("write the header as Authorization: Bearer hg_…")
    return None
