"""Signatures of webhooks, as Standard Webhooks 1.0.0 has them (its section "Signature scheme").

Pure. The one rule: what is signed are the bytes that are sent.
"""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Sequence

_PREFIX = "whsec_"
_SECRET_BYTES = 32


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
