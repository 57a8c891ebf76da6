"""What a site's moderators have taught: a small correction on top of a shipped model.

Owns the per-site layer. It is one more linear model over the same features, with the shipped
model's log-odds as a feature of its own, so that scoring and clues stay sums. It starts with
the first few labels and, being regularised, leaves the shipped score alone where it has seen
nothing.
"""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import dataclass
from typing import Final

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

    def require(self, model_version: str) -> None:
        """See to it that it belongs to this shipped model.

        Raises:
            ValueError: It belongs to another.
        """
        if self.model_version != model_version:
            raise ValueError(f"tuning for model {self.model_version}, not {model_version}")

    def look_up(self, columns: Integers) -> Floats:
        """Return the weight of each of some columns, 0 where there is none."""
        if not len(self.columns):
            return np.zeros(len(columns))
        place = np.minimum(np.searchsorted(self.columns, columns), len(self.columns) - 1)
        return np.where(self.columns[place] == columns, self.weights[place], 0.0)

    def to_bytes(self) -> bytes:
        """Return it as a compressed NumPy archive: arrays and JSON, never a pickle.

        Five bytes a column: some 100 kB for a site with a thousand decisions.
        """
        meta = {
            "base": self.base,
            "offset": self.offset,
            "ham": self.ham,
            "spam": self.spam,
            "model_version": self.model_version,
            "facts": [fact.label for fact in FACTS],
        }
        buffer = io.BytesIO()
        np.savez_compressed(
            buffer,
            allow_pickle=False,
            meta=np.frombuffer(json.dumps(meta).encode(), dtype=np.uint8),
            columns=self.columns.astype(np.int32),
            weights=self.weights.astype(np.float16),
            facts=self.facts,
        )
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, raw: bytes) -> Tuning:
        """Rebuild from `to_bytes`.

        Raises:
            ValueError: The bytes are not a tuning of this version's features.
        """
        try:
            with np.load(io.BytesIO(raw), allow_pickle=False) as archive:
                meta = json.loads(archive["meta"].tobytes())
                tuning = cls(
                    columns=archive["columns"].astype(np.int64),
                    weights=archive["weights"].astype(np.float32),
                    facts=archive["facts"].astype(np.float64),
                    base=float(meta["base"]),
                    offset=float(meta["offset"]),
                    ham=int(meta["ham"]),
                    spam=int(meta["spam"]),
                    model_version=str(meta["model_version"]),
                )
        except (KeyError, TypeError, ValueError, EOFError, OSError, zipfile.BadZipFile) as error:
            raise ValueError(f"not a tuning of this version: {error!r}") from error
        if meta.get("facts") != [fact.label for fact in FACTS]:
            raise ValueError("not a tuning of this version: it knows other facts")
        columns = tuning.columns
        fits = columns.shape == tuning.weights.shape and (np.diff(columns) > 0).all()
        if not fits or (len(columns) and (columns[0] < 0 or columns[-1] >= N_GRAMS)):
            raise ValueError("not a tuning of this version: its columns are not in order")
        numbers = (*tuning.weights, *tuning.facts, tuning.base, tuning.offset)
        if tuning.facts.shape != (len(FACTS),) or not np.isfinite(numbers).all():
            raise ValueError("a tuning's numbers must be finite, one for each fact")
        return tuning
