"""Synthetic comments for what the public data lacks.

Owns the texts: praise whose only link is the author's URL, offers of many trades, short honest
remarks, and citations that honest comments are given. Public corpora carry no author URLs, so a
model trained on them alone can neither see that the link of praise spam sits in the author's
card, nor learn that honest readers have homepages, cite pages and name prices.

Every function takes the dice it draws from; the same seed gives the same examples.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from classifier.cards import (
    PHRASES,
    mail,
    person,
    reader_card,
    reference,
    shop,
    spam_card,
)
from classifier.dice import Dice
from classifier.examples import Content, Example, Label

_ALTERNATIVES: Final = re.compile(r"\{([^{}]*)\}")
_BLANK: Final = re.compile(r"<([A-Z_]+)>")
_SENTENCE_END: Final = re.compile(r"(?<=[.!?])\s")
_SUMS: Final = (
    *("$500", "$5,000", "$250", "1000 USD", "€3000", "$10k", "£2,500", "50000", "$97", "3000$"),
)
PRAISE_FAMILIES: Final = len(PHRASES["praise"])
"""How many wordings of praise there are; tests train on some and judge on the others."""


def spin(template: str, rng: Dice) -> str:
    """Pick one of each `{a|b}` of a template, innermost first."""
    while (found := _ALTERNATIVES.search(template)) is not None:
        chosen = rng.choice(found.group(1).split("|"))
        template = template[: found.start()] + chosen + template[found.end() :]
    return template


def fill(template: str, rng: Dice) -> str:
    """Spin a template and fill its blanks."""

    def blank(found: re.Match[str]) -> str:
        kind = found.group(1)
        if kind.startswith("TOPIC"):
            return rng.choice(PHRASES[kind.lower().replace("topic", "topics")])
        if kind == "URL":
            return shop(rng.choice(PHRASES["topics"]), rng)
        if kind == "REF":
            return reference(rng)
        if kind == "MAIL":
            return mail(person(rng), rng)
        if kind == "PHONE":
            return f"+{rng.randrange(1, 99)}{rng.choice((' ', ''))}{rng.randrange(10**8, 10**10)}"
        if kind == "YEAR":
            return str(rng.randrange(2008, 2031))
        return person(rng) if kind == "NAME" else rng.choice(_SUMS)

    return _BLANK.sub(blank, spin(template, rng))


def praise(rng: Dice, families: Sequence[int] = range(PRAISE_FAMILIES)) -> str:
    """Return praise that fits any page, one to four sentences."""
    if rng.random() < 0.12:
        return spin(rng.choice(PHRASES["praise_elsewhere"]), rng)
    count = rng.choice((1, 1, 1, 2, 2, 3, 4))
    chosen = rng.sample(families, k=min(count, len(families)))
    sentences = [spin(PHRASES["praise"][place], rng) for place in chosen]
    return rng.choice((" ", " ", "\n")).join(sentences)


def praise_spam(
    count: int, rng: Dice, families: Sequence[int] = range(PRAISE_FAMILIES)
) -> list[Example]:
    """Return praise whose only link is the author's URL; some of it seen before."""
    made: list[Example] = []
    for place in range(count):
        content = spam_card(Content(praise(rng, families)), rng)
        if rng.random() < 0.25:
            content = replace(content, echoes=rng.randrange(1, 9))
        made.append(Example(content, Label.SPAM, f"praise/{place % 40}", "synthetic-praise"))
    return made


def offer_spam(count: int, rng: Dice) -> list[Example]:
    """Return comments that sell, lend, recover, promise or promote something."""
    offers = PHRASES["offers"]
    made: list[Example] = []
    for place in range(count):
        family = place % len(offers)
        body = fill(offers[family], rng)
        if rng.random() < 0.3:
            body = f"{praise(rng)} {body}" if rng.random() < 0.6 else f"{body} {praise(rng)}"
        content = Content(body)
        style = rng.random()
        if style < 0.3:
            content = spam_card(content, rng)
        elif style < 0.8:
            content = replace(content, author_name=person(rng))
        if rng.random() < 0.25:
            content = replace(content, echoes=rng.randrange(1, 9))
        made.append(Example(content, Label.SPAM, f"offer/{family}", "synthetic-offer"))
    return made


def reader_thanks(count: int, rng: Dice) -> list[Example]:
    """Return short honest comments, by readers with and without homepages."""
    remarks = PHRASES["thanks"]
    made: list[Example] = []
    for place in range(count):
        family = place % len(remarks)
        if rng.random() < 0.15:
            name = person(rng) if rng.random() < 0.8 else ""
            content = Content(praise(rng), author_name=name)
            family = len(remarks) + place % 9
        else:
            content = reader_card(Content(fill(remarks[family], rng)), rng)
        made.append(Example(content, Label.HAM, f"thanks/{family}", "synthetic-thanks"))
    return made


def cite(content: Content, rng: Dice) -> Content:
    """Let an honest comment cite a page, somewhere between its sentences."""
    sentences = _SENTENCE_END.split(content.body)
    cited = fill(rng.choice(PHRASES["citations"]), rng)
    sentences.insert(rng.randrange(len(sentences) + 1), cited)
    return replace(content, body=" ".join(sentences))
