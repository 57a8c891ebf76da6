"""Which characters pass for a Latin letter, and which Latin letters pass for a Cyrillic one.

Owns the tables and giving each word one script. Most entries are derived from the Unicode
character names ("LATIN LETTER SMALL CAPITAL N", "NEGATIVE SQUARED LATIN CAPITAL LETTER B"), so
that a style we have not thought of is covered when Unicode names it. The rows of `letters.json`
are the letters of other scripts, whose name says nothing about their shape.
"""

from __future__ import annotations

import json
import re
import string
import unicodedata
from pathlib import Path
from typing import Final

_NAMED_RANGES: Final = (
    (0x00C0, 0x0250),  # Latin-1 letters, Extended-A and -B
    (0x0250, 0x02B0),  # phonetic letters: small capitals, turned letters
    (0x1D00, 0x1DC0),  # phonetic extensions
    (0x1E00, 0x1F00),  # Latin Extended Additional
    (0x2C60, 0x2C80),
    (0xA720, 0xA800),
    (0xAB30, 0xAB70),
    (0x1DF00, 0x1DF2B),
    (0x1F110, 0x1F200),  # parenthesised, squared, negative, regional indicators
)
_NAMED_LETTER: Final = re.compile(
    r"(?:(?:PARENTHESIZED |SQUARED |NEGATIVE CIRCLED |NEGATIVE SQUARED |CROSSED NEGATIVE SQUARED )?"
    r"LATIN (?:CAPITAL |SMALL )?LETTER (?:SMALL CAPITAL |CAPITAL )?(?:TURNED |REVERSED |SIDEWAYS "
    r"|DOTLESS |OPEN |INSULAR |SCRIPT |BARRED |STRETCHED |CLOSED )?"
    r"|REGIONAL INDICATOR SYMBOL LETTER )([A-Z])(?: WITH .*| ROTUNDA| BAR)?$"
)

_LETTERS: Final = json.loads(Path(__file__).with_name("letters.json").read_text(encoding="utf-8"))


def _latin_styles() -> dict[int, str]:
    """Map every letter that Unicode names after a Latin one to that plain letter."""
    table: dict[int, str] = {}
    for first, last in _NAMED_RANGES:
        for code in range(first, last):
            found = _NAMED_LETTER.match(unicodedata.name(chr(code), ""))
            if found is not None:
                table[code] = found.group(1).lower()
    return table


def _other_scripts() -> dict[int, str]:
    """Map letters of other scripts, and signs drawn like letters, to the Latin letter."""
    table = {
        ord(sign): latin
        for latin, signs in _LETTERS["drawn_as"].items()
        for sign in signs
        if sign > "\x7f"
    }
    turned = _LETTERS["upside_down"]
    for sign, latin in zip(turned["signs"], turned["letters"], strict=True):
        table.setdefault(ord(sign), latin)
    return table


def _circled_digits() -> dict[int, str]:
    """Map digits in circles that compatibility folding leaves alone."""
    ranges = (range(0x24EA, 0x2500), range(0x2776, 0x2794), range(0x1F100, 0x1F10D))
    return {
        code: str(unicodedata.digit(chr(code)))
        for codes in ranges
        for code in codes
        if unicodedata.digit(chr(code), -1) >= 0
    }


STYLES: Final = {**_latin_styles(), **_circled_digits()}
"""Styled Latin letters and digits (small capitals, negative squares, circles): code to plain."""

LOOKALIKES: Final = {
    **_other_scripts(),
    **{code: letter for code, letter in STYLES.items() if code > 0x24F},
}
"""Characters that stand in for a Latin letter inside a word: code point to letter."""

TURNED: Final = {
    ord(sign): letter for sign, letter in zip(*_LETTERS["turned"].values(), strict=True)
}
"""Letters of a text written upside down, plain ones included: code point to letter."""

TO_CYRILLIC: Final[dict[int, str]] = {
    ord(latin): cyrillic.lower()
    for latin, cyrillic in zip(*_LETTERS["cyrillic_for"].values(), strict=True)
}
"""Latin letters used inside a Cyrillic word: code point to the Cyrillic letter."""

_RUN: Final = re.compile(r"\S+")
_MIXED: Final = re.compile(r"[a-zA-Z][^\x00-\x7f]|[^\x00-\x7f][a-zA-Z]")
_RARE: Final = re.compile("[\u0250-\u02af\u13a0-\u167f\ua4d0-\ua4ff]")
_ASCII_LETTER: Final = re.compile("[a-zA-Z]")
_CYRILLIC: Final = re.compile("[\u0400-\u052f]")
_FIRM_CYRILLIC: Final = re.compile("[бгджзийлпфцчшщъыьэюяБГДЖЗИЙЛПФЦЧШЩЪЫЬЭЮЯ]")
_ONLY_LATIN: Final = re.compile(
    "[" + "".join(char for char in string.ascii_letters if ord(char) not in TO_CYRILLIC) + "]"
)


def foreign_of(text: str) -> str:
    """Return the distinct characters of a text that are not ASCII."""
    return "".join([char for char in set(text) if char > "\x7f"])


def unify(text: str) -> tuple[str, int]:
    """Give words that mix scripts, or that only pretend to be Latin, one script.

    Returns:
        The text, and how many of its words mixed scripts.
    """
    foreign = foreign_of(text)
    signs = {char for char in foreign if ord(char) in LOOKALIKES}
    if not signs:
        return text, 0
    others = {char for char in foreign if char.isalpha() and ord(char) not in LOOKALIKES}
    firm = bool(others) or bool(_FIRM_CYRILLIC.search(foreign))
    has_latin = bool(_ASCII_LETTER.search(text))
    if (firm or not has_latin) and not _MIXED.search(text) and not _RARE.search(foreign):
        return text, 0
    letters = {char for char in foreign if char.isalpha()}
    common = {char for char in letters if not _RARE.match(char)}
    mixed = 0

    def one_script(found: re.Match[str]) -> str:
        nonlocal mixed
        token = found.group()
        if token.isascii() or signs.isdisjoint(token):
            return token
        strange = not others.isdisjoint(token)
        if _ASCII_LETTER.search(token):
            if (
                (strange or _FIRM_CYRILLIC.search(token))
                and _CYRILLIC.search(token)
                and not _ONLY_LATIN.search(token)
            ):
                mixed += 1
                return token.translate(TO_CYRILLIC)
            if strange:
                return token
            mixed += 1
            return token.translate(LOOKALIKES)
        if letters.isdisjoint(token):
            return token
        if not strange and not firm and has_latin:
            return token.translate(LOOKALIKES)
        if common.isdisjoint(token):
            mixed += 1
            return token.translate(LOOKALIKES)
        return token

    text = _RUN.sub(one_script, text)
    return text, mixed
