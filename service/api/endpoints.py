"""Endpoints: where a site wants to be told what happens."""

from datetime import datetime
from typing import Annotated

import flask
from flask import Response
from pydantic import BeforeValidator, ConfigDict, Field, StrictBool

from service.api import parsing
from service.api.comments import answer_json
from service.api.openapi import operation
from service.api.schemas import URL_MOST, Answer, Line, Request, strip
from service.core.sites import KeyView, Scope, SiteView
from service.core.webhooks import addresses, endpoints
from service.pure.events import EventType
from service.serving.here import here

blueprint = flask.Blueprint("endpoints", __name__)

_WHO = "A key with scope `webhooks`."

Url = Annotated[Line, BeforeValidator(strip), Field(max_length=URL_MOST)]
Description = Annotated[Line, Field(max_length=200)]
Events = Annotated[list[EventType], Field(max_length=len(EventType))]


class NewEndpoint(Request):
    """Where to send what."""

    url: Url = Field(
        description="An https address on the Internet.",
        examples=["https://example.org/hooks/comments"],
    )
    events: Events = Field(
        default_factory=list, description="Types of events it wants; none for all."
    )
    description: Description = Field("", description="For people.")
    wants_personal: StrictBool = Field(
        False,
        description="Whether to tell the author's e-mail and network address beside the rest; only"
        " as far as the site's policy `share_personal` allows it.",
    )


class EndpointChange(Request):
    """What to change; what is left out or `null` stays."""

    url: Url | None = Field(None, description="Where to; also for what waits.")
    events: Events | None = Field(None, description="Types of events it wants; none for all.")
    description: Description | None = Field(None, description="For people.")
    wants_personal: StrictBool | None = Field(
        None, description="Whether to tell the author's e-mail and network address."
    )
    enabled: StrictBool | None = Field(
        None, description="`false`: nothing is sent any more, and what waits is dead."
    )


class Endpoint(Answer):
    """An endpoint, without its secret."""

    model_config = ConfigDict(from_attributes=True)

    id: str
    url: str
    events: list[EventType] = Field(description="Types of events it wants; none for all.")
    description: str
    wants_personal: bool
    created_at: datetime
    old_secret_until: datetime | None = Field(
        description="Until when the secret before the present one signs beside it."
    )
    failing_since: datetime | None = Field(
        description="Since when every attempt fails; `null` if the last did not."
    )
    is_full: bool = Field(
        description="Whether too much waits for it: what is new is dead at once, to be replayed."
    )
    disabled_at: datetime | None = Field(description="Since when nothing is sent; or `null`.")
    disabled_reason: str | None


class EndpointWithSecret(Endpoint):
    """An endpoint with its secret, which is answered this once."""

    secret: str = Field(description="`whsec_` and base64: verifies the signatures. Keep it.")


class Endpoints(Answer):
    """A site's endpoints, oldest first."""

    endpoints: list[Endpoint]


@blueprint.get("/sites/<site>/endpoints")
@operation(
    "List endpoints",
    who=_WHO,
    answers={200: Endpoints},
    problems=[401, 403, 404, 429, 503],
)
def index(site: str) -> Response:
    """List where a site wants to be told what happens, and how each fares."""
    owner, _ = _keyholder(site)
    with here().database.reading() as session:
        found = endpoints.listing(session, owner.id)
    return answer_json(Endpoints(endpoints=[Endpoint.model_validate(one) for one in found]), 200)


@blueprint.post("/sites/<site>/endpoints")
@operation(
    "Make an endpoint",
    who=_WHO,
    body=NewEndpoint,
    answers={201: EndpointWithSecret},
    problems=[400, 401, 403, 404, 413, 415, 422, 429, 503],
)
def create(site: str) -> Response:
    """Have a URL told what happens from now on, signed as Standard Webhooks has it.

    The secret is answered this once. A site has at most 20 endpoints.
    """
    owner, key = _keyholder(site)
    sent = parsing.body(NewEndpoint)
    with here().database.transaction() as session:
        made, secret = endpoints.create(
            session,
            owner.id,
            check=addresses.check(here().settings),
            actor=f"key:{key.id}",
            **sent.model_dump(),
        )
    answer = answer_json(_with_secret(made, secret), 201)
    answer.headers["Location"] = f"/api/v1/sites/{site}/endpoints/{made.id}"
    return answer


@blueprint.get("/sites/<site>/endpoints/<endpoint_id>")
@operation(
    "Read an endpoint",
    who=_WHO,
    answers={200: Endpoint},
    problems=[401, 403, 404, 429, 503],
)
def show(site: str, endpoint_id: str) -> Response:
    """Read an endpoint and how it fares."""
    owner, _ = _keyholder(site)
    return answer_json(Endpoint.model_validate(_get(owner, endpoint_id)), 200)


@blueprint.patch("/sites/<site>/endpoints/<endpoint_id>")
@operation(
    "Change an endpoint",
    who=_WHO,
    body=EndpointChange,
    answers={200: Endpoint},
    problems=[400, 401, 403, 404, 413, 415, 422, 429, 503],
)
def change(site: str, endpoint_id: str) -> Response:
    """Change what is sent, for what happens from now on; disable it, or enable it again.

    To enable one that was disabled forgets its failures; what died meanwhile can be replayed.
    """
    owner, key = _keyholder(site)
    sent = parsing.body(EndpointChange)
    with here().database.transaction() as session:
        changed = endpoints.change(
            session,
            owner.id,
            endpoint_id,
            check=addresses.check(here().settings),
            actor=f"key:{key.id}",
            **sent.model_dump(),
        )
    return answer_json(Endpoint.model_validate(changed), 200)


@blueprint.delete("/sites/<site>/endpoints/<endpoint_id>")
@operation(
    "Delete an endpoint",
    who=_WHO,
    answers={204: ()},
    problems=[401, 403, 404, 429, 503],
)
def delete(site: str, endpoint_id: str) -> Response:
    """Delete an endpoint with all that waits for it and the log of what was sent."""
    owner, key = _keyholder(site)
    with here().database.transaction() as session:
        endpoints.delete(session, owner.id, endpoint_id, actor=f"key:{key.id}")
    return Response(status=204)


@blueprint.post("/sites/<site>/endpoints/<endpoint_id>/test")
@operation(
    "Try an endpoint",
    who=_WHO,
    answers={202: ()},
    problems=[401, 403, 404, 429, 503],
)
def test(site: str, endpoint_id: str) -> Response:
    """Send it an `endpoint.tested` at once, whatever types it wants; the log tells the outcome.

    403 while it is disabled.
    """
    owner, _ = _keyholder(site)
    with here().database.transaction() as session:
        endpoints.test(session, owner.id, endpoint_id)
    return Response(status=202)


@blueprint.post("/sites/<site>/endpoints/<endpoint_id>/rotate")
@operation(
    "Rotate an endpoint's secret",
    who=_WHO,
    answers={200: EndpointWithSecret},
    problems=[401, 403, 404, 429, 503],
)
def rotate(site: str, endpoint_id: str) -> Response:
    """Give it a new secret, answered this once; for a day the one before signs beside it.

    403 while two are in use already.
    """
    owner, key = _keyholder(site)
    with here().database.transaction() as session:
        secret = endpoints.rotate(session, owner.id, endpoint_id, actor=f"key:{key.id}")
        rotated = endpoints.get(session, owner.id, endpoint_id)
    return answer_json(_with_secret(rotated, secret), 200)


def _keyholder(site: str) -> tuple[SiteView, KeyView]:
    return here().access.keyholder(site, Scope.WEBHOOKS)


def _get(owner: SiteView, endpoint_id: str) -> endpoints.EndpointView:
    with here().database.reading() as session:
        return endpoints.get(session, owner.id, endpoint_id)


def _with_secret(view: endpoints.EndpointView, secret: str) -> EndpointWithSecret:
    return EndpointWithSecret(**Endpoint.model_validate(view).model_dump(), secret=secret)
