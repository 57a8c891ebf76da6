"""Challenges: what a form is given so that it can show how it was filled in.

It is a challenge of ALTCHA (version 2, https://altcha.org/docs/v2/): parameters with the time of
their making, signed. Sent back as it is, it says how long writing took; solved, also that a
computer worked for it. The one rule: nothing is an error. Whatever is wrong with a challenge is a
signal, and the site's policy says what follows.
"""

import base64
import hashlib
import json
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import altcha

from service.base.config import Settings
from service.base.jobs import Doorbell
from service.pure.policy import Challenge

LASTS = timedelta(hours=24)
_ALGORITHM = "SHA-256"
# The number to find lies evenly below this, so nobody searches for longer than twice the mean. A
# browser tries some 400,000 in a second, an old telephone in five or ten: it begins with the first
# touch of the form, and is done before a comment is written.
_COUNTERS = 400_000


@dataclass(frozen=True, slots=True)
class Shown:
    """What a submission showed of its form.

    Attributes:
        challenge: what became of it.
        written_ms: how long the form was open, as far as that is believed.
    """

    challenge: Challenge
    written_ms: int | None = None


class Challenges:
    """Makes challenges and looks at what comes back, for one application."""

    def __init__(self, settings: Settings, doorbell: Doorbell) -> None:
        previous = settings.previous_signing_key()
        self._secret = _key(settings.signing_key())
        self._before = None if previous is None else _key(previous)
        self._doorbell = doorbell

    def issue(self, site_id: str, *, proof: bool, now: datetime) -> dict[str, Any]:
        """Make a challenge in ALTCHA's JSON; nothing of it is kept.

        Args:
            site_id: whose form it is for.
            proof: whether the form is asked to solve it.
            now: the time it begins at.
        """
        made = altcha.create_challenge(
            _ALGORITHM,
            cost=1,
            counter=secrets.randbelow(_COUNTERS),
            expires_at=now + LASTS,
            data={"site": site_id, "issued_ms": _ms(now), "proof": proof},
            hmac_secret=self._secret,
        )
        return made.to_dict()

    def examine(self, site_id: str, payload: str | None, holder: str, now: datetime) -> Shown:
        """Look at a challenge that came back.

        Args:
            site_id: where.
            payload: Base64 of `{"challenge": …, "solution": …}`, the latter only if it was solved.
            holder: what tells comments apart: each challenge is for one, however often that is
                sent. Without Redis it is good for more.
            now: when it came.
        """
        if payload is None:
            return Shown(Challenge.MISSING)
        given = _read(payload)
        if given is None:
            return Shown(Challenge.BROKEN)
        result = altcha.verify_solution(given, self._secret)
        if result.invalid_signature and self._before is not None:
            # Forms that were open when the secret was changed are sent as if it had not been.
            result = altcha.verify_solution(given, self._before)
        if result.expired:
            return Shown(Challenge.EXPIRED)
        parameters = given.challenge.parameters
        data = parameters.data or {}
        if result.invalid_signature or data.get("site") != site_id:
            return Shown(Challenge.BROKEN)
        if not self._doorbell.claim(f"challenge:{parameters.nonce}", holder, LASTS):
            return Shown(Challenge.USED)
        challenge = Challenge.SOLVED if result.verified else Challenge.SIGNED
        return Shown(challenge, max(0, _ms(now) - data["issued_ms"]))


def unsolved(challenge: dict[str, Any]) -> str:
    """Give a challenge as it is sent back by a form that solves none."""
    return base64.b64encode(json.dumps({"challenge": challenge}).encode()).decode()


def _key(secret: bytes) -> bytes:
    return hashlib.sha256(b"hamgate challenge " + secret).digest()


def _ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


def _read(payload: str) -> altcha.Payload | None:
    """Read what came back; `None` if it is no such thing. An unsolved one has no solution."""
    try:
        given = json.loads(base64.b64decode(payload, validate=True))
        solution = given.get("solution") or {"counter": 0, "derivedKey": ""}
        return altcha.Payload.from_dict({"challenge": given["challenge"], "solution": solution})
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
