"""Work done together: what comes at the same time is worked on as a group.

The one rule: on a quiet server nobody waits for company. Whoever finds nobody at work begins at
once with what is there; who comes meanwhile is the next group. Only after a group of several, so
on a busy server, the next one waits some milliseconds for those who were answered to come again:
what a group costs besides its items is as much as ten of them, and the CPU is what all wait for.

A thread that brings an item leads a group itself; for what a coroutine brings, a thread of our own
does.
"""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class _Entry(Generic[T, R]):
    """An item, and where its outcome is waited for."""

    __slots__ = ("future", "item", "leads", "outcome", "wake")

    def __init__(self, item: T, future: asyncio.Future[R] | None = None) -> None:
        self.item = item
        self.outcome: list[R | Exception] = []
        self.leads = False
        self.future = future  # of a coroutine
        self.wake = threading.Lock()  # of a thread
        self.wake.acquire()


class Grouped(Generic[T, R]):
    """A function of one item whose concurrent calls become calls of `work` with many."""

    def __init__(
        self,
        work: Callable[[Sequence[T]], Sequence[R | Exception]],
        *,
        most: int = 128,
        gap_seconds: float = 0.0,
        linger_seconds: float = 0.0,
    ) -> None:
        """Set up.

        Args:
            work: takes the items in the order of their arrival and gives, for each, its result
                or the exception to raise to its caller. What it raises, all are told.
            most: items of one group.
            gap_seconds: a group that follows one of several waits for as many as there were; for so
                long if nobody comes,
            linger_seconds: and for so long at most.
        """
        self._work = work
        self._most = most
        self._gap_seconds = gap_seconds
        self._linger_seconds = linger_seconds
        self._busy = False
        self._lock = threading.Lock()
        self._led = False
        self._expected = 0
        self._enough = threading.Event()  # as many as are expected are there
        self._waiting: deque[_Entry[T, R]] = deque()
        self._leader = ThreadPoolExecutor(1, thread_name_prefix="group")

    def __call__(self, item: T) -> R:
        """Have one item worked on and give its result.

        Raises:
            Exception: whatever `work` gave for this item, or raised for its group.
        """
        entry: _Entry[T, R] = _Entry(item)
        self._join(entry)
        if not entry.leads:
            entry.wake.acquire()
        if entry.leads:
            self._lead()
        outcome = entry.outcome[0]
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    async def call(self, item: T) -> R:
        """Do the same without holding a thread.

        Raises:
            Exception: whatever `work` gave for this item, or raised for its group.
        """
        future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        entry = _Entry(item, future)
        self._join(entry)
        if entry.leads:
            self._leader.submit(self._lead)
        return await future

    def _join(self, entry: _Entry[T, R]) -> None:
        with self._lock:
            self._waiting.append(entry)
            if not self._led:
                self._led = entry.leads = True
            elif len(self._waiting) == self._expected:
                self._enough.set()

    def _lead(self) -> None:
        """Work for all who wait, then hand the lead to the first who came meanwhile."""
        if self._busy and self._linger_seconds:
            self._gather()
        with self._lock:
            group = [self._waiting.popleft() for _ in range(min(self._most, len(self._waiting)))]
        self._busy = len(group) > 1
        outcomes: Sequence[R | Exception] = [RuntimeError("the work was interrupted")] * len(group)
        try:
            outcomes = self._work([entry.item for entry in group])
        except Exception as error:  # noqa: BLE001 - raised to each caller
            outcomes = [error] * len(group)
        finally:
            self._hand_over(len(group))
            _tell(group, outcomes)

    def _gather(self) -> None:
        """Wait for as many as there were, as long as more keep coming, and not for ever."""
        deadline = time.monotonic() + self._linger_seconds
        seen = -1
        while seen < len(self._waiting) and (left := deadline - time.monotonic()) > 0:
            seen = len(self._waiting)
            if self._enough.wait(min(self._gap_seconds, left)):
                return

    def _hand_over(self, answered: int) -> None:
        with self._lock:
            heir = self._waiting[0] if self._waiting else None
            self._led = heir is not None
            # Who is answered now may come again.
            self._expected = answered + len(self._waiting)
            self._enough.clear()
        if heir is None:
            return
        if heir.future is not None:
            self._leader.submit(self._lead)
        else:
            heir.leads = True
            heir.wake.release()


def _tell(group: Sequence[_Entry[T, R]], outcomes: Sequence[R | Exception]) -> None:
    """Give each its outcome, and all coroutines of a loop theirs in one go."""
    coroutines: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[R], R | Exception]]] = {}
    for entry, outcome in zip(group, outcomes, strict=True):
        if entry.future is not None:
            coroutines.setdefault(entry.future.get_loop(), []).append((entry.future, outcome))
            continue
        entry.outcome.append(outcome)
        if not entry.leads:  # who leads is this very thread
            entry.wake.release()
    for loop, told in coroutines.items():
        loop.call_soon_threadsafe(_resolve, told)


def _resolve(told: Sequence[tuple[asyncio.Future[R], R | Exception]]) -> None:
    for future, outcome in told:
        if future.done():  # its request was given up
            continue
        if isinstance(outcome, Exception):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)
