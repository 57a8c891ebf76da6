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
    good_scores: Sequence[float] | Floats, budget: Budget, default: Thresholds
) -> Thresholds:
    """Choose thresholds that keep to a budget.

    A share can only be measured on enough comments: with n good comments a budget below 1 / n
    cannot be. There the default threshold stands, or the highest score seen, whichever is more
    cautious; the two shares meet smoothly as comments come in.

    Args:
        good_scores: Scores of comments a person decided to be good, held out of training.
        budget: The tolerable errors.
        default: Thresholds to begin with, from the model's own training.

    Returns:
        The thresholds, `hold` <= `spam`.
    """
    scores = np.sort(np.asarray(good_scores, dtype=np.float64))
    hold = _threshold(scores, budget.held, default.hold)
    spam = max(hold, _threshold(scores, budget.lost, default.spam))
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


def _threshold(scores: Floats, share: float, default: float) -> float:
    """Return the lowest threshold that at most `share` of the sorted scores reach."""
    allowed = int(share * len(scores))
    if not allowed:
        top = float(scores[-1]) if len(scores) else 0.0
        return min(MOST_CAUTIOUS, max(default, float(np.nextafter(top, 1.0))))
    return min(
        MOST_CAUTIOUS,
        float(np.nextafter(scores[-allowed - 1], 1.0)) if allowed < len(scores) else 0.0,
    )


def _share(chosen: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> float:
    return float(chosen.mean()) if len(chosen) else 0.0
