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
from classifier.teaching import Teacher
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
    steps = _FOLDS + 2
    names = [example.group or f"\0{place}" for place, example in enumerate(examples)]
    groups = np.unique(names, return_inverse=True)[1]
    least = min(len(np.unique(groups[labels])), len(np.unique(groups[~labels])))
    if least < FEWEST + FEWEST // (_FOLDS - 1):
        raise TrainingDataError(
            "a site's layer needs 10 good comments and 10 spam that differ, has "
            f"{len(np.unique(groups[~labels]))} and {len(np.unique(groups[labels]))}"
        )
    memory, frozen = anchors(), frozen_set()
    teacher = Teacher(model, [*examples, *memory, *frozen])
    decided, remembered, kept_out = np.split(
        np.arange(len(examples) + len(memory) + len(frozen)),
        np.cumsum([len(examples), len(memory)]),
    )
    odds = np.zeros(len(labels))
    folds = StratifiedGroupKFold(_FOLDS, shuffle=True, random_state=0)
    splits = list(folds.split(labels, labels, groups))
    fewest = min(len(known) for known, _ in splits)
    early = [(size, np.zeros(len(labels))) for size in sizes(len(labels), fewest)]
    for number, (known, held) in enumerate(splits):
        progress(number, steps, f"part {number + 1} of {_FOLDS}")
        part = teacher.teach(np.append(known, remembered))
        odds[held] = teacher.log_odds(held, part)
        for size, predictions in early:
            few = known[:size]
            enough = min(labels[few].sum(), (~labels[few]).sum()) >= FEWEST
            small = teacher.teach(np.append(few, remembered)) if enough else None
            predictions[held] = teacher.log_odds(held, small)
    progress(_FOLDS, steps, "all decisions")
    tuning = teacher.teach(np.append(decided, remembered))
    progress(_FOLDS + 1, steps, "comparison")
    comparison = compare(
        current=teacher.log_odds(decided, current)[unseen],
        candidate=odds[unseen],
        is_spam=labels[unseen],
        frozen_current=teacher.log_odds(kept_out, current),
        frozen_candidate=teacher.log_odds(kept_out, tuning),
        frozen_is_spam=np.array([example.is_spam for example in frozen]),
    )
    progress(steps, steps, "done")
    return Candidate(tuning, odds, comparison, appraise(odds, labels, fewest, early))
