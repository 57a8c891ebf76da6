"""Learning a site's layer from its moderators' decisions.

Owns the fit of a `Tuning`. The label is the last human decision; which decisions count, and in
which order, is the caller's business.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, diags_array, hstack, vstack
from sklearn.model_selection import StratifiedKFold

from classifier.errors import TrainingDataError
from classifier.examples import Content, Example
from classifier.features import BLOCK_SLICES, N_GRAMS, Block, Floats, Integers, span, weigh
from classifier.model import Model, batches
from classifier.pipeline import regress
from classifier.structure import FACTS
from classifier.tuning import CLIP, FEWEST, Tuning


@dataclass(frozen=True, slots=True)
class _Way:
    """How much the fit may lean on what: scales of features, hence how little each costs.

    Attributes:
        trust: Scale of the shipped log-odds.
        chars: Scale of the character n-grams of the body.
    """

    trust: float
    chars: float


_WAYS: Final = (_Way(0.06, 1.0), _Way(0.2, 3.0), _Way(0.2, 7.0))
"""What is tried. In a language the shipped model cannot read, parts of words say most: accuracy
after 800 labels of Indonesian .970 with the first alone, .978 and .982 with the others to choose
from. On another video of YouTube they mislead: .960 with the first, .954 with the second alone.
One size of n-grams, with the shipped log-odds at .1, .4 or 1.5, gave .957 there, and .894 after
50 labels of YouTube; these give .916."""

_FACTS: Final = 2.0
"""Scale of the structural facts: on one site they tell more than across sites (YouTube, one
video left out: log loss .112 to .110; after 200 labels .946 to .953)."""

_STRENGTH: Final = 50.0
_FOLDS: Final = 5
_MOST: Final = 4000


class Teacher:
    """Teaches layers from parts of the same decisions; cuts each text up once for all of them."""

    def __init__(self, model: Model, examples: Sequence[Example]) -> None:
        """Find the features of the decisions.

        Args:
            model: The shipped model.
            examples: The decisions, and whatever else is to be scored beside them.
        """
        self._version: Final = model.version
        self._labels: Final = np.array([example.is_spam for example in examples], dtype=np.bool_)
        self._weights: Final = np.array([example.weight for example in examples])
        contents = [example.content for example in examples]
        parts = [
            _read(model, contents[first:last])
            for first, last in list(batches(contents)) or [(0, 0)]
        ]
        self._matrix: Final = vstack([matrix for matrix, _ in parts], format="csr")
        self._shipped: Final = np.concatenate([odds for _, odds in parts])

    def teach(self, places: Integers) -> Tuning:
        """Fit a site's layer to some of the decisions.

        How far the shipped score and parts of words are trusted is chosen by cross-validation on
        the decisions themselves: on a site like those the model knows its score should lead, on
        another language it should not.

        Args:
            places: (n,) which decisions, oldest first; of very many the newest 4,000 are used.

        Returns:
            The tuning.

        Raises:
            TrainingDataError: There are fewer than `tuning.FEWEST` decisions of a kind.
        """
        places = places[-_MOST:]
        labels, weights = self._labels[places], self._weights[places]
        spam = int(labels.sum())
        ham = len(labels) - spam
        if min(ham, spam) < FEWEST:
            raise TrainingDataError(
                f"a site's layer needs {FEWEST} good comments and {FEWEST} spam, "
                f"has {ham} and {spam}"
            )
        matrix, columns = self._part(places)
        scales = [_scales(columns, way) for way in _WAYS]
        losses = [_loss(matrix @ diags_array(scale), labels, weights) for scale in scales]
        scale = scales[int(np.argmin(losses))]
        fitted = regress(matrix @ diags_array(scale), labels, weights, _STRENGTH)
        learnt = fitted.coef_[0] * scale
        grams = len(columns)
        return Tuning(
            columns=columns,
            weights=learnt[:grams].astype(np.float32),
            facts=learnt[grams:-1].copy(),
            base=float(learnt[-1]),
            offset=float(fitted.intercept_[0]),
            ham=ham,
            spam=spam,
            model_version=self._version,
        )

    def log_odds(self, places: Integers, tuning: Tuning | None) -> Floats:
        """Return (n,) what `Model.log_odds` gives for some of the decisions.

        Args:
            places: (n,) which decisions.
            tuning: A layer; `None` for the shipped model alone.

        Raises:
            ValueError: The tuning belongs to another model.
        """
        if tuning is None:
            return self._shipped[places]
        tuning.require(self._version)
        learnt = np.concatenate([np.zeros(N_GRAMS), tuning.facts, [tuning.base]])
        learnt[tuning.columns] = tuning.weights
        odds: Floats = self._matrix[places] @ learnt + tuning.offset
        return odds

    def _part(self, places: Integers) -> tuple[csr_matrix, Integers]:
        """Return the rows of some decisions, and the n-gram columns that occur in them.

        Facts and shipped log-odds follow these. Without the rest a fit takes milliseconds.
        """
        rows = self._matrix[places]
        columns = np.unique(rows.indices[rows.indices < N_GRAMS]).astype(np.int64)
        return rows[:, np.append(columns, np.arange(N_GRAMS, rows.shape[1]))], columns


def teach(model: Model, examples: Sequence[Example]) -> Tuning:
    """Fit a site's layer to decisions; see `Teacher.teach`.

    Args:
        model: The shipped model.
        examples: The decisions, oldest first; of very many only the newest 4,000 are used.

    Returns:
        The tuning.

    Raises:
        TrainingDataError: There are fewer than `tuning.FEWEST` decisions of a kind.
    """
    newest = examples[-_MOST:]
    return Teacher(model, newest).teach(np.arange(len(newest)))


def _read(model: Model, contents: Sequence[Content]) -> tuple[csr_matrix, Floats]:
    """Return n-grams, facts and bounded log-odds by the shipped model; and these unbounded."""
    spans = span(contents)
    sums = model.add_up(spans)
    value = weigh(sums.grouped, model.parameters.rarity, len(contents))
    place = (sums.grouped.row, sums.grouped.column)
    grams = csr_matrix((value, place), shape=(len(contents), N_GRAMS))
    base = np.clip(sums.log_odds, -CLIP, CLIP)
    matrix = hstack([grams, csr_matrix(spans.facts), csr_matrix(base[:, None])], "csr")
    return matrix, sums.log_odds


def _scales(columns: Integers, way: _Way) -> Floats:
    """Return the scale of each column of the feature matrix."""
    chars = BLOCK_SLICES[Block.CHARS]
    grams = np.where((columns >= chars.start) & (columns < chars.stop), way.chars, 1.0)
    return np.concatenate([grams, np.full(len(FACTS), _FACTS), [way.trust]])


def _loss(matrix: csr_matrix, labels: NDArray[np.bool_], weights: Floats) -> float:
    """Return the cross-validated mean log loss, in nats."""
    folds = min(_FOLDS, int(min(labels.sum(), (~labels).sum())))
    splits = StratifiedKFold(folds, shuffle=True, random_state=0)
    total = 0.0
    for known, unknown in splits.split(matrix, labels):
        fitted = regress(matrix[known], labels[known], weights[known], _STRENGTH)
        odds = fitted.decision_function(matrix[unknown])
        total += float(np.logaddexp(0.0, np.where(labels[unknown], -odds, odds)).sum())
    return total / len(labels)
