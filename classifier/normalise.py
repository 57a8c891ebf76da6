"""Fold a comment to the plain words a reader sees, counting each trick undone on the way.

Owns the one pass every text goes through before features are made. The rule it keeps: linear
time in the length of the text, whatever the text. Every pattern either cannot backtrack or has
a bounded repeat, and nothing beyond `LIMIT` characters is read.
"""

from __future__ import annotations

import base64
import binascii
import html
import re
import string
import unicodedata
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from classifier import contacts
from classifier.lookalikes import LOOKALIKES, STYLES, TURNED, foreign_of, unify

LIMIT: Final = 12_000
"""Characters read of one text; of a longer one the first three quarters and the last quarter."""


class Trick(IntEnum):
    """A disguise that folding undoes; the value is its place in `Folded.tricks`."""

    STYLED = 0
    LOOKALIKE = 1
    INVISIBLE = 2
    MARKS = 3
    SPACED = 4
    LEET = 5
    REVERSED = 6
    ENCODED = 7
    DISGUISED_LINK = 8


_N_TRICKS: Final = len(Trick)


@dataclass(frozen=True, slots=True)
class Folded:
    """One text after folding.

    Attributes:
        text: Lower-case words, separated by single spaces; links, addresses and numbers are
            the one-character words of `contacts.PLACEHOLDERS`.
        links: The links in order of appearance, lower-case, without scheme.
        tricks: How often each `Trick` was undone, in the order of the enum.
        hidden_links: Links that were written as markup (HTML, BBCode, Markdown).
        capitals: How many of the letters A to Z were capitals.
    """

    text: str
    links: tuple[str, ...]
    tricks: tuple[int, ...]
    hidden_links: int
    capitals: int


_INVISIBLE_CHARS: Final = (
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e\u200b-\u200f\u202a-\u202e"
    "\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\uffff\ud800-\udfff\ue000-\uf8ff"
    "\U000e0000-\U000e0fff\U000f0000-\U0010ffff"
    "\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f"
)
_INVISIBLE: Final = re.compile(f"[{_INVISIBLE_CHARS}]+")
_INVISIBLE_IN_WORD: Final = re.compile(f"(?<=[^\\W_])[{_INVISIBLE_CHARS}]+(?=[^\\W_])")
_JOINED_SCRIPTS: Final = re.compile("[\u0600-\u08ff\u0900-\u0dff\u1780-\u17ff]")
_REVERSED: Final = re.compile("[\u202e\u2067]([^\u202c\u2069\n]++)[\u202c\u2069]?")
_TAG: Final = re.compile(r"<(/?[a-zA-Z!][^<>]*+)>")
_HREF: Final = re.compile(r"""(?:href|src)\s{0,5}=\s{0,5}["']?([^"'\s>]++)""", re.IGNORECASE)
_TIME_MARK: Final = re.compile(r"<a\s[^<>]*+>(\d{1,2}(?::\d\d){1,2})</a>", re.IGNORECASE)
_BLOCK_TAGS: Final = frozenset(
    {"br", "p", "div", "li", "ul", "ol", "td", "tr", "h1", "h2", "h3", "hr"}
)
_BBCODE: Final = re.compile(
    r"\[/?(?:url|link|b|i|u|img|size|color|quote|center)(=[^\[\]]*+)?\]", re.IGNORECASE
)
_MARKDOWN_LINK: Final = re.compile(r"\[([^\[\]]{1,300})\]\(([^()\s]{1,2000})\)")
_STYLED: Final = re.compile(
    "[\u0250-\u02af\u1d00-\u1dbf\u2070-\u209c\u2102\u2107\u210a-\u2115\u2118-\u211d\u2124"
    "\u2128-\u2138\u2145-\u2149\u24b6-\u24e9\u249c-\u24b5\ua720-\ua7ff"
    "\U0001d400-\U0001d7ff\U0001f110-\U0001f1ac]"
)
_TURNED: Final = re.compile(
    "[\u0250\u0254\u01dd\u025f\u0183\u0265\u1d09\u027e\u029e\u026f\u0279\u0287\u028c\u028d\u028e]"
)
_WIDE_LATIN: Final = re.compile("[\uff21-\uff3a\uff41-\uff5a]")
_KEYCAP: Final = re.compile("([0-9#*])\u20e3")
_FLAG_RUN: Final = re.compile("[\U0001f1e6-\U0001f1ff]{3,}")
_MARK: Final = re.compile("[\u0300-\u036f\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]+")
_LETTER: Final = re.compile("[a-z]")
_CJK: Final = re.compile("[\u2e80-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
_FLAG: Final = re.compile("[\U0001f1e6-\U0001f1ff]")
_TURNERS: Final = re.compile("[\u202e\u2067]")
_PUNCTUATION: Final = {
    **dict.fromkeys(map(ord, "\u2018\u2019\u201a\u201b\u0060\u00b4"), "'"),
    **dict.fromkeys(map(ord, "\u201c\u201d\u201e\u201f"), '"'),
    **dict.fromkeys(map(ord, "\u2010\u2011\u2012\u2013\u2014\u2015\u2212\ufe63\uff0d"), "-"),
    **dict.fromkeys(map(ord, "\u3002\uff0e\u2024"), "."),
    **dict.fromkeys(map(ord, "\u060c\u3001"), ","),
}

_ODD_PUNCTUATION: Final = re.compile(f"[{''.join(map(chr, _PUNCTUATION))}]")

_BASE64: Final = re.compile(r"(?<![\w+/=])[A-Za-z0-9+/]{16,4000}={0,2}(?![\w+/=])")
_JOINT: Final = "[.\\-_*~|\u00b7\u2022\u2190-\u2bff\U0001f300-\U0001faff]"
_LONE: Final = r"(?:[^\W\d_]|[0-9@$])"
_SPACED: Final = re.compile(
    rf"(?<![^\W_]){_LONE}(?:(?:{_JOINT}|{_JOINT}? ){_LONE}){{3,}}(?![^\W_])"
)
_SPACED_PAIR: Final = re.compile(rf"(?<![^\W_])[^\W_](?:{_JOINT}| ){{1,2}}[^\W_](?:{_JOINT}| )")
_SEPARATORS: Final = re.compile(r"[^\w@$]|_")
_LEET: Final = re.compile(
    r"(?<![^\s\"'(*_])[a-z$@](?=[a-z013457@$!|]*[a-z])(?=[a-z@$]*[013457@$!|])"
    r"[a-z013457@$!|]{2,20}(?![^\s.,!?;:)\"'*_])"
)
_LEET_INSIDE: Final = re.compile(r"(?<=[a-z])[013457@$!|]{1,3}(?=[a-z])|^[$@](?=[a-z]{2})")
_LEET_LETTERS: Final = str.maketrans("013457@$!|", "oieastasil")
_REPEATED: Final = re.compile(r"([^\d\s])\1{2,}")
_TOKEN: Final = re.compile(
    "[\\w\u0300-\u036f\u0900-\u0dff\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff\u0610-\u061a\u064b-\u065f"
    "\u0591-\u05c7\ue000-\ue004]+|[!?%+=$€£\u2190-\u2bff\U0001f000-\U0001faff]"
)
_CONTROLS: Final = dict.fromkeys([*range(9), 11, 12, *range(14, 32), 127])
_LEET_MARKS: Final = b"013457@$|"
_UPPER: Final = string.ascii_uppercase.encode()


def fold(text: str) -> Folded:
    """Fold one text; see the module.

    Args:
        text: Anything a person or a program may have sent, lone surrogates included.

    Returns:
        The folded text. An empty text folds to an empty one.
    """
    if len(text) > LIMIT:
        text = text[: LIMIT * 3 // 4] + "\n" + text[-LIMIT // 4 :]
    tricks = [0] * _N_TRICKS
    text, markup_links = _unwrap_markup(text, tricks)
    if not text.isascii():
        text = _fold_unicode(text, tricks)
    elif len(plain := text.translate(_CONTROLS)) < len(text):
        tricks[Trick.INVISIBLE] += len(_INVISIBLE_IN_WORD.findall(text))
        text = plain
    raw = text.encode("utf-8", "replace")
    capitals = len(raw) - len(raw.translate(None, _UPPER))
    if capitals > 1:
        text = _decode_base64(text, tricks)
    text = text.lower()
    text, links, disguised = contacts.take(text)
    tricks[Trick.DISGUISED_LINK] += disguised
    text = _join_spaced(text, tricks)
    if len(raw.translate(None, _LEET_MARKS)) < len(raw):
        text = _undo_leet(text, tricks)
    text = _REPEATED.sub(r"\1", text).replace("'", "")
    if not text.isascii() and _CJK.search(text):
        text = _CJK.sub(r" \g<0> ", text)
    return Folded(
        text=" ".join(_TOKEN.findall(text)),
        links=tuple(links),
        tricks=tuple(tricks),
        hidden_links=markup_links,
        capitals=capitals,
    )


def fold_name(text: str) -> str:
    """Fold a short text (a name, the words of a URL) to words without placeholders.

    Args:
        text: The text; at most 300 characters of it are read.

    Returns:
        Lower-case words separated by single spaces.
    """
    text = text[:300]
    if not text.isascii():
        text = _fold_unicode(text, [0] * _N_TRICKS)
    text = text.lower().replace("_", " ")
    if not text.isascii():
        text = _CJK.sub(r" \g<0> ", text)
    return " ".join(_TOKEN.findall(text))


def _unwrap_markup(text: str, tricks: list[int]) -> tuple[str, int]:
    """Replace HTML, BBCode and Markdown by what they show, keeping the links' targets."""
    links = 0
    if "&" in text:
        plain = html.unescape(text)
        if "&#" in text:
            tricks[Trick.ENCODED] += (
                len(re.findall(r"&#(?:x[0-9a-fA-F]+|(?!3[49];|8\d\d\d;)\d+);", text)) // 3
            )
        text = html.unescape(plain) if "&" in plain else plain
    if "<" in text:
        text = _TIME_MARK.sub(r" \1 ", text)

        def tag(found: re.Match[str]) -> str:
            nonlocal links
            inside = found.group(1)
            name = re.match(r"/?\w*", inside)
            kind = name.group().lower() if name else ""
            if kind == "a" and (target := _HREF.search(inside)):
                links += 1
                return f" {target.group(1)} "
            return " " if kind.lstrip("/") in _BLOCK_TAGS or kind in {"a", "/a"} else ""

        text = _TAG.sub(tag, text)
    if "[" in text:

        def code(found: re.Match[str]) -> str:
            nonlocal links
            target = found.group(1)
            if target and found.group().lower().startswith(("[url", "[link")):
                links += 1
                return f" {target[1:]} "
            if found.group().lower() in {"[url]", "[link]"}:
                links += 1
            return " "

        def markdown(found: re.Match[str]) -> str:
            nonlocal links
            links += 1
            return f"{found.group(1)} {found.group(2)} "

        text = _MARKDOWN_LINK.sub(markdown, _BBCODE.sub(code, text))
    return text, links


def _fold_unicode(text: str, tricks: list[int]) -> str:
    """Undo styled, invisible, stacked, reversed and look-alike letters.

    Each step is asked of the few distinct foreign characters first: most texts need none of
    them, and a pass over the text costs a hundred times as much.
    """
    foreign = foreign_of(text)
    if _TURNERS.search(foreign):
        text, count = _REVERSED.subn(lambda found: found.group(1)[::-1], text)
        tricks[Trick.REVERSED] += count
    if _INVISIBLE.search("".join(set(text))):
        if not _JOINED_SCRIPTS.search(foreign):
            tricks[Trick.INVISIBLE] += len(_INVISIBLE_IN_WORD.findall(text))
        text = _INVISIBLE.sub("", text)
        foreign = foreign_of(text)
    if _ODD_PUNCTUATION.search(foreign) or "`" in text:
        text = text.translate(_PUNCTUATION)
        foreign = foreign_of(text)
    if not foreign:
        return text
    text, foreign = _undo_styles(text, foreign, tricks)
    text = unicodedata.normalize("NFC", text)
    if _MARK.search(foreign):
        tricks[Trick.MARKS] += len(_MARK.findall(text))
        text = unicodedata.normalize("NFC", _MARK.sub("", unicodedata.normalize("NFKD", text)))
    elif not unicodedata.is_normalized("NFKD", foreign):
        text = unicodedata.normalize("NFC", _MARK.sub("", unicodedata.normalize("NFKD", text)))
    if any(ord(char) in STYLES for char in foreign_of(text)):
        text = text.translate(STYLES)
    if not text.isascii():
        text, mixed = unify(text)
        tricks[Trick.LOOKALIKE] += mixed
    return text


def _undo_styles(text: str, foreign: str, tricks: list[int]) -> tuple[str, str]:
    """Count styled letters, and read those that compatibility folding would not."""
    if _STYLED.search(foreign):
        tricks[Trick.STYLED] += len(_STYLED.findall(text))
    if len(_TURNED.findall(foreign)) > 3:
        text = text.lower().translate(TURNED)
        foreign = foreign_of(text)
    if _WIDE_LATIN.search(foreign) and not _CJK.search(foreign):
        tricks[Trick.STYLED] += len(_WIDE_LATIN.findall(text))
    if "\u20e3" in foreign:
        text, count = _KEYCAP.subn(r"\1", text)
        tricks[Trick.STYLED] += count
    if _FLAG.search(foreign) and _FLAG_RUN.search(text):
        text, count = _FLAG_RUN.subn(lambda found: found.group().translate(STYLES), text)
        tricks[Trick.STYLED] += count
    return text, foreign


def _decode_base64(text: str, tricks: list[int]) -> str:
    """Replace base64 runs by what they say, if they say words."""

    def decode(found: re.Match[str]) -> str:
        run = found.group()
        if run.islower() or run.isupper() or (run.isalpha() and run[1:].islower()):
            return run
        try:
            plain = base64.b64decode(run + "=" * (-len(run) % 4), validate=True).decode("utf-8")
        except (binascii.Error, UnicodeDecodeError):
            return run
        if not plain.isprintable() or sum(map(str.isalpha, plain)) * 2 < len(plain):
            return run
        tricks[Trick.ENCODED] += 1
        return f" {plain} "

    return _BASE64.sub(decode, text) if len(text) >= 16 else text


def _join_spaced(text: str, tricks: list[int]) -> str:
    """Join words written letter by letter: "s u b", "f-r-e-e"."""
    if not _SPACED_PAIR.search(text):
        return text

    def join(found: re.Match[str]) -> str:
        joined = _SEPARATORS.sub("", found.group())
        if sum(map(str.isalpha, joined)) * 2 < len(joined):
            return found.group()
        tricks[Trick.SPACED] += 1
        if not joined.isascii() and _LETTER.search(joined):
            return joined.translate(LOOKALIKES)
        return joined

    return _SPACED.sub(join, text)


def _undo_leet(text: str, tricks: list[int]) -> str:
    """Read digits and signs between letters as the letters they are drawn for.

    Only in words made of nothing else: "c@sh" is a disguise, "log4j.core" is not. Digits that
    end a word stay, because numbered names ("weton88") are telling.
    """
    known: dict[str, str] = {}

    def plain(found: re.Match[str]) -> str:
        word = found.group()
        if (read := known.get(word)) is None:
            read = _LEET_INSIDE.sub(lambda inside: inside.group().translate(_LEET_LETTERS), word)
            known[word] = read
        tricks[Trick.LEET] += read != word
        return read

    return _LEET.sub(plain, text)
