"""What became of a decision or its undoing: told to a script as JSON, to a form by the next page.

The one rule: the next page is the one that the form was on, and offers to undo what was done.
"""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

import flask
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from service.base.errors import HamgateError, Stale
from service.core import comments, moderation, moderators
from service.core.moderation import DecisionView
from service.core.sites import SiteView
from service.dashboard import refusals
from service.dashboard.session import own_path
from service.pure.policy import Status

UNDONE = "undone"
_KNOWN = (Status.APPROVED, Status.SPAM, Status.REJECTED, UNDONE)


def refused(
    session: Session, site: SiteView, told: Mapping[str, DecisionView | HamgateError]
) -> dict[str, str]:
    """Say for people why some were left alone: who was faster, and with what."""
    found = {one: str(why) for one, why in told.items() if isinstance(why, HamgateError)}
    stale = [one for one in found if isinstance(told[one], Stale)]
    views = [comments.get(session, one, site_id=site.id) for one in stale]
    newest = moderation.latest(session, [one.decision_id for one in views if one.decision_id])
    called = moderators.names(session, {one.actor for one in newest.values()})
    for view in views:
        if (last := newest.get(view.decision_id or "")) is not None:
            who = called.get(last.actor, f"the {last.actor}")
            found[view.id] = f"{who} made it {last.status} meanwhile"
    return found


def answer(
    slug: str, act_id: str | None, what: str, told: Sequence[str], left: Mapping[str, str]
) -> Response:
    """Answer a script with what became of each, and a form with the page it came from.

    Args:
        slug: the site's.
        act_id: what can be undone; `None` for an undoing.
        what: a status, or `UNDONE`.
        told: the ids of all comments that were meant.
        left: those of them that were left alone, with why.
    """
    if refusals.wants_json():
        return flask.jsonify(
            act_id=act_id,
            what=what,
            done=[comment_id for comment_id in told if comment_id not in left],
            refused=dict(left),
        )
    query = {"what": what, "count": len(told) - len(left), "refused": len(left)}
    back = own_path(flask.request.form.get("back"))
    target = (back or flask.url_for("dashboard.queue.show", slug=slug)).partition("?")[0]
    return flask.redirect(f"{target}?{urlencode({**query, 'act': act_id or ''})}", 303)


def done() -> dict[str, Any] | None:
    """Read what the page before did, so that this one can say it and offer to undo it."""
    arguments = flask.request.args
    if arguments.get("what") not in _KNOWN:
        return None
    return {
        "what": arguments["what"],
        "count": arguments.get("count", 0, int),
        "refused": arguments.get("refused", 0, int),
        "act_id": arguments.get("act") or None,
    }
