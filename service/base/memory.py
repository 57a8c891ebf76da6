"""Memory: what was looked up a moment ago, so that it is not looked up for each request.

The one rule: what is remembered is a moment old at most. Nobody tells another process of a change.
"""

import threading
import time
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

_MOST = 10_000

V = TypeVar("V")


class Memory(Generic[V]):
    """Remembers what look-ups gave for some seconds; what they raise is not remembered."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._values: dict[Hashable, tuple[float, V]] = {}
        self._lock = threading.Lock()

    def get(self, key: Hashable, look_up: Callable[[], V]) -> V:
        """Give what is known under a key, or look it up."""
        now = time.monotonic()
        found = self._values.get(key)
        if found is not None and found[0] > now:
            return found[1]
        value = look_up()
        with self._lock:
            if len(self._values) >= _MOST:
                self._values.clear()
            self._values[key] = (now + self._seconds, value)
        return value

    def known(self, key: Hashable) -> V | None:
        """Give what is known under a key, `None` if nothing is."""
        found = self._values.get(key)
        return found[1] if found is not None and found[0] > time.monotonic() else None
