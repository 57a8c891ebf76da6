"""Signing in with the operator's OpenID provider, and linking an account with it.

The one rule: who comes back has to have left from this browser, a moment ago, and only once. What
a way back needs to be known again is in a signed cookie; that it was used is in the ledger.
"""

import base64
import hmac
import json
import logging
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import flask
from flask import Blueprint
from werkzeug.wrappers import Response

from service.base.errors import (
    FieldError,
    HamgateError,
    Invalid,
    NotFound,
    ProviderFault,
    RateLimited,
    Unauthenticated,
)
from service.core import moderators
from service.core.moderators import Claimed, Person, Way
from service.dashboard import account, forms, session, signing
from service.ledger.db import utc_now
from service.serving.here import here

if TYPE_CHECKING:
    from service.core.openid import Provider

log = logging.getLogger(__name__)
blueprint = Blueprint("sign_on", __name__)

_COOKIE = "sign-on"
_PURPOSE = "hamgate sign-on"
_GOOD_FOR = timedelta(minutes=10)
_TOLD_MOST = 300
_LOST = (
    "This sign-in did not begin in this browser a moment ago, or another one was begun since."
    " Start again."
)


@dataclass(frozen=True, slots=True)
class _Trip:
    """A way to the provider, and what for.

    Attributes:
        back: the page to lead to after signing in.
        session_id: of who wants to link their account; `None` for who wants to sign in.
    """

    way: Way
    back: str | None
    session_id: str | None
    expires_at: datetime


@blueprint.post("/sign-in/provider")
def leave() -> Response:
    """Send the browser to the provider to sign in."""
    back = session.own_path(forms.field("back"))
    try:
        return _send(back=back)
    except ProviderFault as error:
        return _refused(error, back)


@blueprint.get("/sign-in/callback")
def come_back() -> Response:
    """Sign in, or link, whom the provider sent back."""
    trip = None
    try:
        trip = _taken()
        who = _who_left(trip)
        claimed = _claimed(trip.way)
        answer = _signed_in(trip, claimed) if who is None else _linked(who, claimed)
    except (ProviderFault, Unauthenticated, Invalid) as error:
        answer = _refused(error, trip.back if trip else None)
    if trip is not None:
        session.lend(answer, _COOKIE, "", 0)
    return answer


@blueprint.post("/account/link")
def link() -> Response:
    """Send the browser to the provider to link the account, after a look at the password.

    A stolen cookie or a forged form must not give the account another way in.
    """
    who = session.person()
    _provider()
    try:
        moderators.confirm(here().database, who, forms.field("present"), network=signing.network())
        return _send(session_id=who.session_id)
    except Invalid as error:
        fault = Invalid([FieldError("/present", one.message) for one in error.errors])
        return forms.again(account.TEMPLATE, fault, **account.shown())
    except RateLimited as error:
        return forms.again(account.TEMPLATE, error, **account.shown())
    except ProviderFault as error:
        return _refused(error)


@blueprint.post("/account/unlink")
def unlink() -> Response:
    """Let the provider open the account no longer; all other sessions end."""
    who = session.person()
    _provider()
    try:
        cookie = moderators.unlink(here().database, who, user_agent=session.user_agent())
    except Invalid as error:
        return forms.again(account.TEMPLATE, error, **account.shown())
    log.info("%s unlinked the identity provider", who.actor)
    return session.start(account.back("unlinked"), cookie, who.email)


def _provider() -> "Provider":
    provider = here().provider
    if provider is None:
        raise NotFound("no identity provider is set")
    return provider


def _send(*, back: str | None = None, session_id: str | None = None) -> Response:
    """Give a page that goes on to the provider by itself.

    A page and not a redirect: browsers hold redirects after a form to `form-action`, and the
    provider may send people on to hosts that nobody here knows.
    """
    trip = _Trip(Way.begin(), back, session_id, utc_now() + _GOOD_FOR)
    page = flask.render_template("leaving.html", address=_provider().address(trip.way))
    answer = flask.make_response(page)
    session.lend(answer, _COOKIE, _signed(trip), int(_GOOD_FOR.total_seconds()))
    return answer


def _taken() -> _Trip:
    """Give the way on which this browser comes back, and use it up.

    Raises:
        Unauthenticated: it did not leave on it, or not lately, or came back before.
    """
    _provider()
    trip = _read(session.lent(_COOKIE))
    state = flask.request.args.get("state", "")
    now = utc_now()
    if trip is None or trip.expires_at <= now:
        raise Unauthenticated(_LOST)
    if not hmac.compare_digest(trip.way.state.encode(), state.encode("utf-8", "replace")):
        raise Unauthenticated(_LOST)
    with here().database.transaction() as ledger:
        moderators.use_up(ledger, trip.way, trip.expires_at, now=now)
    return trip


def _who_left(trip: _Trip) -> Person | None:
    """Give who wants to link their account; `None` where somebody wants to sign in.

    Raises:
        Unauthenticated: the session in which they left has ended, whoever is there now.
    """
    if trip.session_id is None:
        return None
    who = session.current()
    if who is None or who.session_id != trip.session_id:
        raise Unauthenticated(_LOST)
    return who


def _claimed(way: Way) -> Claimed:
    asked = flask.request.args
    if "error" in asked:
        raise ProviderFault(f"it sent back the error {asked['error']!r}")
    return _provider().identify(way, code=asked.get("code", ""), issuer=asked.get("iss"))


def _signed_in(trip: _Trip, claimed: Claimed) -> Response:
    try:
        cookie, email = moderators.sign_in_as(
            here().database, claimed, user_agent=session.user_agent()
        )
    except Unauthenticated:
        word = "no verified" if claimed.email is None else "a verified"
        log.info("an identity with %s address is linked to nobody", word)
        raise
    answer = flask.redirect(signing.target(trip.back), 303)
    return session.start(answer, cookie, email)


def _linked(who: Person, claimed: Claimed) -> Response:
    cookie = moderators.link(here().database, who, claimed, user_agent=session.user_agent())
    log.info("%s linked the identity provider", who.actor)
    return session.start(account.back("linked"), cookie, who.email)


def _refused(error: HamgateError, back: str | None = None) -> Response:
    """Say what went wrong, on the page from which the browser left."""
    fault = error if isinstance(error, Invalid) else Invalid([FieldError("", str(error))])
    if isinstance(error, ProviderFault):
        log.warning("the identity provider: %s", str(error)[:_TOLD_MOST])
        name = here().settings.oidc_name
        told = f"Signing in with {name} did not work. Try again in a moment; the log says why."
        if flask.request.args.get("error") == "access_denied":
            told = f"You were not signed in with {name}: you said no there, or it did."
        fault = Invalid([FieldError("", told)])
    if session.current() is not None:
        answer = forms.again(account.TEMPLATE, fault, **account.shown())
    else:
        answer = forms.again("sign_in.html", fault, email="", back=back)
    if isinstance(error, ProviderFault):
        answer.status_code = 502
    return answer


def _signed(trip: _Trip) -> str:
    way = trip.way
    values = [
        *(way.state, way.nonce, way.verifier, trip.back, trip.session_id),
        int(trip.expires_at.timestamp()),
    ]
    text = base64.urlsafe_b64encode(json.dumps(values).encode()).decode()
    return f"{text}.{here().access.mac(_PURPOSE, text)}"


def _read(cookie: str) -> _Trip | None:
    text, _, mac = cookie.partition(".")
    if not here().access.seals.is_mac(mac, _PURPOSE, text):
        return None
    state, nonce, verifier, back, session_id, expires = json.loads(base64.urlsafe_b64decode(text))
    return _Trip(
        Way(state, nonce, verifier), back, session_id, datetime.fromtimestamp(expires, UTC)
    )
