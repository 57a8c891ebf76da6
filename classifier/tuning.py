"""What a site's moderators have taught: a small correction on top of a shipped model.

Owns the per-site layer. It is one more linear model over the same features, with the shipped
model's log-odds as a feature of its own, so that scoring and clues stay sums. It starts with
the first few labels and, being regularised, leaves the shipped score alone where it has seen
nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from classifier.features import N_GRAMS, Floats, Integers
from classifier.structure import FACTS

FEWEST: Final = 8
"""Labels of each kind below which a site's tuning is not used."""

CLIP: Final = 6.0
"""Bound on the shipped log-odds before the site's layer weighs them."""


@dataclass(frozen=True, slots=True)
class Tuning:
    """A site's layer.

    Attributes:
        columns: (k,) n-gram columns with a weight, ascending.
        weights: (k,) float32 their weights.
        facts: (n_facts,) float64 weights of the structural features.
        base: Weight of the shipped model's log-odds.
        offset: The constant.
        ham: Good comments it was taught by.
        spam: Spam it was taught by.
        model_version: The shipped model it belongs to; it means nothing to another.
    """

    columns: Integers
    weights: NDArray[np.float32]
    facts: Floats
    base: float
    offset: float
    ham: int
    spam: int
    model_version: str

    def look_up(self, columns: Integers) -> Floats:
        """Return the weight of each of some columns, 0 where there is none."""
        if not len(self.columns):
            return np.zeros(len(columns))
        place = np.minimum(np.searchsorted(self.columns, columns), len(self.columns) - 1)
        return np.where(self.columns[place] == columns, self.weights[place], 0.0)

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON values, a few hundred kilobytes at most."""
        return {
            "columns": self.columns.tolist(),
            "weights": [round(float(weight), 5) for weight in self.weights],
            "facts": {
                fact.label: weight for fact, weight in zip(FACTS, self.facts.tolist(), strict=True)
            },
            "base": self.base,
            "offset": self.offset,
            "ham": self.ham,
            "spam": self.spam,
            "model_version": self.model_version,
        }

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Tuning:
        """Rebuild from `to_json`.

        Raises:
            ValueError: The values are not a tuning of this version's features.
        """
        try:
            tuning = cls(
                columns=np.array(values["columns"], dtype=np.int64),
                weights=np.array(values["weights"], dtype=np.float32),
                facts=np.array([float(values["facts"][fact.label]) for fact in FACTS]),
                base=float(values["base"]),
                offset=float(values["offset"]),
                ham=int(values["ham"]),
                spam=int(values["spam"]),
                model_version=str(values["model_version"]),
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"not a tuning of this version: {error!r}") from error
        columns = tuning.columns
        fits = columns.shape == tuning.weights.shape and (np.diff(columns) > 0).all()
        if not fits or (len(columns) and (columns[0] < 0 or columns[-1] >= N_GRAMS)):
            raise ValueError("not a tuning of this version: its columns are not in order")
        numbers = (*tuning.weights, *tuning.facts, tuning.base, tuning.offset)
        if not np.isfinite(numbers).all():
            raise ValueError("a tuning's numbers must be finite")
        return tuning
