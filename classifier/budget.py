"""Thresholds from an error budget: how many good comments may be held, how many lost.

Owns the step from calibrated scores of decided comments to two thresholds, and what they would
do to a queue. An operator states errors, never thresholds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from classifier.features import Floats

MOST_CAUTIOUS: Final = 0.999999
"""The highest threshold given out: a score that no comment reaches by chance."""

LEAST_HOLD: Final = 0.3
"""The lowest threshold for holding: nobody should wait for what is most likely good, even
where the budget would allow it."""

LEAST_SPAM: Final = 0.9
"""The lowest threshold for spam: in doubt a person decides, whatever the budget."""


_SURELY: Final = 0.9


@dataclass(frozen=True, slots=True)
class Budget:
    """Which errors are tolerable.

    Attributes:
        held: Share of good comments that may be held for a person, 0 to 1.
        lost: Share of good comments that may be marked as spam, 0 to 1.
    """

    held: float = 0.02
    lost: float = 0.001

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            ValueError: A share is outside 0 to 1, or more may be lost than held.
        """
        if not 0.0 <= self.lost <= self.held <= 1.0:
            raise ValueError("a budget needs 0 <= lost <= held <= 1")


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Where a score's consequences begin.

    Attributes:
        hold: Scores from here on are held for a person.
        spam: Scores from here on are marked as spam; never below `hold`.
    """

    hold: float
    spam: float


@dataclass(frozen=True, slots=True)
class Outlook:
    """What thresholds would have done to decided comments.

    Attributes:
        held: Share of all comments held.
        marked: Share of all comments marked as spam.
        good_held: Share of good comments held.
        good_lost: Share of good comments marked as spam.
        spam_passed: Share of spam neither held nor marked.
    """

    held: float
    marked: float
    good_held: float
    good_lost: float
    spam_passed: float


def thresholds(
    scores: Sequence[float] | Floats,
    budget: Budget,
    default: Thresholds,
    goodness: Sequence[float] | Floats | None = None,
) -> Thresholds:
    """Choose thresholds that keep to a budget.

    A share can only be measured on enough comments: with n good comments a budget below 1 / n
    cannot be. There the default threshold stands, or the highest score seen, whichever is more
    cautious; the two shares meet smoothly as comments come in.

    Args:
        scores: Scores of comments, held out of training.
        budget: The tolerable errors.
        default: Thresholds to begin with, from the model's own training.
        goodness: How likely each is good, 0 to 1: 1 where a person said so, 0 where a person
            called it spam, between where nobody has decided; 1 for all if not given. Without
            the undecided, a site whose queue nobody reads would hold ever more, because what
            it holds would never count as good.

    Returns:
        The thresholds, `hold` <= `spam`, never below `LEAST_HOLD` and `LEAST_SPAM`.
    """
    values = np.asarray(scores, dtype=np.float64)
    good = np.ones(len(values)) if goodness is None else np.asarray(goodness, dtype=np.float64)
    order = np.argsort(values)
    values, good = values[order], good[order]
    hold = max(LEAST_HOLD, _threshold(values, good, budget.held, default.hold))
    spam = max(hold, LEAST_SPAM, _threshold(values, good, budget.lost, default.spam))
    return Thresholds(hold, spam)


def outlook(
    scores: Sequence[float] | Floats, is_spam: Sequence[bool], chosen: Thresholds
) -> Outlook:
    """Say what thresholds would have done to decided comments.

    Args:
        scores: Their scores.
        is_spam: What a person decided.
        chosen: The thresholds.

    Returns:
        The shares; 0 where there are no comments to take a share of.
    """
    values = np.asarray(scores, dtype=np.float64)
    spam = np.asarray(is_spam, dtype=np.bool_)
    marked = values >= chosen.spam
    held = (values >= chosen.hold) & ~marked
    return Outlook(
        held=_share(held),
        marked=_share(marked),
        good_held=_share(held[~spam]),
        good_lost=_share(marked[~spam]),
        spam_passed=_share(~(held | marked)[spam]),
    )


def _threshold(scores: Floats, good: Floats, share: float, default: float) -> float:
    """Return the lowest threshold that at most `share` of what is good reaches.

    Args:
        scores: Ascending.
        good: How likely each is good.
        share: Of all that is good.
        default: What stands where the share is less than one comment.
    """
    allowed = share * float(good.sum())
    if allowed < 1.0:
        surely = scores[good >= _SURELY]
        top = float(surely[-1]) if len(surely) else 0.0
        return min(MOST_CAUTIOUS, max(default, float(np.nextafter(top, 1.0))))
    reaching = np.cumsum(good[::-1])[::-1]  # good comments that score this or more
    over = np.flatnonzero(reaching > allowed + 1e-9)
    return min(MOST_CAUTIOUS, float(np.nextafter(scores[over[-1]], 1.0)) if len(over) else 0.0)


def _share(chosen: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> float:
    return float(chosen.mean()) if len(chosen) else 0.0
