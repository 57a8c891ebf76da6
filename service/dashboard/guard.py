"""What every request to the dashboard passes, and what every answer carries.

The one rule: a request that changes something has to come from a page of ours, whatever page
module it is for. Checked here for all of them: the browser's own word (Fetch metadata, Origin)
and the form's token.
"""

import gzip

import flask
from flask import Blueprint, Response

from service.base.errors import Forbidden, NotFound
from service.dashboard import session
from service.serving import access
from service.serving.here import here

FORM_MOST_BYTES = 128 * 1024
CSRF_FIELD = "csrf_token"
CSRF_HEADER = "X-CSRF-Token"
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _CSP,
    "X-Frame-Options": "DENY",
    # Not no-referrer: with that, browsers send `Origin: null` with our own forms.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
# 1 to 9: 5 makes 9 kB of a full queue of 102.
_GZIP_LEVEL = 5
_HSTS = "max-age=31536000"


def protect(blueprint: Blueprint) -> None:
    """Guard a blueprint and all that is registered in it."""
    blueprint.before_request(_admit)
    blueprint.after_request(_close)


def _admit() -> None:
    request = flask.request
    here().limits.hit_other()
    if any("\x00" in str(part) for part in (request.view_args or {}).values()):
        raise NotFound("no id or slug holds a NUL")  # PostgreSQL would not even compare it
    request.max_content_length = FORM_MOST_BYTES
    if request.method not in _SAFE:
        # A browser that says nothing is let through to the token, which does not depend on it.
        access.check_own_origin(here().settings.own_origins)
        token = request.headers.get(CSRF_HEADER) or request.form.get(CSRF_FIELD, "")
        if not session.is_csrf_token(token):
            raise Forbidden(
                "This page was too old, or cookies are off. Go back, reload it and try again."
            )


def _close(answer: Response) -> Response:
    for name, value in _HEADERS.items():
        answer.headers.setdefault(name, value)
    if here().settings.public_url.startswith("https:"):
        answer.headers["Strict-Transport-Security"] = _HSTS
    if flask.request.endpoint == "dashboard.static":
        # Its address carries a digest of what is in it.
        answer.headers["Cache-Control"] = "public, max-age=31536000, immutable"
        return answer
    answer.headers["Cache-Control"] = "no-store"
    session.keep_browser(answer)
    _compress(answer)
    return answer


def _compress(answer: Response) -> None:
    """Make a page a tenth as long. Its token is salted anew each time, so lengths tell nothing."""
    answer.headers.add("Vary", "Accept-Encoding")
    if (
        answer.mimetype == "text/html"
        and not answer.is_streamed
        and flask.request.accept_encodings["gzip"] > 0
    ):
        answer.set_data(gzip.compress(answer.get_data(), compresslevel=_GZIP_LEVEL, mtime=0))
        answer.content_encoding = "gzip"
