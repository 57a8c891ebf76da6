"""Seals: texts that this installation signed, to know them again when they come back.

Pure. The one rule: what was signed for one purpose is void for any other.
"""

import base64
import hashlib
import hmac
from datetime import UTC, datetime

# Purposes of what stands in the links of a mail: each confirmation's id, sealed.
CONFIRM = "hamgate confirm"
SILENCE = "hamgate silence"
_CODE = "hamgate code"
_AUTHOR = "hamgate author"
_AUTHOR_PREFIX = "aut_"
_CODE_SECONDS = 3600
_DIGITS_MOST = 11  # up to the year 5138, which `datetime` still knows


class Seals:
    """Signs with one secret, and checks with the one before it too, as long as that is kept."""

    def __init__(self, secret: bytes, previous: bytes | None = None) -> None:
        self._key = hashlib.sha256(secret).digest()
        self._before = None if previous is None else hashlib.sha256(previous).digest()

    def mac(self, purpose: str, text: str) -> str:
        """Sign a text.

        Args:
            purpose: 1 to 16 ASCII characters.
            text: what is signed.
        """
        return _mac(self._key, purpose, text)

    def is_mac(self, shown: str, purpose: str, text: str) -> bool:
        """Whether what was shown is the signature of a text, in a time that tells nothing."""
        keys = (self._key,) if self._before is None else (self._key, self._before)
        given = shown.encode("utf-8", "replace")
        return any(hmac.compare_digest(given, _mac(key, purpose, text).encode()) for key in keys)

    def seal(self, purpose: str, text: str) -> str:
        """Give a text together with its signature; it may stand in a URL if the text may."""
        return f"{text}.{self.mac(purpose, text)}"

    def open(self, purpose: str, sealed: str) -> str | None:
        """Give the text that was sealed for a purpose; `None` if it was not, or not here."""
        text, _, mac = sealed.rpartition(".")
        return text if self.is_mac(mac, purpose, text) else None

    def author(self, site_id: str, email: str, at: datetime) -> str:
        """Make the author token: who has it has shown that an address is theirs, at this time.

        It is for one site and one address and names neither: a browser that holds it still has
        to say which address it means.

        Args:
            site_id: where it counts.
            email: the normalised address, letter by letter.
            at: kept to the second.
        """
        seconds = int(at.timestamp())
        return f"{_AUTHOR_PREFIX}{seconds}.{self.mac(_AUTHOR, _author(seconds, site_id, email))}"

    def code(self, confirmation_id: str, now: datetime) -> str:
        """Make what a browser may change for an author token within an hour.

        It may stand in a page's address, where others may see it: the history, a script that counts
        readers.
        """
        return self.seal(_CODE, f"{confirmation_id}.{int(now.timestamp())}")

    def confirmation_of(self, code: str, now: datetime) -> str | None:
        """Give the id of the confirmation that a code was made for; `None` if it is void."""
        confirmation_id, _, seconds = (self.open(_CODE, code) or "").rpartition(".")
        if not confirmation_id or now.timestamp() - int(seconds) > _CODE_SECONDS:
            return None
        return confirmation_id

    def proven_at(self, token: str, site_id: str, email: str) -> datetime | None:
        """Give when an author token was made; `None` if it is not for this site and address."""
        written, _, mac = token.removeprefix(_AUTHOR_PREFIX).partition(".")
        if not (written.isascii() and written.isdecimal() and len(written) <= _DIGITS_MOST):
            return None
        seconds = int(written)
        if not self.is_mac(mac, _AUTHOR, _author(seconds, site_id, email)):
            return None
        return datetime.fromtimestamp(seconds, UTC)


def _mac(key: bytes, purpose: str, text: str) -> str:
    # BLAKE2b with a key is a MAC (RFC 7693), in one call.
    mac = hashlib.blake2b(
        text.encode("utf-8", "replace"), key=key, digest_size=24, person=purpose.encode()
    )
    return base64.urlsafe_b64encode(mac.digest()).decode()


def _author(seconds: int, site_id: str, email: str) -> str:
    # No part can hold a NUL, so no two triples are written alike.
    return f"{seconds}\x00{site_id}\x00{email}"
