"""Renderings: what was last made of comments for readers, kept as long as there is room.

The one rule: a key names all that a rendering follows from, a thread's version included. So what
is kept is never wrong, no process has to tell another of a change, and each process makes a
rendering once.
"""

import gzip
import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass

_MOST_BYTES = 32 << 20
_LOCKS = 64


@dataclass(frozen=True, slots=True)
class Rendering:
    """Bytes as they are sent.

    Attributes:
        plain: as made.
        packed: the same in gzip.
        digest: changes with them.
    """

    plain: bytes
    packed: bytes
    digest: str

    @classmethod
    def of(cls, plain: bytes) -> "Rendering":
        """Pack what was made."""
        digest = hashlib.blake2b(plain, digest_size=12).hexdigest()
        return cls(plain, gzip.compress(plain, 6, mtime=0), digest)


class Renderings:
    """The renderings that one process made last, up to 32 MB of them."""

    def __init__(self, most_bytes: int = _MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._bytes = 0
        self._kept: OrderedDict[Hashable, Rendering] = OrderedDict()
        self._lock = threading.Lock()
        # Who wants what another thread is making waits for it; who wants something else does not.
        self._making = [threading.Lock() for _ in range(_LOCKS)]

    def get(self, key: Hashable, make: Callable[[], bytes]) -> Rendering:
        """Give what is kept under a key, or make it and keep it.

        Args:
            key: names all that it follows from.
            make: makes it; what it raises is not kept.
        """
        found = self._find(key)
        if found is None:
            with self._making[hash(key) % _LOCKS]:
                found = self._find(key)
                if found is None:
                    found = Rendering.of(make())
                    self._keep(key, found)
        return found

    def _find(self, key: Hashable) -> Rendering | None:
        with self._lock:
            found = self._kept.get(key)
            if found is not None:
                self._kept.move_to_end(key)
            return found

    def _keep(self, key: Hashable, made: Rendering) -> None:
        with self._lock:
            self._kept[key] = made
            self._bytes += len(made.plain) + len(made.packed)
            while self._bytes > self._most_bytes:
                _, old = self._kept.popitem(last=False)
                self._bytes -= len(old.plain) + len(old.packed)
