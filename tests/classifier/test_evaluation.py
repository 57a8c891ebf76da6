from __future__ import annotations

import json
import os
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from classifier.__main__ import main
from classifier.corpora import CORPORA, mixture, read, synthetic
from classifier.errors import TrainingDataError
from classifier.evaluation import (
    Report,
    Row,
    at_least,
    at_most,
    calibration_error,
    caught,
    measure,
)
from classifier.plots import Series, plot
from classifier.protocols import PROTOCOLS, evaluate

LABELS = np.array([False] * 100 + [True] * 100)
PERFECT = np.where(LABELS, 4.0, -4.0)


def test_perfect_predictions_get_perfect_figures() -> None:
    figures = measure(LABELS, PERFECT)
    assert (figures.accuracy, figures.mcc, figures.caught, figures.auc) == (1.0, 1.0, 1.0, 1.0)


def test_caught_is_counted_above_the_allowed_share_of_ham() -> None:
    odds = np.concatenate([np.arange(100.0), np.full(50, 98.5), np.full(50, 200.0)])
    assert caught(LABELS, odds, 0.01) == 0.5
    assert caught(LABELS, odds, 0.05) == 1.0


def test_honest_probabilities_have_no_calibration_error() -> None:
    labels = np.arange(1000) % 4 == 0
    odds = np.full(1000, np.log(0.25 / 0.75))
    assert calibration_error(labels, odds) == pytest.approx(0.0, abs=1e-9)


def test_rows_say_whether_a_goal_is_met() -> None:
    assert at_least("p", "m", 0.9, 0.8).is_met
    assert not at_most("p", "m", 0.9, 0.8).is_met
    assert Row("p", "m", 0.5).is_met is None


def test_a_report_is_written_in_three_forms(tmp_path: Path) -> None:
    report = Report(
        rows=(at_least("p", "m", 0.9, 0.8), Row("p", "n", 12.5)),
        predictions={"p": (LABELS, PERFECT + np.arange(200) / 100)},
        curves={"p": ((25.0, 0.8), (50.0, 0.9))},
    )
    report.write(tmp_path)
    assert "| p | m | 0.9000 | at least 0.8000 | yes |" in (tmp_path / "report.md").read_text()
    assert json.loads((tmp_path / "report.json").read_text())[1]["is_met"] is None
    for name in ("roc", "calibration", "histogram", "learning"):
        assert ElementTree.parse(tmp_path / f"{name}.svg").getroot().tag.endswith("svg")


def test_a_plot_of_one_point_is_drawn() -> None:
    drawn = plot([Series("a <b>", np.array([1.0]), np.array([1.0]))], "x & y", "up")
    assert "a &lt;b&gt;" in drawn


def test_evaluation_says_which_file_is_missing(tmp_path: Path) -> None:
    for name in PROTOCOLS:
        with pytest.raises(TrainingDataError, match="is not there"):
            evaluate(tmp_path, (name,), lambda step: None)


def test_an_unknown_protocol_is_refused(tmp_path: Path) -> None:
    assert main(["evaluate", "--data", str(tmp_path), "--protocol", "none"]) == 1


def test_synthetic_examples_repeat_with_their_seed() -> None:
    assert synthetic(3) == synthetic(3)
    assert synthetic(3) != synthetic(4)


@pytest.fixture
def data() -> Path:
    """Return the directory of the public corpora, or skip."""
    named = os.environ.get("HAMGATE_DATA")
    if not named:
        pytest.skip("HAMGATE_DATA does not name the directory of the public corpora")
    return Path(named)


def test_the_corpora_are_as_the_model_card_says(data: Path) -> None:
    for corpus in CORPORA:
        rows = read(data, corpus)
        assert rows
        assert not (corpus.ham_only and any(row.is_spam for row in rows))


def test_the_mixture_leaves_out_what_it_is_told_to(data: Path) -> None:
    without = frozenset({"youtube", "blog"})
    assert not {example.source for example in mixture(data, without=without)} & without
