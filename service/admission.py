"""Admission: what a request has to pass before anything is done for it.

The one rule: probes always pass; everything else has a bounded number of threads, and beyond them
is told at once when to come again, for some 50 microseconds of our time. This is WSGI and not
Flask, since to make Flask's context is most of what a refusal would cost.
"""

import itertools
import logging
import threading
import time
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

from service import connections, metrics, problems
from service.bodies import READS, WITHIN_SECONDS, Bodies
from service.config import Settings
from service.db import new_id
from service.errors import HamgateError, Malformed, TooSlow, Unavailable
from service.gate import LINE_FOR_EACH_PLACE, PROBES, Gate, Overloaded, Rank

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

log = logging.getLogger("service.web")

# What begins so is followed by the slug of a site.
_OF_SITES = ("/api/v1/sites/", "/dashboard/sites/", "/sites/")
_SESSION = "hamgate="
_TELL_SECONDS = 1.0
_LOOK_EVERY_SECONDS = 1.0
# For each place in the gate: threads that read bodies, which may take its sender's time, and
# threads that nobody can hold, for probes and refusals.
_READING_FOR_EACH_PLACE = 1
_FREE_THREADS = 8


def threads(places: int) -> int:
    """Give how many threads a process needs, so that one is always free for a probe.

    Args:
        places: requests that are worked on at once.
    """
    return places * (1 + LINE_FOR_EACH_PLACE + _READING_FOR_EACH_PLACE) + _FREE_THREADS


class Admission:
    """The way to an application, for all threads of a process."""

    def __init__(self, settings: Settings) -> None:
        self._gate = Gate(settings.web_threads, settings.web_wait_seconds)
        self._bodies = Bodies(settings.web_threads * _READING_FOR_EACH_PLACE)
        self._lock = threading.Lock()
        self._refused: Counter[str] = Counter()
        self._tell_at = 0.0
        self._expects_reading = False
        self._turns = itertools.count()

    def __call__(
        self, environ: "WSGIEnvironment", start: "StartResponse", application: "WSGIApplication"
    ) -> Iterable[bytes]:
        """Answer a request: by the application, or that it is too much."""
        if not self._expects_reading:
            # Only now it is certain that the server listens; later clients inherit it.
            self._expects_reading = True
            connections.expect_reading(int(environ["SERVER_PORT"]), WITHIN_SECONDS)
        path: str = environ["PATH_INFO"]
        if path in PROBES:
            return application(environ, start)
        rank, site = rank_of(environ), site_of(path)
        try:
            # Before a place is taken, since it comes as slowly as its sender likes.
            body = self._bodies.fetch(environ)
            if body is not None:
                environ["wsgi.input"] = body
            waited = self._gate.enter(rank, site)
        except Overloaded as overload:
            return self._refuse(overload, rank, start)
        except (TooSlow, Malformed) as error:
            return _answer(error, [("Connection", "close")], start)
        try:
            if waited:
                metrics.WAITED.labels(rank.name.lower()).observe(waited)
            return application(environ, start)
        finally:
            # What is streamed (the export of a history) goes on in its thread, without a place.
            self._gate.leave(rank, site)

    def watch(self) -> None:
        """Have those hung up on who take too long, for as long as the process lives."""
        threading.Thread(target=self._watch, name="watch", daemon=True).start()

    def _watch(self) -> None:
        while True:
            time.sleep(_LOOK_EVERY_SECONDS)
            self._bodies.end_late()

    def _refuse(self, overload: Overloaded, rank: Rank, start: "StartResponse") -> Iterable[bytes]:
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
        return _answer(Unavailable(str(overload)), headers, start)

    def _tell(self, what: str) -> None:
        """Log what was refused, once a second: a line for each would make it worse."""
        with self._lock:
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


def _answer(
    error: HamgateError, headers: list[tuple[str, str]], start: "StartResponse"
) -> Iterable[bytes]:
    """Answer with an error what Flask has not begun with."""
    request_id = new_id("req")
    status, body = problems.outside(error, request_id)
    start(
        status,
        [
            ("Content-Type", "application/problem+json"),
            ("Content-Length", str(len(body))),
            ("Cache-Control", "no-store"),
            ("X-Content-Type-Options", "nosniff"),
            ("X-Request-Id", request_id),
            *headers,
        ],
    )
    return [body]


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
