"""The one door to the classifier.

The one rule: `score` never raises. A classifier that is missing, altered or broken gives no
verdict, and a comment without a verdict waits for a person.
"""

import logging
from collections.abc import Sequence
from pathlib import Path

from classifier import BUILTIN, Content, Model, Verdict, load
from classifier.errors import ModelError

__all__ = ["Content", "Scorer", "Verdict"]

log = logging.getLogger(__name__)


class Scorer:
    """The current model, loaded once, best before a fork so that children share its memory."""

    def __init__(self, path: Path | None = None) -> None:
        """Load the model; one that cannot be loaded is logged, and every score is `None`.

        Args:
            path: the model's folder; `None` for the one in the package.
        """
        self.model: Model | None = None
        self.fault: str | None = None
        try:
            self.model = load(path or BUILTIN)
        except ModelError as error:
            self.fault = str(error)
            log.error("no model, every comment will be held: %s", error)

    def score(self, batch: Sequence[Content]) -> list[Verdict | None]:
        """Give a verdict on each, or `None` where there is none to be had."""
        if self.model is None:
            return [None] * len(batch)
        try:
            return list(self.model.score(batch))
        except Exception:
            if len(batch) == 1:
                log.exception("the classifier failed on a comment, which will be held")
                return [None]
            log.warning("the classifier failed on a batch of %d; trying each alone", len(batch))
        return [verdict for content in batch for verdict in self.score([content])]
