"""Intake: comments that arrive together are counted and stored together.

One round trip to Redis for the limits of all, one transaction for all that are within theirs,
one ring. The one rule: nothing is stored that was not counted first.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from service.base.grouping import Grouped
from service.core import comments
from service.core.comments import Accepted, Submission
from service.ledger import db
from service.ledger.db import Database, utc_now
from service.serving import limits
from service.serving.challenges import Challenges
from service.serving.limits import Count, Counter, Limits

# Groups of two or three become groups of ten or more; a quiet server never waits. Clients who were
# answered together come again within some 2 ms of each other.
_GAP_SECONDS = 0.002
_LINGER_SECONDS = 0.010


@dataclass(frozen=True, slots=True)
class Arrival:
    """A submission, and what is to be looked at before it is stored.

    Attributes:
        submission: a valid one.
        counters: the limits it is subject to; none if it was counted already.
        formed: whether it comes from a form, which has a challenge.
        altcha: the challenge as it was sent; `None` if there was none.
    """

    submission: Submission
    counters: Sequence[Counter]
    formed: bool
    altcha: str | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the counters stand and what was stored; neither if Redis did not count."""

    counts: Sequence[Count] | None = None
    accepted: Accepted | None = None


class Intake:
    """The one way in, for all that a process is asked at once."""

    def __init__(self, database: Database, limiter: Limits, challenges: Challenges) -> None:
        self._database = database
        self._limits = limiter
        self._challenges = challenges
        self._together: Grouped[Arrival, Outcome] = Grouped(
            self._take, gap_seconds=_GAP_SECONDS, linger_seconds=_LINGER_SECONDS
        )

    def __call__(self, arrival: Arrival) -> Accepted:
        """Count and store a submission, for the current request.

        Raises:
            RateLimited: a counter is full; nothing was stored.
            HamgateError: what `comments.submit` gives for it.
            Unavailable: the ledger cannot be written; nothing was stored.
        """
        if self._limits.sound:
            outcome = self._together(arrival)
            if outcome.counts is not None:
                limits.note(outcome.counts)
                limits.refuse_if_full(outcome.counts)
            if outcome.accepted is not None:
                return outcome.accepted
        # Redis is gone: Flask-Limiter counts in this process until it is back.
        self._limits.hit(arrival.counters)
        stored = self._together(replace(arrival, counters=())).accepted
        if stored is None:
            raise AssertionError("what needs no counting was not stored")
        return stored

    async def take(self, arrival: Arrival) -> Outcome:
        """Count and store a submission if Redis counts; where that is gone, do nothing.

        Returns:
            How its counters stand, and what was stored if none of them is full.

        Raises:
            HamgateError: what `comments.submit` gives for it.
            Unavailable: the ledger cannot be written; nothing was stored.
        """
        return await self._together.call(arrival) if self._limits.sound else Outcome()

    def _take(self, arrivals: Sequence[Arrival]) -> Sequence[Outcome | Exception]:
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
        submissions = [self._examined(arrivals[number]) for number in admitted]
        stored = db.commit_together(self._database, comments.submit, submissions)
        for number, result in zip(admitted, stored, strict=True):
            outcomes[number] = (
                result if isinstance(result, Exception) else Outcome(counted[number], result)
            )
        return [outcomes[number] for number in range(len(arrivals))]

    def _examined(self, arrival: Arrival) -> Submission:
        """Give a submission with what its form's challenge shows; this uses the challenge up."""
        submission = arrival.submission
        if not arrival.formed:
            return submission
        shown = self._challenges.examine(
            submission.site_id, arrival.altcha, submission.digest, utc_now()
        )
        return replace(submission, challenge=shown.challenge, written_ms=shown.written_ms)
