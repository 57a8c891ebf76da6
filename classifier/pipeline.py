"""The scikit-learn side: contents to a sparse matrix, and a linear model that keeps its signs.

Owns the estimators. Scoring a live comment does not come through here (see `model`): it repeats
the same arithmetic on the arrays of `features`, and a test holds the two equal to 1e-9.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, hstack, vstack
from sklearn.compose import ColumnTransformer
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer
from threadpoolctl import ThreadpoolController

from classifier.examples import Content
from classifier.features import BLOCK_SLICES, N_GRAMS, SCALES, WIDTH, Floats, group, span
from classifier.structure import FACTS

RAISING: Final = np.array(
    [N_GRAMS + place for place, fact in enumerate(FACTS) if fact.raises], dtype=np.int64
)
"""Columns that training may give no negative weight."""

LOCAL: Final = np.array(
    [N_GRAMS + place for place, fact in enumerate(FACTS) if fact.local], dtype=np.int64
)
"""Columns that only a site's layer weighs. A site's spam is longer or shorter than its ham:
known to the layer, YouTube with one video left out goes from .953 to .960. Known to the shipped
model as well, praise goes from .707 to .693 caught, an unknown language's AUC from .879 to .871.
"""

RARITY_STEP: Final = 0.02
"""Rarity is rounded to this, so that a byte per column can hold it."""

_BATCH: Final = 512


def count(contents: Sequence[Content]) -> csr_matrix:
    """Return the (n_contents, WIDTH) float64 matrix of n-gram counts and structural facts."""
    parts = []
    for first in range(0, max(1, len(contents)), _BATCH):
        batch = contents[first : first + _BATCH]
        spans = span(batch)
        grouped = group(spans)
        counts = csr_matrix(
            (grouped.count.astype(np.float64), (grouped.row, grouped.column)),
            shape=(len(batch), N_GRAMS),
        )
        parts.append(hstack([counts, csr_matrix(spans.facts)], format="csr"))
    return vstack(parts, format="csr")


def features() -> Pipeline:
    """Return the untrained transformer from contents to features.

    Counts are damped to 1 + log(count), multiplied by the column's rarity, and scaled to
    the length of each block; structural facts pass unchanged.
    """
    blocks: list[tuple[str, Any, slice]] = [
        (block.name.lower(), TfidfTransformer(sublinear_tf=True), columns)
        for block, columns in BLOCK_SLICES.items()
    ]
    blocks.append(("facts", "passthrough", slice(N_GRAMS, WIDTH)))
    scales = {block.name.lower(): scale for block, scale in SCALES.items()}
    return Pipeline(
        [
            ("count", FunctionTransformer(count)),
            ("weigh", ColumnTransformer(blocks, sparse_threshold=1.0, transformer_weights=scales)),
        ]
    )


def fit_features(transformer: Pipeline, contents: Sequence[Content]) -> csr_matrix:
    """Fit a transformer made by `features`, damp its rarities, and transform the contents.

    The square root of the inverse document frequency did better than all or nothing of it
    (YouTube, one video left out: caught at 1 % of ham .879 against .866 and .872).

    Returns:
        The (n_contents, WIDTH) matrix.
    """
    transformer.fit(contents)
    for block in BLOCK_SLICES:
        weigher = transformer.named_steps["weigh"].named_transformers_[block.name.lower()]
        weigher.idf_ = np.rint(np.sqrt(weigher.idf_) / RARITY_STEP) * RARITY_STEP
    return transformer.transform(contents)


def rarity(transformer: Pipeline) -> NDArray[np.float32]:
    """Return the (N_GRAMS,) rarities a fitted transformer multiplies by."""
    weighers = transformer.named_steps["weigh"].named_transformers_
    parts = [weighers[block.name.lower()].idf_ for block in BLOCK_SLICES]
    return np.concatenate(parts).astype(np.float32)


@functools.cache
def _libraries() -> ThreadpoolController:
    """Return what limits the threads of BLAS; to look for its libraries takes milliseconds."""
    return ThreadpoolController()


def regress(
    matrix: csr_matrix, labels: NDArray[np.bool_], weights: Floats, strength: float
) -> LogisticRegression:
    """Fit a logistic regression, on one core.

    liblinear adds up long vectors with BLAS, whose threads wait for one another by spinning: with
    two on two cores a fit was a tenth faster for two thirds more work, and three fits at once
    took three times as long. One also adds in the same order on every machine.

    Args:
        matrix: (n, n_features) features.
        labels: (n,) whether each is spam.
        weights: (n,) how much each counts.
        strength: Inverse regularisation.

    Returns:
        The fitted estimator.
    """
    with _libraries().limit(limits=1):
        fitted = LogisticRegression(C=strength, solver="liblinear")
        return fitted.fit(matrix, labels, sample_weight=weights)


def fit_raising(
    matrix: csr_matrix, labels: NDArray[np.bool_], weights: Floats, strength: float
) -> LogisticRegression:
    """Fit a logistic regression whose `RAISING` columns get no negative weight, `LOCAL` none.

    Fits, drops the raising columns that came out negative, and fits again until none does: the
    active-set method, which ends because columns are only ever dropped.

    Args:
        matrix: (n, WIDTH) features.
        labels: (n,) whether each is spam.
        weights: (n,) how much each counts.
        strength: Inverse regularisation.

    Returns:
        The fitted estimator.
    """
    dropped = np.zeros(matrix.shape[1], dtype=np.bool_)
    dropped[LOCAL] = True
    while True:
        kept = matrix.copy()
        kept.data[dropped[kept.indices]] = 0.0
        fitted = regress(kept, labels, weights, strength)
        negative = RAISING[fitted.coef_[0, RAISING] < 0]
        if not len(negative):
            return fitted
        dropped[negative] = True
