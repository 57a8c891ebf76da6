"""Admission: what a request has to pass before anything is done for it.

The one rule: probes always pass; of everything else so much is worked on at once and no more, and
beyond it one is told at once when to come again, for some 50 microseconds of our time.
"""

import itertools
import logging
import time
from collections import Counter
from typing import TYPE_CHECKING

from service.base.config import Settings
from service.base.errors import HamgateError, Unavailable
from service.ledger.db import new_id
from service.operations import metrics
from service.serving import problems
from service.serving.answers import Reply
from service.serving.bodies import READS
from service.serving.gate import Gate, Overloaded, Rank

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

log = logging.getLogger("service.web")

# What begins so is followed by the slug of a site.
_OF_SITES = ("/api/v1/sites/", "/dashboard/sites/", "/sites/")
_SESSION = "hamgate="
_TELL_SECONDS = 1.0


class Place:
    """A place at the gate, to be given back once."""

    def __init__(self, gate: Gate, rank: Rank, site: str) -> None:
        self._gate: Gate | None = gate
        self._rank = rank
        self._site = site

    def leave(self) -> None:
        """Give it back, unless it was."""
        gate, self._gate = self._gate, None
        if gate is not None:
            gate.leave(self._rank, self._site)


class Admission:
    """The way in, for all requests of a process."""

    def __init__(self, settings: Settings) -> None:
        self._gate = Gate(settings.web_threads, settings.web_wait_seconds)
        self._refused: Counter[str] = Counter()
        self._tell_at = 0.0
        self._turns = itertools.count()

    async def enter(self, environ: "WSGIEnvironment") -> Place | Reply:
        """Give a place, when there is one; or the answer that it is too much."""
        rank, site = rank_of(environ), site_of(environ["PATH_INFO"])
        try:
            waited = await self._gate.enter(rank, site)
        except Overloaded as overload:
            return self.refuse(overload, rank)
        if waited:
            metrics.WAITED.labels(rank.name.lower()).observe(waited)
        return Place(self._gate, rank, site)

    def refuse(self, overload: Overloaded, rank: Rank) -> Reply:
        """Count and tell that a request was refused, and give its answer."""
        name = rank.name.lower()
        metrics.SHEDS.labels(name, overload.why).inc()
        self._tell(f"{name} {overload.why}")
        # Who was refused together should not all come again together.
        again = 1 + next(self._turns) % (2 * problems.RETRY_AFTER_SECONDS - 1)
        headers = [
            ("Retry-After", str(again)),
            # It is the same for everybody, and the widget can say so only if it may read it.
            ("Access-Control-Allow-Origin", "*"),
            ("Access-Control-Expose-Headers", "Retry-After, X-Request-Id"),
        ]
        return refusal(Unavailable(str(overload)), headers)

    def _tell(self, what: str) -> None:
        """Log what was refused, once a second: a line for each would make it worse."""
        self._refused[what] += 1
        now = time.monotonic()
        if now < self._tell_at:
            return
        self._tell_at = now + _TELL_SECONDS
        told, self._refused = self._refused, Counter()
        log.warning(
            "too much at once; refused since the last such line: %s",
            ", ".join(f"{count} {name}" for name, count in sorted(told.items())),
        )


def refusal(error: HamgateError, headers: list[tuple[str, str]]) -> Reply:
    """Give the answer to a request of which nothing was begun.

    Args:
        error: why.
        headers: besides those that all such answers have.
    """
    request_id = new_id("req")
    status, body = problems.outside(error, request_id)
    return Reply(
        status,
        [
            ("Content-Type", "application/problem+json"),
            ("Content-Length", str(len(body))),
            ("Cache-Control", "no-store"),
            ("X-Content-Type-Options", "nosniff"),
            ("X-Request-Id", request_id),
            *headers,
        ],
        body,
    )


def rank_of(environ: "WSGIEnvironment") -> Rank:
    """Give who goes first. Who shows no session comes to the dashboard as everybody else.

    Whether the session is a good one is not known yet, so its rank has only half of the places.
    """
    if environ["PATH_INFO"].startswith("/dashboard/"):
        if _SESSION in environ.get("HTTP_COOKIE", ""):
            return Rank.DASHBOARD
    elif environ["REQUEST_METHOD"] not in READS:
        return Rank.SUBMIT
    return Rank.READ


def site_of(path: str) -> str:
    """Give the slug of the site that a path names, empty if it names none."""
    for beginning in _OF_SITES:
        if path.startswith(beginning):
            return path[len(beginning) :].partition("/")[0]
    return ""
