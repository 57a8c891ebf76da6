"""The log of webhooks: what was sent to whom, what became of it, and sending it again."""

from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from urllib.parse import urlencode

import flask
from flask import Blueprint
from werkzeug.wrappers import Response

from service.api import parsing
from service.api.deliveries import SELECTED_MOST, Id
from service.api.schemas import Blank, Request
from service.base.errors import FieldError, Invalid
from service.core.moderators import Role
from service.core.sites import SiteView
from service.core.webhooks import endpoints, log
from service.core.webhooks.log import DeliveryView
from service.dashboard import forms
from service.dashboard.session import require
from service.ledger.models import DeliveryStatus
from service.pure import text
from service.pure.events import EventType
from service.serving.here import here

blueprint = Blueprint("deliveries", __name__)
_TEMPLATE = "deliveries.html"
_PAGE = 50
NOT_NOW = (
    "Nothing is sent again: it is being tried at this moment, waits for its first attempt, was"
    " recalled, or its endpoint is disabled."
)


class _Asked(Request):
    """The filters of the page."""

    endpoint_id: Blank[Id] = None
    status: Blank[DeliveryStatus] = None
    type: Blank[EventType] = None
    comment_id: Blank[Id] = None
    since: Blank[date] = None
    until: Blank[date] = None
    before: Blank[Id] = None
    replayed: Blank[int] = None


@blueprint.get("/sites/<slug>/deliveries")
def show(slug: str) -> str | Response:
    """Show the deliveries that the address asks for, newest first."""
    site, _ = require(slug, Role.VIEWER)
    try:
        asked = parsing.query(_Asked)
        rows = _found(site, asked)
    except Invalid as error:
        return forms.again(_TEMPLATE, error, rows=[], **_shown(site))
    older = urlencode({**_given(), "before": rows[-1].id}) if len(rows) == _PAGE else None
    return flask.render_template(
        _TEMPLATE, faults={}, rows=rows, older=older, said=_said(asked.replayed), **_shown(site)
    )


@blueprint.get("/sites/<slug>/deliveries/<delivery_id>")
def delivery(slug: str, delivery_id: str) -> str:
    """Show one delivery with each attempt and its body as it is sent."""
    site, _ = require(slug, Role.VIEWER)
    replayed = flask.request.args.get("replayed")
    with here().database.reading() as ledger:
        view = log.get(ledger, site.id, delivery_id)
        body = log.body(ledger, site.id, delivery_id).decode()
        attempts = log.attempts(ledger, [delivery_id])[delivery_id]
    return flask.render_template(
        "delivery.html",
        one=view,
        body=body,
        attempts=attempts,
        told=told,
        said=None if replayed is None else _said(int(replayed == "1")),
    )


@blueprint.post("/sites/<slug>/deliveries/<delivery_id>/replay")
def replay(slug: str, delivery_id: str) -> Response:
    """Send one delivery again."""
    site, _ = require(slug, Role.OWNER)
    with here().database.transaction() as ledger:
        log.get(ledger, site.id, delivery_id)
        count = log.replay(ledger, site.id, [delivery_id])
    page = "dashboard.webhooks.deliveries.delivery"
    return flask.redirect(
        flask.url_for(page, slug=slug, delivery_id=delivery_id, replayed=count), 303
    )


@blueprint.post("/sites/<slug>/deliveries/replay")
def replay_selected(slug: str) -> Response:
    """Send those that were picked again."""
    site, _ = require(slug, Role.OWNER)
    picked = flask.request.form.getlist("delivery_id")[:SELECTED_MOST]
    if any(text.unstorable(one) for one in picked):
        raise Invalid([FieldError("/delivery_id", "is no delivery")])
    with here().database.transaction() as ledger:
        count = log.replay(ledger, site.id, picked)
    return _back(slug, count)


@blueprint.post("/sites/<slug>/deliveries/replay-since")
def replay_since(slug: str) -> Response:
    """Send an endpoint again what it was to be told since a moment."""
    site, _ = require(slug, Role.OWNER)
    endpoint_id = forms.field("endpoint_id")
    try:
        moment = _moment(forms.field("moment"))
    except Invalid as error:
        return forms.again(_TEMPLATE, error, rows=[], **_shown(site))
    with here().database.transaction() as ledger:
        endpoints.get(ledger, site.id, endpoint_id)
        count = log.replay_since(
            ledger, site.id, endpoint_id, moment, dead_only="dead_only" in flask.request.form
        )
    return _back(slug, count, endpoint_id=endpoint_id)


def told(one: DeliveryView) -> str:
    """Say where a delivery stands, in words."""
    match one.status:
        case DeliveryStatus.DELIVERED:
            return "delivered"
        case DeliveryStatus.DEAD:
            return f"dead: {one.reason}"
        case DeliveryStatus.RECALLED:
            return f"recalled: {one.reason}"
        case _ if one.attempts == 0:
            return "waits for its first attempt"
        case _ if one.reason is None:
            return "is being tried"
        case _:
            return f"failed: {one.reason}; is tried again"


def _found(site: SiteView, asked: _Asked) -> list[DeliveryView]:
    with here().database.reading() as ledger:
        return log.listing(
            ledger,
            site.id,
            endpoint_id=asked.endpoint_id,
            status=asked.status,
            event_type=asked.type,
            comment_id=asked.comment_id,
            since=None if asked.since is None else _midnight(asked.since),
            until=None if asked.until is None else _midnight(asked.until, days=1),
            before=asked.before,
            most=_PAGE,
        )


def _midnight(day: date, *, days: int = 0) -> datetime:
    try:
        return datetime.combine(day, time(), UTC) + timedelta(days=days)
    except OverflowError:
        raise Invalid([FieldError("/until", "write a day as 2026-01-31")]) from None


def _moment(written: str) -> datetime:
    """Read what a browser makes of a day and a time of day, in UTC."""
    try:
        return datetime.fromisoformat(written.strip().removesuffix("Z")).replace(tzinfo=UTC)
    except ValueError:
        raise Invalid([FieldError("/moment", "write it as 2026-01-31T12:00, in UTC")]) from None


def _given() -> dict[str, str]:
    """Give the filters as they stand in the address."""
    names = set(_Asked.model_fields) - {"before", "replayed"}
    return {name: value for name, value in flask.request.args.items() if name in names and value}


def _shown(site: SiteView) -> dict[str, Any]:
    """Give what the page shows besides deliveries."""
    with here().database.reading() as ledger:
        found = endpoints.listing(ledger, site.id)
    return {
        "endpoints": {one.id: one.description or one.url for one in found},
        "asked": _given(),
        "types": dict.fromkeys(EventType),
        "statuses": dict.fromkeys(DeliveryStatus),
        "told": told,
    }


def _said(count: int | None) -> str | None:
    if count is None:
        return None
    return f"{count} on the way again." if count else NOT_NOW


def _back(slug: str, count: int, endpoint_id: str | None = None) -> Response:
    page = "dashboard.webhooks.deliveries.show"
    return flask.redirect(
        flask.url_for(page, slug=slug, replayed=count, endpoint_id=endpoint_id), 303
    )
