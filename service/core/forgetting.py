"""Forgetting: what a comment loses when its text has to go, and what stays of it.

What stays is its place: id, thread, parent, times, status, score, campaign, and each decision with
who took it and why. So a thread keeps its shape and the figures their sums. What goes is all that
somebody wrote or that says who it was. The one rule: a comment without a body was forgotten, and
nothing else has none; from then on it teaches nothing and nobody decides on it.
"""

import ipaddress
from collections.abc import Sequence

from sqlalchemy import ColumnElement, Connection, delete, select, update

from service.ledger.models import COMMENTS, DECISIONS, DELIVERIES, EVENTS

_PREFIXES = {4: 24, 6: 48}
_BLANK = {
    "name": "",
    "email": "",
    "email_normalised": "",
    "url": None,
    "body": "",
    "address": None,
    "user_agent": None,
    "referrer": None,
    "request_digest": "",
    "proven_at": None,
}


def has_text() -> ColumnElement[bool]:
    """The condition that a comment was not forgotten."""
    return COMMENTS.c.body != ""


def blank(connection: Connection, comment_ids: Sequence[str]) -> None:
    """Forget what these comments say and who wrote them; what their decisions quote goes too.

    Their entries in the index of words go by its trigger. What webhooks were told of them is
    forgotten as well, but for what is still to be told.
    """
    connection.execute(update(COMMENTS).where(COMMENTS.c.id.in_(comment_ids)).values(_BLANK))
    connection.execute(
        update(DECISIONS).where(DECISIONS.c.comment_id.in_(comment_ids)).values(clues=[])
    )
    connection.execute(delete(EVENTS).where(EVENTS.c.comment_id.in_(comment_ids), ~is_waiting()))


def is_waiting() -> ColumnElement[bool]:
    """The condition that an event is still to be told to somebody."""
    return (
        select(DELIVERIES.c.id)
        .where(DELIVERIES.c.event_number == EVENTS.c.number, DELIVERIES.c.due_at.is_not(None))
        .exists()
    )


def network(address: str) -> str:
    """Give the network of an address, which many share: a /24 of IPv4, a /48 of IPv6."""
    parsed = ipaddress.ip_address(address)
    return str(ipaddress.ip_network((parsed, _PREFIXES[parsed.version]), strict=False))


def is_whole(address: str | None) -> bool:
    """Whether it is an address, and not what `network` left of one."""
    return address is not None and "/" not in address
