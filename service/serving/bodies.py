"""Bodies: what comes with requests, read within a time.

The one rule: nobody holds anything but their own connection by sending slowly, and that for no
longer than the time for it. The exception are large bodies, of which others wait for the end.
"""

import asyncio
import io
from collections.abc import AsyncIterator, Awaitable, Mapping
from typing import Any, Protocol

from service.base.errors import Malformed, TooSlow
from service.serving.gate import Overloaded

# From the end of the headers, for which there is as much (`service.web`).
WITHIN_SECONDS = 10.0
# More than any route takes; it refuses what is longer without another look.
_MOST_BYTES = 128 * 1024 + 1
# A comment as nearly all are. As many of those as there are connections are read at once, and of
# larger bodies, or such as are sent in chunks, 8 MB; so nobody fills the memory with what they do
# not end.
_SMALL_BYTES = 8 * 1024
_LARGE_AT_ONCE = 64
# Methods that bring no body.
READS = frozenset({"GET", "HEAD", "OPTIONS"})


class Sender(Protocol):
    """What the body of a request comes from: whole, or in chunks."""

    def __call__(self) -> Awaitable[bytes]:
        """Give all of it."""
        ...

    def __aiter__(self) -> AsyncIterator[bytes]: ...


class Bodies:
    """Reads bodies, for all requests of a process."""

    def __init__(self) -> None:
        self._large = 0

    async def fetch(self, environ: Mapping[str, Any], sender: Sender) -> io.BytesIO:
        """Read the body of a request; nothing if it has none, or one that no route takes.

        Args:
            environ: of the request.
            sender: of the body.

        Raises:
            Overloaded: it is a large one, and as many of those are being read as may be.
            TooSlow: it took too long.
            Malformed: it is shorter than was said, so the client is gone.
        """
        said = environ.get("CONTENT_LENGTH", "")
        chunked = "HTTP_TRANSFER_ENCODING" in environ
        if environ["REQUEST_METHOD"] in READS or not (said or chunked):
            return io.BytesIO()
        length = int(said) if said.isdecimal() else 0
        if length > _MOST_BYTES:
            return io.BytesIO()
        if not chunked and length <= _SMALL_BYTES:
            return await _read(length, sender())
        if self._large >= _LARGE_AT_ONCE:
            raise Overloaded("bodies")
        self._large += 1
        try:
            return await _read(length, _chunks(sender) if chunked else sender())
        finally:
            self._large -= 1


async def _read(length: int, body: Awaitable[bytes]) -> io.BytesIO:
    try:
        async with asyncio.timeout(WITHIN_SECONDS):
            content = await body
    except TimeoutError:
        raise TooSlow("the body did not come within the time for it") from None
    except RuntimeError:  # the server's own for one that broke off
        raise Malformed("the body broke off") from None
    if len(content) < length:
        raise Malformed("the body is shorter than was said")
    return io.BytesIO(content)


async def _chunks(sender: Sender) -> bytes:
    """Read a body of which nobody said how long it is."""
    body = bytearray()
    async for chunk in sender:
        body += chunk
        if len(body) >= _MOST_BYTES:
            break
    return bytes(body)
