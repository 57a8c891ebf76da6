"""Renderings: what was last made of comments for readers, kept as long as there is room.

The one rule: beside each rendering stands all that it follows from, a thread's version included. So
what is kept is never wrong, no process has to tell another of a change, and each process makes a
rendering once. Of what is asked for in the same words the last is kept: nobody asks for a state
that a thread has left.
"""

import gzip
import hashlib
import threading
from collections.abc import Callable, Hashable
from dataclasses import dataclass

from cachetools import LRUCache

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
        self._kept: LRUCache[Hashable, tuple[Hashable, Rendering]] = LRUCache(
            most_bytes, getsizeof=lambda kept: len(kept[1].plain) + len(kept[1].packed)
        )
        self._lock = threading.Lock()
        # Who wants what another thread is making waits for it; who wants something else does not.
        self._making = [threading.Lock() for _ in range(_LOCKS)]

    def get(self, asked: Hashable, follows: Hashable, make: Callable[[], bytes]) -> Rendering:
        """Give what is kept, or make it and keep it.

        Args:
            asked: what was asked for, in whose words.
            follows: from what it follows besides.
            make: makes it; what it raises is not kept.
        """
        found = self._find(asked, follows)
        if found is None:
            with self._making[hash(asked) % _LOCKS]:
                found = self._find(asked, follows)
                if found is None:
                    found = Rendering.of(make())
                    self._keep(asked, follows, found)
        return found

    def _find(self, asked: Hashable, follows: Hashable) -> Rendering | None:
        with self._lock:
            of, found = self._kept.get(asked, (None, None))
        return found if of == follows else None

    def _keep(self, asked: Hashable, follows: Hashable, made: Rendering) -> None:
        with self._lock:
            self._kept[asked] = (follows, made)
