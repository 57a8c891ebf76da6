"""What can go wrong in the classifier, as exceptions a caller can name.

Every message says which file or value is at fault and what to do about it.
"""

from __future__ import annotations


class ClassifierError(Exception):
    """Base of every error this package raises on purpose."""


class ModelError(ClassifierError):
    """A model directory cannot be used."""


class ModelMissingError(ModelError):
    """The directory, its manifest or one of its files is not there."""


class ModelAlteredError(ModelError):
    """A file is not the one the manifest was written for, or is not what it should hold."""


class ModelFormatError(ModelError):
    """The directory was written in a format this version cannot read."""


class TrainingDataError(ClassifierError):
    """The examples cannot be read, or cannot teach anything (for example only one label)."""
