"""What can go wrong, said without HTTP.

The one rule: core code raises these and nothing else for a refusal; `serving.problems` alone
knows which status and which words a caller gets for each.
"""

from dataclasses import dataclass


class HamgateError(Exception):
    """A refusal that the caller can act on; the message is for people."""


@dataclass(frozen=True, slots=True)
class FieldError:
    """One thing wrong with one field.

    Attributes:
        pointer: JSON Pointer (RFC 6901) into the request's body, `""` for the whole.
        message: a sentence for the person who sent it.
    """

    pointer: str
    message: str


class Malformed(HamgateError):
    """The body is not the JSON object it has to be."""


class Invalid(HamgateError):
    """The body is a JSON object with wrong content; carries every bad field at once."""

    def __init__(self, errors: list[FieldError]) -> None:
        super().__init__(
            "1 field is not as it should be"
            if len(errors) == 1
            else f"{len(errors)} fields are not as they should be"
        )
        self.errors = errors


class Unauthenticated(HamgateError):
    """Nobody we know: no key, a wrong key, or a revoked one."""


class Forbidden(HamgateError):
    """Known, but not allowed to do this."""


class NotFound(HamgateError):
    """Not there, or another site's: existence is not confirmed."""


class Closed(HamgateError):
    """The thread takes no comments."""


class Stale(HamgateError):
    """The thing changed since the caller saw it; nothing was done."""

    def __init__(self, message: str, *, version: int) -> None:
        super().__init__(message)
        self.version = version


class Duplicate(HamgateError):
    """The same external id with other content."""


class KeyReused(HamgateError):
    """The same Idempotency-Key with another body."""


class TooLarge(HamgateError):
    """More bytes than are read."""


class TooSlow(HamgateError):
    """The body did not come within the time for it."""


class Unsupported(HamgateError):
    """A media type or content coding that is not taken here."""


class RateLimited(HamgateError):
    """Too many requests.

    Attributes:
        retry_after_seconds: whole seconds until the fullest window starts anew, at least 1.
    """

    def __init__(self, message: str, *, retry_after_seconds: int) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class Unavailable(HamgateError):
    """The ledger cannot be written now; nothing was stored."""


class ProviderFault(HamgateError):
    """The identity provider refused, did not answer, or said what cannot be believed."""


class ConfigError(HamgateError):
    """The environment's settings are not usable; lists every fault at once."""
