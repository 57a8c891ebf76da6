"""The page of webhooks: who is told what happens on a site, and how each endpoint fares."""

from typing import Any

import flask
from flask import Blueprint
from pydantic import ValidationError
from werkzeug.wrappers import Response

from service.api.endpoints import NewEndpoint
from service.base.errors import Forbidden, Invalid
from service.core.moderators import Role
from service.core.sites import SiteView
from service.core.webhooks import addresses, endpoints, log
from service.core.webhooks.endpoints import EndpointView
from service.dashboard import deliveries, forms
from service.dashboard.session import require
from service.pure.events import MEANINGS, EventType
from service.serving import problems
from service.serving.here import here

blueprint = Blueprint("webhooks", __name__)
blueprint.register_blueprint(deliveries.blueprint)
_LIST, _ONE = "webhooks.html", "webhook.html"
_SAID = {
    "changed": "Saved. It counts for what happens from now on.",
    "tried": "An endpoint.tested is on its way; below is what becomes of it.",
    "enabled": "It is told again what happens from now on. What died meanwhile can be sent again.",
    "disabled": "Nothing is sent to it any more.",
    "deleted": "Deleted, with its log.",
}
# A test goes where it is sent, whatever types an endpoint wants.
_CHOICES = [one for one in EventType if one is not EventType.ENDPOINT_TESTED]


@blueprint.get("/sites/<slug>/webhooks")
def show(slug: str) -> str:
    """List endpoints, with the form that makes one."""
    site, _ = require(slug, Role.VIEWER)
    return flask.render_template(_LIST, faults={}, values=_values(), said=_said(), **_listed(site))


@blueprint.post("/sites/<slug>/webhooks")
def create(slug: str) -> Response:
    """Make an endpoint and show its secret, this once."""
    site, who = require(slug, Role.OWNER)
    try:
        wanted = _wanted()
        with here().database.transaction() as ledger:
            made, secret = endpoints.create(
                ledger,
                site.id,
                check=addresses.check(here().settings),
                actor=who.actor,
                **wanted.model_dump(),
            )
    except Invalid as error:
        return forms.again(_LIST, error, values=_sent(), **_listed(site))
    page = flask.render_template(_ONE, faults={}, secret=secret, **_looked_at(site, made))
    return flask.make_response(page, 201)


@blueprint.get("/sites/<slug>/webhooks/<endpoint_id>")
def endpoint(slug: str, endpoint_id: str) -> str:
    """Show one endpoint: how it fares, what it wants, what was sent last."""
    site, _ = require(slug, Role.VIEWER)
    found = _get(site, endpoint_id)
    return flask.render_template(_ONE, faults={}, said=_said(), **_looked_at(site, found))


@blueprint.post("/sites/<slug>/webhooks/<endpoint_id>")
def change(slug: str, endpoint_id: str) -> Response:
    """Change where an endpoint is and what it wants."""
    site, who = require(slug, Role.OWNER)
    found = _get(site, endpoint_id)
    try:
        wanted = _wanted()
        with here().database.transaction() as ledger:
            endpoints.change(
                ledger,
                site.id,
                endpoint_id,
                check=addresses.check(here().settings),
                actor=who.actor,
                **wanted.model_dump(),
            )
    except Invalid as error:
        return forms.again(_ONE, error, **{**_looked_at(site, found), "values": _sent()})
    return _back(slug, endpoint_id, "changed")


@blueprint.post("/sites/<slug>/webhooks/<endpoint_id>/test")
def test(slug: str, endpoint_id: str) -> Response:
    """Send an endpoint an event of its own."""
    site, _ = require(slug, Role.OWNER)
    with here().database.transaction() as ledger:
        endpoints.test(ledger, site.id, endpoint_id)
    return _back(slug, endpoint_id, "tried")


@blueprint.post("/sites/<slug>/webhooks/<endpoint_id>/rotate")
def rotate(slug: str, endpoint_id: str) -> Response:
    """Give an endpoint another secret, and show it, this once."""
    site, who = require(slug, Role.OWNER)
    try:
        with here().database.transaction() as ledger:
            secret = endpoints.rotate(ledger, site.id, endpoint_id, actor=who.actor)
    except Forbidden as error:
        page = flask.render_template(
            _ONE, faults={"": str(error)}, **_looked_at(site, _get(site, endpoint_id))
        )
        return flask.make_response(page, 403)
    shown = _looked_at(site, _get(site, endpoint_id))
    return flask.make_response(flask.render_template(_ONE, faults={}, secret=secret, **shown))


@blueprint.post("/sites/<slug>/webhooks/<endpoint_id>/enable")
def enable(slug: str, endpoint_id: str) -> Response:
    """Serve an endpoint again."""
    return _switch(slug, endpoint_id, on=True)


@blueprint.post("/sites/<slug>/webhooks/<endpoint_id>/disable")
def disable(slug: str, endpoint_id: str) -> Response:
    """Serve an endpoint no more, or agree that it is not."""
    return _switch(slug, endpoint_id, on=False)


@blueprint.post("/sites/<slug>/webhooks/<endpoint_id>/delete")
def delete(slug: str, endpoint_id: str) -> Response:
    """Delete an endpoint with its log."""
    site, who = require(slug, Role.OWNER)
    with here().database.transaction() as ledger:
        endpoints.delete(ledger, site.id, endpoint_id, actor=who.actor)
    return flask.redirect(flask.url_for("dashboard.webhooks.show", slug=slug, said="deleted"), 303)


def _switch(slug: str, endpoint_id: str, *, on: bool) -> Response:
    site, who = require(slug, Role.OWNER)
    with here().database.transaction() as ledger:
        endpoints.change(
            ledger,
            site.id,
            endpoint_id,
            check=addresses.check(here().settings),
            actor=who.actor,
            enabled=on,
        )
    return _back(slug, endpoint_id, "enabled" if on else "disabled")


def _get(site: SiteView, endpoint_id: str) -> EndpointView:
    with here().database.reading() as ledger:
        return endpoints.get(ledger, site.id, endpoint_id)


def _sent() -> dict[str, Any]:
    """Read the form: types by their boxes, the switch by its presence."""
    form = flask.request.form
    return {
        "url": forms.field("url"),
        "description": forms.field("description"),
        "events": form.getlist("events"),
        "wants_personal": "wants_personal" in form,
    }


def _wanted() -> NewEndpoint:
    """Give what the form asks for.

    Raises:
        Invalid: something in it is not as it has to be; every fault at once.
    """
    try:
        return NewEndpoint.model_validate(_sent())
    except ValidationError as error:
        raise problems.invalid(error) from None


def _values(view: EndpointView | None = None) -> dict[str, Any]:
    """Give what the form shows: an endpoint as it is, or nothing yet."""
    if view is None:
        return {"url": "", "description": "", "events": [], "wants_personal": False}
    return {
        "url": view.url,
        "description": view.description,
        "events": list(view.events),
        "wants_personal": view.wants_personal,
    }


def _listed(site: SiteView) -> dict[str, Any]:
    with here().database.reading() as ledger:
        found = endpoints.listing(ledger, site.id)
        last = {
            one.id: next(iter(log.listing(ledger, site.id, endpoint_id=one.id, most=1)), None)
            for one in found
        }
    return {
        "endpoints": found,
        "last": last,
        "most": endpoints.ENDPOINTS_MOST,
        "groups": _groups(),
        "allowed": addresses.ALLOWED,
    }


def _looked_at(site: SiteView, view: EndpointView) -> dict[str, Any]:
    with here().database.reading() as ledger:
        latest = log.listing(ledger, site.id, endpoint_id=view.id, most=10)
        attempts = log.attempts(ledger, [one.id for one in latest])
    return {
        "endpoint": view,
        "values": _values(view),
        "latest": latest,
        "attempts": attempts,
        "told": deliveries.told,
        "groups": _groups(),
        "allowed": addresses.ALLOWED,
    }


def _groups() -> dict[str, dict[EventType, str]]:
    """Give the types to choose from with what they mean, by what they are about."""
    found: dict[str, dict[EventType, str]] = {}
    for one in _CHOICES:
        found.setdefault(one.partition(".")[0], {})[one] = MEANINGS[one]
    return found


def _said() -> str | None:
    return _SAID.get(flask.request.args.get("said", ""))


def _back(slug: str, endpoint_id: str, said: str) -> Response:
    return flask.redirect(
        flask.url_for("dashboard.webhooks.endpoint", slug=slug, endpoint_id=endpoint_id, said=said),
        303,
    )
