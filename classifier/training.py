"""Training: examples in, a calibrated model out.

Owns the recipe: augment with evasions, fit, calibrate on predictions made out of group. The
rule it keeps: the calibration never sees a prediction for a group the predicting model knew.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, vstack
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold

from classifier.dice import Dice
from classifier.errors import TrainingDataError
from classifier.evasions import disguise
from classifier.examples import Content, Example, distinct
from classifier.features import N_GRAMS, Floats
from classifier.model import HAM_SHARES, Model, Parameters
from classifier.pipeline import features, fit_features, fit_raising, rarity
from classifier.store import stored, version_of

STRENGTH: Final = 10.0
"""Inverse regularisation of the linear model."""

SPAM_DISGUISED: Final = 1.0
"""Disguised copies per spam example."""

HAM_DISGUISED: Final = 0.03
"""Disguised copies per ham example; a few, so that a disguise alone is no proof."""

Progress = Callable[[str], None]


def train(
    examples: Sequence[Example],
    *,
    seed: int = 0,
    folds: int = 5,
    strength: float = STRENGTH,
    now: datetime | None = None,
    progress: Progress = lambda step: None,
) -> Model:
    """Train a model.

    Args:
        examples: What to learn from; duplicates are dropped. `Example.weight` counts.
        seed: Of the augmentation and the folds; the same seed gives the same model.
        folds: Parts for the out-of-group predictions that the calibration is fitted to.
        strength: Inverse regularisation.
        now: The moment to name the version after; the current time if not given.
        progress: Told the name of each step.

    Returns:
        The model.

    Raises:
        TrainingDataError: One of the labels is missing, or there are too few groups.
    """
    kept = distinct(examples)
    labels = np.array([example.is_spam for example in kept], dtype=np.bool_)
    if labels.all() or not labels.any():
        only = "nothing" if not len(labels) else "spam" if labels.any() else "ham"
        raise TrainingDataError(f"training needs both ham and spam, the examples hold {only} only")
    groups = _groups(kept)
    rng = Dice(seed)
    progress("features")
    contents = [example.content for example in kept]
    origin, disguised = _disguised(kept, rng)
    transformer = features()
    matrix = fit_features(transformer, contents)
    copies = transformer.transform(disguised)
    weights = np.array([example.weight for example in kept])

    def fit(chosen: NDArray[np.bool_]) -> LogisticRegression:
        copied = np.flatnonzero(chosen[origin])
        of = origin[copied]
        return fit_raising(
            vstack([matrix[np.flatnonzero(chosen)], copies[copied]], format="csr"),
            np.concatenate([labels[chosen], labels[of]]),
            np.concatenate([weights[chosen], weights[of]]),
            strength,
        )

    held_out = _held_out(matrix, labels, groups, folds, seed, fit, progress)
    slope, offset = _calibrate(held_out, labels, weights)
    progress("final fit")
    final = fit(np.ones(len(labels), dtype=np.bool_))
    parameters = stored(
        Parameters(
            weights=final.coef_[0, :N_GRAMS].astype(np.float32),
            rarity=rarity(transformer),
            facts=final.coef_[0, N_GRAMS:].copy(),
            bias=float(final.intercept_[0]),
            slope=slope,
            offset=offset,
            tail=_tail(slope * held_out[~labels] + offset),
        )
    )
    return Model(parameters, version_of(parameters, now or datetime.now(UTC)))


def _groups(examples: Sequence[Example]) -> NDArray[np.int64]:
    """Number the groups; examples without one stand alone."""
    names = [example.group or f"\0{place}" for place, example in enumerate(examples)]
    return np.unique(names, return_inverse=True)[1]


def _disguised(examples: Sequence[Example], rng: Dice) -> tuple[NDArray[np.int64], list[Content]]:
    """Return disguised copies and the place of the example each was made from."""
    origin: list[int] = []
    copies: list[Content] = []
    for place, example in enumerate(examples):
        if rng.random() < (SPAM_DISGUISED if example.is_spam else HAM_DISGUISED):
            origin.append(place)
            copies.append(replace(example.content, body=disguise(example.content.body, rng)))
    return np.array(origin, dtype=np.int64), copies


def _held_out(
    matrix: csr_matrix,
    labels: NDArray[np.bool_],
    groups: NDArray[np.int64],
    folds: int,
    seed: int,
    fit: Callable[[NDArray[np.bool_]], LogisticRegression],
    progress: Progress,
) -> Floats:
    """Return (n_examples,) linear scores, each by a model that did not know its group."""
    folds = min(folds, len(np.unique(groups[labels])), len(np.unique(groups[~labels])))
    if folds < 2:
        raise TrainingDataError("training needs at least two groups of ham and two of spam")
    scores = np.zeros(len(labels))
    splits = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    for number, (known, unknown) in enumerate(splits.split(matrix, labels, groups), 1):
        progress(f"fold {number} of {folds}")
        chosen = np.zeros(len(labels), dtype=np.bool_)
        chosen[known] = True
        if labels[chosen].all() or not labels[chosen].any():
            raise TrainingDataError("a fold holds one label only: give the examples finer groups")
        scores[unknown] = fit(chosen).decision_function(matrix[unknown])
    return scores


def _calibrate(scores: Floats, labels: NDArray[np.bool_], weights: Floats) -> tuple[float, float]:
    """Fit log-odds = slope * score + offset (Platt 1999), with a slope above 0.

    Both labels count the same in all: the share of spam among the training examples says
    nothing about a site's.
    """
    halves = np.where(labels, weights[~labels].sum(), weights[labels].sum())
    fitted = LogisticRegression(C=1e6).fit(
        scores[:, None], labels, sample_weight=weights * halves / halves.mean()
    )
    return max(0.05, float(fitted.coef_[0, 0])), float(fitted.intercept_[0])


def _tail(odds: Floats) -> tuple[float, ...]:
    """Return the log-odds that each of `HAM_SHARES` of held-out ham reaches.

    Of n comments no share below 1 / n can be measured: there the log-odds are as high as a
    calibrated score for that share must be, and at least the highest seen.
    """
    falling = np.sort(odds)[::-1]
    found: list[float] = []
    for share in HAM_SHARES:
        reached = int(share * len(falling))
        unseen = math.log1p(-share) - math.log(share) if share < 1.0 else -math.inf
        at = float(falling[reached - 1]) if reached else max(float(falling[0]), unseen)
        found.append(round(max([at, *found[-1:]]), 4))
    return tuple(found)
