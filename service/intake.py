"""Intake: comments that arrive together are counted and stored together.

One round trip to Redis for the limits of all, one transaction for all that are within theirs,
one ring. The one rule: nothing is stored that was not counted first.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from service import comments, db, limits
from service.comments import Accepted, Submission
from service.db import Database
from service.grouping import Grouped
from service.limits import Count, Counter, Limits

# Groups of two or three become groups of ten or more; a quiet server never waits.
_LINGER_SECONDS = 0.005


@dataclass(frozen=True, slots=True)
class _Arrival:
    """A submission and the counters it is subject to; none if it was counted already."""

    submission: Submission
    counters: Sequence[Counter]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the counters stand and what was stored; neither if Redis did not count."""

    counts: Sequence[Count] | None = None
    accepted: Accepted | None = None


class Intake:
    """The one way in, for all threads of a process."""

    def __init__(self, database: Database, limiter: Limits) -> None:
        self._database = database
        self._limits = limiter
        self._together: Grouped[_Arrival, Outcome] = Grouped(
            self._take, linger_seconds=_LINGER_SECONDS
        )

    def __call__(self, submission: Submission, counters: Sequence[Counter]) -> Accepted:
        """Count and store a submission, for the current request.

        Raises:
            RateLimited: a counter is full; nothing was stored.
            HamgateError: what `comments.submit` gives for it.
            Unavailable: the ledger cannot be written; nothing was stored.
        """
        outcome = self.take(submission, counters)
        if outcome.counts is not None:
            limits.note(outcome.counts)
            limits.refuse_if_full(outcome.counts)
        if outcome.accepted is not None:
            return outcome.accepted
        # Redis is gone: Flask-Limiter counts in this process until it is back.
        self._limits.hit(counters)
        stored = self._together(_Arrival(submission, ())).accepted
        if stored is None:
            raise AssertionError("what needs no counting was not stored")
        return stored

    def take(self, submission: Submission, counters: Sequence[Counter]) -> Outcome:
        """Count and store a submission if Redis counts; where that is gone, do nothing.

        Returns:
            How its counters stand, and what was stored if none of them is full.

        Raises:
            HamgateError: what `comments.submit` gives for it.
            Unavailable: the ledger cannot be written; nothing was stored.
        """
        if not self._limits.sound:
            return Outcome()
        return self._together(_Arrival(submission, counters))

    def _take(self, arrivals: Sequence[_Arrival]) -> Sequence[Outcome | Exception]:
        counted = self._limits.count([arrival.counters for arrival in arrivals])
        outcomes: dict[int, Outcome | Exception] = {}
        admitted: list[int] = []
        for number, (arrival, counts) in enumerate(zip(arrivals, counted, strict=True)):
            if counts is None and arrival.counters:
                outcomes[number] = Outcome()
            elif any(count.full for count in counts or ()):
                outcomes[number] = Outcome(counts)
            else:
                admitted.append(number)
        stored = db.commit_together(
            self._database, comments.submit, [arrivals[number].submission for number in admitted]
        )
        for number, result in zip(admitted, stored, strict=True):
            outcomes[number] = (
                result if isinstance(result, Exception) else Outcome(counted[number], result)
            )
        return [outcomes[number] for number in range(len(arrivals))]
