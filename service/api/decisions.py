"""Decisions: read the history, record one, record many."""

import flask
from flask import Response

from service.api import parsing, schemas, views
from service.api.comments import answer_json
from service.api.openapi import operation
from service.base.errors import HamgateError
from service.core import moderation
from service.core.moderation import Ballot
from service.core.sites import KeyView, Scope
from service.ledger.db import new_id
from service.pure.policy import Status
from service.serving.here import here

blueprint = flask.Blueprint("decisions", __name__)

# 500 decisions with their reasons do not fit into what one comment may take.
_BULK_MOST_BYTES = 256 * 1024


@blueprint.get("/comments/<comment_id>/decisions")
@operation(
    "Read a comment's history",
    who="A key with scope `moderate`.",
    answers={200: schemas.Decisions},
    problems=[401, 403, 404, 429, 503],
)
def index(comment_id: str) -> Response:
    """Read all decisions on a comment, oldest first."""
    key = here().access.any_key(Scope.MODERATE)
    with here().database.reading() as session:
        history = moderation.history(session, key.site_id, comment_id)
    return answer_json(schemas.Decisions(decisions=[views.decision(d) for d in history]), 200)


@blueprint.post("/comments/<comment_id>/decisions")
@operation(
    "Decide on a comment",
    who="A key with scope `moderate`.",
    body=schemas.NewDecision,
    answers={201: schemas.FullDecision},
    problems=[400, 401, 403, 404, 409, 413, 415, 422, 429, 503],
)
def create(comment_id: str) -> Response:
    """Record a decision; 409 and nothing done if the comment changed since you saw it."""
    key = here().access.any_key(Scope.MODERATE)
    sent = parsing.body(schemas.NewDecision)
    with here().database.transaction() as session:
        ballot = _ballot(key, comment_id, sent, new_id("act"))
        outcome = moderation.record(session, [ballot], site_id=key.site_id)[0]
    if isinstance(outcome, HamgateError):
        raise outcome
    return answer_json(views.decision(outcome), 201)


@blueprint.post("/sites/<site>/decisions")
@operation(
    "Decide on many comments",
    who="A key with scope `moderate`.",
    body=schemas.BulkDecisions,
    answers={200: schemas.BulkResults},
    problems=[400, 401, 403, 404, 413, 415, 422, 429, 503],
)
def create_many(site: str) -> Response:
    """Record up to 500 decisions; each stands or falls by itself and is answered by itself."""
    owner, key = here().access.keyholder(site, Scope.MODERATE)
    sent = parsing.body(schemas.BulkDecisions, most_bytes=_BULK_MOST_BYTES).decisions
    with here().database.transaction() as session:
        act_id = new_id("act")
        ballots = [_ballot(key, one.comment_id, one, act_id) for one in sent]
        outcomes = moderation.record(session, ballots, site_id=owner.id)
    results = [
        views.result(one.comment_id, outcome) for one, outcome in zip(sent, outcomes, strict=True)
    ]
    return answer_json(schemas.BulkResults(results=results), 200)


@blueprint.post("/sites/<site>/acts/<act_id>/undo")
@operation(
    "Undo a decision, or all that were taken in one request",
    who="A key with scope `moderate`.",
    answers={200: schemas.BulkResults},
    problems=[401, 403, 404, 429, 503],
)
def undo(site: str, act_id: str) -> Response:
    """Put each comment back where it was, unless somebody has decided on it since."""
    owner, key = here().access.keyholder(site, Scope.MODERATE)
    with here().database.transaction() as session:
        undone = moderation.undo(session, owner.id, act_id, f"key:{key.id}")
    results = [views.result(comment_id, outcome) for comment_id, outcome in undone.items()]
    return answer_json(schemas.BulkResults(results=results), 200)


def _ballot(key: KeyView, comment_id: str, sent: schemas.NewDecision, act_id: str) -> Ballot:
    return Ballot(
        comment_id=comment_id,
        seen_version=sent.seen_version,
        status=Status(sent.status),
        actor=f"key:{key.id}",
        reason=sent.reason or "",
        act_id=act_id,
    )
