from __future__ import annotations

import numpy as np

from classifier import Content, Example, Label, Model
from classifier.features import N_GRAMS
from classifier.pipeline import LOCAL
from classifier.teaching import teach

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
