"""What every template of the dashboard can use: who, where, navigation, forms, assets, times."""

import hashlib
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import flask
from flask import Blueprint
from markupsafe import Markup

from service.base.errors import Unavailable
from service.core import storms
from service.core.moderators import Role
from service.core.storms import StormView
from service.core.webhooks import endpoints
from service.core.webhooks.endpoints import EndpointView
from service.dashboard import guard, session
from service.serving.here import here

_STATIC = Path(__file__).parent / "static"


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a site's navigation: shown to who may see the page, if it is there."""

    label: str
    endpoint: str
    role: Role


NAVIGATION = (
    Entry("Overview", "dashboard.overview.show", Role.VIEWER),
    Entry("Queue", "dashboard.queue.show", Role.VIEWER),
    Entry("Comments", "dashboard.search.show", Role.VIEWER),
    Entry("History", "dashboard.history.show", Role.VIEWER),
    Entry("Policy", "dashboard.policy.show", Role.VIEWER),
    Entry("Model", "dashboard.model.show", Role.VIEWER),
    Entry("Webhooks", "dashboard.webhooks.show", Role.VIEWER),
    Entry("People", "dashboard.people.show", Role.OWNER),
)


def equip(blueprint: Blueprint) -> None:
    """Give a blueprint's templates, and all that is registered in it, what they use."""
    digests = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()[:16]
        for path in _STATIC.glob("*")
        if path.is_file()
    }

    def asset(name: str) -> str:
        return flask.url_for("dashboard.static", filename=name, v=digests[name])

    @blueprint.context_processor
    def _context() -> dict[str, Any]:
        person, site = session.known(), flask.g.get("dashboard_site")
        settings = here().settings
        context: dict[str, Any] = {
            "asset": asset,
            "csrf_field": csrf_field,
            "csrf_token": session.csrf_token,
            "person": person,
            "provider": settings.oidc_name if settings.oidc_issuer else None,
            "navigation": [],
        }
        if person is not None and site is not None:
            context["site"] = site
            context["may"] = partial(person.may, site.id)
            is_owner = person.may(site.id, Role.OWNER)
            context["storm"], context["given_up"] = _banners(site.id, is_owner=is_owner)
            context["navigation"] = [
                entry for entry in entries() if person.may(site.id, entry.role)
            ]
        return context

    blueprint.add_app_template_filter(when, "when")


def _banners(site_id: str, *, is_owner: bool) -> tuple[StormView | None, list[EndpointView]]:
    """Give what every page tells: the storm that is on, and to owners what was disabled by itself.

    Nothing to a page that says that the ledger is away.
    """
    try:
        with here().database.reading() as ledger:
            given_up = endpoints.given_up(ledger, site_id) if is_owner else []
            return storms.current(ledger, site_id), given_up
    except Unavailable:
        return None, []


def entries() -> list[Entry]:
    """Give the entries of a site's navigation whose pages this application has."""
    return [one for one in NAVIGATION if one.endpoint in flask.current_app.view_functions]


def csrf_field() -> Markup:
    """Give the hidden field that every form with `method="post"` needs."""
    return Markup('<input type="hidden" name="{}" value="{}">').format(
        guard.CSRF_FIELD, session.csrf_token()
    )


def when(moment: datetime | None) -> Markup | str:
    """Give a time for people, with the exact one for their programs."""
    if moment is None:
        return "never"
    return Markup('<time datetime="{}">{} UTC</time>').format(
        moment.isoformat(timespec="seconds"), f"{moment:%Y-%m-%d %H:%M}"
    )
