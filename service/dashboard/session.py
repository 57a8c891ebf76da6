"""Who is at the dashboard: the cookie, the person, and what they may see.

The one rule: a site one is not a member of is not there.
"""

import re
import secrets
from typing import cast

import flask
from werkzeug.wrappers import Response

from service.base.errors import Forbidden, NotFound, Unauthenticated
from service.core import moderators, sites
from service.core.moderators import Person, Role, fold
from service.core.sites import SiteView
from service.serving.here import here

_COOKIE_SECONDS = 90 * 86400
_CSRF, _DEVICE = "hamgate csrf", "hamgate device"
_DEVICE_SECONDS = 365 * 86400
_UNASKED = object()
# Where a sign-in may lead: a page of the dashboard, never another host.
_OWN_PATH = re.compile(r"/dashboard/[\w\-./?=&%~]*")


def person() -> Person:
    """Give who is signed in.

    Raises:
        Unauthenticated: nobody.
    """
    found = current()
    if found is None:
        raise Unauthenticated("Sign in to see this page.")
    return found


def require(slug: str, role: Role) -> tuple[SiteView, Person]:
    """Give the site and who is signed in, if they may do there what `role` may.

    Raises:
        Unauthenticated: nobody is signed in.
        NotFound: no such site, or none of this person's.
        Forbidden: their role on it is not enough.
    """
    who = person()
    # Never from memory: who has just changed a setting has to see it changed.
    with here().database.reading() as session:
        site = sites.find(session, slug)
    if site.id not in who.roles:
        raise NotFound(f"there is no site “{slug}”")
    flask.g.dashboard_site = site
    if not who.may(site.id, role):
        raise Forbidden(f"On {site.name} this needs the role “{role}”; ask an owner.")
    return site, who


def current() -> Person | None:
    """Give who is signed in, `None` if nobody is; asks the ledger once for each request."""
    if flask.g.get("dashboard_person", _UNASKED) is _UNASKED:
        cookie = flask.request.cookies.get(_name())
        flask.g.dashboard_person = cookie and moderators.session_of(here().database, cookie)
    return known()


def known() -> Person | None:
    """Give who is signed in as far as it was asked already, for pages that must not fail."""
    return cast(Person | None, flask.g.get("dashboard_person") or None)


def own_path(path: str | None) -> str | None:
    """Give the path if it is a page of the dashboard, else `None`."""
    return path if path and _OWN_PATH.fullmatch(path) and ".." not in path else None


def user_agent() -> str | None:
    """Give what the browser calls itself."""
    return flask.request.headers.get("User-Agent")


def start(answer: Response, cookie: str, email: str) -> Response:
    """Have the browser keep a session that was just opened; one it had before ends."""
    before = flask.request.cookies.get(_name())
    if before is not None:
        with here().database.transaction() as session:
            moderators.sign_out(session, before)
    _set(answer, _name(), cookie, _COOKIE_SECONDS)
    mark = secrets.token_urlsafe(12)
    mac = here().access.mac(_DEVICE, _device_text(mark, email))
    _set(answer, _name("device"), f"{mark}.{mac}", _DEVICE_SECONDS)
    return answer


def end(answer: Response) -> Response:
    """Have the browser forget its session, of which the ledger knows nothing any more."""
    answer.delete_cookie(_name(), path="/", secure=_over_https(), httponly=True, samesite="Lax")
    return answer


def lend(answer: Response, of: str, value: str, seconds: int) -> None:
    """Have the browser keep a value of ours for a while; empty for no longer."""
    _set(answer, _name(of), value, seconds if value else 0)


def lent(of: str) -> str:
    """Give back such a value, which the browser may have made up."""
    return flask.request.cookies.get(_name(of), "")


def device(email: str) -> str | None:
    """Give what marks this browser, if this account was used in it before."""
    mark, _, mac = flask.request.cookies.get(_name("device"), "").partition(".")
    if mark and here().access.seals.is_mac(mac, _DEVICE, _device_text(mark, email)):
        return mark
    return None


def csrf_token() -> str:
    """Give the token of all forms of this page, bound to the session or to the browser.

    Salted, so that it differs on each page and compression tells nothing of it (BREACH).
    """
    if "dashboard_csrf" not in flask.g:
        salt = secrets.token_hex(8)
        mac = here().access.mac(_CSRF, f"{salt}:{_bound_to() or _new_browser()}")
        flask.g.dashboard_csrf = f"{salt}.{mac}"
    return cast(str, flask.g.dashboard_csrf)


def is_csrf_token(token: str) -> bool:
    """Whether a token was made for this session or browser."""
    salt, _, mac = token.partition(".")
    bound_to = _bound_to()
    if bound_to is None:
        return False
    return here().access.seals.is_mac(mac, _CSRF, f"{salt}:{bound_to}")


def keep_browser(answer: Response) -> None:
    """Have the browser keep the value that a page for somebody not signed in is bound to."""
    value = flask.g.get("dashboard_browser")
    if value is not None and not any(
        cookie.startswith(f"{_name()}=") for cookie in answer.headers.getlist("Set-Cookie")
    ):
        _set(answer, _name(), value, None)


def _bound_to() -> str | None:
    """Give what this request's forms belong to: the session's id, which outlives no sign-in."""
    who = current()
    if who is not None:
        return who.session_id
    return flask.request.cookies.get(_name()) or flask.g.get("dashboard_browser")


def _new_browser() -> str:
    # It names no session, and sign-in puts a new value in its place.
    value = secrets.token_urlsafe(32)
    flask.g.dashboard_browser = value
    return value


def _device_text(mark: str, email: str) -> str:
    return f"{mark}:{fold(email)}"


def _over_https() -> bool:
    return here().settings.public_url.startswith("https:")


def _name(of: str = "") -> str:
    """Give a cookie's name.

    With the prefix a browser takes it only from this host, over https, for all paths (RFC 6265bis
    section 4.1.3.2). Without https, on a developer's own machine, it would not take it at all.
    """
    name = f"hamgate-{of}" if of else "hamgate"
    return f"__Host-{name}" if _over_https() else f"{name}-over-plain-http"


def _set(answer: Response, name: str, value: str, seconds: int | None) -> None:
    answer.set_cookie(
        name,
        value,
        max_age=seconds,
        path="/",
        secure=_over_https(),
        httponly=True,
        samesite="Lax",
    )
