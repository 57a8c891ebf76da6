"""Signatures of webhooks, as Standard Webhooks 1.0.0 has them (its section "Signature scheme").

Pure. The one rule: what is signed are the bytes that are sent.
"""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Mapping, Sequence

from service.base.errors import Forbidden

_PREFIX = "whsec_"
_SECRET_BYTES = 32
# How far an attempt's time may be from the receiver's: what the foreign libraries take too.
TOLERANCE_SECONDS = 300


def new_secret() -> str:
    """Make a secret: `whsec_` and 256 random bits in base64."""
    return _PREFIX + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()


def sign(event_id: str, timestamp: int, body: bytes, secret: str) -> str:
    """Give one signature, such as `v1,g0hM…`.

    Args:
        event_id: `webhook-id`, the same at every attempt.
        timestamp: of the attempt, in seconds since 1970.
        body: as sent.
        secret: of `new_secret`.
    """
    key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    signed = b"%s.%d.%s" % (event_id.encode(), timestamp, body)
    return "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()


def headers(
    event_id: str, timestamp: int, body: bytes, secrets_in_use: Sequence[str]
) -> dict[str, str]:
    """Give an attempt's headers; signed with each secret in use, so that one can be changed."""
    signatures = (sign(event_id, timestamp, body, secret) for secret in secrets_in_use)
    return {
        "content-type": "application/json",
        "webhook-id": event_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(signatures),
    }


def require(headers: Mapping[str, str], body: bytes, secret: str, now: int) -> None:
    """Make sure that what came was signed with a secret, and lately.

    Args:
        headers: their names in lower case.
        body: as it came, to the byte.
        secret: of `new_secret`.
        now: in seconds since 1970.

    Raises:
        Forbidden: it was not; says what is wrong.
    """
    event_id, written = headers.get("webhook-id"), headers.get("webhook-timestamp", "")
    if not event_id or not written.isascii() or not written.isdigit():
        raise Forbidden("webhook-id or webhook-timestamp is missing or is no such thing")
    if abs(now - int(written)) > TOLERANCE_SECONDS:
        raise Forbidden(f"its time is {now - int(written)} s away from this machine's clock")
    # What is signed is the timestamp as it stands in the header.
    expected = sign(event_id, int(written), body, secret).encode()
    given = headers.get("webhook-signature", "").split(" ")
    found = [hmac.compare_digest(one.encode(), expected) for one in given]
    if not any(found) or written != str(int(written)):
        raise Forbidden("no signature is of this secret and this body")
