"""Near-duplicates: the same praise with another link is a campaign.

Owns the sketch of a text and how alike two sketches are. The caller stores the bands of each
comment's sketch, looks up which earlier comments share a band, counts those that are `echoes`,
and hands the count to the scorer in `Content.echoes`.

The sketch is a MinHash (Broder 1997) of the folded text's word triples, links and numbers left
out, so that a changed link, name or spelling changes little. Two texts whose triples overlap
by 60 % share a band with probability .93, by 30 % with .26.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from classifier.contacts import PLACEHOLDERS
from classifier.dice import Dice
from classifier.normalise import fold

_HASHES: Final = 32
_BAND: Final = 3
_SHORTEST: Final = 5
_ALIKE: Final = 0.5
_SEEDS: Final = np.array(
    [Dice(place).getrandbits(64) | 1 for place in range(_HASHES)], dtype=np.uint64
)
_SHIFT: Final = np.uint64(32)


@dataclass(frozen=True, slots=True)
class Sketch:
    """What is kept of a text to recognise it again.

    Attributes:
        mins: 32 numbers below 2**32; empty for a text too short to tell.
        bands: 10 keys to index; texts that share none are not alike. Empty likewise.
    """

    mins: tuple[int, ...]
    bands: tuple[str, ...]


def sketch(body: str) -> Sketch:
    """Sketch a comment's body.

    Args:
        body: The comment as written.

    Returns:
        Its sketch; an empty one if it has fewer than five words, because "thanks for sharing"
        is said by honest readers too.
    """
    words = [
        word
        for word in fold(body).text.split()
        if word not in PLACEHOLDERS and not any(map(str.isdigit, word))
    ]
    if len(words) < _SHORTEST:
        return Sketch((), ())
    triples = {" ".join(words[place : place + 3]) for place in range(len(words) - 2)}
    codes = np.array([_hash(triple) for triple in sorted(triples)], dtype=np.uint64)
    mixed = codes[:, None] * _SEEDS[None, :]
    mixed ^= mixed >> np.uint64(29)
    mixed *= np.uint64(0xBF58476D1CE4E5B9)
    mins = tuple(int(value) for value in (mixed >> _SHIFT).min(axis=0))
    bands = tuple(
        f"{first // _BAND:x}-" + "".join(f"{value:08x}" for value in mins[first : first + _BAND])
        for first in range(0, _HASHES - _BAND + 1, _BAND)
    )
    return Sketch(mins, bands)


def likeness(one: Sketch, other: Sketch) -> float:
    """Estimate which share of the word triples of two texts they have in common, 0 to 1."""
    if not one.mins or not other.mins:
        return 0.0
    same = sum(a == b for a, b in zip(one.mins, other.mins, strict=True))
    return same / _HASHES


def is_echo(one: Sketch, other: Sketch) -> bool:
    """Say whether one text is nearly the other."""
    return likeness(one, other) >= _ALIKE


def _hash(text: str) -> int:
    """Hash a text to 64 bits, the same in every process (FNV-1a)."""
    value = 0xCBF29CE484222325
    for byte in text.encode("utf-8", "replace"):
        value = (value ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return value


class Memory:
    """Sketches seen so far, in this process; for evaluation and small tools.

    A service keeps the bands in its database instead.
    """

    def __init__(self) -> None:
        """Remember nothing yet."""
        self._by_band: dict[str, list[tuple[Sketch, str]]] = {}

    def count(self, body: str, author: str) -> int:
        """Count the earlier near-duplicates by other authors, then remember this one.

        Args:
            body: The comment as written.
            author: Who wrote it: any text that identifies them, such as name and URL.

        Returns:
            How many earlier comments said nearly the same.
        """
        mine = sketch(body)
        seen: dict[int, tuple[Sketch, str]] = {}
        for band in mine.bands:
            for entry in self._by_band.get(band, ()):
                seen[id(entry)] = entry
        echoes = sum(1 for other, name in seen.values() if name != author and is_echo(mine, other))
        entry = (mine, author)
        for band in mine.bands:
            self._by_band.setdefault(band, []).append(entry)
        return echoes
