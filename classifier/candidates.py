"""A candidate for a site: taught by its decisions, judged on those it has not seen.

Owns the rehearsal. The rule it keeps: no prediction that counts was made by a layer that had
seen the comment, or a near-duplicate of it; and the current layer is judged only on decisions
that came after it was taught.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold

from classifier.appraisal import Appraisal, appraise, sizes
from classifier.comparison import Comparison, anchors, compare, frozen_set
from classifier.errors import TrainingDataError
from classifier.examples import Example
from classifier.features import Floats
from classifier.model import Model
from classifier.teaching import teach
from classifier.tuning import FEWEST, Tuning

_FOLDS: Final = 5

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A layer and how it did.

    Attributes:
        tuning: The layer, taught by all decisions.
        odds: (n,) log-odds of each decision by a layer that had not seen it.
        comparison: Against the current layer, on the decisions that one had not seen.
        appraisal: How it does by itself, on all decisions, each held out.
    """

    tuning: Tuning
    odds: Floats
    comparison: Comparison
    appraisal: Appraisal


def rehearse(
    model: Model,
    examples: Sequence[Example],
    current: Tuning | None,
    unseen: NDArray[np.bool_],
    progress: Progress = lambda done, of, step: None,
) -> Candidate:
    """Teach a candidate and judge it.

    Args:
        model: The shipped model.
        examples: The decisions, oldest first; `Example.group` names near-duplicates, which are
            never split between teaching and judging.
        current: The layer in use; `None` for the shipped model alone.
        unseen: (n,) which decisions the current layer was not taught by.
        progress: Told steps done, steps in all, and the next step's name.

    Returns:
        The candidate.

    Raises:
        TrainingDataError: There are too few decisions of a kind, or too few of them differ.
    """
    labels = np.array([example.is_spam for example in examples], dtype=np.bool_)
    contents = [example.content for example in examples]
    steps = _FOLDS + 2
    names = [example.group or f"\0{place}" for place, example in enumerate(examples)]
    groups = np.unique(names, return_inverse=True)[1]
    least = min(len(np.unique(groups[labels])), len(np.unique(groups[~labels])))
    if least < FEWEST + FEWEST // (_FOLDS - 1):
        raise TrainingDataError(
            "a site's layer needs 10 good comments and 10 spam that differ, has "
            f"{len(np.unique(groups[~labels]))} and {len(np.unique(groups[labels]))}"
        )
    memory = anchors()
    odds = np.zeros(len(labels))
    folds = StratifiedGroupKFold(_FOLDS, shuffle=True, random_state=0)
    splits = list(folds.split(labels, labels, groups))
    fewest = min(len(known) for known, _ in splits)
    early = [(size, np.zeros(len(labels))) for size in sizes(len(labels), fewest)]
    for number, (known, held) in enumerate(splits):
        progress(number, steps, f"part {number + 1} of {_FOLDS}")
        part = teach(model, [*(examples[place] for place in known), *memory])
        unknown = [contents[place] for place in held]
        odds[held] = model.log_odds(unknown, part)
        for size, predictions in early:
            small = _early(model, [examples[place] for place in known[:size]], memory)
            predictions[held] = model.log_odds(unknown, small)
    progress(_FOLDS, steps, "all decisions")
    tuning = teach(model, [*examples, *memory])
    progress(_FOLDS + 1, steps, "comparison")
    frozen = frozen_set()
    frozen_contents = [example.content for example in frozen]
    comparison = compare(
        current=model.log_odds(contents, current)[unseen],
        candidate=odds[unseen],
        is_spam=labels[unseen],
        frozen_current=model.log_odds(frozen_contents, current),
        frozen_candidate=model.log_odds(frozen_contents, tuning),
        frozen_is_spam=np.array([example.is_spam for example in frozen]),
    )
    progress(steps, steps, "done")
    return Candidate(tuning, odds, comparison, appraise(odds, labels, fewest, early))


def _early(model: Model, examples: Sequence[Example], memory: Sequence[Example]) -> Tuning | None:
    """Return the layer of a site with these decisions; `None` if it would have none yet."""
    spam = sum(example.is_spam for example in examples)
    if min(spam, len(examples) - spam) < FEWEST:
        return None
    return teach(model, [*examples, *memory])
