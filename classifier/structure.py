"""Facts about a comment that are not words: links, contacts, the author's card, tricks undone.

Owns the list of structural features and their order in the feature matrix. The rule it keeps:
a feature marked `raises` is a reason for suspicion only; training may give it no negative
weight, so that no disguise can lower a score.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from classifier.contacts import EMAIL, HANDLE, MONEY, PHONE
from classifier.examples import Content
from classifier.normalise import Folded, fold_name


@dataclass(frozen=True, slots=True)
class Fact:
    """One structural feature.

    Attributes:
        label: What a moderator reads.
        kind: The family it is shown under.
        raises: Whether it may only raise a score.
        local: Whether only a site's layer weighs it: on one site it tells, elsewhere otherwise.
    """

    label: str
    kind: str
    raises: bool = False
    local: bool = False


FACTS: Final[tuple[Fact, ...]] = (
    Fact("styled letters undone", "trick", True),
    Fact("look-alike letters undone", "trick", True),
    Fact("invisible characters inside words", "trick", True),
    Fact("stacked marks on letters", "trick", True),
    Fact("spaced-out words joined", "trick", True),
    Fact("digits used as letters", "trick", True),
    Fact("reversed text", "trick", True),
    Fact("encoded text", "trick", True),
    Fact("disguised link", "trick", True),
    Fact("links in the comment", "link", True),
    Fact("many links", "link", True),
    Fact("mostly links", "link", True),
    Fact("links written as markup", "link", True),
    Fact("link shortener", "link", True),
    Fact("link to a risky domain ending", "link", True),
    Fact("keywords in a link", "link", True),
    Fact("phone number", "contact", True),
    Fact("e-mail address in the comment", "contact"),
    Fact("messenger contact", "contact", True),
    Fact("sum of money", "contact", True),
    Fact("mention of another reader", "contact"),
    Fact("capital letters", "style"),
    Fact("exclamation marks", "style"),
    Fact("question marks", "style"),
    Fact("very short comment", "style"),
    Fact("words with a lucky number", "style", True),
    Fact("emoji", "style"),
    Fact("length of the comment", "style", local=True),
    Fact("commas", "style", local=True),
    Fact("author gave a URL", "author", True),
    Fact("author's URL points into a site", "author", True),
    Fact("keywords in the author's URL", "author", True),
    Fact("risky ending of the author's URL", "author", True),
    Fact("digits in the author's URL", "author", True),
    Fact("author's URL bears the author's name", "author"),
    Fact("author's name is a phrase", "author", True),
    Fact("author's name contains a link", "author", True),
    Fact("author's name ends in random characters", "author", True),
    Fact("author's URL is also in the comment", "author", True),
    Fact("e-mail matches the author's URL", "author"),
    Fact("digits in the e-mail's name", "author", True),
    Fact("shares words with the page title", "page"),
    Fact("short comment with an author URL", "author", True),
    Fact("nearly the same was posted before", "campaign", True),
)

_SCALE: Final = 0.5
"""Size of a fact beside the unit length of a block of n-grams: the smaller, the more training
leans on words (an unseen blog's comments at P >= .5: 5.2 % of them, with 1.0 5.5 %)."""

_MOST_HOSTS: Final = 100
"""Links whose host is looked at; of more, the number says enough."""

_DOMAINS: Final = json.loads(Path(__file__).with_name("domains.json").read_text(encoding="utf-8"))
_SHORTENERS: Final = frozenset(_DOMAINS["shorteners"])
_MESSENGERS: Final = frozenset(_DOMAINS["messengers"])
_RISKY: Final = frozenset(_DOMAINS["risky_endings"])
_PERSONAL_HOSTS: Final = frozenset(_DOMAINS["personal_hosts"])
_STOP_WORDS: Final = frozenset(_DOMAINS["stop_words"])
_HAND_OFF: Final = re.compile(
    r"(?:\b(?:whats ?app|tele ?gram|wechat|viber|kik|signal|skype|line id|snapchat|icq|"
    r"вотсап|ватсап|телеграм\w*|личк\w|в лс)\b|微 信|加 v|电 报)"
)
_MESSENGER_NAMES: Final = (
    *("whats", "tele", "wechat", "viber", "kik", "signal", "skype", "line id", "snapchat", "icq"),
    *("вотсап", "ватсап", "телеграм", "личк", "в лс", "微 信", "加 v", "电 报"),
)
_NOT_WORD: Final = re.compile(r"[\W_]+")
_DIGIT: Final = re.compile(r"\d")
_LUCKY: Final = re.compile(r"\b[^\W\d_]{3,20}(?:\d{2,3})\b")
_RANDOM_TAIL: Final = re.compile(
    r"-[a-z]{0,2}\d[a-z0-9]{0,2}$|[a-z]\d[a-zA-Z]\w{0,4}$|[a-z][A-Z]{2,5}\d{0,2}$"
    r"|[a-zA-Z][0-9]{1,2}[a-zA-Z]{1,4}\d?$|[a-z][A-Z][a-z]?[A-Z]\w{0,2}$"
)
_EMOJI: Final = re.compile("[\u2600-\u27bf\u2b00-\u2bff\U0001f300-\U0001faff]")
_HOST: Final = re.compile(
    r"^(?:[a-z]{2,6}://)?(?:[^/@\s]*@)?(?:www\d?\.)?([^/:?#\s]+)(?::\d+)?([/?#].*)?", re.DOTALL
)


def host_of(url: str) -> tuple[str, str]:
    """Split a URL into its host without `www.` and the rest, both lower-case.

    Returns:
        ("", "") if there is nothing that could be a host.
    """
    found = _HOST.match(url.strip().lower()[:500])
    return (found.group(1), (found.group(2) or "")) if found else ("", "")


def url_words(url: str) -> str:
    """Return the words of a URL's host, and the plain ones of its path, folded.

    The host's ending is left out, and so are identifiers: path words longer than 14 letters or
    with a digit (YouTube, one video left out: caught at 1 % of ham from .840 to .855).
    """
    host, rest = host_of(url)
    labels = host.split(".")
    kept = labels[:-1] if len(labels) > 1 else labels
    path = [word for word in _NOT_WORD.split(rest) if word.isalpha() and len(word) <= 14]
    return fold_name(_NOT_WORD.sub(" ", " ".join([*kept, *path[:8]])))


def measure(content: Content, folded: Folded) -> list[float]:
    """Measure one comment.

    Args:
        content: The comment.
        folded: Its folded body.

    Returns:
        One float per entry of `FACTS`, each between 0 and 1.5, 0 where nothing was found.
    """
    text = folded.text
    tokens = text.count(" ") + 1 if text else 0
    bases = {host_of(link)[0] for link in folded.links[:_MOST_HOSTS]}
    links = len(folded.links)
    phones, emails, handles, money = (text.count(mark) for mark in (PHONE, EMAIL, HANDLE, MONEY))
    spoken = any(name in text for name in _MESSENGER_NAMES) and bool(_HAND_OFF.search(text))
    hand_off = spoken and (phones + handles + links > 0 or tokens < 60)
    lucky = len(_LUCKY.findall(text)) if _DIGIT.search(text) else 0
    emoji = 0 if text.isascii() else len(_EMOJI.findall(text))
    facts = [_log(min(6, count)) for count in folded.tricks]
    facts += [
        min(1.0, float(links)),
        _log(max(0, links - 1)),
        float(links > 0 and tokens <= 3 * links + 1),
        _log(folded.hidden_links),
        float(any(host in _SHORTENERS for host in bases)),
        float(any(host.rpartition(".")[2] in _RISKY for host in bases)),
        _log(max((host.count("-") for host in bases), default=0)),
        _log(min(2, phones)),
        _log(min(2, emails)),
        float(hand_off) + float(bool(bases & _MESSENGERS)),
        float(money > 0),
        _log(min(1, handles)),
        min(1.0, folded.capitals / max(12, len(text))),
        _log(min(4, text.count("!"))),
        _log(min(4, text.count("?"))),
        max(0.0, 1.0 - tokens / 8.0),
        _log(min(2, lucky)),
        _log(emoji),
        0.6 * _log(tokens),
        0.6 * _log(min(6, content.body.count(","))),
    ]
    facts += _measure_author(content, tokens, bases)
    facts.append(_log(content.echoes))
    return [_SCALE * min(3.0, fact) for fact in facts]


def _measure_author(content: Content, tokens: int, bases: set[str]) -> list[float]:
    """Measure the author's card and its relation to the comment and the page."""
    name = content.author_name.strip()
    host, rest = host_of(content.author_url) if content.author_url.strip() else ("", "")
    given = bool(host)
    path = rest.strip("/")
    ending = host.rpartition(".")[2]
    base = ".".join(host.split(".")[-2:])
    domain = content.email.rpartition("@")[2].lower()
    local = content.email.partition("@")[0]
    name_words = fold_name(name).split()
    in_host = any(len(word) > 2 and word in host for word in name_words)
    return [
        float(given),
        _log(path.count("/") + path.count("-") + bool(path)) if given else 0.0,
        _log(host.count("-")),
        float(ending in _RISKY),
        float(any(map(str.isdigit, host))),
        float(given and (in_host or base in _PERSONAL_HOSTS)),
        max(0.0, min(1.0, (len(name_words) - 2) / 2.0)),
        float(
            "http" in name.lower()
            or "www." in name.lower()
            or bool(re.search(r"\.(com|net|ru|org)\b", name.lower()))
        ),
        float(bool(_RANDOM_TAIL.search(name))),
        float(given and host in bases),
        float(given and bool(domain) and (domain == host or host.endswith("." + domain))),
        float(sum(map(str.isdigit, local)) >= 3),
        _title_share(content),
        float(given) * max(0.0, 1.0 - tokens / 30.0),
    ]


def _title_share(content: Content) -> float:
    """Return the share, 0 to 1, of the page title's telling words found in the body."""
    if not content.page_title:
        return 0.0
    title = {word for word in fold_name(content.page_title).split() if len(word) > 2} - _STOP_WORDS
    if not title:
        return 0.0
    body = content.body[:4000].lower()
    return sum(word in body for word in title) / len(title)


def _log(count: int) -> float:
    """Return a count's saturating size: 0, 0.69, 1.1, 1.39 and so on."""
    return math.log1p(count)
