"""Rate limits: every counter a request is subject to, in one round trip.

Flask-Limiter keeps the storage, notices when Redis is down and then counts per process until it
is back. It would ask Redis once for each limit; `InOrder` gives it a strategy that takes all
counters of a request at once. The one rule: counters are hit in order and the first full one
ends it, so that a refused caller cannot use up what belongs to others (the site's counter).
"""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import cast

import flask
from cachetools import TTLCache
from flask_limiter import Limiter
from flask_limiter.errors import RateLimitExceeded
from limits import RateLimitItem, RateLimitItemPerSecond
from limits.storage import RedisStorage, StorageTypes
from limits.strategies import STRATEGIES, FixedWindowRateLimiter
from redis import RedisError

from service.base import jobs
from service.base.config import Settings
from service.base.errors import RateLimited
from service.base.values import Limit
from service.operations import metrics

# KEYS: the counters of all requests. ARGV: how many requests; for each, how many counters;
# for each counter its amount, its window in seconds, and how much is taken of it.
# Answers for each request {count, milliseconds to the end of the window} of those it hit.
_HIT_IN_ORDER = b"""
local requests = tonumber(ARGV[1])
local done = 0
local out = {}
for r = 1, requests do
  local counts = {}
  local wanted = tonumber(ARGV[1 + r])
  for i = 1, wanted do
    local key, at = KEYS[done + i], 1 + requests + 3 * (done + i)
    local count = redis.call('INCRBY', key, ARGV[at])
    local left = redis.call('PTTL', key)
    if left < 0 then
      left = ARGV[at - 1] * 1000
      redis.call('PEXPIRE', key, left)
    end
    counts[i] = {count, left}
    if count > tonumber(ARGV[at - 2]) then break end
  end
  done = done + wanted
  out[r] = counts
end
return out
"""
_STRATEGY = "in-order"
_TAKE_MOST = 12
_PURSES_MOST = 10_000
_NOMINAL = RateLimitItemPerSecond(1)
_WANTED = "hamgate_wanted"
_COUNTED = "hamgate_counted"


@dataclass(frozen=True, slots=True)
class Counter:
    """One counter a request is subject to: its name, whose it is, its limit, and what it takes."""

    name: str
    subject: str
    limit: Limit
    take: int = 1


@dataclass(frozen=True, slots=True)
class Count:
    """How a counter stands after the request was counted."""

    name: str
    limit: Limit
    count: int
    left_seconds: float

    @property
    def remaining(self) -> int:
        """Requests left in this window."""
        return max(0, self.limit.amount - self.count)

    @property
    def full(self) -> bool:
        """Whether this request was one too many."""
        return self.count > self.limit.amount

    @property
    def reset_seconds(self) -> int:
        """Whole seconds until the window starts anew, at least 1."""
        return max(1, -int(-self.left_seconds // 1))


class InOrder(FixedWindowRateLimiter):
    """A fixed-window strategy that counts all a request is subject to at once."""

    def __init__(self, storage: StorageTypes) -> None:
        super().__init__(storage)
        if isinstance(storage, RedisStorage):
            self._script = storage.get_connection().register_script(_HIT_IN_ORDER)

    def hit(self, item: RateLimitItem, *identifiers: str, cost: int = 1) -> bool:
        """Hit the counters that the current request wants, in order, up to the first full one."""
        (counts,) = self.count([getattr(flask.g, _WANTED)])
        note(counts)
        return not any(count.full for count in counts)

    def count(self, requests: Sequence[Sequence[Counter]]) -> list[list[Count]]:
        """Hit the counters of many requests; of each, in order, up to the first full one."""
        if isinstance(self.storage, RedisStorage):
            pairs = self._count_in_redis(requests)
        else:
            pairs = [self._count_here(counters) for counters in requests]
        return [
            [
                Count(counter.name, counter.limit, *pair)
                for counter, pair in zip(counters, given, strict=False)
            ]
            for counters, given in zip(requests, pairs, strict=True)
        ]

    def _count_in_redis(
        self, requests: Sequence[Sequence[Counter]]
    ) -> list[list[tuple[int, float]]]:
        counters = [counter for wanted in requests for counter in wanted]
        arguments = [len(requests), *(len(wanted) for wanted in requests)]
        for counter in counters:
            arguments += (counter.limit.amount, counter.limit.window_seconds, counter.take)
        answer = self._script([_key(counter) for counter in counters], arguments)
        return [[(int(count), int(left) / 1000) for count, left in hits] for hits in answer]

    def _count_here(self, counters: Sequence[Counter]) -> list[tuple[int, float]]:
        pairs: list[tuple[int, float]] = []
        for counter in counters:
            key = _key(counter)
            count = self.storage.incr(key, counter.limit.window_seconds, amount=counter.take)
            pairs.append((count, self.storage.get_expiry(key) - time.time()))
            if count > counter.limit.amount:
                break
        return pairs


class _Purses:
    """What was taken of counters and not spent yet, by subject, until their window ends."""

    def __init__(self, window_seconds: int) -> None:
        self._purses: TTLCache[str, _Purse] = TTLCache(_PURSES_MOST, window_seconds, time.monotonic)
        self._lock = threading.Lock()

    def fill(self, subject: str, taken: Count, take: int) -> Count:
        """Keep what was taken but for one, which is spent; give how the counter stands for that.

        Args:
            subject: whose.
            taken: how the counter stands now.
            take: how much was taken; of it what is beyond the limit is not there.
        """
        had = taken.count - take
        left = max(0, min(taken.limit.amount, taken.count) - had - 1)
        with self._lock:
            self._purses[subject] = _Purse(taken, had + 1, left, time.monotonic())
        return replace(taken, count=had + 1)

    def spend(self, subject: str) -> Count | None:
        """Spend one and give how the counter stands; `None` if nothing is left."""
        with self._lock:
            purse = self._purses.get(subject)
            if purse is None or not purse.left:
                return None
            left_seconds = purse.taken.left_seconds - (time.monotonic() - purse.filled_at)
            if left_seconds <= 0:
                return None
            purse.left -= 1
            purse.count += 1
            return replace(purse.taken, count=purse.count, left_seconds=left_seconds)


@dataclass(slots=True)
class _Purse:
    taken: Count
    count: int
    left: int
    filled_at: float


class Limits:
    """The limits of one application."""

    def __init__(self, settings: Settings, address: Callable[[], str]) -> None:
        """Set up Flask-Limiter.

        Args:
            settings: amounts, windows, Redis.
            address: gives what stands for the client's address in the current request.
        """
        STRATEGIES[_STRATEGY] = InOrder
        self._purses = _Purses(settings.limit_other.window_seconds)
        self._settings = settings
        self._address = address
        self._limiter = Limiter(
            key_func=address,
            storage_uri="redis://",
            # limits hands on what it is given, and says that it were strings.
            storage_options=cast(
                "dict[str, str | int]", {"connection_pool": jobs.connect(settings).connection_pool}
            ),
            strategy=_STRATEGY,
            in_memory_fallback_enabled=True,
        )
        # Its hooks go to an application of their own: ours asks where it knows what to count.
        self._limiter.init_app(flask.Flask("limits"))
        # Amount and key are nominal: the strategy counts what the request wants.
        self._admit = self._limiter.limit(str(_NOMINAL), key_func=lambda: _STRATEGY)(_admitted)

    @property
    def sound(self) -> bool:
        """Whether Redis is counting, as far as is known."""
        return self._limiter.limiter.storage is self._limiter.storage

    def count(self, requests: Sequence[Sequence[Counter]]) -> Sequence[list[Count] | None]:
        """Count many requests in one round trip, without asking Flask-Limiter what applies.

        Its own way to the same strategy costs 0.1 ms a request; what it does besides, to count
        in memory while Redis is gone and to come back, is needed only then: see `hit`.

        Returns:
            For each request how its counters stand; `None` for all if Redis did not count.
        """
        uncounted = [None] * len(requests)
        strategy = self._limiter.limiter
        if not any(requests) or not self.sound or not isinstance(strategy, InOrder):
            return uncounted
        try:
            return strategy.count(requests)
        except RedisError:
            return uncounted

    def hit(self, counters: Sequence[Counter]) -> None:
        """Count the current request.

        Raises:
            RateLimited: a counter is full; those after it were not touched.
        """
        self._hit(counters)
        refuse_if_full(counted())

    def _hit(self, counters: Sequence[Counter]) -> None:
        (counts,) = self.count([counters])
        if counts is None:
            self._hit_with_fallback(counters)
        else:
            note(counts)

    def _hit_with_fallback(self, counters: Sequence[Counter]) -> None:
        setattr(flask.g, _WANTED, counters)
        try:
            try:
                self._admit()
            except RedisError:
                # Flask-Limiter goes over to counting in memory for the first thread that finds
                # Redis gone, and raises to the others that found it at the same moment.
                self._admit()
        except RateLimitExceeded:
            pass  # told by whoever reads what was noted, in our words

    def hit_other(self) -> None:
        """Count a request that is subject to the general limit by address alone.

        Readers ask often, so a round trip takes a hundredth of the limit at once and what is left
        of that is spent here. Never more than the limit is let through, whatever the number of
        processes; what one has not spent by the end of the window is lost.

        Raises:
            RateLimited: the counter is full.
        """
        address = self._address()
        count = self.spend_other(address)
        if count is not None:
            note([count])
            return
        subject = _other(address)
        limit = self._settings.limit_other
        take = max(1, min(limit.amount // 100, _TAKE_MOST))
        self._hit([Counter("address", subject, limit, take)])
        if take > 1:
            note([self._purses.fill(subject, one, take) for one in counted()])
        refuse_if_full(counted())

    def spend_other(self, address: str) -> Count | None:
        """Count a request as `hit_other` does, if that takes no round trip; `None` if it does.

        Args:
            address: what stands for the client's.
        """
        return self._purses.spend(_other(address))


def note(counts: Sequence[Count]) -> None:
    """Keep how the counters of the current request stand, for its headers."""
    setattr(flask.g, _COUNTED, counts)


def refuse_if_full(counts: Sequence[Count]) -> None:
    """Refuse a request if one of its counters is full.

    Args:
        counts: how they stand.

    Raises:
        RateLimited: says which.
    """
    for count in counts:
        if count.full:
            metrics.LIMITED.labels(count.name).inc()
            raise RateLimited(
                f"more than {count.limit.amount} in {count.limit.window_seconds} seconds"
                f" for this {count.name}",
                retry_after_seconds=count.reset_seconds,
            )


def counted() -> list[Count]:
    """Give how the counters stand that the current request was counted on."""
    counts: list[Count] = flask.g.get(_COUNTED, [])
    return counts


def headers(counts: Sequence[Count]) -> dict[str, str]:
    """Give the RateLimit fields (draft-ietf-httpapi-ratelimit-headers-10).

    `RateLimit` speaks of the counter that is full, else of the one with the fewest requests left.
    """
    if not counts:
        return {}
    tightest = min(counts, key=lambda count: (not count.full, count.remaining))
    return {
        "RateLimit-Policy": ", ".join(
            f'"{c.name}";q={c.limit.amount};w={c.limit.window_seconds}' for c in counts
        ),
        "RateLimit": f'"{tightest.name}";r={tightest.remaining};t={tightest.reset_seconds}',
    }


def _other(address: str) -> str:
    return f"other:{address}"


def _key(counter: Counter) -> str:
    return f"hamgate:limit:{counter.name}:{counter.subject}"


def _admitted() -> None:
    """Do nothing: Flask-Limiter counts before it is called."""
