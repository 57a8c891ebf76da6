"""Posting the rows: several connections at once, each row until it has an answer.

The one rule: a row is one comment, however often it is sent: its Idempotency-Key is its own.
"""

import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from service.base.config import Settings
from service.base.errors import HamgateError
from service.base.loopback import Client, NotRunning, Reply
from service.ledger.db import utc_now
from service.operations.replay.rows import Row

_CONNECTIONS = 8
# A restart of the server takes a second or two.
_AWAY_MOST_SECONDS = 20.0
_WAIT_MOST_SECONDS = 120.0
_WAIT_UNSAID_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Sent:
    """An accepted row: its label, and when it was first sent."""

    spam: bool | None
    sent_at: datetime


class _Stopped(Exception):
    """The run is over before the rows are."""


class Posting:
    """Posts rows in threads of its own; what it counts may be read at any time."""

    def __init__(
        self, settings: Settings, slug: str, headers: Mapping[str, str], rows: Sequence[Row]
    ) -> None:
        self.rows = len(rows)
        self.refused: Counter[str] = Counter()
        self.repeats = 0
        self.seconds = 0.0
        self._settings = settings
        self._path = f"/api/v1/sites/{slug}/comments"
        self._headers = headers
        self._rows: Iterator[Row] = iter(rows)
        self._run = uuid.uuid4()
        self._accepted: dict[str, Sent] = {}
        self._fault: HamgateError | None = None
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._began = 0.0
        self._threads = [
            threading.Thread(target=self._post_all, name=f"replay-{number}", daemon=True)
            for number in range(min(_CONNECTIONS, len(rows)))
        ]

    def start(self) -> None:
        """Start posting."""
        self._began = time.monotonic()
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Post no more, and wait a moment for what is on its way."""
        self._stop.set()
        deadline = time.monotonic() + 2
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(max(0.0, deadline - time.monotonic()))

    def raise_fault(self) -> None:
        """Raise what ended the posting early, if anything did.

        Raises:
            HamgateError: it.
        """
        if self._fault is not None:
            raise self._fault

    @property
    def ended(self) -> bool:
        """Whether every row has its answer, or posting was given up."""
        return not any(thread.is_alive() for thread in self._threads)

    @property
    def answered(self) -> int:
        """How many rows were accepted or refused so far."""
        with self._lock:
            return len(self._accepted) + self.refused.total()

    def accepted(self) -> dict[str, Sent]:
        """Give the accepted rows so far, by the id of their comment."""
        with self._lock:
            return dict(self._accepted)

    def _post_all(self) -> None:
        client = Client(self._settings, headers=self._headers)
        try:
            while (row := self._next()) is not None:
                self._post(client, row)
        except _Stopped:
            pass  # told to stop: no fault
        except HamgateError as error:
            with self._lock:
                self._fault = self._fault or error
            self._stop.set()
        finally:
            client.close()
            with self._lock:
                self.seconds = time.monotonic() - self._began

    def _next(self) -> Row | None:
        with self._lock:
            return None if self._stop.is_set() else next(self._rows, None)

    def _post(self, client: Client, row: Row) -> None:
        sent_at = utc_now()
        reply = self._send(client, row)
        with self._lock:
            if reply.status in (201, 202):
                self._accepted[str(reply.json()["id"])] = Sent(row.spam, sent_at)
            else:
                self.refused[reply.refusal] += 1

    def _send(self, client: Client, row: Row) -> Reply:
        """Send a row until it has an answer that is about the row.

        Raises:
            NotRunning: the server stayed away.
            HamgateError: it asks for too much patience, or does not take the key any more.
            _Stopped: the run is over.
        """
        away_since: float | None = None
        headers = {"Idempotency-Key": f'"{self._run}-{row.number}"'}
        while True:
            try:
                reply = client.request("POST", self._path, row.body, headers)
            except NotRunning:
                now = time.monotonic()
                away_since = away_since or now
                if now - away_since > _AWAY_MOST_SECONDS:
                    raise
                self._wait(_WAIT_UNSAID_SECONDS / 2)
                continue
            if reply.status in (401, 403, 404):
                raise HamgateError(f"the server takes no more: {reply.refusal}")
            if reply.status not in (429, 503):
                return reply
            away_since = None
            wait = reply.retry_after_seconds or _WAIT_UNSAID_SECONDS
            if wait > _WAIT_MOST_SECONDS:
                raise HamgateError(f"the server asks to wait {wait:.0f} s: {reply.refusal}")
            self._wait(wait)

    def _wait(self, seconds: float) -> None:
        with self._lock:
            self.repeats += 1
        if self._stop.wait(seconds):
            raise _Stopped
