"""Arrivals: comments that come as most of them do, taken in before Flask begins.

The one rule: it says what `service.api.comments.create` would say, header by header. What is out
of the ordinary it leaves to that route, before anything was counted: a caller who was not looked up
a moment ago, a body that is not as it should be, an answer that shall wait for the decision.

Flask's context would be a third of what a comment costs.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from service.api import parsing, schemas, submitting
from service.base.errors import HamgateError
from service.core.comments import Accepted
from service.serving import limits, problems
from service.serving.access import Caller
from service.serving.answers import OF_SITE, Asked, Reply, slug_in
from service.serving.here import Here
from service.serving.intake import Arrival
from service.serving.limits import Count

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

_BEHIND = "/comments"
_ROUTE = f"{OF_SITE}<site>{_BEHIND}"


@dataclass(frozen=True, slots=True)
class _Arrived:
    """A comment that can be taken in."""

    asked: Asked
    caller: Caller
    arrival: Arrival


class Arrivals:
    """Takes in comments, for all that a process is asked at once."""

    def __init__(self, parts: Here) -> None:
        self._parts = parts

    async def answer(self, environ: "WSGIEnvironment") -> Reply | None:
        """Answer a request; `None` if it is for the routes to answer."""
        arrived = self._read(environ)
        if arrived is None:
            return None
        counts: Sequence[Count] = ()
        try:
            outcome = await self._parts.intake.take(arrived.arrival)
            if outcome.counts is not None:
                counts = outcome.counts
                limits.refuse_if_full(counts)
        except Exception as error:  # noqa: BLE001 - told and logged as the routes tell and log it
            status, headers, content = problems.refusal(error, arrived.asked.request_id)
            return _answer(arrived, counts, status, headers, content)
        if outcome.accepted is None:
            return None  # Redis is gone: the routes can do without
        return self._accept(arrived, counts, outcome.accepted)

    def _read(self, environ: "WSGIEnvironment") -> _Arrived | None:
        """Give what was sent; `None` if it is not for us, or not as it should be."""
        path: str = environ["PATH_INFO"]
        slug = slug_in(path, _BEHIND)
        if slug is None or environ["REQUEST_METHOD"] != "POST" or "HTTP_PREFER" in environ:
            return None
        parts = self._parts
        caller = parts.access.known_submitter(slug, environ)
        if caller is None or parts.settings.email_deliverability:
            return None
        asked = Asked("POST", path, environ.get("HTTP_TRACEPARENT"))
        body: io.BytesIO = environ["wsgi.input"]
        try:
            parsing.check_coding(environ)
            sent = parsing.parse(submitting.schema_of(caller), body.getvalue())
            key = submitting.idempotency_key(caller, environ)
        except HamgateError:
            return None  # the route finds the same, counts it, and says what is wrong
        submission = submitting.describe(parts, caller, sent, key, environ)
        arrival = submitting.arrival(parts, caller, submission, sent.altcha, environ)
        return _Arrived(asked, caller, arrival)

    def _accept(self, arrived: _Arrived, counts: Sequence[Count], accepted: Accepted) -> Reply:
        receipt = self._parts.access.receipt(accepted.id)
        told = schemas.Accepted(id=accepted.id, status=accepted.status, receipt=receipt)
        headers = [
            ("Content-Type", "application/json"),
            ("Location", f"/api/v1/comments/{accepted.id}"),
        ]
        return _answer(
            arrived, counts, 202, headers, told.model_dump_json(), comment_id=accepted.id
        )


def _answer(
    arrived: _Arrived,
    counts: Sequence[Count],
    status: int,
    headers: list[tuple[str, str]],
    content: str,
    *,
    comment_id: str | None = None,
) -> Reply:
    body = content.encode()
    headers += [
        ("Content-Length", str(len(body))),
        ("Cache-Control", "no-store"),
        ("Vary", "Origin"),
    ]
    headers += arrived.asked.answered(
        status,
        _ROUTE,
        counts=counts,
        allowed_origin=arrived.caller.origin,
        comment_id=comment_id,
    )
    return Reply(status, headers, body)
