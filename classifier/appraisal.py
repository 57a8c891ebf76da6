"""What is told of a candidate besides whether it is better: its learning curve, its scores.

Owns the figures that are kept with a version and drawn for people. The rule it keeps: all of them
come from predictions by layers that had not seen the comment.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from classifier.features import Floats

CURVE_FROM: Final = 100
"""Decisions below which there is no learning curve: two points are none."""

BINS: Final = 20
"""Steps of the probability of spam in which scores are counted."""

_FIRST: Final = 25
_CALIBRATION_BINS: Final = 10


@dataclass(frozen=True, slots=True)
class Point:
    """How well a layer does that was taught by the oldest few of the decisions.

    Attributes:
        labels: How many; 0 for the shipped model alone.
        right: Share of the held-out decisions it gets right at a probability of 0.5.
        loss: Mean log loss on them, in nats; a coin's is 0.69.
    """

    labels: int
    right: float
    loss: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """What became of those who were given about the same probability.

    Attributes:
        predicted: Mean probability of spam.
        spam: Share of them that people called spam.
        count: How many.
    """

    predicted: float
    spam: float
    count: int


@dataclass(frozen=True, slots=True)
class Appraisal:
    """The figures of one candidate.

    Attributes:
        curve: Points by ascending number of labels; empty for few decisions.
        ham: How many good comments were scored in each of `BINS` steps from 0 to 1.
        spam: The same of spam.
        calibration: The occupied tenths of the probability.
    """

    curve: tuple[Point, ...]
    ham: tuple[int, ...]
    spam: tuple[int, ...]
    calibration: tuple[Calibration, ...]


def sizes(decisions: int, known: int) -> list[int]:
    """Return the numbers of decisions a learning curve is tried at: 0, and from 25 on doubling.

    Args:
        decisions: How many there are.
        known: How many of them the layers may be taught by; all sizes are smaller.
    """
    if decisions < CURVE_FROM:
        return []
    found = [0]
    size = _FIRST
    while size < known:
        found.append(size)
        size *= 2
    return found


def appraise(
    odds: Floats, labels: NDArray[np.bool_], known: int, early: Sequence[tuple[int, Floats]]
) -> Appraisal:
    """Return the figures.

    Args:
        odds: (n,) log-odds of each decision by a layer that had not seen it.
        labels: (n,) whether each is spam.
        known: How many decisions those layers were taught by.
        early: Log-odds (n,) by layers that were taught by fewer; empty for no curve.
    """
    probability = 0.5 * (1.0 + np.tanh(0.5 * odds))
    bins = np.minimum((probability * BINS).astype(np.int64), BINS - 1)
    curve = [_point(size, log_odds, labels) for size, log_odds in early]
    return Appraisal(
        curve=(*curve, _point(known, odds, labels)) if curve else (),
        ham=tuple(np.bincount(bins[~labels], minlength=BINS).tolist()),
        spam=tuple(np.bincount(bins[labels], minlength=BINS).tolist()),
        calibration=tuple(_calibration(probability, labels)),
    )


def _point(size: int, log_odds: Floats, labels: NDArray[np.bool_]) -> Point:
    losses = np.logaddexp(0.0, np.where(labels, -log_odds, log_odds))
    right = float(np.mean((log_odds >= 0.0) == labels))
    return Point(size, round(right, 4), round(float(losses.mean()), 4))


def _calibration(probability: Floats, labels: NDArray[np.bool_]) -> list[Calibration]:
    bins = np.minimum((probability * _CALIBRATION_BINS).astype(np.int64), _CALIBRATION_BINS - 1)
    return [
        Calibration(
            predicted=round(float(probability[bins == place].mean()), 4),
            spam=round(float(labels[bins == place].mean()), 4),
            count=int((bins == place).sum()),
        )
        for place in np.unique(bins)
    ]
