"""What all pages without JavaScript share: who may send their forms, their headers, their errors.

The one rule: there are no cookies here, so a forged request could only lend its sender's address;
still a form is taken from our own pages alone.
"""

import gzip
from typing import Any

import flask
from flask import Blueprint, Response
from werkzeug.exceptions import HTTPException

from service.base.errors import HamgateError, Invalid, NotFound, RateLimited
from service.embed import words
from service.embed.words import Words
from service.serving import access, problems
from service.serving.here import here

_FORM_MOST_BYTES = 64 * 1024
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none';"
        " frame-ancestors 'none'"
    ),
    # Not no-referrer: with that, browsers send `Origin: null` with our own forms.
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_KEPT = ("Retry-After", "Allow")


def protect(blueprint: Blueprint) -> None:
    """Guard a blueprint, and show its errors as pages."""
    blueprint.before_request(_admit)
    blueprint.after_request(_close)
    for kind in (HamgateError, HTTPException, Exception):
        blueprint.register_error_handler(kind, _refused)


def render(template: str, status: int = 200, **context: Any) -> Response:
    """Give a page in the reader's language."""
    chosen = words.chosen()
    page = flask.render_template(
        template,
        words=chosen,
        say=chosen.say,
        version=words.bundle().version,
        lang=flask.request.args.get("lang"),
        **context,
    )
    answer = Response(page, status, mimetype="text/html")
    answer.content_language = chosen.language
    answer.vary.add("Accept-Language")
    return answer


def pack(answer: Response) -> Response:
    """Compress an answer for who understands that; never one that holds a secret (BREACH)."""
    answer.vary.add("Accept-Encoding")
    if flask.request.accept_encodings["gzip"] > 0:
        answer.data = gzip.compress(answer.data, 5, mtime=0)
        answer.content_encoding = "gzip"
    return answer


def lead(endpoint: str, *, said: str | None = None, **values: str) -> Response:
    """Lead on to a page in the language of this one.

    Args:
        endpoint: of the page.
        said: the message that it shall show.
        values: of its address.
    """
    lang = flask.request.args.get("lang")
    given: dict[str, Any] = {**values, "said": said, "lang": lang}
    target = flask.url_for(endpoint, **given)
    return flask.make_response(flask.redirect(target, 303))


def explain(error: Exception, chosen: Words) -> str:
    """Say what went wrong, in the reader's words where there are any."""
    problem: dict[str, Any] = problems.answer(error).get_json()
    kind = problem["type"].rpartition("/")[2]
    seconds = error.retry_after_seconds if isinstance(error, RateLimited) else 0
    return chosen.say(f"problem-{kind}", n=seconds) or problem.get("detail") or problem["title"]


def faults(error: HamgateError | None, chosen: Words) -> dict[str, str]:
    """Give by field what is wrong with it."""
    if not isinstance(error, Invalid):
        return {}
    return {
        fault.pointer[1:]: chosen.fault(fault.pointer[1:], fault.message) for fault in error.errors
    }


def _admit() -> None:
    request = flask.request
    if any("\x00" in str(part) for part in (request.view_args or {}).values()):
        raise NotFound("no id or slug holds a NUL")  # PostgreSQL would not even compare it
    request.max_content_length = _FORM_MOST_BYTES
    if request.method == "POST":
        access.check_own_origin(here().settings.own_origins)
    if request.endpoint != "pages.thread.submit":  # counts by itself, who knows e-mail and thread
        here().limits.hit_other()


def _close(answer: Response) -> Response:
    for name, value in _HEADERS.items():
        answer.headers.setdefault(name, value)
    return answer


def _refused(error: Exception) -> Response:
    told = problems.answer(error)
    page = render("problem.html", told.status_code, said=explain(error, words.chosen()))
    for name in _KEPT:
        if name in told.headers:
            page.headers[name] = told.headers[name]
    return page
