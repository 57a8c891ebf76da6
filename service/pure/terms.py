"""Terms: what a text is found by, cut alike when it is kept and when it is looked for.

The one rule: pure, and the same for every language. Words are words where a language has spaces;
where it has none (Chinese, Japanese, Thai, …), and for Korean and symbols, every two neighbours
are a term, and the last character is one by itself, so that one character is the beginning of a
term wherever it stands.
"""

import re
import unicodedata
from dataclasses import dataclass

_MOST = 40  # of a longer word the rest is not looked at
_UNSEEN = re.compile(
    "[\u00ad\u034f\u061c\u180b-\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff]"
)
# Not \w: the vowel signs of many scripts are no letters to it.
_SPACED = (
    "0-9a-z\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u0588\u0591-\u05bd\u05bf-\u060b\u060d-\u061a"
    "\u0620-\u0669\u066e-\u06d3\u06d5-\u0963\u0966-\u0dff\u10a0-\u177f\u1800-\u1fff\u2c00-\u2dff"
    "\ua000-\uabff\ufb00-\ufdff\ufe70-\ufefc\U00010000-\U0001efff"
)
_UNSPACED = (
    "\u0e00-\u109f\u1780-\u17ff\u2190-\u2bff\u2e80-\u2fdf\u3005-\u3007\u3040-\u318f\u31a0-\u31ff"
    "\u3400-\u9fff\uac00-\ud7ff\uf900-\ufaff\U0001f000-\U000dffff"
)
_PART = re.compile(f"([{_SPACED}]+)|([{_UNSPACED}]+)")
_HAS_UNSPACED = re.compile(f"[{_UNSPACED}]")
_WORD = re.compile(f"([{_SPACED}]{{1,{_MOST}}})[{_SPACED}]*+")
_BETWEEN = "\n"  # part of no term


@dataclass(frozen=True, slots=True)
class Sought:
    """What is looked for.

    Attributes:
        needles: each has to be in an entry as it stands: " lant" for what begins so, " a " for
            a whole term.
        literals: what was written with other characters than terms have, such as an address;
            each has to be in the text as it stands, whatever the case of its letters.
    """

    needles: tuple[str, ...] = ()
    literals: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        """Whether anything is looked for."""
        return bool(self.needles or self.literals)

    def __add__(self, other: "Sought") -> "Sought":
        """Look for both."""
        return Sought(self.needles + other.needles, self.literals + other.literals)

    def is_in(self, *texts: str) -> bool:
        """Whether all of it is in texts, taken together."""
        found = entry(*texts)
        return all(needle in found for needle in self.needles) and all(
            any(literal.casefold() in text.casefold() for text in texts)
            for literal in self.literals
        )


def entry(*texts: str) -> str:
    """Give the terms of texts, each once, with single spaces between and around.

    They are in order, as PostgreSQL's index of words wants them: to put them in order there took a
    sixth of the time that the index takes to make.
    """
    return f" {' '.join(sorted(set(_terms(_BETWEEN.join(texts)))))} "


def seek(written: str) -> Sought:
    """Read what a person looks for: words, each the beginning of one or more."""
    needles: list[str] = []
    literals: list[str] = []
    for word in written.split():
        parts = [match.group() for match in _PART.finditer(_fold(word))]
        needles += [needle for place, part in enumerate(parts, 1)
                    for needle in _needles(part, is_last=place == len(parts))]  # fmt: skip
        if parts != [word.casefold()]:
            literals.append(word)
    return Sought(tuple(dict.fromkeys(needles)), tuple(literals))


def pattern(written: str) -> re.Pattern[str] | None:
    """Give what finds the words that a person looks for in a text, to be shown; `None` for none.

    A word is found whole, though only its beginning was written.
    """
    words = sorted(set(written.split()), key=len, reverse=True)
    if not words:
        return None
    return re.compile("|".join(map(_shown, words)), re.IGNORECASE)


def _shown(word: str) -> str:
    if re.match(f"[{_UNSPACED}]", word):
        return re.escape(word)
    start = r"(?<!\w)" if re.match(r"\w", word) else ""
    return rf"{start}{re.escape(word)}\w*"


def _fold(text: str) -> str:
    if text.isascii():
        return text.lower()
    return _UNSEEN.sub("", unicodedata.normalize("NFKC", text).casefold())


def _terms(text: str) -> list[str]:
    folded = _fold(text)
    if folded.isascii() or not _HAS_UNSPACED.search(folded):  # most texts, and this much faster
        return _WORD.findall(folded)
    terms: list[str] = []
    for spaced, unspaced in _PART.findall(folded):
        terms += [spaced[:_MOST]] if spaced else [*_pairs(unspaced), unspaced[-1]]
    return terms


def _pairs(part: str) -> list[str]:
    return [part[place : place + 2] for place in range(len(part) - 1)]


def _needles(part: str, *, is_last: bool) -> list[str]:
    if re.match(f"[{_UNSPACED}]", part):
        return [f" {pair} " for pair in _pairs(part)] or [f" {part}"]
    # What begins with a single letter is half of all there is.
    return [f" {part[:_MOST]}" + ("" if is_last and len(part) > 1 else " ")]
