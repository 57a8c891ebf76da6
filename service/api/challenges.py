"""Challenges for forms: asked for when somebody begins to write, not with each page view."""

from typing import Any, Literal

import flask
from flask import Response
from pydantic import ConfigDict, Field
from pydantic.alias_generators import to_camel

from service.api.comments import answer_json
from service.api.openapi import operation
from service.api.schemas import Answer
from service.core import storms
from service.core.sites import SiteView
from service.ledger.db import utc_now
from service.pure.policy import ProofOfWork
from service.serving import access
from service.serving.here import here

blueprint = flask.Blueprint("challenges", __name__)


class Made(Answer):
    """Where the challenge was made, when, and what for."""

    site: str
    issued_ms: int = Field(description="Milliseconds since 1970.")
    proof: bool = Field(description="Whether the form has to solve it.")


class Parameters(Answer):
    """What to hash: the key is SHA-256 of salt, nonce and a counter of 32 bits, big-endian."""

    model_config = ConfigDict(frozen=True, alias_generator=to_camel, serialize_by_alias=True)

    algorithm: Literal["SHA-256"]
    cost: Literal[1]
    key_length: int
    key_prefix: str = Field(description="How the key of the wanted counter begins, in hex.")
    nonce: str
    salt: str
    expires_at: int
    data: Made


class ChallengeAnswer(Answer):
    """A challenge of ALTCHA, version 2: its own scripts can solve it as well."""

    parameters: Parameters
    signature: str


@blueprint.get("/sites/<site>/challenge")
@operation(
    "Begin to write a comment",
    who="Anybody; a page's script only from the site's origins.",
    answers={200: ChallengeAnswer},
    problems=[404, 429, 503],
)
def show(site: str) -> Response:
    """Give a challenge for one comment, to be sent back with it as `altcha`.

    As it is, it says how long the form was open. Where `data.proof` is true it has to be solved
    as well, or the comment will wait for a person.
    """
    owner = here().access.site(site)
    access.allow_origin(owner)
    return answer_json(ChallengeAnswer.model_validate(make(owner)), 200)


def make(site: SiteView) -> dict[str, Any]:
    """Make a challenge; to be solved if the site asks for that now."""
    wanted = site.policy.proof_of_work
    storm = False
    if wanted is ProofOfWork.STORM:
        with here().database.reading() as session:
            storm = storms.current(session, site.id) is not None
    proof = site.policy.asks_proof(storm=storm)
    return here().challenges.issue(site.id, proof=proof, now=utc_now())
