"""Showing a stranger's text to a moderator: as written, with what would deceive made visible.

The one rule: nothing here can be clicked. Links are text in full, letters that imitate others
and characters that nobody sees are marked, and all of it is escaped.
"""

import re
import unicodedata

from markupsafe import Markup, escape

_LINK = re.compile(r"""\b(?:https?://|hxxps?://|www\.)[^\s<>"']+""", re.IGNORECASE)
_HOST = re.compile(r"^((?:\w+://)?)([^/?#]*)(.*)$", re.DOTALL)
_WORD = re.compile(r"\w+")
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


def text(value: str) -> Markup:
    """Give a comment's body as HTML: links in full, line breaks kept, deceptions marked."""
    parts: list[Markup] = []
    last = 0
    for link in _LINK.finditer(value):
        parts.append(_marked(value[last : link.start()]))
        parts.append(_link(link.group()))
        last = link.end()
    parts.append(_marked(value[last:]))
    return Markup("").join(parts)


def url(value: str) -> Markup:
    """Give a link as text, its host set off from the rest."""
    return _link(value)


def _link(value: str) -> Markup:
    found = _HOST.match(value)
    scheme, host, rest = found.groups() if found else ("", value, "")
    return Markup('<span class="url">{}<b>{}</b>{}</span>').format(
        _marked(scheme), _marked(host), _marked(rest)
    )


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
