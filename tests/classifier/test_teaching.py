from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from classifier import Content, Example, Label, Model, TrainingDataError
from classifier.comparison import frozen_set
from classifier.features import N_GRAMS
from classifier.pipeline import LOCAL
from classifier.teaching import Teacher, teach

WORDS = [
    "the",
    "old",
    "mill",
    "by",
    "the",
    "river",
    "was",
    "sold",
    "and",
    "will",
    "be",
    "a",
    "house",
    "for",
    "two",
    "families",
]


def test_a_site_may_learn_from_length_alone(builtin: Model) -> None:
    made = [
        Example(
            Content(" ".join((WORDS[place % 5 :] + WORDS) * (3 if is_spam else 1))),
            Label.SPAM if is_spam else Label.HAM,
        )
        for place in range(20)
        for is_spam in (False, True)
    ]
    tuning = teach(builtin, made)
    assert tuning.facts[LOCAL - N_GRAMS][0] > 0.0
    odds = builtin.log_odds([example.content for example in made], tuning)
    assert np.mean((odds > 0) == [example.is_spam for example in made]) > 0.9


def test_what_a_part_teaches_is_what_it_teaches_alone(builtin: Model) -> None:
    examples = frozen_set()[::20]
    places = np.arange(0, len(examples), 2)

    part = Teacher(builtin, examples).teach(places)
    alone = teach(builtin, [examples[place] for place in places])

    assert part.columns.tolist() == alone.columns.tolist()
    assert np.allclose(part.weights, alone.weights, atol=1e-6)
    assert part.base == pytest.approx(alone.base)
    assert (part.ham, part.spam) == (alone.ham, alone.spam)


def test_a_teacher_scores_decisions_as_the_model_scores_comments(builtin: Model) -> None:
    examples = frozen_set()[::5]  # twice as many are read in two batches
    contents = [example.content for example in examples]
    teacher = Teacher(builtin, examples * 2)
    places = np.arange(len(examples), 2 * len(examples))

    tuning = teacher.teach(np.arange(len(examples)))

    for layer in (None, tuning):
        by_teacher, by_model = teacher.log_odds(places, layer), builtin.log_odds(contents, layer)
        assert np.allclose(by_teacher, by_model, rtol=0.0, atol=1e-9)


def test_a_teacher_does_not_score_by_the_layer_of_another_model(builtin: Model) -> None:
    teacher = Teacher(builtin, frozen_set()[::20])
    other = replace(teacher.teach(np.arange(40)), model_version="other")

    with pytest.raises(ValueError, match="tuning for model other"):
        teacher.log_odds(np.arange(3), other)


def test_no_decisions_teach_nothing(builtin: Model) -> None:
    with pytest.raises(TrainingDataError, match="has 0 and 0"):
        teach(builtin, [])
