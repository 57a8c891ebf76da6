"""Memory: what was looked up a moment ago, so that it is not looked up for each request.

The one rule: what is remembered is a moment old at most, and what is older is let go. Nobody tells
another process of a change.
"""

import contextlib
import threading
import time
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from cachetools import TTLCache

_MOST = 10_000

V = TypeVar("V")


class Memory(Generic[V]):
    """Remembers what look-ups gave for some seconds; what they raise is not remembered."""

    def __init__(self, seconds: float) -> None:
        self._values: TTLCache[Hashable, V] = TTLCache(_MOST, seconds, timer=time.monotonic)
        self._lock = threading.Lock()

    def get(self, key: Hashable, look_up: Callable[[], V]) -> V:
        """Give what is known under a key, or look it up."""
        with self._lock, contextlib.suppress(KeyError):
            return self._values[key]
        value = look_up()
        with self._lock:
            self._values[key] = value
        return value

    def known(self, key: Hashable) -> V | None:
        """Give what is known under a key, `None` if nothing is."""
        with self._lock:
            return self._values.get(key)
