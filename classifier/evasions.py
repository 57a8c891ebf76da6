"""Ways to disguise a text from a machine while a person can still read it.

Owns thirty evasions: some are used to augment training, the others only to test, so that the
figures show what happens with a disguise the model was never taught.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from classifier.dice import Dice

_LOWER: Final = "abcdefghijklmnopqrstuvwxyz"
_LETTERS: Final = json.loads(Path(__file__).with_name("letters.json").read_text(encoding="utf-8"))
_WORD: Final = re.compile(r"[A-Za-z]{4,}")


@dataclass(frozen=True, slots=True)
class Evasion:
    """One disguise.

    Attributes:
        name: What it is called in reports.
        apply: Disguise a text.
        taught: Whether training uses it.
    """

    name: str
    apply: Callable[[str, Dice], str]
    taught: bool


def _alphabet(lower: str, upper: str | None = None) -> dict[int, str]:
    table = dict(zip(map(ord, _LOWER), lower, strict=True))
    table.update(zip(map(ord, _LOWER.upper()), upper or lower, strict=True))
    return table


def _shifted(lower: int, upper: int) -> dict[int, str]:
    return _alphabet(
        "".join(chr(lower + place) for place in range(26)),
        "".join(chr(upper + place) for place in range(26)),
    )


def _style(table: dict[int, str]) -> Callable[[str, Dice], str]:
    def apply(text: str, rng: Dice) -> str:
        return text.translate(table)

    return apply


def _some(table: dict[int, str], share: float) -> Callable[[str, Dice], str]:
    def apply(text: str, rng: Dice) -> str:
        return "".join(
            table.get(ord(char), char) if rng.random() < share else char for char in text
        )

    return apply


def _after_letters(extra: str, share: float) -> Callable[[str, Dice], str]:
    def apply(text: str, rng: Dice) -> str:
        return "".join(
            char + rng.choice(extra) if char.isalpha() and rng.random() < share else char
            for char in text
        )

    return apply


def _in_words(change: Callable[[str, Dice], str]) -> Callable[[str, Dice], str]:
    def apply(text: str, rng: Dice) -> str:
        return _WORD.sub(lambda found: change(found.group(), rng), text)

    return apply


def _swap(word: str, rng: Dice) -> str:
    at = rng.randrange(1, len(word) - 2)
    return word[:at] + word[at + 1] + word[at] + word[at + 2 :]


def _drop(word: str, rng: Dice) -> str:
    at = rng.randrange(1, len(word) - 1)
    return word[:at] + word[at + 1 :]


def _stretch(word: str, rng: Dice) -> str:
    at = rng.randrange(1, len(word))
    return word[:at] + word[at - 1] * rng.randrange(2, 5) + word[at:]


def _break(word: str, rng: Dice) -> str:
    at = rng.randrange(2, len(word) - 1)
    return f"{word[:at]} {word[at:]}"


def _entities(text: str, rng: Dice) -> str:
    return "".join(
        f"&#{ord(char)};" if char.isalpha() and rng.random() < 0.5 else char for char in text
    )


def _spell_dots(text: str, rng: Dice) -> str:
    text = re.sub(r"https?://(?:www\.)?", "", text)
    return re.sub(
        r"(?<=\w)\.(?=(?:com|net|org|info|ru|xyz|top|me)\b)",
        rng.choice((" dot ", "[.]", " (dot) ")),
        text,
    )


def _defuse(text: str, rng: Dice) -> str:
    return re.sub(r"https?://", rng.choice(("hxxp://", "h**p://")), text)


def _pad(text: str, rng: Dice) -> str:
    sentences = (
        "We had rain for most of the week and the garden looks better for it.",
        "My neighbour repaired the old fence before the first frost came.",
        "The library opens at nine and the reading room is on the second floor.",
        "She put the kettle on and read the letter twice before she answered.",
        "The second chapter explains how the river changed its course in spring.",
        "I think the previous version handled this case differently on Windows.",
        "They walked back along the canal and talked about the new timetable.",
        "The recipe needs less sugar if the apples are ripe, in my experience.",
    )
    before = " ".join(rng.sample(sentences, 3))
    return f"{before} {text} {' '.join(rng.sample(sentences, 3))}"


def _spaced(text: str, rng: Dice) -> str:
    return "  ".join(" ".join(word) for word in text.split())


def _dotted(text: str, rng: Dice) -> str:
    mark = rng.choice(".-_*")
    return _WORD.sub(lambda found: mark.join(found.group()), text)


def _random_case(text: str, rng: Dice) -> str:
    return "".join(char.upper() if rng.random() < 0.5 else char.lower() for char in text)


def _emoji(text: str, rng: Dice) -> str:
    return " ".join(word + rng.choice(("🔥", "✨", "⭐", "💯", "", "")) for word in text.split(" "))


def _tags(word: str, rng: Dice) -> str:
    at = rng.randrange(1, len(word))
    tag = rng.choice(("b", "i", "span"))
    return f"{word[:at]}<{tag}></{tag}>{word[at:]}"


def _reverse(text: str, rng: Dice) -> str:
    return f"\u202e{text[::-1]}\u202c"


def _encode(text: str, rng: Dice) -> str:
    return f"decode this: {base64.b64encode(text.encode('utf-8', 'replace')).decode()}"


def _upside_down(text: str, rng: Dice) -> str:
    return text.lower().translate(_alphabet(_LETTERS["test_alphabets"]["upside down"]))


_CYRILLIC, _GREEK = (
    {ord(latin): other for latin, other in zip(letters, others, strict=True)}
    for letters, others in _LETTERS["test_swaps"].items()
)
_LEET: Final = {ord(a): b for a, b in zip("aeiostl", "4310571", strict=True)}
_SIGNS: Final = {ord(a): b for a, b in zip("asilec", "@$!|€¢", strict=True)}
_ACCENTS: Final = {ord(a): b for a, b in zip("aeioucnsyz", "áèîöúçñšýž", strict=True)}

EVASIONS: Final = (
    Evasion("full-width letters", _style(_shifted(0xFF41, 0xFF21)), taught=True),
    Evasion("maths bold", _style(_shifted(0x1D41A, 0x1D400)), taught=False),
    Evasion("maths script", _style(_shifted(0x1D4EA, 0x1D4D0)), taught=False),
    Evasion(
        "maths monospace, half the letters", _some(_shifted(0x1D68A, 0x1D670), 0.5), taught=True
    ),
    Evasion("circled letters", _style(_shifted(0x24D0, 0x24B6)), taught=False),
    Evasion("negative squared letters", _style(_shifted(0x1F170, 0x1F170)), taught=False),
    Evasion(
        "small capitals",
        _style(_alphabet(_LETTERS["test_alphabets"]["small capitals"])),
        taught=False,
    ),
    Evasion("upside-down letters", _upside_down, taught=False),
    Evasion("regional indicators", _style(_shifted(0x1F1E6, 0x1F1E6)), taught=False),
    Evasion("Cyrillic look-alikes", _some(_CYRILLIC, 1.0), taught=False),
    Evasion("Cyrillic look-alikes, a third", _some(_CYRILLIC, 0.33), taught=True),
    Evasion("Greek look-alikes", _some(_GREEK, 0.7), taught=False),
    Evasion("accents", _some(_ACCENTS, 0.7), taught=False),
    Evasion("stacked marks", _after_letters("\u0336\u0301\u0308\u0353", 0.8), taught=False),
    Evasion("zero-width spaces", _after_letters("\u200b\u200c\u2060", 0.5), taught=True),
    Evasion("soft hyphens", _after_letters("\u00ad", 0.5), taught=False),
    Evasion("leet", _some(_LEET, 0.6), taught=True),
    Evasion("signs for letters", _some(_SIGNS, 0.7), taught=False),
    Evasion("spaced letters", _spaced, taught=True),
    Evasion("dotted letters", _dotted, taught=False),
    Evasion("letters swapped", _in_words(_swap), taught=True),
    Evasion("letters dropped", _in_words(_drop), taught=True),
    Evasion("letters stretched", _in_words(_stretch), taught=False),
    Evasion("words broken", _in_words(_break), taught=True),
    Evasion("random case", _random_case, taught=False),
    Evasion("emoji between words", _emoji, taught=True),
    Evasion("empty tags in words", _in_words(_tags), taught=False),
    Evasion("character references", _entities, taught=False),
    Evasion("right-to-left override", _reverse, taught=False),
    Evasion("base64", _encode, taught=False),
    Evasion("spelt-out dots", _spell_dots, taught=True),
    Evasion("defused links", _defuse, taught=False),
    Evasion("padding with innocent text", _pad, taught=True),
)
"""Every evasion; those not taught are never seen in training."""


def disguise(text: str, rng: Dice) -> str:
    """Disguise a text by one of the evasions that are taught."""
    return rng.choice([evasion for evasion in EVASIONS if evasion.taught]).apply(text, rng)
