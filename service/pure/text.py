"""Pure functions over text: what is visible, which words and links it has, whose hash it bears.

The one rule: a comment is stored as it was written; everything here derives, nothing rewrites.
"""

import hashlib
import ipaddress
import re
import unicodedata
from urllib.parse import unquote_plus, urlsplit, urlunsplit

_LINK = re.compile(
    r"""\b(?:https?|hxxps?)://([^\s<>"'\[\](){}|\\^`/?\#]+)|\bwww\.([^\s<>"'\[\](){}|\\^`/?\#]+)""",
    re.IGNORECASE,
)
# What may stand at a link's end in a sentence and is no part of a host.
_EDGES = ".,;:!"
_WORD = re.compile(r"\w+")
_DEFAULT_PORTS = {"http": 80, "https": 443}
# Parameters that say where a reader came from, not which page it is.
_TRACKING = re.compile(r"utm_\w+|fbclid|gclid|dclid|msclkid|mc_[ce]id|igshid", re.IGNORECASE)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_ASCII_INVISIBLE = re.compile(r"[\x00-\x20\x7f]")
# What no host may hold (WHATWG URL, forbidden domain code points), quotes and brackets besides.
_NOT_IN_HOST = re.compile(r"""[\s"%'()<>\[\\\]^`{|}]""")
_BRACKETED_HOST = re.compile(r"\[[0-9a-fA-F:.]+\](?::\d*)?")
# Letters and a symbol to Unicode, nothing to a reader: the Hangul fillers, the empty Braille cell.
_BLANK = frozenset("\u115f\u1160\u2800\u3164\uffa0")


def visible_length(value: str) -> int:
    """Count the characters a reader can see: no spaces, marks, controls, invisible or unassigned.

    A letter with combining marks counts once.
    """
    if value.isascii():
        return len(_ASCII_INVISIBLE.sub("", value))
    return sum(unicodedata.category(c)[0] not in "CMZ" and c not in _BLANK for c in value)


def has_visible(value: str) -> bool:
    """Whether a reader can see anything of it."""
    # The first characters settle nearly every text, however long it is.
    return visible_length(value[:64]) > 0 or visible_length(value[64:]) > 0


def has_control(value: str) -> bool:
    """Whether a one-line text holds a control character or a line break."""
    return _CONTROL.search(value) is not None


def one_line(value: str | None, most: int) -> str | None:
    """Give at most `most` characters of a header's text, without what cannot be stored."""
    return _CONTROL.sub(" ", value[:most]) if value else None


def unstorable(value: str) -> str | None:
    """Say why a text cannot be stored or sent on, or give `None`.

    PostgreSQL refuses NUL in text, and a lone surrogate has no UTF-8 form.
    """
    if "\x00" in value:
        return "must not contain a NUL character"
    try:
        value.encode()
    except UnicodeEncodeError:
        return "must not contain half of a surrogate pair"
    return None


def words(value: str) -> str:
    """Give the casefolded words with single spaces between and around: " like this "."""
    folded = unicodedata.normalize("NFKC", value).casefold()
    return " " + " ".join(_WORD.findall(folded)) + " "


def link_hosts(body: str, author_url: str | None) -> tuple[str, ...]:
    """Give the host of every link in the body and of the author's URL, lower case, in order."""
    hosts = []
    if "://" in body or "www." in body.lower():  # most comments have none, and looking is slow
        hosts = [(a or b).rpartition("@")[2] for a, b in _LINK.findall(body)]
    if author_url:
        hosts.append(urlsplit(author_url).netloc.rpartition("@")[2])
    return tuple(re.sub(r":\d*$", "", host).casefold().strip(_EDGES) for host in hosts)


def page_url(value: str) -> str:
    """Give the one form under which a page's thread is kept.

    Scheme and host in lower case, no default port, no fragment, no tracking parameters, `/` for
    an empty path. Everything else stays, the order of parameters too.

    Args:
        value: an absolute http or https URL with a host.

    Raises:
        ValueError: the value is no such URL.
    """
    parts = urlsplit(value)
    scheme, host = parts.scheme.lower(), _host(parts.netloc, parts.hostname)
    if scheme not in _DEFAULT_PORTS or not host.strip(_EDGES) or has_control(value) or " " in value:
        raise ValueError("must be an absolute http or https URL")
    port = parts.port  # ValueError when out of range
    if port is not None and port != _DEFAULT_PORTS[scheme]:
        host = f"{host}:{port}"
    # Left out piece by piece: taking the query apart and putting it together again would spell
    # the rest anew, and the page would have one thread with tracking and one without.
    pieces = parts.query.split("&")
    query = "&".join(p for p in pieces if not _TRACKING.fullmatch(unquote_plus(p.split("=")[0])))
    return urlunsplit((scheme, host, parts.path or "/", query, ""))


def _host(netloc: str, hostname: str | None) -> str:
    """Give the host as it stands in the one form, or nothing if it is none; IPv6 is checked."""
    host = (hostname or "").lower()
    if "[" in netloc:
        bracketed = _BRACKETED_HOST.fullmatch(netloc.rpartition("@")[2])
        return f"[{ipaddress.IPv6Address(host)}]" if bracketed else ""
    return "" if _NOT_IN_HOST.search(host) or "" in host.removesuffix(".").split(".") else host


def digest(*parts: str) -> str:
    """Give 104 bits over the parts as 26 hexadecimal digits, the same everywhere."""
    return hashlib.blake2b("\x00".join(parts).encode(), digest_size=13).hexdigest()
