"""URLs of the operator's mail server.

The one rule: encryption is required unless the operator says otherwise in so many words, and a
password never travels without it but on this very machine.
"""

import re
from dataclasses import dataclass
from email.errors import MessageError
from email.headerregistry import Address
from email.utils import getaddresses
from urllib.parse import unquote, urlsplit

_PORTS = {"smtps": 465, "smtp": 587}
_PLAIN = "starttls=no"
_LOCAL = ("localhost", "127.0.0.1", "::1")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Relay:
    """A mail server that takes our mail.

    Attributes:
        host: its name, which its certificate has to bear.
        port: where it listens.
        tls: encrypted from the first byte (RFC 8314).
        starttls: encrypted by STARTTLS, before anything is said (RFC 3207).
        user: whom to log in as; `None` for nobody.
        password: with what.
    """

    host: str
    port: int
    tls: bool
    starttls: bool
    user: str | None
    password: str


def read(url: str) -> Relay:
    """Read a URL such as smtps://USER:PASSWORD@HOST:465 or smtp://HOST:587?starttls=no.

    Raises:
        ValueError: it is not one; says how to write it, and never what was written.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
        login = [
            None if part is None else unquote(part, errors="strict")
            for part in (parts.username, parts.password)
        ]
    except ValueError:
        raise ValueError(_HOW) from None
    sound = parts.scheme in _PORTS and parts.hostname and port != 0 and not _CONTROL.search(url)
    if not sound or parts.path not in ("", "/") or parts.fragment:
        raise ValueError(_HOW)
    plain = parts.scheme == "smtp" and parts.query == _PLAIN
    if parts.query and not plain:
        raise ValueError(_HOW)
    user, password = login
    if plain and user and parts.hostname not in _LOCAL:
        raise ValueError("starttls=no would send the password in the clear")
    return Relay(
        host=str(parts.hostname),
        port=port or _PORTS[parts.scheme],
        tls=parts.scheme == "smtps",
        starttls=parts.scheme == "smtp" and not plain,
        user=user,
        password=password or "",
    )


_HOW = (
    "write it as smtps://USER:PASSWORD@HOST:465, smtp://USER:PASSWORD@HOST:587 with STARTTLS, or"
    " smtp://HOST:25?starttls=no, with special characters of the password as %XX"
)


def sender(written: str) -> Address:
    """Read whom mail comes from: ADDRESS, or NAME <ADDRESS>.

    Raises:
        ValueError: it is neither.
    """
    named = getaddresses([written])
    try:
        found = Address(named[0][0], addr_spec=named[0][1])
    except (ValueError, IndexError, MessageError):
        found = Address()
    sound = found.username and found.domain and found.addr_spec.isascii()
    if not sound or len(named) != 1 or _CONTROL.search(written):
        raise ValueError("write it as comments@example.org or Comments <comments@example.org>")
    return found
