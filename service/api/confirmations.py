"""Confirmations: an author asks for a mail by which to show that the address is theirs."""

from typing import Annotated

import flask
from flask import Response
from pydantic import Field

from service.api import parsing, schemas, submitting
from service.api.comments import check_author, own_comment
from service.api.openapi import operation
from service.api.schemas import Blank, Line, Request

blueprint = flask.Blueprint("confirmations", __name__)


class Wish(Request):
    """What the mail should be like."""

    language: Blank[Annotated[Line, Field(max_length=30)]] = Field(
        None, description="A tag such as `de-AT`; the nearest language we have is taken."
    )


@blueprint.post("/comments/<comment_id>/confirmations")
@operation(
    "Ask for a mail to confirm one's address",
    who="The author: `Authorization: Receipt rcp_…`.",
    body=Wish,
    answers={200: schemas.OwnComment},
    problems=[400, 401, 403, 404, 413, 415, 422, 429, 503],
)
def ask(comment_id: str) -> Response:
    """Have a mail with a link sent to the comment's e-mail address; `confirmable` says when.

    The answer is the same whether a mail is sent or not: a mailbox gets at most one a day, five
    that nobody answers, and none if it wants none.
    """
    check_author(comment_id)
    wish = parsing.body(Wish)
    view, _ = submitting.load(comment_id)
    submitting.ask_for_mail(view, wish.language or flask.request.accept_languages.best or "")
    return own_comment(comment_id)
