"""Reading the fields of a form, strictly, and showing a form again with what was wrong."""

from typing import Any

import flask
from flask import Response

from service.base.errors import FieldError, Invalid, RateLimited
from service.pure import text

_FIELD_MOST = 2000


def field(name: str) -> str:
    """Give a field as it was sent, empty if it was not.

    Raises:
        Invalid: it is too long or cannot be stored.
    """
    value = flask.request.form.get(name, "")
    fault = text.unstorable(value)
    if len(value) > _FIELD_MOST:
        fault = f"must have at most {_FIELD_MOST} characters"
    if fault:
        raise Invalid([FieldError(f"/{name}", fault)])
    return value


def again(template: str, error: Invalid | RateLimited, **values: Any) -> Response:
    """Show a form again with what was wrong; the status says that nothing was done."""
    if isinstance(error, RateLimited):
        seconds = error.retry_after_seconds
        faults = {"": f"Too many tries. The next one counts in {seconds} s."}
        answer = flask.make_response(flask.render_template(template, faults=faults, **values), 429)
        answer.headers["Retry-After"] = str(seconds)
        return answer
    faults = {fault.pointer.strip("/"): fault.message for fault in error.errors}
    return flask.make_response(flask.render_template(template, faults=faults, **values), 422)
