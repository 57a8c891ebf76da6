"""The scorer: arrays in, verdicts out.

Owns `Model`. It needs numpy and the standard library only, so a scoring process stays small.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from classifier.budget import MOST_CAUTIOUS, Budget, Thresholds
from classifier.clues import Clue, Sums, find_clues
from classifier.examples import Content
from classifier.features import Floats, Spans, group, span, weigh
from classifier.normalise import LIMIT, Folded
from classifier.tuning import CLIP, Tuning

HAM_SHARES: Final = (
    *(1.0, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001, 0.0005, 0.0002, 0.0001),
)
"""Shares of good comments at which a model knows how high their log-odds reach."""

_HELD_FACTOR: Final = 0.6
_LOST_FACTOR: Final = 0.5
# A budget is cut by these before held-out ham of the training data is asked: a new site is
# further away than a held-out page.

_BATCH_ROWS: Final = 256
_BATCH_CHARS: Final = 100_000


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the classifier thinks of one comment; it changes nothing.

    Attributes:
        score: Calibrated probability of spam, 0 to 1, never NaN.
        clues: At most `clues.MAX_CLUES` reasons, the most telling first.
        model_version: The model that was asked.
    """

    score: float
    clues: tuple[Clue, ...]
    model_version: str


@dataclass(frozen=True, slots=True)
class Parameters:
    """The numbers of a model.

    Attributes:
        weights: (N_GRAMS,) float32 weight of each n-gram column.
        rarity: (N_GRAMS,) float32 inverse document frequency of each column.
        facts: (n_facts,) float64 weight of each structural feature.
        bias: The constant of the linear model.
        slope: Calibration: log-odds = slope * linear + offset.
        offset: See `slope`.
        tail: (len(HAM_SHARES),) ascending log-odds; each was reached by that share of the good
            comments held out in training.
    """

    weights: NDArray[np.float32]
    rarity: NDArray[np.float32]
    facts: Floats
    bias: float
    slope: float = 1.0
    offset: float = 0.0
    tail: tuple[float, ...] = tuple(-math.log(share) for share in HAM_SHARES)


class Model:
    """A trained classifier. Immutable; safe to share between threads."""

    def __init__(self, parameters: Parameters, version: str) -> None:
        """Wrap parameters; see `store.load` and `training.train` for where they come from."""
        self.parameters: Final = parameters
        self.version: Final = version

    @property
    def thresholds(self) -> Thresholds:
        """The thresholds of the default budget, for a site without decisions."""
        return self.thresholds_for(Budget())

    def thresholds_for(self, budget: Budget) -> Thresholds:
        """Choose cautious thresholds for a budget, from held-out predictions in training.

        Args:
            budget: The tolerable errors.

        Returns:
            The thresholds, `hold` <= `spam`; the smaller the budget, the higher they are.
        """
        hold = self._reached_by(_HELD_FACTOR * budget.held)
        return Thresholds(hold, max(hold, self._reached_by(_LOST_FACTOR * budget.lost)))

    def score(
        self,
        contents: Sequence[Content],
        tuning: Tuning | None = None,
        folded: Sequence[Folded | None] | None = None,
    ) -> list[Verdict]:
        """Score comments.

        Args:
            contents: Any number of comments; together they are scored in batches of bounded
                memory. A comment's score does not depend on its neighbours.
            tuning: What the site's moderators have taught this model, if anything.
            folded: The bodies folded, for a caller who needs that for more than the score.

        Returns:
            One verdict per comment, in order.

        Raises:
            ValueError: The tuning belongs to another model.
        """
        verdicts: list[Verdict] = []
        for first, last in batches(contents):
            spans = span(contents[first:last], folded and folded[first:last])
            sums = self.add_up(spans, tuning)
            for odds, clues in zip(sums.log_odds.tolist(), find_clues(spans, sums), strict=True):
                verdicts.append(Verdict(_probability(odds), tuple(clues), self.version))
        return verdicts

    def log_odds(self, contents: Sequence[Content], tuning: Tuning | None = None) -> Floats:
        """Return (n_contents,) float64, the calibrated log-odds of spam, without clues.

        Raises:
            ValueError: The tuning belongs to another model.
        """
        parts = [
            self.add_up(span(contents[first:last]), tuning).log_odds
            for first, last in batches(contents)
        ]
        return np.concatenate(parts) if parts else np.zeros(0)

    def add_up(self, spans: Spans, tuning: Tuning | None = None) -> Sums:
        """Return the log-odds of a batch, and what each n-gram and fact adds to them.

        Raises:
            ValueError: The tuning belongs to another model.
        """
        numbers = self.parameters
        n_rows = len(spans.facts)
        grouped = group(spans)
        value = weigh(grouped, numbers.rarity, n_rows)
        grams = value * (numbers.slope * numbers.weights[grouped.column])
        facts = spans.facts * (numbers.slope * numbers.facts)
        start = numbers.slope * numbers.bias + numbers.offset
        log_odds = np.bincount(grouped.row, grams, minlength=n_rows) + facts.sum(axis=1) + start
        if tuning is None:
            return Sums(log_odds, grouped, grams, facts)
        tuning.require(self.version)
        clipped = np.clip(log_odds, -CLIP, CLIP)
        kept = tuning.base * np.divide(
            clipped, log_odds, out=np.ones(n_rows), where=np.abs(log_odds) > CLIP
        )
        taught = value * tuning.look_up(grouped.column)
        taught_facts = spans.facts * tuning.facts
        log_odds = (
            tuning.base * clipped
            + np.bincount(grouped.row, taught, minlength=n_rows)
            + taught_facts.sum(axis=1)
            + tuning.offset
        )
        return Sums(
            log_odds,
            grouped,
            grams * kept[grouped.row] + taught,
            facts * kept[:, None] + taught_facts,
        )

    def save(self, path: Path) -> None:
        """Write the model directory; see `store.save`."""
        from classifier import store

        store.save(self, path)

    def _reached_by(self, share: float) -> float:
        """Return the score that a share of good comments reaches.

        Between the known shares the log-odds run straight over the share's logarithm; beyond
        the last they grow as the logarithm shrinks.
        """
        if share <= 0.0:
            return MOST_CAUTIOUS
        rarity = -math.log(share)
        known = [-math.log(other) for other in HAM_SHARES]
        odds = float(np.interp(rarity, known, self.parameters.tail)) + max(0.0, rarity - known[-1])
        return min(MOST_CAUTIOUS, _probability(odds))


def batches(contents: Sequence[Content]) -> Iterator[tuple[int, int]]:
    """Cut into runs of at most 256 comments and about 100,000 characters: first, last + 1."""
    first = chars = 0
    for place, content in enumerate(contents):
        chars += min(len(content.body), LIMIT)
        if chars > _BATCH_CHARS or place - first >= _BATCH_ROWS:
            if place > first:
                yield first, place
            first, chars = place, min(len(content.body), LIMIT)
    if first < len(contents):
        yield first, len(contents)


def _probability(log_odds: float) -> float:
    """Return the probability for log-odds, without overflow."""
    if log_odds < 0:
        odds = math.exp(max(log_odds, -700.0))
        return odds / (1.0 + odds)
    return 1.0 / (1.0 + math.exp(-min(log_odds, 700.0)))
