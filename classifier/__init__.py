"""A spam classifier for comments that gives its reasons.

Scoring needs numpy only. Training needs scikit-learn, which is imported when `train` is first
asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from classifier.clues import Clue
from classifier.errors import ClassifierError, ModelError, TrainingDataError
from classifier.examples import Content, Example, Label
from classifier.model import Model, Verdict
from classifier.store import BUILTIN, load, save

if TYPE_CHECKING:
    from classifier.training import train

__all__ = [
    "BUILTIN",
    "ClassifierError",
    "Clue",
    "Content",
    "Example",
    "Label",
    "Model",
    "ModelError",
    "TrainingDataError",
    "Verdict",
    "load",
    "save",
    "train",
]


def __getattr__(name: str) -> object:
    if name == "train":
        from classifier.training import train

        return train
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
