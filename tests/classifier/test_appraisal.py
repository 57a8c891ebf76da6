from __future__ import annotations

import math

import numpy as np
import pytest

from classifier.appraisal import Calibration, Point, appraise, sizes


@pytest.mark.parametrize(
    ("decisions", "known", "tried"),
    [
        (99, 79, []),
        (100, 80, [0, 25, 50]),
        (125, 100, [0, 25, 50]),
        (2000, 1600, [0, 25, 50, 100, 200, 400, 800]),
    ],
)
def test_the_sizes_double_up_to_what_may_be_known(
    decisions: int, known: int, tried: list[int]
) -> None:
    assert sizes(decisions, known) == tried


def test_the_figures_are_what_one_gets_by_hand() -> None:
    # Probabilities .5, .92, .08, .92; the last is a good comment taken for spam.
    sure = math.log(0.92 / 0.08)
    odds = np.array([0.0, sure, -sure, sure])
    labels = np.array([True, True, False, False])

    found = appraise(odds, labels, 3, [(0, np.zeros(4))])

    loss = (math.log(2) - 2 * math.log(0.92) - math.log(0.08)) / 4
    assert found.curve == (Point(0, 0.5, 0.6931), Point(3, 0.75, round(loss, 4)))
    assert [place for place, count in enumerate(found.ham) if count] == [1, 18]
    assert [place for place, count in enumerate(found.spam) if count] == [10, 18]
    assert found.calibration == (
        Calibration(0.08, 0.0, 1), Calibration(0.5, 1.0, 1), Calibration(0.92, 0.5, 2),
    )  # fmt: skip


def test_without_smaller_layers_there_is_no_curve() -> None:
    assert appraise(np.array([1.0, -1.0]), np.array([True, False]), 2, []).curve == ()
