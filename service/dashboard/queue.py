"""The queue page: what waits, decided by a key, a click or a tap, one or many at once.

Every action is a form that works without JavaScript; with it the same forms are sent in the
background (`static/queue.js`) and answered with JSON instead of a redirect.
"""

from datetime import datetime

import flask
from flask import Blueprint
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from service.base.errors import FieldError, Invalid, NotFound
from service.core import authors, comments, moderation, moderators, objections, queue
from service.core.moderation import BULK_MOST, Ballot
from service.core.moderators import Person, Role, presence
from service.core.sites import SiteView
from service.dashboard import outcomes, showing
from service.dashboard.session import require
from service.judgement import second_looks
from service.ledger.db import new_id
from service.pure.policy import Status
from service.serving.here import here

blueprint = Blueprint("queue", __name__)
blueprint.add_app_template_filter(showing.text, "shown")
blueprint.add_app_template_filter(showing.url, "shown_url")
blueprint.add_app_template_filter(showing.excerpt, "excerpt")

_PAGE = 25
_VERDICTS = {
    "approved": Status.APPROVED,
    "spam": Status.SPAM,
    "rejected": Status.REJECTED,
}


@blueprint.get("/sites/<slug>/queue")
def show(slug: str) -> str:
    """Show what waits, the most useful first."""
    site, person = require(slug, Role.VIEWER)
    after = _cursor(flask.request.args.get("after"))
    with here().database.reading() as session:
        rows = queue.page(session, site.id, after=after, most=_PAGE)
        waiting = queue.count(session, site.id)
        objected = objections.count(session, site.id)
        again = _again(session, site, person)
    return flask.render_template(
        "queue.html",
        rows=rows,
        waiting=waiting,
        most=queue.COUNT_MOST,
        next_page=_written(rows[-1]) if len(rows) == _PAGE else None,
        newest=new_id("cmt"),  # ids sort by time: what comes in from now on has not been seen
        objected=objected,
        again=again,
        done=outcomes.done(),
    )


@blueprint.get("/sites/<slug>/queue/campaigns/<campaign_id>")
def campaign(slug: str, campaign_id: str) -> str:
    """Show the members of a campaign that wait."""
    site, _ = require(slug, Role.VIEWER)
    with here().database.reading() as session:
        rows = queue.members(session, site.id, campaign_id)
    return flask.render_template(
        "queue.html",
        rows=rows,
        waiting=len(rows),
        most=queue.MEMBERS_MOST,
        next_page=None,
        title=f"A campaign: {len(rows)} alike",
        done=outcomes.done(),
    )


@blueprint.get("/sites/<slug>/queue/objections")
def objected(slug: str) -> str:
    """Show what readers have reported and authors appeal against, the oldest first."""
    site, _ = require(slug, Role.VIEWER)
    with here().database.reading() as session:
        waiting = objections.waiting(session, site.id)
        rows = queue.wherever(session, site.id, list(waiting))
    return flask.render_template(
        "queue.html",
        rows=rows,
        waiting=len(rows),
        most=objections.COMMENTS_MOST,
        next_page=None,
        title="Reports and appeals",
        objections=waiting,
        done=outcomes.done(),
    )


@blueprint.get("/sites/<slug>/comments/<comment_id>")
def comment(slug: str, comment_id: str) -> str:
    """Show one comment with all decisions on it."""
    site, _ = require(slug, Role.VIEWER)
    with here().database.reading() as session:
        view = comments.get(session, comment_id, site_id=site.id)
        history = moderation.history(session, site.id, comment_id)
        objected = objections.of_comment(session, comment_id)
        looks = second_looks.of_comment(session, comment_id)
        actors = {one.actor for one in history} | {one.said_by for one in looks}
        called = moderators.names(session, actors)
        standing = authors.standing(session, site.id, view.email_normalised)
    undone = {one.undoes for one in history}
    return flask.render_template(
        "comment.html",
        comment=view,
        history=history[::-1],
        objections=objected,
        standing=standing,
        looks=looks,
        undone=undone,
        names=called,
        done=outcomes.done(),
    )


@blueprint.post("/sites/<slug>/decisions")
def decide(slug: str) -> Response:
    """Decide on one comment, on those that were picked, or on a whole campaign."""
    site, person = require(slug, Role.MODERATOR)
    status = _VERDICTS.get(flask.request.form.get("status", ""))
    if status is None:
        raise Invalid([FieldError("/status", "is approved, spam or rejected")])
    act_id = new_id("act")
    with here().database.transaction() as session:
        seen = _seen(session, site)
        ballots = [
            Ballot(
                comment_id=comment_id,
                seen_version=version,
                status=status,
                actor=person.actor,
                reason=flask.request.form.get("reason", "")[:500],
                act_id=act_id,
            )
            for comment_id, version in seen
        ]
        recorded = moderation.record(session, ballots, site_id=site.id)
        told = {one.comment_id: outcome for one, outcome in zip(ballots, recorded, strict=True)}
        refused = outcomes.refused(session, site, told)
    return outcomes.answer(slug, act_id, status.value, list(told), refused)


@blueprint.post("/sites/<slug>/presence")
def look(slug: str) -> Response:
    """Note which comment the person looks at, and tell what colleagues look at."""
    site, person = require(slug, Role.VIEWER)
    comment_id = flask.request.form.get("comment", "")[:30]
    with here().database.transaction() as session:
        presence.look(session, site.id, person.id, comment_id)
        return flask.jsonify(others=presence.others(session, site.id, person.id))


@blueprint.post("/sites/<slug>/acts/<act_id>/undo")
def undo(slug: str, act_id: str) -> Response:
    """Take back what was done in one go."""
    site, person = require(slug, Role.MODERATOR)
    with here().database.transaction() as session:
        told = moderation.undo(session, site.id, act_id, person.actor)
        refused = outcomes.refused(session, site, told)
    return outcomes.answer(slug, None, outcomes.UNDONE, list(told), refused)


def _again(session: Session, site: SiteView, person: Person) -> int:
    """Count the second looks that wait for somebody; none for who may only look."""
    if not person.may(site.id, Role.MODERATOR):
        return 0
    return len(second_looks.waiting(session, site.id, site.policy.second_looks, person.actor))


def _seen(session: Session, site: SiteView) -> list[tuple[str, int]]:
    """Read which comments are meant, and the version of each that the person saw."""
    form = flask.request.form
    if campaign_id := form.get("campaign"):
        # As many as were shown: what came in since has not been seen by anybody.
        newest = form.get("newest", "")
        rows = queue.members(session, site.id, campaign_id)
        return [(row.id, row.version) for row in rows if row.id <= newest]
    seen = []
    for item in form.getlist("item"):
        comment_id, _, version = item.partition(":")
        if not version.isdecimal():
            raise Invalid([FieldError("/item", "is a comment's id and version")])
        seen.append((comment_id, int(version)))
    if not 1 <= len(seen) <= BULK_MOST:
        raise Invalid([FieldError("/item", f"pick 1 to {BULK_MOST} comments")])
    return seen


def _cursor(written: str | None) -> queue.Cursor | None:
    if not written:
        return None
    moment, _, comment_id = written.partition("~")
    try:
        place = datetime.fromisoformat(moment)
    except ValueError:
        raise NotFound("there is no such page of the queue") from None
    if place.tzinfo is None:
        raise NotFound("there is no such page of the queue")
    return place, comment_id


def _written(row: queue.Waiting) -> str:
    return f"{row.queue_at.isoformat()}~{row.id}"
