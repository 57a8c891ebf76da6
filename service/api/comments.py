"""Comments: submit, read, list."""

import re

import flask
from flask import Response
from pydantic import BaseModel

from service.api import parsing, schemas, submitting, views
from service.api.openapi import operation
from service.api.thread import Draft
from service.base.errors import HamgateError, Unauthenticated
from service.core import authoring, comments, moderation
from service.core.sites import Scope
from service.serving import access
from service.serving.here import here

blueprint = flask.Blueprint("comments", __name__)

_WAIT_MOST_SECONDS = 5.0
_DELTA_SECONDS = re.compile(r'"?([0-9]+)"?')


@blueprint.post("/sites/<site>/comments")
@operation(
    "Submit a comment",
    who="A browser on one of the site's origins, or a key with scope `submit`.",
    body=schemas.KeySubmission,
    answers={202: schemas.Accepted, 201: schemas.DecidedComment},
    problems=[400, 401, 403, 404, 409, 413, 415, 422, 429, 503],
    headers={
        "Idempotency-Key": "Any text up to 255 characters, a UUID at best: the same key and body"
        " is the same comment, however often it is sent.",
        "Prefer": "`wait=SECONDS`, at most 5: answer 201 with the decision if it comes in time.",
    },
)
def create(site: str) -> Response:
    """Store a comment; it is decided within a moment.

    202 means it is committed and will be decided; it is never lost. With `Prefer: wait=2` the
    answer waits for the decision and is 201 if there is one in time.
    """
    try:
        caller = here().access.submitter(site)
    except HamgateError:
        here().limits.hit_other()  # whoever tries keys or sites is limited as well
        raise
    try:
        environ = flask.request.environ
        sent = parsing.body(submitting.schema_of(caller))
        key = submitting.idempotency_key(caller, environ)
        submission = submitting.describe(here(), caller, sent, key, environ)
    except HamgateError:
        submitting.count_refused(caller)
        raise
    accepted = submitting.accept(caller, submission, sent.altcha)
    receipt = here().access.receipt(accepted.id)
    decided = submitting.await_decision(accepted, _wait_seconds())
    if decided is not None:
        answer = answer_json(views.decided_comment(*decided, receipt), 201)
        answer.headers["Preference-Applied"] = "wait"
    else:
        answer = answer_json(
            schemas.Accepted(id=accepted.id, status=accepted.status, receipt=receipt), 202
        )
    answer.headers["Location"] = f"/api/v1/comments/{accepted.id}"
    return answer


@blueprint.get("/comments/<comment_id>")
@operation(
    "Read a comment",
    who="A key of the comment's site, or the author: `Authorization: Receipt rcp_…`.",
    answers={200: [schemas.Comment, schemas.OwnComment]},
    problems=[401, 404, 429, 503],
    query={"receipt": "The receipt, where a header cannot be sent."},
)
def show(comment_id: str) -> Response:
    """Read a comment and its latest decision; a receipt shows no score, model or clues."""
    if here().access.holds_receipt(comment_id):
        view, decision = submitting.load(comment_id)
        access.allow_origin(here().access.site_by_id(view.site_id))
        return answer_json(views.own_comment(view, decision), 200)
    key = here().access.any_key()
    return answer_json(views.comment(*submitting.load(comment_id, key.site_id)), 200)


@blueprint.patch("/comments/<comment_id>")
@operation(
    "Edit one's comment",
    who="The author: `Authorization: Receipt rcp_…`.",
    body=Draft,
    answers={200: schemas.OwnComment},
    problems=[400, 401, 403, 404, 409, 413, 415, 422, 429, 503],
)
def edit(comment_id: str) -> Response:
    """Put another text in its place, within some minutes; it is pending until decided again."""
    check_author(comment_id)
    wanted = parsing.body(Draft)
    with here().database.transaction() as session:
        authoring.edit(session, comment_id, wanted.body, here().settings.edit_seconds)
    return own_comment(comment_id)


@blueprint.delete("/comments/<comment_id>")
@operation(
    "Withdraw one's comment",
    who="The author: `Authorization: Receipt rcp_…`.",
    answers={200: schemas.OwnComment},
    problems=[401, 404, 409, 429, 503],
)
def withdraw(comment_id: str) -> Response:
    """Take a comment back for good; replies to it stay."""
    check_author(comment_id)
    with here().database.transaction() as session:
        authoring.withdraw(session, comment_id)
    return own_comment(comment_id)


@blueprint.get("/sites/<site>/comments")
@operation(
    "List comments",
    who="A key with scope `moderate`.",
    query=schemas.CommentQuery,
    answers={200: schemas.CommentPage},
    problems=[401, 403, 404, 422, 429, 503],
)
def index(site: str) -> Response:
    """List a site's comments, newest first, a page at a time."""
    owner, _ = here().access.keyholder(site, Scope.MODERATE)
    query = parsing.query(schemas.CommentQuery)
    with here().database.reading() as session:
        found = comments.listing(
            session,
            owner.id,
            status=query.status,
            page_url=query.page_url,
            before=query.cursor,
            most=query.limit + 1,
        )
        page = found[: query.limit]
        decisions = moderation.latest(session, [c.decision_id for c in page if c.decision_id])
    return answer_json(
        schemas.CommentPage(
            comments=[views.comment(c, decisions.get(c.decision_id or "")) for c in page],
            next_cursor=page[-1].id if len(found) > len(page) else None,
        ),
        200,
    )


def own_comment(comment_id: str) -> Response:
    """Answer an author with their comment as it stands."""
    return answer_json(views.own_comment(*submitting.load(comment_id)), 200)


def site_id_of(comment_id: str) -> str:
    """Give the id of a comment's site.

    Raises:
        NotFound: there is no such comment.
    """
    with here().database.reading() as session:
        return comments.get(session, comment_id).site_id


def check_author(comment_id: str) -> None:
    """See that the author asks, and let a page of the site read the answer.

    Raises:
        Unauthenticated: without the comment's receipt, whether or not there is such a comment.
    """
    if not here().access.holds_receipt(comment_id):
        raise Unauthenticated("this needs the comment's receipt: Authorization: Receipt rcp_…")
    access.allow_origin(here().access.site_by_id(site_id_of(comment_id)))


def _wait_seconds() -> float:
    """Read `Prefer: wait=SECONDS` (RFC 7240 section 4.3); what cannot be read is ignored."""
    for preference in flask.request.environ.get("HTTP_PREFER", "").split(","):
        name, _, value = preference.partition(";")[0].strip().partition("=")
        if name.strip().lower() == "wait":
            found = _DELTA_SECONDS.fullmatch(value.strip())
            return min(float(found[1]), _WAIT_MOST_SECONDS) if found else 0.0
    return 0.0


def answer_json(answer: BaseModel, status: int) -> Response:
    """Give a schema's values as the response."""
    return Response(answer.model_dump_json(), status, mimetype="application/json")
