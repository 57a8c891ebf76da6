"""Reasons for a score: the parts of its sum, grouped into what a person understands.

Owns `Clue` and the grouping. The rule it keeps: every clue is a sum of additive contributions
to the very log-odds it explains.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from classifier.contacts import PLACEHOLDERS
from classifier.features import Floats, Grouped, Integers, Part, Spans
from classifier.structure import FACTS

MAX_CLUES: Final = 8
"""Most clues of one verdict."""

_FAINT: Final = 0.05
_PHRASE: Final = 5
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
class Sums:
    """The log-odds of a batch and what they are made of.

    Attributes:
        log_odds: (n_rows,) calibrated log-odds of spam.
        grouped: The distinct n-grams of the batch.
        grams: (n_distinct,) what each of them added.
        facts: (n_rows, n_facts) what each structural feature added.
    """

    log_odds: Floats
    grouped: Grouped
    grams: Floats
    facts: Floats


def find_clues(spans: Spans, sums: Sums) -> list[list[Clue]]:
    """Group the contributions of each row into clues.

    The n-grams' shares go to the words they lie in, and neighbouring words that speak for the
    same side become one phrase.

    Args:
        spans: The batch.
        sums: What was added up for it.

    Returns:
        At most `MAX_CLUES` clues per row, the most telling first.
    """
    grouped, facts = sums.grouped, sums.facts
    share = (sums.grams / grouped.count)[grouped.of_span] / spans.words
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
    told = np.flatnonzero(np.abs(weights) >= _FAINT)
    row, weights, what = row[told], weights[told], what[told]
    order = np.lexsort((-np.abs(weights), row))
    rank = np.arange(len(order)) - np.searchsorted(row[order], row[order])
    order = order[rank < MAX_CLUES]
    found: list[list[Clue]] = [[] for _ in range(len(spans.facts))]
    chosen = (row[order].tolist(), weights[order].tolist(), what[order].tolist())
    for at, weight_of_clue, item in zip(*chosen, strict=True):
        if item < 0:
            fact_of_clue = FACTS[-1 - item]
            found[at].append(Clue(fact_of_clue.label, weight_of_clue, fact_of_clue.kind))
            continue
        part = int(spans.word_part[first[item]])
        said = spans.text[spans.word_start[first[item]] : spans.word_end[last[item]]]
        if not said.isascii():
            said = said.translate(_SHOWN)
        label = _LABELS[part].format(said[:_LONGEST_LABEL])
        found[at].append(Clue(label, weight_of_clue, _KINDS[part]))
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
