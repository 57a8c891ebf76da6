"""From the core's values to the answers' shapes."""

from datetime import datetime
from typing import TypedDict

from service.api import schemas
from service.base.errors import HamgateError
from service.core import authoring, confirmations
from service.core.comments import CommentView
from service.core.moderation import DecisionView
from service.pure import markdown
from service.pure.policy import Status
from service.serving.here import here
from service.serving.problems import describe


def decision(view: DecisionView) -> schemas.FullDecision:
    """Give a decision as keys see it."""
    return schemas.FullDecision(
        id=view.id,
        status=view.status,
        old_status=view.old_status,
        actor=view.actor,
        rule=view.rule,
        reason=view.reason,
        score=view.score,
        model_version=view.model_version,
        clues=[schemas.Clue(**clue) for clue in view.clues],
        decided_at=view.decided_at,
        act_id=view.act_id,
        undoes=view.undoes,
    )


def own_decision(view: DecisionView) -> schemas.Decision:
    """Give a decision as the comment's author sees it: who it was stays within the site."""
    return schemas.Decision(
        status=view.status,
        actor=view.actor.partition(":")[0],
        rule=view.rule,
        reason=view.reason,
        decided_at=view.decided_at,
    )


def comment(view: CommentView, latest: DecisionView | None) -> schemas.Comment:
    """Give a comment as keys see it."""
    return schemas.Comment(
        **_shared(view),
        page_title=view.page_title,
        external_id=view.external_id,
        email=view.email,
        ip=view.address,
        user_agent=view.user_agent,
        referrer=view.referrer,
        submitted_at=view.submitted_at,
        signals=schemas.Signals(
            honeypot_filled=view.honeypot_filled,
            disposable_email=view.disposable_email,
            email_proven=view.proven_at is not None,
            challenge=view.challenge,
            written_ms=view.written_ms,
        ),
        decision=None if latest is None else decision(latest),
    )


def own_comment(view: CommentView, latest: DecisionView | None) -> schemas.OwnComment:
    """Give a comment as its author sees it."""
    return schemas.OwnComment(
        **_shared(view), decision=None if latest is None else own_decision(latest)
    )


def decided_comment(
    view: CommentView, latest: DecisionView, receipt: str
) -> schemas.DecidedComment:
    """Give a comment as its author sees it who waited for the decision."""
    return schemas.DecidedComment(**_shared(view), decision=own_decision(latest), receipt=receipt)


def result(comment_id: str, outcome: DecisionView | HamgateError) -> schemas.BulkResult:
    """Give what became of one decision of many."""
    if isinstance(outcome, HamgateError):
        problem = schemas.Problem(**describe(outcome))
        return schemas.BulkResult(comment_id=comment_id, problem=problem)
    return schemas.BulkResult(comment_id=comment_id, decision=decision(outcome))


class _Shared(TypedDict):
    id: str
    status: Status
    version: int
    page_url: str
    parent_id: str | None
    name: str
    url: str | None
    body: str
    html: str
    created_at: datetime
    edited_at: datetime | None
    editable_until: datetime | None
    appealed_at: datetime | None
    confirmable: bool


def _shared(view: CommentView) -> _Shared:
    return {
        "id": view.id,
        "status": view.status,
        "version": view.version,
        "page_url": view.page_url,
        "parent_id": view.parent_id,
        "name": view.name,
        "url": view.url,
        "body": view.body,
        "html": markdown.render(view.body),
        "created_at": view.created_at,
        "edited_at": view.edited_at,
        "editable_until": authoring.editable_until(
            view.status, view.created_at, here().settings.edit_seconds
        ),
        "appealed_at": view.appealed_at,
        "confirmable": confirmations.is_offered(
            view, here().access.site_by_id(view.site_id), here().settings
        ),
    }
