"""Keeps processes running: starts them, restarts what dies, stops them in order.

The one rule: whoever is supervised may die at any moment, so a restart is ordinary. A child that
keeps dying is restarted more and more slowly, and one that lived well is forgiven.
"""

import contextlib
import ctypes
import gc
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NoReturn

log = logging.getLogger(__name__)

_FIRST_DELAY_SECONDS = 0.25
_MOST_DELAY_SECONDS = 5.0
_LIVED_WELL_SECONDS = 10.0
_GRACE_SECONDS = 10.0
_PR_SET_PDEATHSIG = 1  # prctl(2)
_M_ARENA_MAX = -8  # mallopt(3)
_ARENAS = 2


def settle() -> None:
    """Have the collector leave alone what is there; before children are forked, who share it.

    Requests and jobs leave few cycles behind either: looking for them at each 700th object was
    most of what the collector costs, and a tenth of a decision. Children inherit that as well.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
    _settle_malloc()


def _settle_malloc() -> None:
    """Have threads share what malloc keeps for them, and give back what is free (glibc).

    Some hundred threads, each with an arena of its own, would hold half a megabyte each that nobody
    uses; and they hardly ever allocate at the same time, since one interpreter runs them.
    """
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt") and hasattr(libc, "malloc_trim"):
        libc.mallopt(_M_ARENA_MAX, _ARENAS)
        libc.malloc_trim(0)


@dataclass
class Child:
    """One process to keep running.

    Attributes:
        name: for the log.
        body: runs in the forked child and usually never returns.
        ready: asked after a start until it says yes; `None` if there is nothing to wait for.
    """

    name: str
    body: Callable[[], None]
    ready: Callable[[], bool] | None = None
    pid: int | None = field(default=None, init=False)
    _started_at: float = field(default=0.0, init=False)
    _delay: float = field(default=0.0, init=False)
    _due_at: float = field(default=0.0, init=False)

    def start(self) -> None:
        """Fork and run the body in a process group of its own."""
        sys.stdout.flush()
        sys.stderr.flush()
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            _become_child(self.body, parent)
        self.pid = pid
        self._started_at = time.monotonic()

    def reap(self) -> int | None:
        """Give the exit code if the process has ended since, negative for a signal."""
        if self.pid is None:
            return None
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        if pid == 0:
            return None
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)  # what it may have left behind
        self.pid = None
        lived = time.monotonic() - self._started_at
        self._delay = (
            _FIRST_DELAY_SECONDS
            if lived > _LIVED_WELL_SECONDS
            else min(max(self._delay * 2, _FIRST_DELAY_SECONDS), _MOST_DELAY_SECONDS)
        )
        self._due_at = time.monotonic() + self._delay
        return os.waitstatus_to_exitcode(status)

    @property
    def delay_seconds(self) -> float:
        """How long after its end the next start is."""
        return self._delay

    def restart_if_due(self) -> None:
        """Start anew if it is dead and its delay is over."""
        if self.pid is None and time.monotonic() >= self._due_at:
            self.start()

    def signal(self, number: signal.Signals, *, group: bool = False) -> None:
        """Send a signal, if it is alive."""
        if self.pid is not None:
            with contextlib.suppress(ProcessLookupError):
                (os.killpg if group else os.kill)(self.pid, number)


def command(arguments: Sequence[str], environ: Mapping[str, str]) -> Callable[[], None]:
    """Give a body that becomes another program."""

    def body() -> None:
        os.execvpe(arguments[0], list(arguments), dict(environ))

    return body


class Supervisor:
    """Runs children until it is told to stop by SIGTERM or SIGINT."""

    def __init__(self) -> None:
        self._children: list[Child] = []
        self._stop = threading.Event()

    def install(self) -> None:
        """Take SIGTERM and SIGINT; from now on they mean `run` ends."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._stop.set())

    @property
    def stopping(self) -> bool:
        """Whether a signal to stop has come."""
        return self._stop.is_set()

    def add(self, child: Child, *, ready_within_seconds: float = 15.0) -> bool:
        """Start a child and keep it; wait until it is ready.

        Returns:
            Whether it became ready in time; `False` also when it died or a stop came first.
        """
        self._children.append(child)
        child.start()
        deadline = time.monotonic() + ready_within_seconds
        while child.ready is not None and not child.ready():
            if time.monotonic() > deadline or self._stop.wait(0.05):
                return False
            if child.reap() is not None:
                return False
        return True

    def run(self) -> None:
        """Keep the children running until a signal says stop, then stop them, last first."""
        while not self._stop.wait(0.1):
            self._bury_orphans()
            for child in self._children:
                code = child.reap()
                if code is not None:
                    log.warning(
                        "%s ended (%s); starting it again in %.1f s",
                        child.name,
                        _say(code),
                        child.delay_seconds,
                    )
                child.restart_if_due()
        self.stop()

    def _bury_orphans(self) -> None:
        """Take note of the end of processes that nobody else can: those of a dead child of ours.

        Only the first process of a container inherits them.
        """
        if os.getpid() != 1:
            return
        ours = {child.pid for child in self._children}
        with contextlib.suppress(ChildProcessError):  # there is no child at all
            look = os.WEXITED | os.WNOHANG | os.WNOWAIT
            while (ended := os.waitid(os.P_ALL, 0, look)) and ended.si_pid not in ours:
                os.waitpid(ended.si_pid, 0)

    def stop(self) -> None:
        """Stop the children, last started first, and wait for each."""
        for child in reversed(self._children):
            child.signal(signal.SIGTERM)
            deadline = time.monotonic() + _GRACE_SECONDS
            while child.pid is not None and child.reap() is None:
                if time.monotonic() > deadline:
                    log.warning("%s does not stop; killing it", child.name)
                    child.signal(signal.SIGKILL, group=True)
                time.sleep(0.02)


def _become_child(body: Callable[[], None], parent: int) -> NoReturn:
    try:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        os.setpgid(0, 0)
        die_with(parent)
        body()
    except SystemExit as end:
        os._exit(end.code if isinstance(end.code, int) else 1)
    except BaseException:
        log.exception("a supervised process failed")
        os._exit(1)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(0)


def die_with(parent: int) -> None:
    """Have the kernel end this process when its parent dies, where the kernel can (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it died before the line above
            os._exit(1)


def _say(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
