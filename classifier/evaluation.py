"""Figures of merit, and the report that shows them.

Owns the measures (from labels and log-odds alone) and their presentation as Markdown, JSON and
plots. Which model is measured on what is decided in `protocols`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import matthews_corrcoef, roc_auc_score, roc_curve

from classifier.features import Floats
from classifier.plots import Series, plot

Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Figures:
    """How well log-odds separate labels.

    Attributes:
        accuracy: Share right at P = 0.5.
        mcc: Matthews correlation at P = 0.5.
        caught: Share of spam above the score that 1 % of ham exceeds.
        auc: Area under the ROC curve.
        ece: Expected calibration error in ten bins.
    """

    accuracy: float
    mcc: float
    caught: float
    auc: float
    ece: float


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the report.

    Attributes:
        protocol: What was tried.
        measure: What was measured.
        value: The figure.
        goal: What it should be, in words; "" if none was set.
        is_met: Whether it is, or None without a goal.
    """

    protocol: str
    measure: str
    value: float
    goal: str = ""
    is_met: bool | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """The figures of some protocols, and the predictions behind the plots.

    Attributes:
        rows: The figures.
        predictions: Labels and log-odds by name.
        curves: Learning curves by name: (labels given, accuracy) pairs.
    """

    rows: tuple[Row, ...]
    predictions: dict[str, tuple[Flags, Floats]]
    curves: dict[str, tuple[tuple[float, float], ...]]

    def markdown(self) -> str:
        """Return the figures as a table."""
        lines = ["| protocol | measure | figure | goal | met |", "|---|---|---|---|---|"]
        for row in self.rows:
            met = {True: "yes", False: "no", None: ""}[row.is_met]
            lines.append(
                f"| {row.protocol} | {row.measure} | {_shown(row.value)} | {row.goal} | {met} |"
            )
        return "\n".join(lines) + "\n"

    def json(self) -> str:
        """Return the figures as JSON."""
        rows = [
            {
                "protocol": row.protocol,
                "measure": row.measure,
                "value": row.value,
                "goal": row.goal,
                "is_met": row.is_met,
            }
            for row in self.rows
        ]
        return json.dumps(rows, indent=2, ensure_ascii=False) + "\n"

    def write(self, directory: Path) -> None:
        """Write `report.md`, `report.json` and the plots (SVG) to a directory."""
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "report.md").write_text(self.markdown(), encoding="utf-8")
        (directory / "report.json").write_text(self.json(), encoding="utf-8")
        roc = [
            Series(name, *roc_points(labels, odds))
            for name, (labels, odds) in self.predictions.items()
        ]
        calibration = [
            Series(name, *reliability(labels, odds))
            for name, (labels, odds) in self.predictions.items()
        ]
        histogram = [
            Series(f"{name}, {kind}", *histogram_points(odds[labels == is_spam]))
            for name, (labels, odds) in self.predictions.items()
            for kind, is_spam in (("ham", False), ("spam", True))
        ]
        learning = [
            Series(name, np.array([x for x, _ in points]), np.array([y for _, y in points]))
            for name, points in self.curves.items()
        ]
        plots = {
            "roc": (roc, "ham wrongly above the threshold", "spam caught"),
            "calibration": (calibration, "predicted probability", "share that is spam"),
            "histogram": (histogram, "log-odds", "share of comments"),
            "learning": (learning, "labels of the new site", "accuracy"),
        }
        for name, (series, across, up) in plots.items():
            if series:
                (directory / f"{name}.svg").write_text(plot(series, across, up), encoding="utf-8")


def measure(labels: Flags, log_odds: Floats) -> Figures:
    """Measure predictions.

    Args:
        labels: (n,) whether each is spam; both kinds must occur.
        log_odds: (n,) calibrated log-odds.

    Returns:
        The figures.
    """
    return Figures(
        accuracy=float(np.mean((log_odds >= 0) == labels)),
        mcc=float(matthews_corrcoef(labels, log_odds >= 0)),
        caught=caught(labels, log_odds),
        auc=float(roc_auc_score(labels, log_odds)),
        ece=calibration_error(labels, log_odds),
    )


def caught(labels: Flags, log_odds: Floats, share: float = 0.01) -> float:
    """Return the share of spam above the score that `share` of ham exceeds."""
    return float(np.mean(log_odds[labels] > ham_threshold(log_odds[~labels], share)))


def ham_threshold(ham: Floats, share: float) -> float:
    """Return the score that at most `share` of the ham exceeds."""
    return float(np.quantile(ham, 1.0 - share, method="higher"))


def probability(log_odds: Floats) -> Floats:
    """Return probabilities for log-odds."""
    chances: Floats = 0.5 * (1.0 + np.tanh(0.5 * log_odds))
    return chances


def calibration_error(labels: Flags, log_odds: Floats, bins: int = 10) -> float:
    """Return the mean gap between predicted and true share of spam, weighted by bin size."""
    chance = probability(log_odds)
    bin_of = np.minimum((chance * bins).astype(np.int64), bins - 1)
    gaps = [
        abs(labels[bin_of == place].mean() - chance[bin_of == place].mean())
        * np.mean(bin_of == place)
        for place in np.unique(bin_of)
    ]
    return float(sum(gaps))


def roc_points(labels: Flags, log_odds: Floats) -> tuple[Floats, Floats]:
    """Return the ROC curve up to 5 % of ham: false-positive rates and true-positive rates."""
    false_rate, true_rate, _ = roc_curve(labels, log_odds)
    low = false_rate <= 0.05
    return false_rate[low], true_rate[low]


def reliability(labels: Flags, log_odds: Floats, bins: int = 10) -> tuple[Floats, Floats]:
    """Return mean prediction and true share of spam of each occupied bin."""
    chance = probability(log_odds)
    bin_of = np.minimum((chance * bins).astype(np.int64), bins - 1)
    places = np.unique(bin_of)
    predicted = np.array([chance[bin_of == place].mean() for place in places])
    true = np.array([labels[bin_of == place].mean() for place in places])
    return predicted, true


def histogram_points(log_odds: Floats) -> tuple[Floats, Floats]:
    """Return the middles and shares of 40 bins of log-odds between -12 and 12."""
    counts, edges = np.histogram(np.clip(log_odds, -12.0, 12.0), bins=40, range=(-12.0, 12.0))
    return (edges[1:] + edges[:-1]) / 2.0, counts / max(1, len(log_odds))


def at_least(protocol: str, name: str, value: float, goal: float) -> Row:
    """Return a row whose figure should not be below its goal."""
    return Row(protocol, name, value, f"at least {_shown(goal)}", value >= goal)


def at_most(protocol: str, name: str, value: float, goal: float) -> Row:
    """Return a row whose figure should not be above its goal."""
    return Row(protocol, name, value, f"at most {_shown(goal)}", value <= goal)


def figure_rows(protocol: str, figures: Figures, goals: Sequence[float | None]) -> list[Row]:
    """Return the rows of all five figures; the goal of the last one is an upper bound."""
    names = ("accuracy", "MCC", "caught at 1 % of ham", "AUC", "ECE")
    values = (figures.accuracy, figures.mcc, figures.caught, figures.auc, figures.ece)
    rows: list[Row] = []
    for name, value, goal in zip(names, values, goals, strict=True):
        if goal is None:
            rows.append(Row(protocol, name, value))
        else:
            rows.append((at_most if name == "ECE" else at_least)(protocol, name, value, goal))
    return rows


def _shown(value: float) -> str:
    return f"{value:.4g}" if abs(value) >= 10 or value == int(value) else f"{value:.4f}"
