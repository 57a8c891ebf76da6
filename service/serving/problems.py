"""Errors as answers: one table from exception to `application/problem+json` (RFC 9457).

The one rule: there is no second shape of an error. What is not in the table is our fault: it is
logged once with the request's id and answered with a 500 that tells nothing.
"""

import json
import logging
from typing import Any

import flask
from flask import Response
from pydantic import ValidationError
from werkzeug.exceptions import HTTPException

from service.base import errors
from service.base.errors import FieldError, HamgateError

log = logging.getLogger(__name__)

TYPE_BASE = "/problems/"

# exception → slug, status, title
TABLE: dict[type[HamgateError], tuple[str, int, str]] = {
    errors.Malformed: ("malformed", 400, "The body cannot be read"),
    errors.Unauthenticated: ("unauthenticated", 401, "Who are you?"),
    errors.Forbidden: ("forbidden", 403, "Not allowed"),
    errors.Closed: ("closed", 403, "Comments are closed"),
    errors.NotFound: ("not-found", 404, "Not found"),
    errors.TooSlow: ("too-slow", 408, "The body took too long"),
    errors.Stale: ("stale", 409, "It changed since you saw it"),
    errors.Duplicate: ("duplicate", 409, "External id taken"),
    errors.TooLarge: ("too-large", 413, "Too large"),
    errors.Unsupported: ("unsupported", 415, "Media type not taken"),
    errors.Invalid: ("invalid", 422, "Some fields are not as they should be"),
    errors.KeyReused: ("key-reused", 422, "Idempotency-Key used before"),
    errors.RateLimited: ("rate-limited", 429, "Too many requests"),
    errors.ProviderFault: ("provider-fault", 502, "The identity provider did not help"),
    errors.Unavailable: ("unavailable", 503, "Not available now"),
}
_INTERNAL = ("internal", 500, "Our fault")
# werkzeug's own refusals, such as a route that is not there or takes another method
_FOREIGN = {404: "not-found", 405: "method-not-allowed", 413: "too-large", 415: "unsupported"}
RETRY_AFTER_SECONDS = 2


def register(app: flask.Flask) -> None:
    """Have every error of the application answered from the table."""
    app.register_error_handler(HTTPException, _foreign)
    app.register_error_handler(Exception, _refused)


def answer(error: Exception) -> Response:
    """Give the answer to any error, for a face that shows it to people in its own way."""
    return _foreign(error) if isinstance(error, HTTPException) else _refused(error)


def describe(error: HamgateError) -> dict[str, Any]:
    """Give the members of a refusal's problem document, without the request's."""
    slug, status, title = TABLE[type(error)]
    problem: dict[str, Any] = {
        "type": TYPE_BASE + slug,
        "title": title,
        "status": status,
        "detail": str(error),
    }
    if isinstance(error, errors.Unavailable):  # why is for the log: it may name hosts and users
        problem["detail"] = "nothing was stored; try again in a moment"
    if isinstance(error, errors.Invalid):
        problem["errors"] = [
            {"pointer": fault.pointer, "message": fault.message} for fault in error.errors
        ]
    if isinstance(error, errors.Stale):
        problem["version"] = error.version
    return problem


def outside(error: HamgateError, request_id: str) -> tuple[int, bytes]:
    """Give a refusal's status and body where nothing was begun with the request."""
    problem = describe(error)
    return problem["status"], _body(problem, request_id).encode()


def invalid(error: ValidationError) -> errors.Invalid:
    """Give pydantic's findings as ours: every bad field at once, in words for people."""
    return errors.Invalid(
        [
            FieldError(_pointer(fault["loc"]), _message(fault["type"], fault["msg"], fault))
            for fault in error.errors(include_url=False)
        ]
    )


def _refused(error: Exception) -> Response:
    status, headers, content = refusal(error, flask.g.get("request_id"))
    return Response(content, status, headers)


def refusal(error: Exception, request_id: str) -> tuple[int, list[tuple[str, str]], str]:
    """Give status, headers and content of the answer to an error of ours, or of nobody's.

    Logs it once, if it is one that an operator has to know of.
    """
    headers = [("Content-Type", "application/problem+json")]
    if not isinstance(error, HamgateError):
        log.error("request %s failed", request_id, exc_info=error)
        slug, status, title = _INTERNAL
        told = {"type": TYPE_BASE + slug, "title": title, "status": status}
        return status, headers, _body(told, request_id)
    if isinstance(error, errors.RateLimited):
        headers.append(("Retry-After", str(error.retry_after_seconds)))
    elif isinstance(error, errors.Unavailable):
        log.error("request %s: %s", request_id, error)
        headers.append(("Retry-After", str(RETRY_AFTER_SECONDS)))
    elif isinstance(error, errors.Unsupported):  # RFC 9110 section 15.5.16
        headers.append(("Accept", "application/json"))
        headers.append(("Accept-Encoding", "identity"))
    elif isinstance(error, errors.Unauthenticated):
        headers.append(("WWW-Authenticate", 'Bearer realm="hamgate"'))
    problem = describe(error)
    return problem["status"], headers, _body(problem, request_id)


def _foreign(error: HTTPException) -> Response:
    status = error.code or 500
    if status == 500:
        return _refused(error)
    problem = {
        "type": TYPE_BASE + _FOREIGN.get(status, "malformed"),
        "title": error.name,
        "status": status,
        "detail": error.description or error.name,
    }
    answer = _answer(problem)
    for name, value in error.get_headers():
        if name.lower() == "allow":
            answer.headers[name] = value
    return answer


def _answer(problem: dict[str, Any]) -> Response:
    body = _body(problem, flask.g.get("request_id"))
    return Response(body, problem["status"], mimetype="application/problem+json")


def _body(problem: dict[str, Any], request_id: str) -> str:
    return json.dumps({**problem, "instance": f"urn:request:{request_id}"})


def _pointer(loc: tuple[int | str, ...]) -> str:
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in loc)


_WORDS = {
    "missing": "is required",
    "extra_forbidden": "is not a field of this request",
    "string_type": "must be text",
    "string_unicode": "must not contain half of a surrogate pair",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "bool_type": "must be true or false",
    "string_too_long": "must have at most {max_length} characters",
    "string_too_short": "must have at least {min_length} character(s)",
    "list_type": "must be a list",
    "too_long": "must have at most {max_length} entries",
    "too_short": "must have at least {min_length} entry",
    "enum": "must be one of {expected}",
    "literal_error": "must be one of {expected}",
    "timezone_aware": "must be a time with its zone, such as 2026-01-31T12:00:00Z",
    "datetime_from_date_parsing": "must be a time such as 2026-01-31T12:00:00Z",
    "datetime_parsing": "must be a time such as 2026-01-31T12:00:00Z",
    "datetime_type": "must be a time such as 2026-01-31T12:00:00Z",
}


def _message(kind: str, message: str, fault: Any) -> str:
    if kind in ("too_long", "too_short") and isinstance(fault["input"], str):
        kind = f"string_{kind}"  # pydantic's name where other checks of the text come first
    words = _WORDS.get(kind)
    if words is None:
        return message.removeprefix("Value error, ")
    return words.format(**fault.get("ctx", {}))
