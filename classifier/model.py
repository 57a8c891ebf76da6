"""The scorer: arrays in, verdicts out.

Owns `Model` and its clues. It needs numpy and the standard library only, so a scoring process
stays small. The rule it keeps: the clues are parts of the very sum that made the score.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from classifier.contacts import PLACEHOLDERS
from classifier.examples import Content
from classifier.features import (
    Floats,
    Grouped,
    Integers,
    Part,
    Spans,
    group,
    span,
    weigh,
)
from classifier.normalise import LIMIT
from classifier.structure import FACTS

MAX_CLUES: Final = 8
_FAINT: Final = 0.05
_PHRASE: Final = 5
_BATCH_ROWS: Final = 256
_BATCH_CHARS: Final = 100_000
_KINDS: Final = ("words", "author", "author", "link")
_LABELS: Final = (
    "“{}”",
    "author's name “{}”",
    "words in author's URL “{}”",
    "words in a link “{}”",
)
_SHOWN: Final = {ord(mark): shown for mark, shown in PLACEHOLDERS.items()}
_LONGEST_LABEL: Final = 80


@dataclass(frozen=True, slots=True)
class Clue:
    """One reason for a score.

    Attributes:
        label: What a moderator reads.
        weight: What it adds to the log-odds of spam; above 0 speaks for spam.
        kind: Its family: words, link, author, contact, trick, style, page, campaign.
    """

    label: str
    weight: float
    kind: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the classifier thinks of one comment; it changes nothing.

    Attributes:
        score: Calibrated probability of spam, 0 to 1, never NaN.
        clues: At most `MAX_CLUES` reasons, the most telling first.
        model_version: The model that was asked.
    """

    score: float
    clues: tuple[Clue, ...]
    model_version: str


@dataclass(frozen=True, slots=True)
class Parameters:
    """The numbers of a model.

    Attributes:
        weights: (N_GRAMS,) float32 weight of each n-gram column.
        rarity: (N_GRAMS,) float32 inverse document frequency of each column.
        facts: (n_facts,) float64 weight of each structural feature.
        bias: The constant of the linear model.
        slope: Calibration: log-odds = slope * linear + offset.
        offset: See `slope`.
    """

    weights: NDArray[np.float32]
    rarity: NDArray[np.float32]
    facts: Floats
    bias: float
    slope: float = 1.0
    offset: float = 0.0


class Model:
    """A trained classifier. Immutable; safe to share between threads."""

    def __init__(self, parameters: Parameters, version: str) -> None:
        """Wrap parameters; see `store.load` and `training.train` for where they come from."""
        self.parameters: Final = parameters
        self.version: Final = version

    def score(self, contents: Sequence[Content]) -> list[Verdict]:
        """Score comments.

        Args:
            contents: Any number of comments; together they are scored in batches of bounded
                memory. A comment's score does not depend on its neighbours.

        Returns:
            One verdict per comment, in order.
        """
        verdicts: list[Verdict] = []
        for batch in _batches(contents):
            verdicts += self._score_batch(batch)
        return verdicts

    def save(self, path: Path) -> None:
        """Write the model directory; see `store.save`."""
        from classifier import store

        store.save(self, path)

    def log_odds(self, contents: Sequence[Content]) -> Floats:
        """Return (n_contents,) float64, the calibrated log-odds of spam, without clues."""
        parts = [self._add_up(span(batch))[0] for batch in _batches(contents)]
        return np.concatenate(parts) if parts else np.zeros(0)

    def _add_up(self, spans: Spans) -> tuple[Floats, Grouped, Floats]:
        numbers = self.parameters
        n_rows = len(spans.facts)
        grouped = group(spans)
        added = weigh(grouped, numbers.rarity, n_rows) * numbers.weights[grouped.column]
        linear = np.bincount(grouped.row, added, minlength=n_rows) + spans.facts @ numbers.facts
        return numbers.slope * (linear + numbers.bias) + numbers.offset, grouped, added

    def _score_batch(self, contents: Sequence[Content]) -> list[Verdict]:
        spans = span(contents)
        log_odds, grouped, added = self._add_up(spans)
        clues = _clues(
            spans,
            grouped,
            added * self.parameters.slope,
            spans.facts * (self.parameters.facts * self.parameters.slope),
        )
        return [
            Verdict(_probability(odds), tuple(found), self.version)
            for odds, found in zip(log_odds.tolist(), clues, strict=True)
        ]


def _batches(contents: Sequence[Content]) -> Iterator[Sequence[Content]]:
    """Cut into runs of at most 256 comments and about 100,000 characters."""
    first = chars = 0
    for place, content in enumerate(contents):
        chars += min(len(content.body), LIMIT)
        if chars > _BATCH_CHARS or place - first >= _BATCH_ROWS:
            if place > first:
                yield contents[first:place]
            first, chars = place, min(len(content.body), LIMIT)
    if first < len(contents):
        yield contents[first:]


def _probability(log_odds: float) -> float:
    """Return the probability for log-odds, without overflow."""
    if log_odds < 0:
        odds = math.exp(max(log_odds, -700.0))
        return odds / (1.0 + odds)
    return 1.0 / (1.0 + math.exp(-min(log_odds, 700.0)))


def _clues(spans: Spans, grouped: Grouped, added: Floats, facts: Floats) -> list[list[Clue]]:
    """Group the additive contributions of each row into what a person understands.

    The n-grams' shares go to the words they lie in, and neighbouring words that speak for the
    same side become one phrase.
    """
    share = (added / grouped.count)[grouped.of_span]
    share /= spans.words
    n_words = len(spans.word_start)
    by_word: Floats = np.bincount(spans.word, share, minlength=n_words).astype(np.float64)
    for later in (1, 2):
        longer = np.flatnonzero(spans.words > later)
        by_word += np.bincount(spans.word[longer] + later, share[longer], minlength=n_words)
    first, last, weight = _phrases(spans, by_word)

    fact_row, fact = np.nonzero(np.abs(facts) >= _FAINT)
    row = np.concatenate([spans.word_row[first], fact_row])
    weights = np.concatenate([weight, facts[fact_row, fact]])
    what = np.concatenate([np.arange(len(first)), -1 - fact])
    found: list[list[Clue]] = [[] for _ in range(len(spans.facts))]
    for place in np.lexsort((-np.abs(weights), row)).tolist():
        clues = found[row[place]]
        if len(clues) >= MAX_CLUES or abs(weights[place]) < _FAINT:
            continue
        item = int(what[place])
        amount = float(weights[place])
        if item < 0:
            clues.append(Clue(FACTS[-1 - item].label, amount, FACTS[-1 - item].kind))
            continue
        part = int(spans.word_part[first[item]])
        said = spans.text[spans.word_start[first[item]] : spans.word_end[last[item]]]
        said = said.translate(_SHOWN)[:_LONGEST_LABEL]
        clues.append(Clue(_LABELS[part].format(said), amount, _KINDS[part]))
    return found


def _phrases(spans: Spans, by_word: Floats) -> tuple[Integers, Integers, Floats]:
    """Join neighbouring words of one row, part and side; of names and URLs, all words.

    Returns:
        First and last word, and summed weight, of each phrase.
    """
    n_words = len(by_word)
    if not n_words:
        nothing = np.zeros(0, dtype=np.int64)
        return nothing, nothing, np.zeros(0)
    side = np.sign(np.where(np.abs(by_word) < _FAINT, 0.0, by_word))
    side[spans.word_part != Part.BODY] = 1.0
    begins = np.ones(n_words, dtype=np.bool_)
    begins[1:] = (
        (side[1:] != side[:-1])
        | (spans.word_row[1:] != spans.word_row[:-1])
        | (spans.word_part[1:] != spans.word_part[:-1])
    )
    run_start = np.flatnonzero(begins)
    place = np.arange(n_words) - run_start[np.cumsum(begins) - 1]
    begins |= (place % _PHRASE == 0) & (spans.word_part == Part.BODY)
    first = np.flatnonzero(begins)
    last = np.append(first[1:], n_words) - 1
    return first, last, np.add.reduceat(by_word, first)
