from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest

from classifier import Content, Example, Label, Model, TrainingDataError
from classifier.candidates import rehearse
from classifier.comparison import frozen_set
from classifier.teaching import teach

WORDS = "harbour lantern copper meadow violin biscuit thunder gravel orchard saddle pepper window"


def decisions(count: int, *, seed: int = 0, group: str = "") -> list[Example]:
    """Return as many good comments as spam, of a site where talk of rabbits is spam."""
    dice = random.Random(seed)
    made = []
    for place in range(count):
        words = dice.sample(WORDS.split(), 6)
        made.append(Example(Content(" ".join(words)), Label.HAM, f"h{place}"))
        words[dice.randrange(6)] = "rabbit racing"
        made.append(Example(Content(" ".join(words)), Label.SPAM, group or f"s{place}"))
    return made


def everything(examples: list[Example]) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    return np.ones(len(examples), dtype=np.bool_)


def test_a_candidate_that_knows_the_site_is_better(builtin: Model) -> None:
    examples = decisions(40)

    candidate = rehearse(builtin, examples, None, everything(examples))

    assert candidate.comparison.is_better
    assert candidate.comparison.accuracy_candidate > 0.95
    assert candidate.appraisal.curve == ()  # 80 decisions are too few for one
    right = (candidate.odds >= 0) == np.array([example.is_spam for example in examples])
    assert right.mean() > 0.95


def test_a_candidate_is_judged_only_on_what_the_current_layer_had_not_seen(
    builtin: Model,
) -> None:
    examples = decisions(40)
    current = teach(builtin, examples[:60])
    unseen = np.arange(len(examples)) >= 60

    candidate = rehearse(builtin, examples, current, unseen)

    assert not candidate.comparison.is_better
    assert "only 20 held-out decisions" in candidate.comparison.reason


def test_labels_that_turn_everything_round_are_not_learnt_from(builtin: Model) -> None:
    turned = [
        replace(one, label=Label.HAM if one.is_spam else Label.SPAM) for one in frozen_set()[::4]
    ]

    candidate = rehearse(builtin, turned, None, everything(turned))

    assert not candidate.comparison.is_better
    assert "frozen set" in candidate.comparison.reason


def test_near_duplicates_are_not_split_between_teaching_and_judging(builtin: Model) -> None:
    examples = decisions(40, group="one campaign")

    with pytest.raises(TrainingDataError, match="has 40 and 1"):
        rehearse(builtin, examples, None, everything(examples))


def test_each_step_is_told(builtin: Model) -> None:
    examples = decisions(15)
    told: list[tuple[int, int]] = []

    rehearse(
        builtin, examples, None, everything(examples), lambda done, of, _: told.append((done, of))
    )

    assert told == [(done, 7) for done in range(8)]


def test_many_decisions_give_a_learning_curve_on_decisions_held_out(builtin: Model) -> None:
    examples = decisions(50)

    candidate = rehearse(builtin, examples, None, everything(examples))

    shipped, few, more, most = candidate.appraisal.curve
    assert [point.labels for point in (shipped, few, more, most)] == [0, 25, 50, 80]
    assert shipped.right < 0.7
    assert most.right > 0.95
    assert shipped.loss > few.loss > most.loss
    assert sum(candidate.appraisal.ham) == sum(candidate.appraisal.spam) == 50


def test_the_frozen_set_is_the_same_each_time() -> None:
    assert frozen_set() == frozen_set()
    assert len(frozen_set()) == 800
