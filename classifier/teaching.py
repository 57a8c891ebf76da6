"""Learning a site's layer from its moderators' decisions.

Owns the fit of a `Tuning`. The label is the last human decision; which decisions count, and in
which order, is the caller's business.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, hstack
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold

from classifier.errors import TrainingDataError
from classifier.examples import Example
from classifier.features import Floats, Integers, group, span, weigh
from classifier.model import Model
from classifier.tuning import CLIP, FEWEST, Tuning

_STRENGTH: Final = 100.0
_TRUSTS: Final = (0.1, 0.4, 1.5)
_FOLDS: Final = 5
_MOST: Final = 4000


def teach(model: Model, examples: Sequence[Example]) -> Tuning:
    """Fit a site's layer to its decisions.

    How far the shipped score is trusted (its scale as a feature, hence how little its weight is
    regularised) is chosen by cross-validation on the decisions themselves: on a site like those
    the model knows it should lead, on another language it should not.

    Args:
        model: The shipped model.
        examples: The decisions, oldest first; of very many only the newest 4,000 are used.

    Returns:
        The tuning.

    Raises:
        TrainingDataError: There are fewer than `tuning.FEWEST` decisions of a kind.
    """
    examples = examples[-_MOST:]
    labels = np.array([example.is_spam for example in examples], dtype=np.bool_)
    spam = int(labels.sum())
    ham = len(labels) - spam
    if min(ham, spam) < FEWEST:
        raise TrainingDataError(
            f"a site's layer needs {FEWEST} good comments and {FEWEST} spam, has {ham} and {spam}"
        )
    weights = np.array([example.weight for example in examples])
    matrix, columns, base = _features(model, examples)
    losses = [_loss(_with_base(matrix, base * scale), labels, weights) for scale in _TRUSTS]
    trust = _TRUSTS[int(np.argmin(losses))]
    fitted = _fit(_with_base(matrix, base * trust), labels, weights)
    grams = len(columns)
    return Tuning(
        columns=columns,
        weights=fitted.coef_[0, :grams].astype(np.float32),
        facts=fitted.coef_[0, grams:-1].copy(),
        base=float(fitted.coef_[0, -1]) * trust,
        offset=float(fitted.intercept_[0]),
        ham=ham,
        spam=spam,
        model_version=model.version,
    )


def _features(model: Model, examples: Sequence[Example]) -> tuple[csr_matrix, Integers, Floats]:
    """Return the feature matrix, the n-gram columns it has, and the shipped log-odds, clipped.

    Only columns that occur are kept: a fit then takes milliseconds, not seconds.
    """
    contents = [example.content for example in examples]
    spans = span(contents)
    grouped = group(spans)
    value = weigh(grouped, model.parameters.rarity, len(contents))
    columns, place = np.unique(grouped.column, return_inverse=True)
    grams = csr_matrix((value, (grouped.row, place)), shape=(len(contents), len(columns)))
    base = np.clip(model.log_odds(contents), -CLIP, CLIP)
    return hstack([grams, csr_matrix(spans.facts)], format="csr"), columns, base


def _with_base(matrix: csr_matrix, base: Floats) -> csr_matrix:
    return hstack([matrix, csr_matrix(base[:, None])], format="csr")


def _fit(matrix: csr_matrix, labels: NDArray[np.bool_], weights: Floats) -> LogisticRegression:
    fitted = LogisticRegression(C=_STRENGTH, solver="liblinear")
    return fitted.fit(matrix, labels, sample_weight=weights)


def _loss(matrix: csr_matrix, labels: NDArray[np.bool_], weights: Floats) -> float:
    """Return the cross-validated mean log loss, in nats."""
    folds = min(_FOLDS, int(min(labels.sum(), (~labels).sum())))
    splits = StratifiedKFold(folds, shuffle=True, random_state=0)
    total = 0.0
    for known, unknown in splits.split(matrix, labels):
        odds = _fit(matrix[known], labels[known], weights[known]).decision_function(matrix[unknown])
        total += float(np.logaddexp(0.0, np.where(labels[unknown], -odds, odds)).sum())
    return total / len(labels)
