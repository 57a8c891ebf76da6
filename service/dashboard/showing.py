"""Showing a stranger's text to a moderator: as written, with what would deceive made visible.

The one rule: nothing here can be clicked. Links are text in full, letters that imitate others
and characters that nobody sees are marked, and all of it is escaped.
"""

import re
import unicodedata

from markupsafe import Markup, escape

# Without the punctuation that ends a sentence or a clause behind it.
_LINK = re.compile(
    r"""\b(?:https?://|hxxps?://|www\.)[^\s<>"']*[^\s<>"'.,;:!?)\]}]""", re.IGNORECASE
)
_HOST = re.compile(r"^((?:\w+://)?)([^/?#]*)(.*)$", re.DOTALL)
_WORD = re.compile(r"\w+")
_EXCERPT = 500
_ASCII_LETTER = re.compile(r"[A-Za-z]")
_FOREIGN = re.compile(r"[^\x00-\x7f]")
_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e\u200b\u200e\u200f\u202a-\u202e"
    "\u2060-\u206f\u2800\u3164\ufeff\uffa0\U000e0000-\U000e007f]"
    # The joiners are honest in emoji and in many scripts, never between Latin letters.
    "|(?<=[A-Za-z])[\u200c\u200d](?=[A-Za-z])"
)
# Letters of other scripts that a reader takes for Latin ones, when they stand in a Latin word.
_SCRIPTS = ("CYRILLIC", "GREEK", "ARMENIAN", "CHEROKEE", "MATHEMATICAL", "FULLWIDTH", "LISU")


def text(value: str, found: re.Pattern[str] | None = None) -> Markup:
    """Give a comment's body as HTML: links in full, line breaks kept, deceptions marked.

    Args:
        value: as it was written.
        found: what was looked for, to be marked as well.
    """
    parts: list[Markup] = []
    last = 0
    for link in _LINK.finditer(value):
        parts.append(_found(value[last : link.start()], found))
        parts.append(_link(link.group(), found))
        last = link.end()
    parts.append(_found(value[last:], found))
    return Markup("").join(parts)


def excerpt(value: str, found: re.Pattern[str] | None = None, most: int = _EXCERPT) -> str:
    """Give the beginning of a long text, or the part of it in which something was found."""
    match = found.search(value) if found else None
    start = 0 if match is None or match.end() <= most else match.start() - most // 5
    part = value[start : start + most]
    return f"{'…' if start else ''}{part}{'…' if start + most < len(value) else ''}"


def url(value: str) -> Markup:
    """Give a link as text, its host set off from the rest."""
    return _link(value)


def _link(value: str, found: re.Pattern[str] | None = None) -> Markup:
    match = _HOST.match(value)
    scheme, host, rest = match.groups() if match else ("", value, "")
    return Markup('<span class="url">{}<b>{}</b>{}</span>').format(
        _found(scheme, found), _found(host, found), _found(rest, found)
    )


def _found(value: str, found: re.Pattern[str] | None) -> Markup:
    """Mark what was looked for, around what deceives in it."""
    parts: list[Markup] = []
    last = 0
    for match in found.finditer(value) if found else ():
        parts.append(_marked(value[last : match.start()]))
        parts.append(Markup('<mark class="found">{}</mark>').format(_marked(match.group())))
        last = match.end()
    parts.append(_marked(value[last:]))
    return Markup("").join(parts)


def _marked(value: str) -> Markup:
    """Escape, write out what nobody sees, and mark letters that imitate others."""
    if value.isascii():
        return escape(value)
    parts: list[Markup] = []
    last = 0
    for found in _INVISIBLE.finditer(value):
        parts.append(_words(value[last : found.start()]))
        name = unicodedata.name(found.group(), "invisible character").capitalize()
        code = f"U+{ord(found.group()):04X}"
        parts.append(Markup('<mark class="unseen" title="{}">{}</mark>').format(name, code))
        last = found.end()
    parts.append(_words(value[last:]))
    return Markup("").join(parts)


def _words(value: str) -> Markup:
    """Mark the foreign letters of words that mix scripts."""
    parts: list[Markup] = []
    last = 0
    for word in _WORD.finditer(value):
        if _ASCII_LETTER.search(word.group()) and _FOREIGN.search(word.group()):
            parts.append(escape(value[last : word.start()]))
            parts += map(_letter, word.group())
            last = word.end()
    parts.append(escape(value[last:]))
    return Markup("").join(parts)


def _letter(character: str) -> Markup:
    if character.isascii():
        return escape(character)
    name = unicodedata.name(character, f"U+{ord(character):04X}")
    if not name.startswith(_SCRIPTS):
        return escape(character)
    return Markup('<mark class="alike" title="{}">{}</mark>').format(name.capitalize(), character)
