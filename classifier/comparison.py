"""Is a candidate better than the current model?

Owns the one test a model must pass before it judges comments: better on decisions it has not
seen, and not worse on a frozen set that guards against a site's labels going astray.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from classifier import synthesis
from classifier.dice import Dice
from classifier.examples import Example
from classifier.features import Floats

FEWEST: Final = 30
"""Held-out decisions below which no candidate is called better."""

_FROZEN: Final = 200
_FROZEN_SEED: Final = 20_251
_ANCHORS: Final = 50
_ANCHOR_SEED: Final = 20_252
_ANCHOR_WEIGHT: Final = 0.2
_RESAMPLES: Final = 500
_SURE: Final = 0.9
_SLACK: Final = 0.002


@dataclass(frozen=True, slots=True)
class Comparison:
    """The outcome of one comparison.

    Attributes:
        is_better: Whether the candidate should replace the current model.
        reason: Why, in a sentence.
        loss_current: Mean log loss of the current model on the held-out decisions, in nats.
        loss_candidate: That of the candidate.
        accuracy_current: Share of held-out decisions the current model gets right at 0.5.
        accuracy_candidate: That of the candidate.
        confidence: Share of resamples in which the candidate's loss is lower.
    """

    is_better: bool
    reason: str
    loss_current: float
    loss_candidate: float
    accuracy_current: float
    accuracy_candidate: float
    confidence: float


def frozen_set() -> list[Example]:
    """Return the frozen set: made-up comments that no site's labels may make a model forget.

    200 of praise with an author's link, 200 offers, 400 honest remarks; the same each time.
    They guard against labels that turn everything round, and are no measure of quality.
    """
    return _made_up(_FROZEN, _FROZEN_SEED)


def anchors() -> list[Example]:
    """Return what a site's layer is taught beside its decisions, so that it forgets nothing.

    Made up like the frozen set, with other dice: 200 comments that weigh as much as 40.
    A site whose spam is of a new kind trusts the shipped score little, and its layer then
    forgets: taught 200 Indonesian comments, a model that had never seen the language got 4 and
    26 % of the frozen set wrong (two draws), with anchors 1 %; on the site itself it did as
    well with them as without (.952 and .954 right).
    """
    made = _made_up(_ANCHORS, _ANCHOR_SEED)
    return [replace(example, weight=_ANCHOR_WEIGHT) for example in made]


def _made_up(count: int, seed: int) -> list[Example]:
    rng = Dice(seed)
    return (
        synthesis.praise_spam(count, rng)
        + synthesis.offer_spam(count, rng)
        + synthesis.reader_thanks(2 * count, rng)
    )


def compare(
    current: Floats,
    candidate: Floats,
    is_spam: Sequence[bool] | NDArray[np.bool_],
    frozen_current: Floats,
    frozen_candidate: Floats,
    frozen_is_spam: Sequence[bool] | NDArray[np.bool_],
    *,
    seed: int = 0,
) -> Comparison:
    """Compare two models by the log-odds they give.

    Args:
        current: (n,) log-odds of the current model for held-out decisions.
        candidate: (n,) those of the candidate.
        is_spam: (n,) what people decided.
        frozen_current: (m,) log-odds of the current model for the frozen set; m may be 0.
        frozen_candidate: (m,) those of the candidate.
        frozen_is_spam: (m,) the frozen set's labels.
        seed: Of the resampling.

    Returns:
        The outcome. The candidate is better if its loss is lower in at least 90 % of resamples
        of the held-out decisions, its accuracy is no lower there, and its accuracy on the
        frozen set is lower by no more than 0.2 %.
    """
    labels = np.asarray(is_spam, dtype=np.bool_)
    frozen = np.asarray(frozen_is_spam, dtype=np.bool_)
    if not len(labels):
        return Comparison(False, "no held-out decisions", 0.0, 0.0, 0.0, 0.0, 0.0)
    before, after = _losses(current, labels), _losses(candidate, labels)
    rng, gain = np.random.default_rng(seed), before - after
    resamples = (gain[rng.integers(len(gain), size=len(gain))] for _ in range(_RESAMPLES))
    confidence = sum(float(resample.mean()) > 0.0 for resample in resamples) / _RESAMPLES
    right_before, right_after = _right(current, labels), _right(candidate, labels)
    fallen = _right(frozen_current, frozen) - _right(frozen_candidate, frozen)
    if len(labels) < FEWEST:
        reason = f"only {len(labels)} held-out decisions, {FEWEST} are needed"
    elif fallen > _SLACK:
        reason = f"worse by {fallen:.1%} on the frozen set"
    elif right_after < right_before:
        reason = "fewer held-out decisions right"
    elif confidence < _SURE:
        reason = f"better in only {confidence:.0%} of resamples"
    else:
        reason = ""
    return Comparison(
        is_better=not reason,
        reason=reason or f"better in {confidence:.0%} of resamples",
        loss_current=float(before.mean()),
        loss_candidate=float(after.mean()),
        accuracy_current=right_before,
        accuracy_candidate=right_after,
        confidence=confidence,
    )


def _losses(log_odds: Floats, labels: NDArray[np.bool_]) -> Floats:
    """Return the log loss of each prediction, in nats."""
    losses: Floats = np.logaddexp(0.0, np.where(labels, -log_odds, log_odds))
    return losses


def _right(log_odds: Floats, labels: NDArray[np.bool_]) -> float:
    return float(np.mean((log_odds >= 0.0) == labels)) if len(labels) else 0.0
