"""Errors as pages for people; scripts that ask for JSON get the same as programs.

The one rule: which error has which status is said in `service.serving.problems` alone.
"""

import flask
from flask import Blueprint
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response

from service.base.errors import HamgateError, Invalid, Unauthenticated
from service.dashboard import session
from service.serving import problems

_KEPT = ("Retry-After", "Allow")


def show(blueprint: Blueprint) -> None:
    """Have every error of a blueprint, and of all that is registered in it, shown as a page."""
    for kind in (HamgateError, HTTPException, Exception):
        blueprint.register_error_handler(kind, _page)


def wants_json() -> bool:
    """Whether a script of ours asks, and not a person who looks at pages."""
    return flask.request.accept_mimetypes.best == "application/json"


def _page(error: Exception) -> Response:
    answer = problems.answer(error)
    if wants_json():
        return answer
    if isinstance(error, Unauthenticated) and session.known() is None:
        back = flask.request.full_path.rstrip("?") if flask.request.method == "GET" else None
        back = session.own_path(back)
        return flask.redirect(flask.url_for("dashboard.signing.form", back=back), 303)
    problem = answer.get_json()
    faults = [fault.message for fault in error.errors] if isinstance(error, Invalid) else []
    page = flask.make_response(
        flask.render_template(
            "refused.html", problem=problem, faults=faults, request_id=flask.g.get("request_id")
        ),
        answer.status_code,
    )
    for name in _KEPT:
        if name in answer.headers:
            page.headers[name] = answer.headers[name]
    return page
