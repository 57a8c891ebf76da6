"""Log lines: one event, one line, for people or as JSON.

The one rule: whatever a stranger sent, a line stays one line; control characters are escaped.
"""

import asyncio
import functools
import json
import logging
import os
import re
import sys
import threading
import time
from collections import deque
from datetime import UTC, datetime

from service.base.config import Settings

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
# Attributes every record has; whatever else is on it came in through `extra`.
_FIELDS = "fields"
# What a write to a pipe may have so that nothing of another process comes between (PIPE_BUF).
_PIECE_BYTES = 4096
_STANDARD = set(vars(logging.makeLogRecord({}))) | {"message", "asctime", _FIELDS}


def fields(**given: object) -> dict[str, object]:
    """Give, as `extra`, what the message tells people already, for machines to find by name."""
    return {_FIELDS: {name: value for name, value in given.items() if value is not None}}


class TextFormatter(logging.Formatter):
    """For people: time, level, where, what; what follows an exception is indented."""

    def format(self, record: logging.LogRecord) -> str:
        """Give one line, or several for a traceback."""
        clock = _clock(int(record.created))
        where = record.name.rpartition(".")[2]
        extra = "".join(f" {k}={v}" for k, v in _extra(record).items())
        line = _escape(
            f"{clock} {record.levelname.lower():7} {where:14} {record.getMessage()}{extra}"
        )
        if record.exc_info:
            trace = self.formatException(record.exc_info)
            line += "".join(f"\n    {_escape(part)}" for part in trace.splitlines())
        return line


class JsonFormatter(logging.Formatter):
    """For machines: one JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Give one line."""
        entry = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_extra(record),
            **getattr(record, _FIELDS, {}),
        }
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry, default=str).replace("\x7f", "\\u007f")  # DEL is in ASCII


class _Lines(logging.Handler):
    """Writes whole lines to standard error; the kernel keeps those of several processes apart.

    To write takes a system call, and after each a thread has to wait its turn again. So who finds
    somebody writing leaves a line to them and goes on; and what is told on an event loop, unless it
    is a warning or worse, is written when the loop has been once round.
    """

    def __init__(self) -> None:
        super().__init__()
        self._waiting: deque[bytes] = deque()
        self._promised = False
        self._renew()
        os.register_at_fork(after_in_child=self._renew)

    def createLock(self) -> None:  # noqa: N802 - logging's name
        """Need none: threads would wait for each other's lines."""
        self.lock = None

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record, or leave it to who is writing, or to the loop."""
        self._waiting.append((self.format(record) + "\n").encode("utf-8", "backslashreplace"))
        loop = _running_loop() if record.levelno < logging.WARNING else None
        if loop is None:
            self.flush()
        elif not self._promised:
            self._promised = True
            loop.call_soon(self._keep_promise)

    def flush(self) -> None:
        """Write what is waiting, unless somebody is at it."""
        # Once more after the turn is given back: somebody may have left a line just before.
        while self._waiting and self._turn.acquire(blocking=False):
            try:
                self._write()
            except OSError:
                self.handleError(logging.makeLogRecord({"msg": "lines were not written"}))
            finally:
                self._turn.release()

    def _keep_promise(self) -> None:
        self._promised = False
        self.flush()

    def _renew(self) -> None:
        """Let nobody in a child wait for a thread that was left behind, or repeat its lines."""
        self._turn = threading.Lock()
        self._promised = False
        self._waiting.clear()

    def _write(self) -> None:
        """Write what is waiting, as many lines at once as a pipe takes in one piece."""
        lines: list[bytes] = []
        while self._waiting:
            lines.append(self._waiting.popleft())
            if not self._waiting or sum(map(len, lines)) + len(self._waiting[0]) > _PIECE_BYTES:
                os.write(sys.stderr.fileno(), b"".join(lines))
                lines.clear()


def configure(settings: Settings) -> None:
    """Send every log line of this process to standard error in the format that was set."""
    handler = _Lines()
    handler.setFormatter(JsonFormatter() if settings.log_format == "json" else TextFormatter())
    # What our formats do not show is not looked up (logging's documented optimisations).
    logging._srcfile = None
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.log_level.upper())
    for name in ("alembic", "flask-limiter", "_granian", "granian", "httpx2"):
        logging.getLogger(name).setLevel(logging.WARNING)


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


@functools.lru_cache(maxsize=1)
def _clock(second: int) -> str:
    return time.strftime("%H:%M:%S", time.localtime(second))


def _extra(record: logging.LogRecord) -> dict[str, object]:
    unknown = vars(record).keys() - _STANDARD  # nearly always none
    return {key: value for key, value in vars(record).items() if key in unknown} if unknown else {}


def _escape(line: str) -> str:
    return _CONTROL.sub(lambda match: f"\\x{ord(match[0]):02x}", line)
