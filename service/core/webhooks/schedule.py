"""What follows from an attempt: delivered, another one later, or none any more.

Pure. The one rule: only 2xx is delivered, and everything else is tried again for days, unless the
receiver says that it is gone.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from service.ledger.models import DeliveryStatus

# Standard Webhooks 1.0.0, "Retry schedule": the pauses after the first failure, the second, …
PAUSES_SECONDS = (5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)
ATTEMPTS_MOST = len(PAUSES_SECONDS) + 1
# Attempts that were cut off on our side are not the receiver's failures; but what is cut off again
# and again may be what cuts off.
CLAIMS_MOST = 2 * ATTEMPTS_MOST
_JITTER = 0.1
# The longest that a receiver can have us wait, by Retry-After, for its next attempt.
_RETRY_AFTER_MOST_SECONDS = 86_400.0
_GONE = 410
_SLOW_DOWN = frozenset({429, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an attempt.

    Attributes:
        status: of the answer; `None` if none came whole.
        failure: in one word, why none did.
        excerpt: the beginning of the answer, for people.
        retry_after_seconds: how long the receiver asks us to wait, if it does.
        duration_ms: from the attempt's beginning to its end.
    """

    status: int | None
    failure: str | None = None
    excerpt: str = ""
    retry_after_seconds: float | None = None
    duration_ms: int = 0

    @property
    def is_success(self) -> bool:
        """Whether it was delivered: 2xx and nothing else."""
        return self.status is not None and 200 <= self.status < 300

    @property
    def told(self) -> str:
        """The same for people."""
        return f"answered {self.status}" if self.status is not None else str(self.failure)

    @property
    def is_gone(self) -> bool:
        """Whether the receiver wants to hear nothing any more."""
        return self.status == _GONE


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a delivery stands: waiting for `due_at`, or ended."""

    status: DeliveryStatus
    reason: str | None = None
    due_at: datetime | None = None


def after(
    outcome: Outcome,
    failures: int,
    number: int,
    now: datetime,
    pick: Callable[[float, float], float],
) -> Standing:
    """Say where a delivery stands after an attempt.

    Args:
        outcome: what became of it.
        failures: attempts that failed, this one among them.
        number: attempts in all, those that were cut off on our side among them.
        now: when it ended.
        pick: gives a number between two, for the jitter.
    """
    if outcome.is_success:
        return Standing(DeliveryStatus.DELIVERED)
    if outcome.is_gone or failures >= ATTEMPTS_MOST or number >= CLAIMS_MOST:
        return Standing(DeliveryStatus.DEAD, f"{outcome.told}, attempt {number}")
    pause = PAUSES_SECONDS[failures - 1] * pick(1 - _JITTER, 1 + _JITTER)
    if outcome.status in _SLOW_DOWN and outcome.retry_after_seconds is not None:
        pause = max(pause, min(outcome.retry_after_seconds, _RETRY_AFTER_MOST_SECONDS))
    return Standing(DeliveryStatus.WAITING, outcome.told, now + timedelta(seconds=pause))
