"""Work done together: what concurrent threads bring is handed to one of them as a group.

The one rule: on a quiet server nobody waits for company. Whoever finds nobody at work begins at
once with what is there; who comes meanwhile is the next group. Only after a group of several, so
on a busy server, the next one waits some milliseconds for more: what a group costs besides its
items is as much as ten items, and there the CPU is what all wait for.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class _Entry(Generic[T, R]):
    """One thread's item, and where it waits until its group is done."""

    __slots__ = ("item", "leads", "outcome", "wake")

    def __init__(self, item: T) -> None:
        self.item = item
        self.outcome: list[R | Exception] = []
        self.leads = False
        self.wake = threading.Lock()
        self.wake.acquire()


class Grouped(Generic[T, R]):
    """A function of one item whose concurrent calls become calls of `work` with many."""

    def __init__(
        self,
        work: Callable[[Sequence[T]], Sequence[R | Exception]],
        *,
        most: int = 128,
        linger_seconds: float = 0.0,
    ) -> None:
        """Set up.

        Args:
            work: takes the items in the order of their arrival and gives, for each, its result
                or the exception to raise to its caller. What it raises, all are told.
            most: items of one group.
            linger_seconds: how long a group that follows one of several waits for more.
        """
        self._work = work
        self._most = most
        self._linger_seconds = linger_seconds
        self._busy = False
        self._lock = threading.Lock()
        self._led = False
        self._waiting: deque[_Entry[T, R]] = deque()

    def __call__(self, item: T) -> R:
        """Have one item worked on and give its result.

        Raises:
            Exception: whatever `work` gave for this item, or raised for its group.
        """
        entry: _Entry[T, R] = _Entry(item)
        with self._lock:
            self._waiting.append(entry)
            if not self._led:
                self._led = entry.leads = True
        if not entry.leads:
            entry.wake.acquire()
        if entry.leads:
            self._lead()
        outcome = entry.outcome[0]
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def _lead(self) -> None:
        """Work for all who wait, then hand the lead to the first who came meanwhile."""
        if self._busy and self._linger_seconds:
            time.sleep(self._linger_seconds)
        with self._lock:
            group = [self._waiting.popleft() for _ in range(min(self._most, len(self._waiting)))]
        self._busy = len(group) > 1
        outcomes: Sequence[R | Exception] = [RuntimeError("the work was interrupted")] * len(group)
        try:
            outcomes = self._work([entry.item for entry in group])
        except Exception as error:  # noqa: BLE001 - raised to each caller
            outcomes = [error] * len(group)
        finally:
            with self._lock:
                heir = self._waiting[0] if self._waiting else None
                self._led = heir is not None
            if heir is not None:
                heir.leads = True
                heir.wake.release()
            for entry, outcome in zip(group, outcomes, strict=True):
                entry.outcome.append(outcome)
                if entry is not group[0]:  # which is this thread's own
                    entry.wake.release()
