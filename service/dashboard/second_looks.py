"""The page of second looks: one comment at a time, and not a word of what was decided on it."""

from collections import Counter
from urllib.parse import urlencode

import flask
from flask import Blueprint
from werkzeug.wrappers import Response

from service.base.errors import FieldError, Invalid
from service.core import queue
from service.core.moderators import Role
from service.core.queue import Waiting
from service.dashboard import forms
from service.dashboard.session import require
from service.judgement import second_looks
from service.judgement.second_looks import Question
from service.pure.policy import Status
from service.serving.here import here

blueprint = Blueprint("second_looks", __name__)

_ANSWERS = {str(status): status for status in second_looks.ANSWERS}


@blueprint.get("/sites/<slug>/second-looks")
def show(slug: str) -> str:
    """Show the next comment, or the one after a question that was skipped."""
    site, person = require(slug, Role.MODERATOR)
    skipped = flask.request.args.get("after", "")
    with here().database.reading() as session:
        asked = second_looks.waiting(session, site.id, site.policy.second_looks, person.actor)
        question = _after(asked, skipped)
        rows = queue.wherever(session, site.id, [question.comment_id]) if question else []
    return flask.render_template(
        "second_look.html",
        question=question,
        row=rows[0] if rows else None,
        history=_without_itself(rows[0]) if rows else None,
        waiting=len(asked),
        skipped=skipped,
        share=site.policy.second_looks,
        kept=flask.request.args.get("kept"),
        late="late" in flask.request.args,
    )


@blueprint.post("/sites/<slug>/second-looks")
def answer(slug: str) -> Response:
    """Keep what the person says of the comment that was shown."""
    site, person = require(slug, Role.MODERATOR)
    decision_id, status = forms.field("question"), _ANSWERS.get(forms.field("status"))
    if status is None:
        raise Invalid([FieldError("/status", "is approved, spam or rejected")])
    skipped = forms.field("after")
    with here().database.transaction() as session:
        kept = second_looks.answer(
            session, site.id, site.policy.second_looks, decision_id, status, person.actor
        )
    return _next(slug, skipped, kept=decision_id) if kept else _next(slug, skipped, late="1")


@blueprint.post("/sites/<slug>/second-looks/<decision_id>/withdraw")
def withdraw(slug: str, decision_id: str) -> Response:
    """Take the person's own last answer back."""
    site, person = require(slug, Role.MODERATOR)
    with here().database.transaction() as session:
        second_looks.withdraw(session, site.id, decision_id, person.actor)
    return _next(slug, forms.field("after"))


def _after(asked: list[Question], skipped: str) -> Question | None:
    """Give the question after the one that was skipped last; the first if none was."""
    ids = [one.decision_id for one in asked]
    place = ids.index(skipped) + 1 if skipped in ids else 0
    return asked[place] if place < len(asked) else None


def _next(slug: str, skipped: str, **said: str) -> Response:
    query = urlencode({name: value for name, value in (("after", skipped), *said.items()) if value})
    page = flask.url_for("dashboard.second_looks.show", slug=slug)
    return flask.redirect(f"{page}?{query}" if query else page, 303)


def _without_itself(row: Waiting) -> Counter[Status]:
    """Give what became of the author's other comments: this one's status would tell."""
    return row.history - Counter([row.status])
