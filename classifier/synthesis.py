"""Synthetic examples for what the public data lacks: author cards, praise spam, evasions.

Owns the generators. Public corpora carry no author URLs, so a model trained on them alone can
neither see that the link of praise spam sits in the author's card, nor learn that honest
readers have homepages too. Every function takes the random generator it draws from; the same
seed gives the same examples.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Final

from classifier.dice import Dice
from classifier.examples import Content, Example, Label

_PHRASES: Final[dict[str, list[str]]] = json.loads(
    Path(__file__).with_name("phrases.json").read_text(encoding="utf-8")
)
_ALTERNATIVES: Final = re.compile(r"\{([^{}]*)\}")
_BLANK: Final = re.compile(r"<([A-Z_]+)>")
_DOMAINS: Final[dict[str, list[str]]] = json.loads(
    Path(__file__).with_name("domains.json").read_text(encoding="utf-8")
)
PRAISE_FAMILIES: Final = len(_PHRASES["praise"])


def spin(template: str, rng: Dice) -> str:
    """Pick one of each `{a|b}` of a template, innermost first."""
    while (found := _ALTERNATIVES.search(template)) is not None:
        chosen = rng.choice(found.group(1).split("|"))
        template = template[: found.start()] + chosen + template[found.end() :]
    return template


def person(rng: Dice) -> str:
    """Return a plausible person's name or nickname."""
    first, last = rng.choice(_PHRASES["first_names"]), rng.choice(_PHRASES["last_names"])
    style = rng.random()
    if style < 0.45:
        return f"{first} {last}"
    if style < 0.75:
        return first if rng.random() < 0.7 else first.lower()
    if style < 0.85:
        return f"{first} {last[0]}."
    nick = rng.choice((first[0] + last, first + last[:3], first + str(rng.randrange(1, 99)), last))
    return nick.lower() if rng.random() < 0.6 else nick


def homepage(name: str, rng: Dice) -> str:
    """Return the kind of address an honest reader gives for themselves."""
    words = re.findall(r"[a-z]+", name.lower()) or [rng.choice(_PHRASES["last_names"]).lower()]
    nick = "".join(words)[:18]
    style = rng.random()
    if style < 0.3:
        return rng.choice(_DOMAINS["homes"]).format(nick)
    host = (
        nick
        if style < 0.6
        else rng.choice(_PHRASES["brand_parts"]) + rng.choice(_PHRASES["brand_parts"])
        if style < 0.75
        else rng.choice(_PHRASES["hobbies"])
        + rng.choice(("", "-"))
        + rng.choice((*_PHRASES["hobbies"], *words))
    )
    scheme = rng.choice(("http://", "http://www.", "https://", "https://www.", ""))
    path = rng.choice(("", "", "", "/", "/blog", "/about", "/blog/"))
    return f"{scheme}{host}.{rng.choice(_DOMAINS['home_endings'])}{path}"


def shop(topic: str, rng: Dice) -> str:
    """Return the kind of address a spammer promotes."""
    words = re.findall(r"\w+", topic.lower())
    join = rng.choice(("", "-", "-"))
    extra = rng.choice(
        (
            "",
            "best",
            "cheap",
            "buy",
            "online",
            "24",
            "pro",
            "my",
            "top",
            "usa",
            "shop",
            "deals",
            "4u",
        )
    )
    style = rng.random()
    if style < 0.55:
        host = join.join(
            [extra, *words] if extra and rng.random() < 0.5 else [*words, extra] if extra else words
        )
    elif style < 0.8:
        host = rng.choice(_PHRASES["brand_parts"]) + rng.choice(_PHRASES["brand_parts"])
    else:
        host = "".join(rng.choices("abcdefghiklmnoprstuvxz", k=rng.randrange(5, 11)))
    slug = "-".join(words)
    path = rng.choice(
        (
            "",
            "",
            "",
            "/",
            f"/{slug}",
            f"/{slug}.html",
            f"/?p={rng.randrange(9, 9999)}",
            f"/blog/{slug}-review",
            f"/index.php?title=User:{''.join(words)}{rng.randrange(99)}",
            f"/members/{''.join(words)}/profile",
        )
    )
    return f"{rng.choice(('http://', 'https://', 'http://www.', 'https://www.'))}{host}.{rng.choice(_DOMAINS['spam_endings'])}{path}"


def mail(name: str, rng: Dice, domain: str = "") -> str:
    """Return an e-mail address that goes with a name."""
    local = re.sub(r"[^a-z]+", rng.choice((".", "", "_")), name.lower()).strip("._") or "info"
    digits = str(rng.randrange(1, 9999)) if rng.random() < 0.4 else ""
    return f"{local}{digits}@{domain or rng.choice(_DOMAINS['free_mail'])}"


def fill(template: str, rng: Dice) -> str:
    """Spin a template and fill its blanks."""
    sums = (
        "$500",
        "$5,000",
        "$250",
        "1000 USD",
        "€3000",
        "$10k",
        "£2,500",
        "50000",
        "$97",
        "3000$",
    )

    def blank(found: re.Match[str]) -> str:
        kind = found.group(1)
        if kind.startswith("TOPIC"):
            return rng.choice(_PHRASES[kind.lower().replace("topic", "topics")])
        if kind == "URL":
            return shop(rng.choice(_PHRASES["topics"]), rng)
        if kind == "MAIL":
            return mail(person(rng), rng)
        if kind == "PHONE":
            return f"+{rng.randrange(1, 99)}{rng.choice((' ', ''))}{rng.randrange(10**8, 10**10)}"
        return person(rng) if kind == "NAME" else rng.choice(sums)

    return _BLANK.sub(blank, spin(template, rng))


def praise(rng: Dice, families: tuple[int, ...] = tuple(range(PRAISE_FAMILIES))) -> str:
    """Return praise that fits any page, one to four sentences."""
    if rng.random() < 0.12:
        return spin(rng.choice(_PHRASES["praise_elsewhere"]), rng)
    count = rng.choice((1, 1, 1, 2, 2, 3, 4))
    chosen = rng.sample(families, k=min(count, len(families)))
    return rng.choice((" ", " ", "\n")).join(
        spin(_PHRASES["praise"][place], rng) for place in chosen
    )


def spam_card(content: Content, rng: Dice) -> Content:
    """Give a comment the author card of a spammer."""
    topic = rng.choice(_PHRASES["topics"])
    style = rng.random()
    name = person(rng) if style < 0.6 else topic if style < 0.75 else topic.title()
    if style > 0.9:
        tail = rng.choice(("online", "usa", "reviews", "near me", "london", "cheap", "2024"))
        name = f"{topic} {tail}"
    url = shop(topic, rng)
    return replace(
        content,
        author_name=name,
        author_url=url,
        email=mail(name, rng) if rng.random() < 0.7 else "",
    )


def reader_card(content: Content, rng: Dice, with_url: float = 0.4) -> Content:
    """Give a comment the author card of an honest reader, keeping a name it already has."""
    name = content.author_name or (person(rng) if rng.random() < 0.9 else "")
    url = homepage(name, rng) if rng.random() < with_url else ""
    domain = re.sub(r"^(?:https?://)?(?:www\.)?([^/]*).*", r"\1", url) if rng.random() < 0.3 else ""
    return replace(
        content,
        author_name=name,
        author_url=url,
        email=mail(name, rng, domain) if rng.random() < 0.7 else "",
    )


def praise_spam(
    count: int, rng: Dice, families: tuple[int, ...] = tuple(range(PRAISE_FAMILIES))
) -> list[Example]:
    """Return praise whose only link is the author's URL; one group per wording family."""
    return [
        Example(
            spam_card(Content(praise(rng, families)), rng),
            Label.SPAM,
            f"praise/{place % 40}",
            "synthetic-praise",
        )
        for place in range(count)
    ]


def offer_spam(count: int, rng: Dice) -> list[Example]:
    """Return comments that sell, lend, recover, promise or promote something."""
    made: list[Example] = []
    for place in range(count):
        family = place % len(_PHRASES["offers"])
        body = fill(_PHRASES["offers"][family], rng)
        if rng.random() < 0.3:
            body = f"{praise(rng)} {body}" if rng.random() < 0.6 else f"{body} {praise(rng)}"
        content = Content(body)
        style = rng.random()
        if style < 0.3:
            content = spam_card(content, rng)
        elif style < 0.8:
            content = replace(content, author_name=person(rng))
        made.append(Example(content, Label.SPAM, f"offer/{family}", "synthetic-offer"))
    return made


def reader_thanks(count: int, rng: Dice) -> list[Example]:
    """Return short honest comments, some of them praise, by readers with and without homepages."""
    made: list[Example] = []
    for place in range(count):
        body = spin(_PHRASES["thanks"][place % len(_PHRASES["thanks"])], rng)
        if rng.random() < 0.15:
            body = praise(rng)
            made.append(
                Example(
                    replace(Content(body), author_name=person(rng)),
                    Label.HAM,
                    f"thanks/p{place % 9}",
                    "synthetic-thanks",
                )
            )
            continue
        made.append(
            Example(
                reader_card(Content(body), rng),
                Label.HAM,
                f"thanks/{place % len(_PHRASES['thanks'])}",
                "synthetic-thanks",
            )
        )
    return made
