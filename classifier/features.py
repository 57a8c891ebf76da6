"""Comments to numbers: hashed n-grams and structural facts, the same for training and scoring.

Owns the layout of the feature space. All n-grams of a batch are spans of one code-point array;
with prefix sums of `code[i] * p**i` modulo 2**64 the hash of any span is two look-ups, so no
n-gram is ever cut out as a string. The rule it keeps: a feature's column depends on the comment
alone, never on the batch it arrives in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from classifier.examples import Content
from classifier.normalise import LIMIT, Folded, fold, fold_name
from classifier.structure import FACTS, measure, url_words

Integers = NDArray[np.int64]
Hashes = NDArray[np.uint64]
Floats = NDArray[np.float64]


class Block(IntEnum):
    """A namespace of n-grams; each is scaled to unit length on its own."""

    WORDS = 0
    CHARS = 1
    NAME = 2
    URL = 3
    LINK = 4
    CROSS = 5
    RUNS = 6


class Part(IntEnum):
    """The text of a comment that a word stands in."""

    BODY = 0
    NAME = 1
    URL = 2
    LINK = 3


_BITS: Final = (18, 19, 16, 16, 16, 17, 18)
_OFFSETS: Final = tuple(sum(1 << bits for bits in _BITS[:place]) for place in range(len(_BITS)))
N_GRAMS: Final = sum(1 << bits for bits in _BITS)
"""Number of n-gram columns; the columns of `FACTS` follow them."""
WIDTH: Final = N_GRAMS + len(FACTS)
"""Number of columns of the feature matrix."""
BLOCK_SLICES: Final = {
    block: slice(_OFFSETS[block], _OFFSETS[block] + (1 << _BITS[block])) for block in Block
}
"""The columns of each block."""

SCALES: Final = {Block.WORDS: 2.0, Block.LINK: 2.0}
"""Length of each block's part of a row, where it is not 1: words say more than characters
(YouTube, one video left out: caught at 1 % of ham from .840 to .870)."""

_BLOCK_SCALE: Final = np.array([SCALES.get(block, 1.0) for block in Block])
_DAMPED: Final = np.concatenate([[0.0], 1.0 + np.log(np.arange(1, LIMIT + 2))])
_BLOCK_OF: Final = np.repeat(np.arange(len(_BITS)), [1 << (bits - 16) for bits in _BITS])
_WORD_BLOCK: Final = np.array([Block.WORDS, Block.NAME, Block.URL, Block.LINK], dtype=np.int64)
_CHAR_BLOCK: Final = np.array([Block.CHARS, Block.NAME, Block.URL, Block.LINK], dtype=np.int64)
_OFFSET: Final = np.array(_OFFSETS, dtype=np.int64)
_SHIFT: Final = np.array([64 - bits for bits in _BITS], dtype=np.uint64)
_CHAR_LENGTHS: Final = (3, 4, 5)
_RUN_LENGTH: Final = 5
_FIRST_WIDE: Final = 0x1100

_BASE: Final = 0x9E3779B97F4A7C15
_BASE_INVERSE: Final = pow(_BASE, -1, 1 << 64)
_PAIR: Final = np.uint64(0xD6E8FEB86659FD93)
_GAMMA: Final = 0xBF58476D1CE4E5B9
_SPACE: Final = 32


@dataclass(frozen=True, slots=True)
class Spans:
    """Every n-gram occurrence of a batch.

    Attributes:
        text: The folded texts of the batch, joined by spaces.
        word_start: (n_words,) position in `text` of each word.
        word_end: (n_words,) position after each word.
        word_row: (n_words,) row of the batch each word belongs to.
        word_part: (n_words,) `Part` each word stands in.
        row: (n_spans,) row of each n-gram occurrence.
        column: (n_spans,) its column, below `N_GRAMS`.
        word: (n_spans,) index of its (first) word.
        words: (n_spans,) how many words it spans, 1 to 3.
        facts: (n_rows, n_facts) the structural features.
    """

    text: str
    word_start: Integers
    word_end: Integers
    word_row: Integers
    word_part: Integers
    row: Integers
    column: Integers
    word: Integers
    words: Integers
    facts: Floats


@dataclass(frozen=True, slots=True)
class Grouped:
    """The distinct n-grams of each row.

    Attributes:
        row: (n_distinct,) sorted rows.
        column: (n_distinct,) columns, sorted within a row.
        count: (n_distinct,) occurrences.
        of_span: (n_spans,) the index here of each occurrence.
    """

    row: Integers
    column: Integers
    count: Integers
    of_span: Integers


class _Found:
    """The n-grams found so far, one entry of each list per kind."""

    def __init__(self) -> None:
        self.hashes: list[Hashes] = []
        self.owners: list[Integers] = []
        self.blocks: list[Integers] = []
        self.words: list[int] = []

    def add(
        self, hashes: Hashes, owners: Integers, blocks: Integers | Block, words: int = 1
    ) -> None:
        """Add one kind."""
        self.hashes.append(hashes)
        self.owners.append(owners)
        self.blocks.append(np.full(len(owners), blocks) if isinstance(blocks, Block) else blocks)
        self.words.append(words)


class _Powers:
    """Powers of the base and of its inverse, grown when a longer batch comes."""

    def __init__(self) -> None:
        self.up: Hashes = np.ones(1, dtype=np.uint64)
        self.down: Hashes = np.ones(1, dtype=np.uint64)

    def reach(self, length: int) -> tuple[Hashes, Hashes]:
        """Return both tables with at least `length` entries."""
        if len(self.up) < length:
            size = max(1 << 14, 1 << (length - 1).bit_length())
            self.up = self._table(_BASE, size)
            self.down = self._table(_BASE_INVERSE, size)
        return self.up, self.down

    @staticmethod
    def _table(base: int, size: int) -> Hashes:
        table = np.full(size, base, dtype=np.uint64)
        table[0] = 1
        return np.multiply.accumulate(table)


_POWERS: Final = _Powers()


def span(contents: Sequence[Content], folded: Sequence[Folded | None] | None = None) -> Spans:
    """Find every n-gram of a batch.

    Args:
        contents: The comments.
        folded: Their bodies folded, as far as that is done already.

    Returns:
        The occurrences and the structural facts of each row.
    """
    texts: list[str] = []
    rows: list[int] = []
    parts: list[int] = []
    facts: list[list[float]] = []
    has_url = np.zeros(max(1, len(contents)), dtype=np.bool_)
    for row, content in enumerate(contents):
        done = folded[row] if folded else None
        body = done or fold(content.body)
        facts.append(measure(content, body))
        for part, text in enumerate(_texts(content, body)):
            if text:
                texts.append(text)
                rows.append(row)
                parts.append(part)
        has_url[row] = bool(content.author_url)
    joined = f" {' '.join(texts)} "
    codes = np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), dtype="<u4")
    up, down = _POWERS.reach(len(codes) + 1)
    prefix = np.zeros(len(codes) + 1, dtype=np.uint64)
    np.cumsum(codes * up[: len(codes)], out=prefix[1:])

    is_space = codes == _SPACE
    spaces = np.flatnonzero(is_space)
    start, end = spaces[:-1] + 1, spaces[1:]
    if not texts:
        start = end = start[:0]
    words_of_text = np.array([text.count(" ") + 1 for text in texts], dtype=np.int64)
    word_row = np.repeat(np.array(rows, dtype=np.int64), words_of_text)
    word_part = np.repeat(np.array(parts, dtype=np.int64), words_of_text)
    word_text = np.repeat(np.arange(len(texts)), words_of_text)

    word_hash = (prefix[end] - prefix[start]) * down[start]
    first = np.flatnonzero(word_text[1:] == word_text[:-1])
    pair_hash = word_hash[first] * _PAIR + word_hash[first + 1]
    third = np.flatnonzero(word_text[2:] == word_text[:-2])
    triple_hash = (word_hash[third] * _PAIR + word_hash[third + 1]) * _PAIR + word_hash[third + 2]
    found = _Found()
    found.add(word_hash, np.arange(len(start)), _WORD_BLOCK[word_part])
    found.add(pair_hash, first, _WORD_BLOCK[word_part[first]], words=2)
    found.add(triple_hash, third, _WORD_BLOCK[word_part[third]], words=3)
    crossed = has_url[word_row] & (word_part == Part.BODY)
    for hashes, owner, words in ((word_hash, np.arange(len(start)), 1), (pair_hash, first, 2)):
        chosen = np.flatnonzero(crossed[owner])
        found.add(hashes[chosen], owner[chosen], Block.CROSS, words=words)
    for hashes, owner in _char_spans(codes, is_space, prefix, down):
        found.add(hashes, owner, _CHAR_BLOCK[word_part[owner]])
    run_hash, owner = _run_spans(codes, is_space, word_text, word_part)
    found.add(run_hash, owner, Block.RUNS)
    word = np.concatenate(found.owners)
    return Spans(
        text=joined,
        word_start=start,
        word_end=end,
        word_row=word_row,
        word_part=word_part,
        row=word_row[word],
        column=_columns(np.concatenate(found.hashes), np.concatenate(found.blocks)),
        word=word,
        words=np.repeat(found.words, [len(owner) for owner in found.owners]),
        facts=np.array(facts, dtype=np.float64).reshape(len(contents), len(FACTS)),
    )


def group(spans: Spans) -> Grouped:
    """Group the occurrences of a batch into the distinct n-grams of each row."""
    key = spans.row * N_GRAMS + spans.column
    order = np.argsort(key)
    ordered = key[order]
    is_first = np.ones(len(key), dtype=np.bool_)
    is_first[1:] = ordered[1:] != ordered[:-1]
    firsts = np.flatnonzero(is_first)
    of_span = np.empty(len(key), dtype=np.int64)
    of_span[order] = np.cumsum(is_first) - 1
    row, column = np.divmod(ordered[firsts], N_GRAMS)
    return Grouped(row, column, np.diff(np.append(firsts, len(key))), of_span)


def weigh(grouped: Grouped, rarity: NDArray[np.float32], n_rows: int) -> Floats:
    """Return the value of each distinct n-gram: damped count by rarity, scaled per block.

    Args:
        grouped: The distinct n-grams.
        rarity: (N_GRAMS,) damped inverse document frequency of each column.
        n_rows: Rows in the batch.

    Returns:
        (n_distinct,) float64; of one row and block, as a vector, of the block's length.
    """
    value = _DAMPED[np.minimum(grouped.count, len(_DAMPED) - 1)] * rarity[grouped.column]
    n_blocks = len(_BITS)
    place = grouped.row * n_blocks + _BLOCK_OF[grouped.column >> 16]
    length = np.sqrt(np.bincount(place, value * value, minlength=n_rows * n_blocks))
    block_scale = np.tile(_BLOCK_SCALE, n_rows)
    scaled: Floats = value * (block_scale / np.maximum(length, 1e-9))[place]
    return scaled


def _texts(content: Content, folded: Folded) -> tuple[str, str, str, str]:
    """Return the folded text of each `Part`.

    The name is read only beside a URL: of readers without one it says nothing, but a model
    learns its commenters by heart (YouTube, one video left out: accuracy .943 with, .947
    without).
    """
    links = " ".join(url_words(link) for link in folded.links[:20])
    return (
        folded.text,
        fold_name(content.author_name) if content.author_name and content.author_url else "",
        url_words(content.author_url) if content.author_url else "",
        " ".join(links.split()),
    )


def _char_spans(
    codes: NDArray[np.uint32], is_space: NDArray[np.bool_], prefix: Hashes, down: Hashes
) -> list[tuple[Hashes, Integers]]:
    """Hash the character n-grams that lie in one word with its bordering spaces.

    Scripts written in syllables or signs also get pairs: two Hangul syllables say as much as
    five letters.
    """
    spaces_before = np.zeros(len(codes) + 1, dtype=np.int64)
    np.cumsum(is_space, out=spaces_before[1:])
    found: list[tuple[Hashes, Integers]] = []
    for length in _CHAR_LENGTHS:
        if len(codes) < length:
            continue
        at = np.flatnonzero(
            spaces_before[length - 1 : -1] == spaces_before[1 : len(codes) - length + 2]
        )
        found.append(((prefix[at + length] - prefix[at]) * down[at], spaces_before[at + 1 + 1] - 1))
    wide = codes >= _FIRST_WIDE
    at = np.flatnonzero(wide[1:] & wide[:-1])
    found.append(((prefix[at + 2] - prefix[at]) * down[at], spaces_before[at] - 1))
    return found


def _run_spans(
    codes: NDArray[np.uint32], is_space: NDArray[np.bool_], word_text: Integers, word_part: Integers
) -> tuple[Hashes, Integers]:
    """Hash the character n-grams of each body without its spaces and doubled letters.

    They survive words that are broken, run together or stretched.
    """
    word_at = np.cumsum(is_space) - 1
    is_repeated = np.zeros(len(codes), dtype=np.bool_)
    is_repeated[1:] = codes[1:] == codes[:-1]
    at = np.flatnonzero(~(is_space | is_repeated))
    at = at[word_part[word_at[at]] == Part.BODY]
    word = word_at[at]
    up, down = _POWERS.reach(len(at) + 1)
    prefix = np.zeros(len(at) + 1, dtype=np.uint64)
    np.cumsum(codes[at] * up[: len(at)], out=prefix[1:])
    text = word_text[word]
    last = max(0, len(text) - _RUN_LENGTH + 1)
    first = np.flatnonzero(text[_RUN_LENGTH - 1 :] == text[:last])
    return (prefix[first + _RUN_LENGTH] - prefix[first]) * down[first], word[first]


def _columns(hashes: Hashes, blocks: Integers) -> Integers:
    """Mix each hash with its block (the finaliser of MurmurHash3) and cut it to a column."""
    mixed = hashes + (blocks.astype(np.uint64) + np.uint64(1)) * np.uint64(_GAMMA)
    mixed ^= mixed >> np.uint64(33)
    mixed *= np.uint64(0xFF51AFD7ED558CCD)
    mixed ^= mixed >> np.uint64(33)
    mixed *= np.uint64(0xC4CEB9FE1A85EC53)
    mixed ^= mixed >> np.uint64(33)
    return (mixed >> _SHIFT[blocks]).astype(np.int64) + _OFFSET[blocks]
