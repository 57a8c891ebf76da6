"""Made-up authors: names, addresses and homepages of honest readers and of spammers.

Owns the author cards of the synthetic examples. Honest readers and spammers share most kinds of
address in different proportions, so that no single word of a URL gives the label away: some
readers have a shop, some spammers a homepage under a person's name.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Final

from classifier.dice import Dice
from classifier.examples import Content


def _read(name: str) -> dict[str, list[str]]:
    """Return the word lists of one of the package's JSON files."""
    lists: dict[str, list[str]] = json.loads(
        Path(__file__).with_name(name).read_text(encoding="utf-8")
    )
    return lists


PHRASES: Final = _read("phrases.json")
DOMAINS: Final = _read("domains.json")

_LETTERS: Final = "abcdefghiklmnoprstuvxz"
_BLANK: Final = re.compile(r"<([A-Z]+)>")
_NOT_LETTERS: Final = re.compile(r"[^a-z]+")
_SHOP_EXTRAS: Final = ("best", "cheap", "buy", "online", "24", "pro", "my", "top", "usa", "4u")
_SHOP_PATHS: Final = (
    *("", "", "", "/"),
    "/{slug}",
    "/{slug}.html",
    "/?p={number}",
    "/blog/{slug}-review",
    "/index.php?title=User:{word}{number}",
    "/members/{word}/profile",
    "/forum/profile.php?id={number}",
    "/tag/{slug}/",
)
_NAME_TAILS: Final = ("online", "usa", "reviews", "near me", "london", "cheap", "2024", "service")


def person(rng: Dice) -> str:
    """Return a plausible person's name or nickname."""
    first, last = rng.choice(PHRASES["first_names"]), rng.choice(PHRASES["last_names"])
    style = rng.random()
    if style < 0.45:
        return f"{first} {last}"
    if style < 0.75:
        return first if rng.random() < 0.7 else first.lower()
    if style < 0.85:
        return f"{first} {last[0]}."
    nick = rng.choice((first[0] + last, first + last[:3], first + str(rng.randrange(1, 99)), last))
    return nick.lower() if rng.random() < 0.6 else nick


def mail(name: str, rng: Dice, domain: str = "") -> str:
    """Return an e-mail address that goes with a name."""
    local = _NOT_LETTERS.sub(rng.choice((".", "", "_")), name.lower()).strip("._") or "info"
    digits = str(rng.randrange(1, 9999)) if rng.random() < 0.4 else ""
    return f"{local}{digits}@{domain or rng.choice(DOMAINS['free_mail'])}"


def homepage(name: str, rng: Dice) -> str:
    """Return an address of the kind a person gives for themselves."""
    words = re.findall(r"[a-z]+", name.lower()) or [rng.choice(PHRASES["last_names"]).lower()]
    nick = "".join(words)[:18]
    style = rng.random()
    if style < 0.3:
        return rng.choice(DOMAINS["homes"]).format(nick)
    if style < 0.6:
        host = nick
    elif style < 0.72:
        host = _brand(rng)
    elif style < 0.78:
        host = "".join(rng.choices(_LETTERS, k=rng.randrange(4, 9)))
    else:
        interests = (*PHRASES["hobbies"], *PHRASES["plain_words"])
        host = (
            rng.choice(interests) + rng.choice(("", "-")) + rng.choice((*interests, *words, *words))
        )
    scheme = rng.choice(("http://", "http://www.", "https://", "https://www.", ""))
    path = rng.choice(("", "", "", "/", "/blog", "/about", "/blog/"))
    return f"{scheme}{host}.{rng.choice(DOMAINS['home_endings'])}{path}"


def shop(topic: str, rng: Dice) -> str:
    """Return an address of the kind a spammer promotes."""
    words = re.findall(r"\w+", topic.lower())
    style = rng.random()
    if style < 0.5:
        extra = [rng.choice(_SHOP_EXTRAS)] if rng.random() < 0.6 else []
        join = rng.choice(("", "-", "-"))
        host = join.join([*extra, *words] if rng.random() < 0.5 else [*words, *extra])
    elif style < 0.75:
        host = _brand(rng)
    elif style < 0.85:
        interests = (*PHRASES["hobbies"], *PHRASES["plain_words"])
        host = rng.choice(interests) + rng.choice(("", "-")) + rng.choice(interests)
    else:
        host = "".join(rng.choices(_LETTERS, k=rng.randrange(5, 11)))
    path = rng.choice(_SHOP_PATHS).format(
        slug="-".join(words), word="".join(words), number=rng.randrange(9, 9999)
    )
    scheme = rng.choice(("http://", "https://", "http://www.", "https://www."))
    return f"{scheme}{host}.{rng.choice(DOMAINS['spam_endings'])}{path}"


def reference(rng: Dice) -> str:
    """Return an address of the kind readers cite."""

    def blank(found: re.Match[str]) -> str:
        kind = found.group(1)
        if kind == "NUMBER":
            return str(rng.randrange(100, 10 ** rng.randrange(4, 9)))
        if kind == "CODE":
            return "".join(rng.choices("abcdefghijkmnpqrstuvwxyzABCDEFGH23456789_", k=9))
        if kind == "NICK":
            return _NOT_LETTERS.sub("", person(rng).lower()) or "reader"
        return rng.choice(PHRASES["plain_words"])

    return _BLANK.sub(blank, rng.choice(PHRASES["references"]))


def spam_card(content: Content, rng: Dice) -> Content:
    """Give a comment the author card of a spammer."""
    topic = rng.choice(PHRASES["topics"])
    style = rng.random()
    name = person(rng) if style < 0.62 else topic if style < 0.75 else topic.title()
    if style > 0.9:
        name = f"{topic} {rng.choice(_NAME_TAILS)}"
    url = homepage(name, rng) if rng.random() < 0.12 else shop(topic, rng)
    return _carded(content, name, url, rng, own_domain=0.15)


def reader_card(content: Content, rng: Dice, with_url: float = 0.4) -> Content:
    """Give a comment the author card of an honest reader, keeping a name it already has."""
    name = content.author_name or (person(rng) if rng.random() < 0.9 else "")
    url = ""
    if rng.random() < with_url:
        is_trader = rng.random() < 0.01
        url = shop(rng.choice(PHRASES["topics"]), rng) if is_trader else homepage(name, rng)
    return _carded(content, name, url, rng, own_domain=0.3)


def _carded(content: Content, name: str, url: str, rng: Dice, own_domain: float) -> Content:
    domain = re.sub(r"^(?:https?://)?(?:www\.)?([^/]*).*", r"\1", url)
    if rng.random() >= own_domain:
        domain = ""
    email = mail(name, rng, domain) if rng.random() < 0.7 else ""
    return replace(content, author_name=name, author_url=url, email=email)


def _brand(rng: Dice) -> str:
    return rng.choice(PHRASES["brand_parts"]) + rng.choice(PHRASES["brand_parts"])
