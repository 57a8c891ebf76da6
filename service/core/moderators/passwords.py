"""Passwords: argon2id, and the same work whether or not somebody is known.

The one rule: nobody learns from an answer, or from how long it takes, who has an account.
"""

import functools
import secrets
import threading
import unicodedata

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from service.base.errors import FieldError, Invalid

# NIST SP 800-63B-4 section 3.1.1.2: length counts, composition does not, blanks are allowed.
LEAST_CHARACTERS = 12
_MOST_CHARACTERS = 256
_LEAST_DISTINCT = 5
# Above OWASP's 19 MiB and 2 passes, below RFC 9106's 64 MiB: a small server has to bear two at
# once. Some 50 ms on one core. A change of these is followed at each next sign-in.
_HASHER = PasswordHasher(time_cost=3, memory_cost=32 * 1024, parallelism=1)
# However many try at once, hashing takes 64 MiB and two cores at most.
_AT_ONCE = threading.BoundedSemaphore(2)


def check(password: str, *about: str) -> None:
    """Refuse a password that is easily guessed.

    Args:
        password: the wish.
        about: what others know of the person, such as the e-mail address.

    Raises:
        Invalid: says what to do.
    """
    folded = password.casefold()
    known = {part.casefold() for text in about for part in (text, text.partition("@")[0])}
    if not LEAST_CHARACTERS <= len(password) <= _MOST_CHARACTERS:
        message = f"Use {LEAST_CHARACTERS} to {_MOST_CHARACTERS} characters."
    elif len(set(folded)) < _LEAST_DISTINCT:
        message = "Use more different characters."
    elif folded in known or any(
        folded == part * (len(folded) // len(part)) for part in known if part
    ):
        message = "Use something else than your name or address."
    else:
        return
    raise Invalid([FieldError("/password", message)])


def hashed(password: str) -> str:
    """Give what is kept of a password."""
    with _AT_ONCE:
        return _HASHER.hash(_prepared(password))


def verify(kept: str | None, password: str) -> bool:
    """Whether this is the password of which `kept` is kept; does the same work for `None`."""
    dummy = _dummy()  # asked for in both cases, so that making it once tells nothing
    with _AT_ONCE:
        try:
            _HASHER.verify(kept or dummy, _prepared(password))
        except (VerificationError, InvalidHashError):
            return False
    return kept is not None


def is_outdated(kept: str) -> bool:
    """Whether it was hashed with other parameters than today's."""
    return _HASHER.check_needs_rehash(kept)


@functools.cache
def _dummy() -> str:
    return hashed(secrets.token_urlsafe(32))


def _prepared(password: str) -> bytes:
    # One password, however the keyboard composes its accents (RFC 8265); of any length, so that
    # a long one costs the same.
    return unicodedata.normalize("NFC", password[: 4 * _MOST_CHARACTERS]).encode("utf-8", "replace")
