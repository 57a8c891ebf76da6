"""Bodies: what comes with requests, read within a time.

The one rule: nobody holds a thread by sending slowly. The server reads a body as slowly as it
comes, knows no time for it, and cannot be stopped; so the connection of whoever takes too long is
ended from outside, and with it the reading.
"""

import io
import logging
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from service import connections
from service.errors import Malformed, TooSlow
from service.gate import Overloaded

log = logging.getLogger(__name__)

# From the end of the headers, for which there is as much (`service.web`).
WITHIN_SECONDS = 10.0
# More than any route takes; it refuses what is longer without another look.
_MOST_BYTES = 128 * 1024 + 1
# Nothing is sent to a client that is still sending, but that they may go on (100 Continue).
_SLACK_SECONDS = 1.0
# Methods that bring no body.
READS = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(eq=False, slots=True)
class _Reading:
    """A body that is being read."""

    address: str
    port: str
    began: float
    late: bool = False


class Bodies:
    """Reads bodies, for all threads of a process."""

    def __init__(self, places: int) -> None:
        """Set up.

        Args:
            places: bodies that are read at once.
        """
        self._places = threading.BoundedSemaphore(places)
        self._readings: set[_Reading] = set()

    def fetch(self, environ: Mapping[str, Any]) -> io.BytesIO | None:
        """Read the body of a request; `None` if it has none, or one that no route takes.

        Raises:
            Overloaded: as many are being read as may be.
            TooSlow: it took too long.
            Malformed: it is shorter than was said, so the client is gone.
        """
        if environ["REQUEST_METHOD"] in READS:
            return None
        said = environ.get("CONTENT_LENGTH") or ""
        if not said and "HTTP_TRANSFER_ENCODING" not in environ:
            return None
        length = int(said) if said.isdecimal() else 0
        if length > _MOST_BYTES:
            return None
        if not self._places.acquire(blocking=False):
            raise Overloaded("bodies")
        reading = _Reading(environ["REMOTE_ADDR"], environ["SERVER_PORT"], time.monotonic())
        self._readings.add(reading)
        try:
            body: bytes = environ["wsgi.input"].read(_MOST_BYTES)
        finally:
            self._readings.discard(reading)
            self._places.release()
        if reading.late:
            raise TooSlow("the body did not come within the time for it")
        if len(body) < length:
            raise Malformed("the body is shorter than was said")
        return io.BytesIO(body)

    def end_late(self) -> None:
        """Hang up on those who take too long.

        Which connection a body comes by is not told. It is one of those by which the client has had
        no answer since; any other of those is idle, and the server ends it as soon.
        """
        now = time.monotonic()
        late = [one for one in self._readings.copy() if now - one.began > WITHIN_SECONDS]
        if not late:
            return
        unanswered = {one.address: WITHIN_SECONDS - _SLACK_SECONDS for one in late}
        # Who takes an earlier answer drop by drop looks like somebody who is being answered.
        unanswered |= {one.address: 0.0 for one in late if now - one.began > 2 * WITHIN_SECONDS}
        fresh = [one for one in late if not one.late]
        for one in fresh:
            one.late = True
        connections.hang_up(int(late[0].port), unanswered)
        if fresh:
            log.warning("bodies that took too long, and were hung up on: %d", len(fresh))
