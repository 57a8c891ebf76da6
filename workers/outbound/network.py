"""The network as webhooks may use it: names, connections, streams, each with its bounds.

The one rule: no socket is opened to an address that was not checked.
"""

import asyncio
import contextlib
import ipaddress
import os
import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from enum import StrEnum
from typing import Any

import httpcore2

from service.base.config import Settings
from service.pure import destinations
from service.pure.destinations import IpAddress

Resolver = Callable[[str], Awaitable[Sequence[IpAddress]]]

# Status line and headers, interim answers before them included; servers take 8 kB themselves.
_HEAD_MOST_BYTES = 16 * 1024
# All that comes in, framing included.
_ANSWER_MOST_BYTES = 64 * 1024
_TRIED_OF_EACH_VERSION = 2
# EAI_NODATA is not in POSIX any more, but glibc still says it.
_NOWHERE = {socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)}


class Failure(StrEnum):
    """Why an attempt has no status. Kept in the log of attempts: a value never changes meaning."""

    ADDRESS = "address"  # not to be used for webhooks; a name that leads nowhere looks the same
    RESOLVE = "resolve"  # the name could not be looked up just now
    CONNECT = "connect"
    TLS = "tls"
    TIMEOUT = "timeout"
    CLOSED = "closed"  # before an answer
    PROTOCOL = "protocol"
    TOO_LARGE = "too_large"  # its headers


class Fault(Exception):
    """An attempt ends here.

    Attributes:
        failure: what it is filed under.
        reason: for people, in our words.
    """

    def __init__(self, failure: Failure, reason: str) -> None:
        super().__init__(reason)
        self.failure = failure
        self.reason = reason


async def resolve(host: str) -> Sequence[IpAddress]:
    """Look a name up as everything on this machine does.

    In a thread of its own: one name server that does not answer then takes no thread from other
    names, and none from a process that is to end.

    Raises:
        OSError: as `socket.getaddrinfo` does.
    """
    loop = asyncio.get_running_loop()
    found: asyncio.Future[Sequence[IpAddress]] = loop.create_future()

    def tell(answer: Sequence[IpAddress] | OSError) -> None:
        if found.done():
            return
        if isinstance(answer, OSError):
            found.set_exception(answer)
        else:
            found.set_result(answer)

    def look() -> None:
        answer: Sequence[IpAddress] | OSError
        try:
            entries = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
            answer = [ipaddress.ip_address(entry[4][0]) for entry in entries]
        except OSError as error:
            answer = error
        with contextlib.suppress(RuntimeError):  # the loop has ended, and nobody waits
            loop.call_soon_threadsafe(tell, answer)

    threading.Thread(target=look, name=f"resolve {host}", daemon=True).start()
    return await found


class Names:
    """Looks each name up once at a time, however many ask; so a slow one takes one thread."""

    def __init__(self, resolve: Resolver) -> None:
        self._resolve = resolve
        self._asked: dict[str, asyncio.Future[Sequence[IpAddress]]] = {}

    async def look_up(self, host: str) -> Sequence[IpAddress]:
        """Give all addresses of a name.

        Raises:
            destinations.Refused: it has none.
            Fault: nobody could say.
        """
        asked = self._asked.get(host)
        if asked is None:
            asked = self._asked[host] = asyncio.ensure_future(self._resolve(host))
            asked.add_done_callback(lambda done: self._forget(host, done))
        try:
            return await asyncio.shield(asked)
        except OSError as error:
            if error.errno in _NOWHERE:
                raise destinations.Refused(f"{host} leads nowhere") from error
            raise Fault(Failure.RESOLVE, "its name could not be looked up") from error

    def close(self) -> None:
        """Give up what is still being looked up."""
        for asked in list(self._asked.values()):
            asked.cancel()

    def _forget(self, host: str, done: asyncio.Future[Sequence[IpAddress]]) -> None:
        del self._asked[host]
        if not done.cancelled():
            done.exception()  # seen, even where everybody who asked has given up


class CheckedNetwork(httpcore2.AsyncNetworkBackend):
    """Connects to where a host leads, if all of that may be connected to.

    By number, to an address that was checked: what the name leads to a moment later is nothing
    to it. The name stays in the certificate's check, in SNI and in Host.
    """

    def __init__(self, settings: Settings, names: Names, most_seconds: float) -> None:
        self._settings = settings
        self._names = names
        self._most_seconds = most_seconds
        self._network = httpcore2.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """Connect to the first checked address that takes it.

        Raises:
            destinations.Refused: not all addresses may be connected to; none was tried.
            Fault: none took the connection in time.
        """
        addresses = _literal(host) or await self._names.look_up(host)
        destinations.require(addresses, port, self._settings)
        tried = _some_of_each_version(addresses)
        ends_at = time.monotonic() + self._most_seconds
        why = ""
        for index, address in enumerate(tried):
            share = max(0.0, ends_at - time.monotonic()) / (len(tried) - index)
            try:
                stream = await self._network.connect_tcp(str(address), port, timeout=share)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                why = _errno_of(error) or f"not connected within {self._most_seconds:g} s"
            else:
                return BoundedStream(stream)
        raise Fault(Failure.CONNECT, why)


class BoundedStream(httpcore2.AsyncNetworkStream):
    """One connection, from which no more than an answer's most is read."""

    def __init__(self, inner: httpcore2.AsyncNetworkStream) -> None:
        self._inner = inner
        self._most = _HEAD_MOST_BYTES
        self._came = 0

    def expect_body(self) -> None:
        """Allow more, now that the headers are there."""
        self._most = _ANSWER_MOST_BYTES

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Give what came in, `b""` at the end.

        Raises:
            Fault: it is too much, or broken off.
        """
        if self._came >= self._most:
            raise Fault(Failure.TOO_LARGE, f"more than {self._most // 1024} kB")
        try:
            data = await self._inner.read(min(max_bytes, self._most - self._came), timeout)
        except ssl.SSLError as error:
            raise Fault(Failure.TLS, _tls_fault(error)) from error
        except httpcore2.ReadError as error:
            raise Fault(Failure.CLOSED, "it broke the connection off") from error
        if not data and self._came == 0:
            raise Fault(Failure.CLOSED, "it closed the connection without an answer")
        self._came += len(data)
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send all of it."""
        try:
            await self._inner.write(buffer, timeout)
        except ssl.SSLError as error:
            # What was written before may have been answered already: httpcore then reads.
            raise httpcore2.WriteError(error) from error

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """Speak TLS from here on.

        Raises:
            Fault: there is none, or its certificate is not believed.
        """
        try:
            return BoundedStream(await self._inner.start_tls(ssl_context, server_hostname, timeout))
        except httpcore2.ConnectError as error:
            raise Fault(Failure.TLS, _tls_fault(error.__cause__)) from error
        except BaseException:  # the time is over: httpcore leaves the socket open then
            await self._inner.aclose()
            raise

    async def aclose(self) -> None:
        """Close the connection at once, whatever the other side does."""
        await self._inner.aclose()

    def get_extra_info(self, info: str) -> Any:
        """Tell httpcore about the connection."""
        return self._inner.get_extra_info(info)


def _literal(host: str) -> list[IpAddress]:
    try:
        return [ipaddress.ip_address(host)]
    except ValueError:
        return []


def _some_of_each_version(addresses: Sequence[IpAddress]) -> list[IpAddress]:
    """Give those to try, in their order: a network without IPv6 still has its turn."""
    seen: Counter[int] = Counter()
    some = []
    for address in dict.fromkeys(addresses):
        seen[address.version] += 1
        if seen[address.version] <= _TRIED_OF_EACH_VERSION:
            some.append(address)
    return some


def _errno_of(error: BaseException | None) -> str:
    """Say what the system said, if it did."""
    while error is not None:
        if isinstance(error, OSError) and error.errno:
            return os.strerror(error.errno).lower()
        error = error.__cause__
    return ""


def _tls_fault(error: BaseException | None) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not believed: {error.verify_message}"
    if isinstance(error, ssl.SSLError) and error.reason:
        return f"no TLS with it: {error.reason.replace('_', ' ').lower()}"
    return "no TLS with it: it closed the connection"
