"""Authors: a browser in which an address was confirmed gets what shows it from then on."""

from typing import Annotated

import flask
from flask import Response
from pydantic import Field

from service.api import parsing
from service.api.comments import answer_json
from service.api.openapi import operation
from service.api.schemas import Answer, Line, Request
from service.base.errors import NotFound
from service.core import confirmations
from service.ledger.db import utc_now
from service.serving.here import here

blueprint = flask.Blueprint("authors", __name__)


class Code(Request):
    """What stood in the address that led back to the page."""

    code: Annotated[Line, Field(max_length=200)]


class KnownAuthor(Answer):
    """What a browser keeps."""

    author_token: str = Field(description="Send it with each comment by this e-mail address.")


@blueprint.post("/sites/<site>/authors")
@operation(
    "Make a browser known",
    who="A browser on one of the site's origins, or a key with scope `submit`.",
    body=Code,
    answers={200: KnownAuthor},
    problems=[400, 401, 403, 404, 413, 415, 422, 429, 503],
)
def know(site: str) -> Response:
    """Change the code of a confirmation for an author token; the code is good for an hour."""
    owner = here().access.submitter(site).site
    given = parsing.body(Code)
    seals, now = here().access.seals, utc_now()
    confirmation_id = seals.confirmation_of(given.code, now)
    if confirmation_id is None:
        raise NotFound("this code is not valid, or not any more")
    with here().database.reading() as session:
        email = confirmations.confirmed_email(session, confirmation_id, owner.id)
    return answer_json(KnownAuthor(author_token=seals.author(owner.id, email, now)), 200)
