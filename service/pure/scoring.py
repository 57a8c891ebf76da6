"""The one door to the classifier.

The one rule: `score` never raises. A classifier that is missing, altered or broken gives no
verdict, and a comment without a verdict waits for a person.

Learning goes through here as well; scikit-learn is imported when it is first asked for, so that
a process that only scores stays small.
"""

import logging
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from classifier import BUILTIN, Content, Example, Label, Model, Verdict, load
from classifier.budget import Budget, Outlook, Thresholds, outlook, thresholds
from classifier.campaign import Sketch, bands_of, is_echo, sketches
from classifier.errors import ModelError, TrainingDataError
from classifier.normalise import Folded, fold
from classifier.tuning import Tuning

if TYPE_CHECKING:
    from classifier.candidates import Candidate

__all__ = [
    "Budget",
    "Content",
    "Example",
    "Folded",
    "Label",
    "Outlook",
    "Scorer",
    "Sketch",
    "Thresholds",
    "TrainingDataError",
    "Tuning",
    "Verdict",
    "bands_of",
    "is_echo",
    "outlook",
    "probability",
    "thresholds",
]

log = logging.getLogger(__name__)

_NOTHING = fold("")


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

    @property
    def version(self) -> str | None:
        """The shipped model's version; `None` without a model."""
        return None if self.model is None else self.model.version

    def thresholds(self, budget: Budget) -> Thresholds:
        """Give where the shipped model's scores have consequences, for a site that taught nothing.

        Without a model there are no scores, and any thresholds will do.
        """
        return Thresholds(0.5, 0.98) if self.model is None else self.model.thresholds_for(budget)

    def rehearse(
        self,
        examples: Sequence[Example],
        current: Tuning | None,
        unseen: Sequence[bool],
        progress: Callable[[int, int, str], None],
    ) -> "Candidate":
        """Teach a site's candidate and judge it; takes seconds, and 90 MB for scikit-learn.

        Raises:
            TrainingDataError: the decisions do not suffice, or there is no model to build on.
        """
        if self.model is None:
            raise TrainingDataError(f"there is no model to build on: {self.fault}")
        import numpy as np

        from classifier.candidates import rehearse

        return rehearse(self.model, examples, current, np.array(unseen, dtype=np.bool_), progress)

    def fold(self, bodies: Sequence[str]) -> list[Folded | None]:
        """Undo the disguises of each body, once for all that follows; `None` where that fails."""
        return [self._fold(body) for body in bodies]

    @staticmethod
    def _fold(body: str) -> Folded | None:
        try:
            return fold(body)
        except Exception:
            log.exception("a comment could not be folded and will be held")
            return None

    def sketches(self, folded: Sequence[Folded | None]) -> list[Sketch]:
        """Give the sketch of each body; an empty one where there was nothing to fold."""
        return sketches([one or _NOTHING for one in folded])

    def score(
        self,
        batch: Sequence[Content],
        tuning: Tuning | None = None,
        folded: Sequence[Folded | None] | None = None,
    ) -> list[Verdict | None]:
        """Give a verdict on each, or `None` where there is none to be had.

        Args:
            batch: any number of comments.
            tuning: what their site's moderators have taught; of this model's version.
            folded: their bodies, as far as they are folded already.
        """
        if self.model is None:
            return [None] * len(batch)
        try:
            return list(self.model.score(batch, tuning, folded))
        except Exception:
            if len(batch) == 1:
                log.exception("the classifier failed on a comment, which will be held")
                return [None]
            log.warning("the classifier failed on a batch of %d; trying each alone", len(batch))
        return [verdict for content in batch for verdict in self.score([content], tuning)]

    def probabilities(self, contents: Sequence[Content], tuning: Tuning | None) -> list[float]:
        """Give the probability of spam of each, without clues; where there is no doubt of a model.

        Raises:
            TrainingDataError: there is no model.
        """
        if self.model is None:
            raise TrainingDataError(f"there is no model: {self.fault}")
        return [probability(odds) for odds in self.model.log_odds(contents, tuning).tolist()]


def probability(log_odds: float) -> float:
    """Give the probability for log-odds."""
    return 0.5 * (1.0 + math.tanh(0.5 * log_odds))
