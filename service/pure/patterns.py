"""Patterns: what an operator writes between slashes in a list of the policy, as `/v[i1]agra/`.

Pure. The one rule: no pattern, however written, and no comment, however hostile, may take long:
RE2 matches in time that grows with the text alone, and patterns that are too large are refused.
"""

import unicodedata
from collections.abc import Iterable

import re2

MOST = 200
# Instructions of all patterns of a policy together; two hundred plain ones have some 5,000.
_SIZE_MOST = 10_000
_MEMORY_BYTES = 1 << 20


def is_pattern(entry: str) -> bool:
    """Whether an entry of a list is a pattern and not plain text."""
    return len(entry) > 2 and entry.startswith("/") and entry.endswith("/")


def check(entry: str) -> str:
    """Give the entry back if it is plain text or a sound pattern.

    Raises:
        ValueError: RE2 does not take it; says why.
    """
    if is_pattern(entry):
        _compile(entry)
    return entry


class Patterns:
    """The patterns among the entries of a list, compiled; the rest is left to others."""

    def __init__(self, entries: Iterable[str]) -> None:
        self._compiled = [(entry, _compile(entry)) for entry in entries if is_pattern(entry)]

    def __len__(self) -> int:
        return len(self._compiled)

    @property
    def size(self) -> int:
        """Instructions in all of them."""
        return sum(pattern.programsize for _, pattern in self._compiled)

    def first(self, text: str) -> str | None:
        """Give the first entry found in a text, as people see it, whatever its case.

        Compatibility forms are folded (full width letters are letters), and what nobody sees is
        left out. Look-alike letters of other scripts are not: `[aа]` says so where it matters.
        """
        if not self._compiled:
            return None
        seen = _as_seen(text).encode("utf-8", "replace")
        return next((entry for entry, pattern in self._compiled if pattern.search(seen)), None)


def check_together(lists: Iterable[Patterns]) -> None:
    """See that all patterns of a policy together are few and small enough.

    Raises:
        ValueError: they are not.
    """
    lists = list(lists)
    if sum(map(len, lists)) > MOST:
        raise ValueError(f"at most {MOST} patterns")
    if sum(patterns.size for patterns in lists) > _SIZE_MOST:
        raise ValueError("the patterns are too large together: write fewer {n,m} and fewer of them")


def _as_seen(text: str) -> str:
    if text.isascii():
        return text
    folded = unicodedata.normalize("NFKC", text)
    return "".join(c for c in folded if unicodedata.category(c) != "Cf")


def _compile(entry: str) -> "re2._Regexp":
    options = re2.Options()
    options.case_sensitive = False
    options.dot_nl = True
    options.log_errors = False
    options.max_mem = _MEMORY_BYTES
    try:
        return re2.compile(entry[1:-1].encode(), options)
    except re2.error as error:
        said = error.args[0]
        raise ValueError(f"is no pattern of RE2: {said.decode(errors='replace')}") from None
