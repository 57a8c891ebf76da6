"""Objections: a reader reports a comment, an author appeals."""

from typing import Annotated

import flask
from flask import Response
from pydantic import Field

from service.api import parsing, schemas
from service.api.comments import check_author, own_comment, site_id_of
from service.api.openapi import operation
from service.api.schemas import Body, Request
from service.base.errors import NotFound
from service.core import objections
from service.serving import access
from service.serving.here import here

blueprint = flask.Blueprint("objections", __name__)


class Objection(Request):
    """Why somebody should look again."""

    reason: Annotated[Body, Field(max_length=1000)]


@blueprint.post("/comments/<comment_id>/reports")
@operation(
    "Report a comment",
    who="A browser on one of the site's origins.",
    body=Objection,
    answers={204: ()},
    problems=[400, 404, 413, 415, 422, 429, 503],
)
def report(comment_id: str) -> Response:
    """Tell the moderators that a public comment should not be there.

    It stays until one of them has decided. To report it again from the same address changes
    nothing.
    """
    if not access.allow_origin(here().access.site_by_id(site_id_of(comment_id))):
        raise NotFound("there is no such comment")
    wanted = parsing.body(Objection)
    with here().database.transaction() as session:
        objections.report(session, comment_id, wanted.reason, here().access.reader(comment_id))
    return Response(status=204)


@blueprint.post("/comments/<comment_id>/appeals")
@operation(
    "Appeal against a refusal",
    who="The author: `Authorization: Receipt rcp_…`.",
    body=Objection,
    answers={200: schemas.OwnComment},
    problems=[400, 401, 403, 404, 413, 415, 422, 429, 503],
)
def appeal(comment_id: str) -> Response:
    """Ask that a person look again at a comment that was rejected or marked as spam; once."""
    check_author(comment_id)
    wanted = parsing.body(Objection)
    with here().database.transaction() as session:
        objections.appeal(session, comment_id, wanted.reason)
    return own_comment(comment_id)
