"""What became of one's comment, and what one can do about it, without JavaScript.

The one rule: the receipt in the address is the only key; without it there is nothing here.
"""

from typing import TypeVar

import flask
from flask import Blueprint, Response
from markupsafe import Markup
from pydantic import BaseModel, ValidationError

from service.api import submitting
from service.api.objections import Objection
from service.api.thread import Draft
from service.base.errors import (
    FieldError,
    Forbidden,
    HamgateError,
    Invalid,
    NotFound,
    RateLimited,
    Stale,
)
from service.core import authoring, confirmations, objections
from service.core.comments import CommentView
from service.core.moderation import DecisionView
from service.embed import frame, words
from service.ledger.db import utc_now
from service.pure import markdown
from service.pure.policy import Status
from service.serving import problems
from service.serving.here import here

blueprint = Blueprint("own", __name__)

_SAID = {"edit": "saved", "withdraw": "withdrawn", "appeal": "appealed", "confirm": "confirm-sent"}
_MENDABLE = (Invalid, Forbidden, Stale, RateLimited)
M = TypeVar("M", bound=BaseModel)


@blueprint.get("/<slug>/comments/<comment_id>")
def show(slug: str, comment_id: str) -> Response:
    """Show a comment to its author, with its state and the reasons."""
    return _page(slug, *_own(slug, comment_id))


@blueprint.post("/<slug>/comments/<comment_id>")
def act(slug: str, comment_id: str) -> Response:
    """Edit, withdraw, appeal, or ask for a mail to confirm the address."""
    view, _ = _own(slug, comment_id)
    action = flask.request.form.get("action", "")
    try:
        if action == "confirm":
            submitting.ask_for_mail(view, words.chosen().language)
        else:
            _act(comment_id, action)
    except _MENDABLE as error:
        return _page(slug, *_own(slug, comment_id), error=error)
    receipt = here().access.receipt(comment_id)
    said = _SAID[action]
    return frame.lead(
        "pages.own.show", slug=slug, comment_id=comment_id, receipt=receipt, said=said
    )


def _act(comment_id: str, action: str) -> None:
    with here().database.transaction() as session:
        if action == "edit":
            draft = _read(Draft, "body")
            authoring.edit(session, comment_id, draft.body, here().settings.edit_seconds)
        elif action == "withdraw":
            authoring.withdraw(session, comment_id)
        elif action == "appeal":
            objections.appeal(session, comment_id, _read(Objection, "reason").reason)
        else:
            raise Invalid([FieldError("/action", "is edit, withdraw, appeal or confirm")])


def _own(slug: str, comment_id: str) -> tuple[CommentView, DecisionView | None]:
    site = here().access.site(slug)
    if not here().access.holds_receipt(comment_id):
        raise NotFound("this address is not complete: it ends with the comment's receipt")
    return submitting.load(comment_id, site.id)


def _read(schema: type[M], name: str) -> M:
    try:
        return schema.model_validate({name: flask.request.form.get(name, "")})
    except ValidationError as error:
        raise problems.invalid(error) from None


def _page(
    slug: str,
    view: CommentView,
    decision: DecisionView | None,
    *,
    error: HamgateError | None = None,
) -> Response:
    chosen = words.chosen()
    until = authoring.editable_until(view.status, view.created_at, here().settings.edit_seconds)
    why = decision and (chosen.say(f"rule-{decision.rule}") or decision.reason)
    said = flask.request.args.get("said", "")
    return frame.render(
        "own.html",
        200 if error is None else problems.answer(error).status_code,
        slug=slug,
        comment=view,
        html=Markup(markdown.render(view.body)),  # noqa: S704 - no HTML of authors
        why=why if view.status is not Status.APPROVED else None,
        editable=until is not None and until > utc_now(),
        refused=view.status in objections.REFUSED,
        confirmable=confirmations.is_offered(view, here().access.site(slug), here().settings),
        here=flask.request.full_path,
        said=chosen.say(said) if said in _SAID.values() else None,
        given=flask.request.form,
        faults=frame.faults(error, chosen),
        problem=frame.explain(error, chosen) if error and not isinstance(error, Invalid) else None,
    )
