"""Front: what the server hands each request to, and where its answer comes from.

On the event loop of a web process, in this order: what was told a moment ago (`repeats`), the body
and a place at the gate (`bodies`, `admission`), a comment that comes as most do (`api.arrivals`).
All else is Flask's, in a thread. The one rule: nothing waits on the loop for a database, for Redis
or for a client; so nobody holds up anybody, and who waits costs no thread.

It is RSGI (https://github.com/emmett-framework/granian/blob/master/docs/spec/RSGI.md), the
server's own interface; Flask is called by WSGI (PEP 3333).
"""

import asyncio
import io
import logging
import sys
from collections.abc import Callable, Coroutine, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Protocol, TypeVar
from weakref import WeakValueDictionary

from service.api.arrivals import Arrivals
from service.base.config import Settings
from service.base.errors import Malformed, TooSlow
from service.base.loopback import PROBES
from service.ledger.db import new_id
from service.serving import bodies, connections, problems
from service.serving.admission import Admission, Place, rank_of, refusal
from service.serving.answers import Headers, Reply
from service.serving.gate import Overloaded
from service.serving.repeats import Repeats

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication, WSGIEnvironment
    from granian.rsgi import Scope

T = TypeVar("T")

log = logging.getLogger(__name__)

# For each place at the gate: what streams its answer has given its place back and goes on.
_THREADS_FOR_EACH_PLACE = 2
# Threads that nobody can hold, for probes.
_FREE_THREADS = 8
_BODILESS = (204, 304)
_BASE: "WSGIEnvironment" = {
    "SCRIPT_NAME": "",
    "wsgi.version": (1, 0),
    "wsgi.errors": sys.stderr,
    "wsgi.input_terminated": True,
    "wsgi.multithread": True,
    "wsgi.multiprocess": True,
    "wsgi.run_once": False,
}


class Transport(Protocol):
    """What the parts of an answer are sent by."""

    async def send_bytes(self, data: bytes) -> None:
        """Send a part; it waits until the client has taken enough of those before."""


class Exchange(bodies.Sender, Protocol):
    """What a request's body comes by and its answer goes by (RSGI's HTTP protocol)."""

    def response_bytes(self, status: int, headers: Headers, body: bytes) -> None:
        """Answer."""

    def response_stream(self, status: int, headers: Headers) -> Transport:
        """Begin to answer."""


class Front:
    """A web process, as its server sees it."""

    def __init__(
        self, settings: Settings, flask: "WSGIApplication", repeats: Repeats, arrivals: Arrivals
    ) -> None:
        """Set up.

        Args:
            settings: say how much is worked on at once.
            flask: answers what nothing else does.
            repeats: answers readers from memory.
            arrivals: takes in comments.
        """
        self._flask = flask
        self._repeats = repeats
        self._arrivals = arrivals
        self._bodies = bodies.Bodies()
        self._admission = Admission(settings)
        threads = settings.web_threads * _THREADS_FOR_EACH_PLACE + _FREE_THREADS
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="request")
        self._expects_reading = False
        # Of readers one of whose requests is being counted; gone with the last who waits.
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def __rsgi__(self, scope: "Scope", exchange: Exchange) -> None:
        """Answer a request."""
        environ = _environ(scope)
        if not self._expects_reading:
            # Only now it is certain that the server listens; later clients inherit it.
            self._expects_reading = True
            connections.expect_reading(int(environ["SERVER_PORT"]), bodies.WITHIN_SECONDS)
        reply = self._repeats.answer(environ)
        if not isinstance(reply, Reply):
            try:
                reply = await (
                    self._admit(environ, exchange)
                    if reply is None
                    else self._count(reply.subject, environ, exchange)
                )
            except Exception as error:  # noqa: BLE001 - a fault of ours is told and logged
                request_id = new_id("req")
                status, headers, content = problems.refusal(error, request_id)
                reply = Reply(status, [*headers, ("X-Request-Id", request_id)], content.encode())
        if reply is not None:
            exchange.response_bytes(*reply)

    async def _count(
        self, subject: str, environ: "WSGIEnvironment", exchange: Exchange
    ) -> Reply | None:
        """Have one request of a reader counted by its route, while the others of theirs wait.

        What that one brings is enough for some of them; a thread for each would be dearer.
        """
        turn = self._turns.get(subject)
        if turn is None:
            turn = self._turns[subject] = asyncio.Lock()
        async with turn:
            reply = self._repeats.answer(environ)
            return reply if isinstance(reply, Reply) else await self._admit(environ, exchange)

    async def _admit(self, environ: "WSGIEnvironment", exchange: Exchange) -> Reply | None:
        """Answer a request that has to be worked for; `None` if its answer was streamed."""
        if environ["PATH_INFO"] in PROBES:
            environ["wsgi.input"] = io.BytesIO()
            return await self._route(environ, exchange, None)
        try:
            # Before a place is taken, since it comes as slowly as its sender likes.
            environ["wsgi.input"] = await self._bodies.fetch(environ, exchange)
        except Overloaded as overload:
            return self._admission.refuse(overload, rank_of(environ))
        except (TooSlow, Malformed) as error:
            return refusal(error, [("Connection", "close")])
        place = await self._admission.enter(environ)
        if isinstance(place, Reply):
            return place
        try:
            taken = await self._arrivals.answer(environ)
            return await self._route(environ, exchange, place) if taken is None else taken
        finally:
            place.leave()

    async def _route(
        self, environ: "WSGIEnvironment", exchange: Exchange, place: Place | None
    ) -> Reply | None:
        loop = asyncio.get_running_loop()
        stream = partial(_Stream, loop, exchange, place)
        return await loop.run_in_executor(self._threads, self._call, environ, stream)

    def _call(
        self,
        environ: "WSGIEnvironment",
        stream: Callable[[int, Headers], "_Stream"],
    ) -> Reply | None:
        """Have Flask answer, in a thread of its own."""
        told: list[tuple[int, Headers]] = []

        def start(status: str, headers: Headers, _error: object = None) -> Callable[[bytes], None]:
            told.append((int(status.partition(" ")[0]), headers))
            return _write

        parts = self._flask(environ, start)
        try:
            status, headers = told[0]
            whole = environ["REQUEST_METHOD"] == "HEAD" or status in _BODILESS
            if whole or any(name == "Content-Length" for name, _ in headers):
                return Reply(status, headers, b"".join(parts))
            stream(status, headers).send(parts)
            return None
        finally:
            if (close := getattr(parts, "close", None)) is not None:
                close()


class _Stream:
    """An answer whose length is not known when it begins."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        exchange: Exchange,
        place: Place | None,
        status: int,
        headers: Headers,
    ) -> None:
        self._loop = loop
        self._exchange = exchange
        self._place = place
        self._status = status
        self._headers = headers

    def send(self, parts: Iterable[bytes]) -> None:
        """Send it part by part, as fast as the client takes it; from a thread."""
        transport = self._on_loop(self._begin())
        for part in parts:
            if not part:
                continue
            try:
                self._on_loop(self._send(transport, part))
            except RuntimeError as error:  # the server's own for a client who is gone
                log.debug("an answer was not taken to its end: %s", error)
                return

    async def _begin(self) -> Transport:
        if self._place is not None:
            self._place.leave()
        return self._exchange.response_stream(self._status, self._headers)

    async def _send(self, transport: Transport, part: bytes) -> None:
        await transport.send_bytes(part)

    def _on_loop(self, awaited: Coroutine[None, None, T]) -> T:
        return asyncio.run_coroutine_threadsafe(awaited, self._loop).result()


def _write(_data: bytes) -> None:
    raise NotImplementedError("Flask gives its answers as iterables (PEP 3333)")


def _environ(scope: "Scope") -> "WSGIEnvironment":
    """Give a request as WSGI has it; whoever reads its body first adds that."""
    environ = _BASE.copy()
    environ["REQUEST_METHOD"] = scope.method
    environ["PATH_INFO"] = scope.path.encode().decode("latin-1")
    environ["QUERY_STRING"] = scope.query_string
    environ["SERVER_PROTOCOL"] = f"HTTP/{scope.http_version}"
    environ["SERVER_NAME"], environ["SERVER_PORT"] = _host_and_port(scope.server)
    environ["REMOTE_ADDR"], environ["REMOTE_PORT"] = _host_and_port(scope.client)
    environ["wsgi.url_scheme"] = scope.scheme
    for name, value in scope.headers.items():
        key = name.upper().replace("-", "_")
        if key not in ("CONTENT_TYPE", "CONTENT_LENGTH"):
            key = f"HTTP_{key}"
        # Several fields of one name are one, with commas between (RFC 9110 section 5.3).
        environ[key] = f"{environ[key]},{value}" if key in environ else value
    if "HTTP_HOST" not in environ and scope.authority:
        environ["HTTP_HOST"] = scope.authority
    return environ


def _host_and_port(address: str) -> tuple[str, str]:
    host, _, port = address.rpartition(":")
    return host.strip("[]"), port
