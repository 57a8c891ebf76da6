"""Finding out what became of the comments.

The one rule: ask for a page of a hundred, never for one comment: ids sort by time, so those that
have waited longest stand on one page.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from service.base.config import Settings
from service.base.errors import HamgateError
from service.base.loopback import Client, NotRunning

_PAGE = 100
# Ten requests a second stay within half of HAMGATE_LIMIT_OTHER's default.
_PAUSE_SECONDS = 0.1
_IDLE_PAUSE_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was decided about a comment."""

    status: str
    rule: str
    model_version: str | None
    decided_at: datetime


class Outcomes:
    """What is known of the decisions, and a connection to learn more."""

    def __init__(self, settings: Settings, slug: str, headers: Mapping[str, str]) -> None:
        self.decided: dict[str, Outcome] = {}
        self._client = Client(settings, headers=headers)
        self._path = f"/api/v1/sites/{slug}/comments"

    def waiting(self, ids: Collection[str]) -> list[str]:
        """Give those of these comments that are not known to be decided, oldest first."""
        return sorted(id_ for id_ in ids if id_ not in self.decided)

    def look(self, ids: Collection[str]) -> float:
        """Ask about the comments that have waited longest.

        Args:
            ids: of the comments that will be decided.

        Returns:
            How many seconds to wait before looking again.

        Raises:
            HamgateError: the server does not let us look.
        """
        known = len(self.decided)
        waiting = self.waiting(ids)[:_PAGE]
        while waiting:
            query = urlencode({"limit": _PAGE, "cursor": _after(waiting[-1])})
            try:
                reply = self._client.request("GET", f"{self._path}?{query}")
            except NotRunning:  # whoever posts notices when it stays away
                return _IDLE_PAUSE_SECONDS
            if reply.status in (429, 503):
                return reply.retry_after_seconds or _IDLE_PAUSE_SECONDS
            if reply.status != 200:
                raise HamgateError(f"cannot see what was decided: {reply.refusal}")
            oldest = self._take(reply.json()["comments"], set(waiting))
            waiting = [id_ for id_ in waiting if id_ < oldest]
        return _PAUSE_SECONDS if len(self.decided) > known else _IDLE_PAUSE_SECONDS

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def _take(self, comments: Sequence[Mapping[str, Any]], waiting: Collection[str]) -> str:
        """Take in a page and give the id of its oldest comment; what is older was not on it."""
        for comment in comments:
            if comment["id"] in waiting and comment["decision"] is not None:
                self.decided[comment["id"]] = _outcome(comment["decision"])
        return comments[-1]["id"] if comments else ""


def _outcome(decision: Mapping[str, Any]) -> Outcome:
    return Outcome(
        status=decision["status"],
        rule=decision["rule"] or decision["actor"],
        model_version=decision["model_version"],
        decided_at=datetime.fromisoformat(decision["decided_at"]),
    )


def _after(comment_id: str) -> str:
    """Give the least text of the same length that sorts after this id."""
    return comment_id[:-1] + chr(ord(comment_id[-1]) + 1)
