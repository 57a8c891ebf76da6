"""Requests to strangers: the only HTTP client of the project, for webhooks alone.

The one rule: no socket is opened to an address that was not checked, and nothing of what the
other side does is followed, waited for or read without a limit, nor raised.
"""

import asyncio
import codecs
import datetime as dt
import email.utils
import logging
import ssl
import time
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import httpcore2

from service.base.config import Settings
from service.base.errors import ConfigError
from service.pure import destinations
from service.pure.destinations import Destination
from workers.outbound.network import CheckedNetwork, Failure, Fault, Names, Resolver, resolve

__all__ = ["Answer", "Failure", "Outbound", "Resolver", "resolve"]

log = logging.getLogger(__name__)

_MOST_SECONDS = 10.0
_CONNECT_MOST_SECONDS = 4.0
_EXCERPT_BYTES = 1024
# Each chunk costs 50 µs, however small, and while they are there nobody else has a turn.
_PIECES_MOST = 1000
# The longest step of the Standard Webhooks schedule.
_RETRY_AFTER_MOST_SECONDS = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of one attempt.

    Attributes:
        status: of the answer; `None` if there was none.
        failure: why there was none. Whatever happens after the headers changes the status no
            more: the receiver has said what it has to say.
        reason: for people, in our words: of the failure, or why the body is not whole.
        excerpt: the first kilobyte of the body, without control characters.
        retry_after_seconds: when the receiver asks to be asked again, at most a day.
        duration_ms: from the call on.
    """

    status: int | None
    failure: Failure | None
    reason: str
    excerpt: str
    retry_after_seconds: float | None
    duration_ms: int


class Outbound:
    """Posts to webhooks; one for each process, on one event loop.

    Each attempt has a connection of its own, so that each is checked, and none inherits what
    another left behind.

    Args:
        settings: what is allowed, and which authorities are believed.
        resolve: gives all addresses of a name.
        tls: instead of the system's and the settings' authorities.
        most_seconds: how long an attempt may take in all, whatever drips in.
        connect_seconds: of these, how long connecting may take.

    Raises:
        ConfigError: the file of authorities cannot be used.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        resolve: Resolver = resolve,
        tls: ssl.SSLContext | None = None,
        most_seconds: float = _MOST_SECONDS,
        connect_seconds: float = _CONNECT_MOST_SECONDS,
    ) -> None:
        self._settings = settings
        self._tls = tls or _authorities(settings)
        self._most_seconds = most_seconds
        self._names = Names(resolve)
        self._network = CheckedNetwork(settings, self._names, connect_seconds)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._names.close()

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Make one attempt; whatever the other side does, there is an answer in time.

        Args:
            url: of the endpoint; checked anew.
            body: sent as it is.
            headers: to send, Content-Type among them.
        """
        started = time.monotonic()
        heard = _Heard()
        failure: Failure | None = None
        reason = ""
        try:
            async with asyncio.timeout(self._most_seconds):
                await self._exchange(url, body, headers, heard)
        except Fault as fault:
            failure, reason = fault.failure, fault.reason
        except destinations.Refused as refusal:
            log.warning("a webhook to %s was not sent: %s", ascii(url[:200]), refusal.detail)
            failure, reason = Failure.ADDRESS, str(refusal)
        except TimeoutError:
            failure, reason = Failure.TIMEOUT, f"not done within {self._most_seconds:g} s"
        except httpcore2.RemoteProtocolError:
            failure, reason = Failure.PROTOCOL, "what it sent is not HTTP"
        if heard.status is not None and failure is not None:
            failure, reason = None, f"the rest of its answer was left: {reason}"
        return Answer(
            status=heard.status,
            failure=failure,
            reason=reason,
            excerpt=heard.excerpt(),
            retry_after_seconds=heard.retry_after_seconds,
            duration_ms=round((time.monotonic() - started) * 1000),
        )

    async def _exchange(
        self, url: str, body: bytes, headers: Mapping[str, str], heard: "_Heard"
    ) -> None:
        destination = destinations.parse(url, self._settings)
        # Given in parts: nobody parses the URL a second time, in another way.
        where = httpcore2.URL(
            scheme=destination.scheme,
            host=destination.host,
            port=destination.port,
            target=destination.target,
        )
        request = httpcore2.Request(
            "POST", where, headers=_all_headers(destination, body, headers), content=body
        )
        async with httpcore2.AsyncHTTPConnection(
            where.origin, ssl_context=self._tls, network_backend=self._network
        ) as connection:
            response = await connection.handle_async_request(request)
            heard.note(response)
            response.extensions["network_stream"].expect_body()
            pieces = 0
            async for chunk in response.aiter_stream():
                heard.take(chunk)
                pieces += 1
                if pieces > _PIECES_MOST:
                    raise Fault(Failure.TOO_LARGE, f"more than {_PIECES_MOST} pieces")


@dataclass(slots=True)
class _Heard:
    """What has been heard so far, in case it breaks off."""

    status: int | None = None
    retry_after_seconds: float | None = None
    readable: bool = True
    body: bytearray = field(default_factory=bytearray)

    def note(self, response: httpcore2.Response) -> None:
        for name, value in response.headers:
            if name.lower() == b"retry-after":
                self.retry_after_seconds = _retry_after(value.decode("latin-1"))
            elif name.lower() == b"content-encoding":
                self.readable = value.lower() == b"identity"
        self.status = response.status

    def take(self, chunk: bytes) -> None:
        if self.readable:
            self.body += chunk[: _EXCERPT_BYTES - len(self.body)]

    def excerpt(self) -> str:
        # Not final: a character that the kilobyte cuts in two is left out.
        text = codecs.getincrementaldecoder("utf-8")("replace").decode(bytes(self.body))
        return "".join(
            char if char in "\n\t" or unicodedata.category(char)[0] != "C" else "\ufffd"
            for char in text.replace("\r\n", "\n")
        )


def _authorities(settings: Settings) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if settings.webhook_ca is not None:
        try:
            context.load_verify_locations(settings.webhook_ca)
        except OSError as error:  # ssl.SSLError is one
            raise ConfigError(
                f"HAMGATE_WEBHOOK_CA: cannot use {settings.webhook_ca}: {error.strerror or error}"
            ) from error
    return context


def _all_headers(
    destination: Destination, body: bytes, given: Mapping[str, str]
) -> list[tuple[str, str]]:
    ours = {
        "Host": destination.authority,
        "User-Agent": "Hamgate",
        "Accept": "*/*",
        "Accept-Encoding": "identity",
        "Connection": "close",
        "Content-Length": str(len(body)),
    }
    taken = {name.lower() for name in ours}
    return [*ours.items(), *((n, v) for n, v in given.items() if n.lower() not in taken)]


def _retry_after(value: str) -> float | None:
    """Read seconds or a date (RFC 9110 section 10.2.3); what is neither is nothing."""
    value = value.strip()[:64]
    if value.isascii() and value.isdigit():
        seconds = float(value)
    else:
        try:
            at = email.utils.parsedate_to_datetime(value)
            seconds = at.replace(tzinfo=at.tzinfo or dt.UTC).timestamp() - time.time()
        except (ValueError, TypeError, OverflowError):
            return None
    return min(max(seconds, 0.0), _RETRY_AFTER_MOST_SECONDS)
