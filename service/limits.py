"""Rate limits: every counter a request is subject to, in one round trip.

Flask-Limiter keeps the storage, notices when Redis is down and then counts per process until it
is back. It would ask Redis once for each limit; `InOrder` gives it a strategy that takes all
counters of a request at once. The one rule: counters are hit in order and the first full one
ends it, so that a refused caller cannot use up what belongs to others (the site's counter).
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import flask
from flask_limiter import Limiter
from flask_limiter.errors import RateLimitExceeded
from limits import RateLimitItem, RateLimitItemPerSecond
from limits.storage import RedisStorage, StorageTypes
from limits.strategies import STRATEGIES, FixedWindowRateLimiter
from redis import RedisError

from service import jobs
from service.config import Limit, Settings
from service.errors import RateLimited

# KEYS: counters. ARGV: for each its amount and its window in seconds.
# Answers {count, milliseconds to the end of the window} of each counter that was hit.
_HIT_IN_ORDER = b"""
local out = {}
for i, key in ipairs(KEYS) do
  local count = redis.call('INCR', key)
  local left = redis.call('PTTL', key)
  if left < 0 then
    left = ARGV[2 * i] * 1000
    redis.call('PEXPIRE', key, left)
  end
  out[#out + 1] = {count, left}
  if count > tonumber(ARGV[2 * i - 1]) then break end
end
return out
"""
_STRATEGY = "in-order"
_NOMINAL = RateLimitItemPerSecond(1)
_WANTED = "hamgate_wanted"
_COUNTED = "hamgate_counted"


@dataclass(frozen=True, slots=True)
class Counter:
    """One counter a request is subject to: its name, whose it is, and its limit."""

    name: str
    subject: str
    limit: Limit


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
        counters: Sequence[Counter] = getattr(flask.g, _WANTED)
        keys = [f"hamgate:limit:{counter.name}:{counter.subject}" for counter in counters]
        if isinstance(self.storage, RedisStorage):
            arguments = [n for c in counters for n in (c.limit.amount, c.limit.window_seconds)]
            answer = self._script(keys, arguments)
            pairs = [(int(count), int(left) / 1000) for count, left in answer]
        else:
            pairs = self._hit_each(keys, counters)
        counts = [
            Count(counter.name, counter.limit, *pair)
            for counter, pair in zip(counters, pairs, strict=False)
        ]
        setattr(flask.g, _COUNTED, counts)
        return not any(count.full for count in counts)

    def _hit_each(
        self, keys: Sequence[str], counters: Sequence[Counter]
    ) -> list[tuple[int, float]]:
        pairs: list[tuple[int, float]] = []
        for key, counter in zip(keys, counters, strict=True):
            count = self.storage.incr(key, counter.limit.window_seconds)
            pairs.append((count, self.storage.get_expiry(key) - time.time()))
            if count > counter.limit.amount:
                break
        return pairs


class Limits:
    """The limits of one application."""

    def __init__(self, settings: Settings, address: Callable[[], str]) -> None:
        """Set up Flask-Limiter.

        Args:
            settings: amounts, windows, Redis.
            address: gives what stands for the client's address in the current request.
        """
        STRATEGIES[_STRATEGY] = InOrder
        self._settings = settings
        self._address = address
        self._limiter = Limiter(
            key_func=address,
            storage_uri="redis://",
            storage_options={"connection_pool": jobs.connect(settings).connection_pool},  # type: ignore[dict-item]
            strategy=_STRATEGY,
            in_memory_fallback_enabled=True,
        )
        # Its hooks go to an application of their own: ours asks where it knows what to count.
        self._limiter.init_app(flask.Flask("limits"))
        # Amount and key are nominal: the strategy counts what the request wants.
        self._admit = self._limiter.limit(str(_NOMINAL), key_func=lambda: _STRATEGY)(_admitted)

    def hit(self, counters: Sequence[Counter]) -> None:
        """Count the current request.

        Raises:
            RateLimited: a counter is full; those after it were not touched.
        """
        setattr(flask.g, _WANTED, counters)
        try:
            if not self._hit_at_once():
                self._admit()
        except RateLimitExceeded:
            pass  # told below, in our words
        for count in counted():
            if count.full:
                raise RateLimited(
                    f"more than {count.limit.amount} in {count.limit.window_seconds} seconds"
                    f" for this {count.name}",
                    retry_after_seconds=count.reset_seconds,
                )

    def _hit_at_once(self) -> bool:
        """Count without asking Flask-Limiter which limits apply, while its storage is sound.

        Its own way to the same strategy costs 0.1 ms a request; what it does besides, to count
        in memory while Redis is gone and to come back, is needed only then.
        """
        strategy = self._limiter.limiter
        if strategy.storage is not self._limiter.storage:
            return False
        try:
            strategy.hit(_NOMINAL, _STRATEGY)
        except RedisError:
            return False
        return True

    def hit_other(self) -> None:
        """Count a request that is subject to the general limit by address alone."""
        self.hit([Counter("address", f"other:{self._address()}", self._settings.limit_other)])


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


def _admitted() -> None:
    """Do nothing: Flask-Limiter counts before it is called."""
