"""The gate: how many requests are worked on at once, who goes next, and who is sent away.

The one rule: nobody waits without an end. Places and line are bounded, and so is the time in the
line; who finds no room or waits too long is told at once, before anything was done for them. All
of it happens on one event loop, so nothing of it is locked, and who waits takes no thread.

Among those who wait the higher rank goes first, and within a rank the site that holds the fewest
places: while another site waits, none holds more than its share. When the line is full, the newest
of the lowest rank makes room, or of the site that fills most of it; so a flood displaces itself.
"""

import asyncio
from collections import Counter
from dataclasses import dataclass
from enum import IntEnum

from service.base.errors import Unavailable

# The line holds so many requests for each place: some tenths of a second's work.
LINE_FOR_EACH_PLACE = 2


class Rank(IntEnum):
    """Who goes first when there is not room for all; the smaller, the sooner."""

    DASHBOARD = 0
    READ = 1
    SUBMIT = 2


class Overloaded(Unavailable):
    """More is asked at once than can be worked on; nothing was begun.

    Attributes:
        why: in one word: `full`, `displaced`, `waited`, or `bodies`.
    """

    def __init__(self, why: str) -> None:
        super().__init__("too much is asked of this server at once")
        self.why = why


@dataclass(eq=False, slots=True)
class _Waiter:
    rank: Rank
    site: str
    turn: asyncio.Future[None]  # done when it was let in; fails when it was sent away


class Gate:
    """The gate of one process."""

    def __init__(self, places: int, patience_seconds: float) -> None:
        """Set up.

        Args:
            places: requests that are worked on at once.
            patience_seconds: how long one waits at most.
        """
        kept = max(1, places // 8)
        self._places = places
        self._line_most = places * LINE_FOR_EACH_PLACE
        self._patience_seconds = patience_seconds
        # Whoever calls themselves a moderator leaves half of it to the public; readers and those
        # who write leave some to each other; and both together leave some to moderators.
        self._public_most = places - kept
        self._most = {
            Rank.DASHBOARD: max(1, places // 2),
            Rank.READ: max(1, places - 2 * kept),
            Rank.SUBMIT: max(1, places - 2 * kept),
        }
        self._line_share = {
            Rank.DASHBOARD: self._line_most // 4,
            Rank.READ: self._line_most // 2,
            Rank.SUBMIT: self._line_most,
        }
        self._held: Counter[Rank] = Counter()
        self._held_by: Counter[str] = Counter()
        self._line: list[_Waiter] = []

    @property
    def waiting(self) -> int:
        """How many are in the line."""
        return len(self._line)

    @property
    def held(self) -> int:
        """How many places are taken."""
        return self._held.total()

    async def enter(self, rank: Rank, site: str) -> float:
        """Take a place, in the line's order if there is one; `leave` gives it back.

        Args:
            rank: whose turn it is before others'.
            site: whose share it counts to; empty if it is nobody's.

        Returns:
            How many seconds it waited.

        Raises:
            Overloaded: there is no room in the line, or it waited too long.
        """
        # Whoever waits could not have had it: those who could are let in by `leave`.
        if self._is_free(rank):
            self._take(rank, site)
            return 0.0
        self._make_room(rank, site)
        loop = asyncio.get_running_loop()
        waiter = _Waiter(rank, site, loop.create_future())
        self._line.append(waiter)
        began = loop.time()
        patience = loop.call_later(self._patience_seconds, self._send_away, waiter, "waited")
        try:
            await waiter.turn
        except asyncio.CancelledError:
            self._forget(waiter)
            raise
        finally:
            patience.cancel()
        return loop.time() - began

    def leave(self, rank: Rank, site: str) -> None:
        """Give a place back, to who is next."""
        self._held[rank] -= 1
        self._held_by[site] -= 1
        if not self._held_by[site]:
            del self._held_by[site]
        while self._line and (chosen := self._next()) is not None:
            self._line.remove(chosen)
            self._take(chosen.rank, chosen.site)
            chosen.turn.set_result(None)

    def _forget(self, waiter: _Waiter) -> None:
        """Have no place kept for somebody who is gone."""
        if waiter in self._line:
            self._line.remove(waiter)
        elif not waiter.turn.cancelled() and waiter.turn.exception() is None:
            self.leave(waiter.rank, waiter.site)

    def _send_away(self, waiter: _Waiter, why: str) -> None:
        if waiter in self._line and not waiter.turn.cancelled():
            self._line.remove(waiter)
            waiter.turn.set_exception(Overloaded(why))

    def _is_free(self, rank: Rank) -> bool:
        held = self._held
        if held[rank] >= self._most[rank]:
            return False
        if rank is Rank.DASHBOARD:
            return held.total() < self._places
        return (
            held.total() < self._places and held[Rank.READ] + held[Rank.SUBMIT] < self._public_most
        )

    def _take(self, rank: Rank, site: str) -> None:
        self._held[rank] += 1
        self._held_by[site] += 1

    def _next(self) -> _Waiter | None:
        free = [rank for rank in Rank if self._is_free(rank)]
        return min(
            (one for one in self._line if one.rank in free and not one.turn.cancelled()),
            key=lambda one: (one.rank, self._held_by[one.site]),  # the first of equals
            default=None,
        )

    def _make_room(self, rank: Rank, site: str) -> None:
        """Send somebody away, if that is what it takes for one more in the line."""
        alike = [one for one in self._line if one.rank is rank]
        if len(alike) >= self._line_share[rank]:
            goes = _newest_of_most(alike, site)
        elif len(self._line) >= self._line_most:
            lowest = max(one.rank for one in self._line)
            lower = [one for one in self._line if one.rank is lowest]
            goes = _newest_of_most(lower) if lowest > rank else _newest_of_most(alike, site)
        else:
            return
        if goes is None:
            raise Overloaded("full")
        self._send_away(goes, "displaced")


def _newest_of_most(candidates: list[_Waiter], site: str | None = None) -> _Waiter | None:
    """Give the newest of the site that has the most of them.

    Args:
        candidates: in the order in which they came.
        site: for whose next one room is wanted; only a site with more than it would have makes it.
    """
    counts = Counter(one.site for one in candidates)
    if not counts:
        return None
    greatest, count = counts.most_common(1)[0]
    if site is not None and count <= counts[site] + 1:
        return None
    return next(one for one in reversed(candidates) if one.site == greatest)
