"""Links, addresses, phone numbers and sums of money, however they are spelt.

Owns finding them in a folded, lower-case text and the one-character words that stand for them.
"""

from __future__ import annotations

import json
import re
import string
from pathlib import Path
from typing import Final

LINK: Final = "\ue000"
EMAIL: Final = "\ue001"
PHONE: Final = "\ue002"
HANDLE: Final = "\ue003"
MONEY: Final = "\ue004"
PLACEHOLDERS: Final = {
    LINK: "(link)",
    EMAIL: "(e-mail)",
    PHONE: "(phone)",
    HANDLE: "(handle)",
    MONEY: "(money)",
}
"""Private-use words that stand for a whole class in the folded text, and how to show them."""

_DOMAINS: Final = json.loads(Path(__file__).with_name("domains.json").read_text(encoding="utf-8"))
_ENDING: Final = "|".join(_DOMAINS["endings"])
_BARE_ENDING: Final = "|".join(_DOMAINS["bare_endings"])
_SHORTENER: Final = "|".join(
    re.escape(host)
    for host in (*_DOMAINS["shorteners"], *_DOMAINS["messengers"])
    if host.index(".") > 2 or host.endswith(".me")
)
_HOST: Final = r"(?<![\w@.\-/$])(?:[a-z0-9\u00df-\u024f\u0400-\u04ff][\w\-]{0,62}\.){1,8}"
_REST: Final = r"[^\s<>\"'\[\]{}|\\^]"
# A bare "name.ending" counts only for endings that code, file names and typing errors seldom
# hit ("list.in", "it works.to"); the others need a path behind them.
_LINK: Final = re.compile(
    rf"(?:(?:https?|ftp)://|\bwww\.){_REST}++"
    rf"|{_HOST}(?:(?:{_BARE_ENDING})(?![\w\-@(])(?:[/?#:]{_REST}*+)?|(?:{_ENDING})/{_REST}*+)"
)
_SHORTENED: Final = re.compile(rf"(?<![\w@.\-/])(?:{_SHORTENER})(?![\w.\-@])(?:\s?/{_REST}*+)?")
_SCHEME: Final = re.compile(r"^(?:https?|ftp)://")
_NOT_A_LINK: Final = re.compile(
    r"(?:asp|ado|vb|paint|mono|lucene|log4|n?hibernate|the|of|using|for|in|to|and|a|with|"
    r"self|this|string|file|path|system)\.net$"
)
_SHORT_ENDINGS: Final = tuple(
    sorted(
        {host[host.rindex(".") :] for host in (*_DOMAINS["shorteners"], *_DOMAINS["messengers"])}
    )
)
_EMAIL: Final = re.compile(r"(?<![\w.+\-])[\w.+\-]{1,64}@[\w\-]{1,63}(?:\.[\w\-]{1,63}){1,5}")
_SPELT_EMAIL: Final = re.compile(
    r"(?<![\w.+\-])[\w.+\-]{2,40}\s{0,2}[\[({<]?\s?\bat\b\s?[\])}>]?\s{0,2}[\w\-]{2,40}"
    r"\s{0,2}[\[({<]?\s?\bdot\b\s?[\])}>]?\s{0,2}(?:com|net|org|info|de|ru|uk|co)\b"
)
_SPELT_ENDING: Final = r"(com|net|org|info|xyz|ru|co|site|online|shop|top|io|me|biz|club|vip)(?!\w)"
_SPELT_DOT: Final = re.compile(
    r"(?<![\w\-])([\w\-]{2,63})"
    r"(?:\s{0,2}[\[({<]\s?(?:dot|\.|d0t|punto|punkt|точка)\s?[\])}>]\s{0,2}"
    r"|\s{1,2}(?:dot|d0t|punto|точка)\s{1,2}|\s\.\s(?!net)|\s?,(?=com\b|ru\b))" + _SPELT_ENDING
)
_SPELT_END: Final = re.compile(
    r"(?:dot|\.|d0t|punto|punkt|точка)\s?(?:[\])}>]\s{0,2}|\s{1,2})"
    + _SPELT_ENDING
    + r"|,(?:com|ru)\b"
)
# Looked for before the slower patterns above are tried.
_DOT_MARKS: Final = (
    *("dot", "d0t", "punkt", "punto", "точка", ",com", ",ru"),
    *("[.", "(.", "{.", "<.", "[ .", "( .", " . "),
)
_DOMAIN_END: Final = re.compile(rf"\.(?:(?:{_BARE_ENDING})(?!\w)|(?:{_ENDING})/)")
_HXXP: Final = re.compile(
    r"\bh(?:xx|\*\*|\+\+|__|tt|t|ttt)p(s?)\s?(?::|\[:\]|\(:\))\s?(?:/|\\){1,2}\s?"
)
_BRACKET_DOT: Final = re.compile(r"(?<=\w)[\[({]\s?\.\s?[\])}](?=\w)")
_PHONE: Final = re.compile(
    r"(?<![\w.\-/$])(?!\d{4}-\d\d-\d\d)"
    r"(?:(?:\+|00)\s?\(?\d(?:[\s().\-]{0,2}\d){7,13}"
    r"|\(?\d{3,4}\)?[\s.\-]{1,2}\d{3,4}[\s.\-]\d{3,4}|\d{5}[\s\-]\d{5,6}|[06-9]\d{9,10})(?![\w.])"
)
_HANDLE: Final = re.compile(r"(?<![\w@])@[\w.]{2,40}")
_MONEY: Final = re.compile(r"[$€£¥₹₽]\s?\d[\d.,]{0,20}[kKmM]?(?!\w)")
_DIGITS: Final = string.digits.encode()


def take(text: str) -> tuple[str, list[str], int]:
    """Replace links, addresses, phone numbers and sums of money by placeholders.

    Args:
        text: Lower-case text.

    Returns:
        The text with placeholders, the links without scheme, and how many were disguised.
    """
    links: list[str] = []
    disguised = 0
    spelt = any(mark in text for mark in _DOT_MARKS)
    if spelt and "dot" in text:
        text = _SPELT_EMAIL.sub(f" {EMAIL} ", text)
    if "h" in text and ("://" in text or ":/" in text or "]" in text):
        before = text
        text = _HXXP.sub(r"http\1://", text)
        if "://" in text and before.count("http") < text.count("http"):
            disguised += 1
    if "[.]" in text or "(.)" in text or "{.}" in text:
        text, count = _BRACKET_DOT.subn(".", text)
        disguised += count
    if spelt and _SPELT_END.search(text):
        text, count = _SPELT_DOT.subn(r"\1.\2", text)
        disguised += count
    if "@" in text:
        text = _EMAIL.sub(f" {EMAIL} ", text)
        text = _HANDLE.sub(f" {HANDLE} ", text)

    def link(found: re.Match[str]) -> str:
        target = found.group().rstrip(".,;:!?)")
        if _NOT_A_LINK.match(target):
            return found.group()
        links.append(_SCHEME.sub("", target) if "://" in target else target)
        return f" {LINK} "

    if "://" in text or "www." in text or _DOMAIN_END.search(text):
        text = _LINK.sub(link, text)
    if any(ending in text for ending in _SHORT_ENDINGS):
        text = _SHORTENED.sub(link, text)
    raw = text.encode("utf-8", "replace")
    if len(raw) - len(raw.translate(None, _DIGITS)) >= 8:
        text = _PHONE.sub(f" {PHONE} ", text)
    text = _MONEY.sub(f" {MONEY} ", text)
    return text, links, disguised
