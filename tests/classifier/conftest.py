from __future__ import annotations

from pathlib import Path

import pytest

from classifier import Example, Label, Model, load, train
from classifier.dice import Dice
from classifier.examples import Content
from classifier.synthesis import offer_spam, praise_spam, reader_thanks


def small_set(seed: int = 0) -> list[Example]:
    """Return a few hundred made-up examples of both labels."""
    rng = Dice(seed)
    chat = [
        Example(Content(f"I read chapter {place} twice and still like the ending"), Label.HAM)
        for place in range(60)
    ]
    return [*offer_spam(160, rng), *praise_spam(80, rng), *reader_thanks(160, rng), *chat]


@pytest.fixture(scope="session")
def small_model() -> Model:
    return train(small_set(), folds=3)


@pytest.fixture(scope="session")
def builtin() -> Model:
    return load()


@pytest.fixture
def saved(small_model: Model, tmp_path: Path) -> Path:
    small_model.save(tmp_path / "model")
    return tmp_path / "model"
