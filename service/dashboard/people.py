"""Who may do what on a site, for its owners."""

from typing import Any

import flask
from flask import Blueprint
from werkzeug.wrappers import Response

from service.base.errors import FieldError, Invalid
from service.core import moderators
from service.core.moderators import Role
from service.core.sites import SiteView
from service.dashboard import forms
from service.dashboard.session import require
from service.serving.here import here

blueprint = Blueprint("people", __name__)
_TEMPLATE = "people.html"
_SAID = {
    "role": "The role was changed; it counts from the next click on.",
    "removed": "Removed. What was decided stays decided.",
    "withdrawn": "The invitation does not work any more.",
}


@blueprint.get("/sites/<slug>/people")
def show(slug: str) -> str:
    """List members and open invitations."""
    site, _ = require(slug, Role.OWNER)
    said = _SAID.get(flask.request.args.get("said", ""))
    return flask.render_template(_TEMPLATE, faults={}, said=said, **_shown(site))


@blueprint.post("/sites/<slug>/people")
def invite(slug: str) -> Response:
    """Invite somebody and show the link, this once; an earlier invitation of theirs ends."""
    site, who = require(slug, Role.OWNER)
    email = forms.field("email")
    try:
        role = _role()
        with here().database.transaction() as ledger:
            token = moderators.invite(ledger, site.id, email, role, actor=who.actor)
    except Invalid as error:
        return forms.again(_TEMPLATE, error, email=email, **_shown(site))
    page = flask.render_template(
        _TEMPLATE,
        faults={},
        link=moderators.link_url(here().settings.public_url, token),
        invited=email.strip(),
        **_shown(site),
    )
    return flask.make_response(page, 201)


@blueprint.post("/sites/<slug>/people/<moderator_id>/role")
def set_role(slug: str, moderator_id: str) -> Response:
    """Change what a member may do."""
    site, who = require(slug, Role.OWNER)
    try:
        role = _role()
        with here().database.transaction() as ledger:
            moderators.set_role(ledger, site.id, moderator_id, role, actor=who.actor)
    except Invalid as error:
        return forms.again(_TEMPLATE, error, **_shown(site))
    themself = moderator_id == who.id and role is not Role.OWNER
    return _back(slug, "role", themself=themself)


@blueprint.post("/sites/<slug>/people/<moderator_id>/remove")
def remove(slug: str, moderator_id: str) -> Response:
    """Take a member off the site."""
    site, who = require(slug, Role.OWNER)
    try:
        with here().database.transaction() as ledger:
            moderators.remove(ledger, site.id, moderator_id, actor=who.actor)
    except Invalid as error:
        return forms.again(_TEMPLATE, error, **_shown(site))
    return _back(slug, "removed", themself=moderator_id == who.id)


@blueprint.post("/sites/<slug>/invitations/<moderator_id>/withdraw")
def withdraw(slug: str, moderator_id: str) -> Response:
    """Take an invitation back."""
    site, who = require(slug, Role.OWNER)
    with here().database.transaction() as ledger:
        moderators.withdraw(ledger, site.id, moderator_id, actor=who.actor)
    return _back(slug, "withdrawn")


def _role() -> Role:
    try:
        return Role(forms.field("role"))
    except ValueError:
        raise Invalid([FieldError("/role", f"Choose one of {', '.join(Role)}.")]) from None


def _shown(site: SiteView) -> dict[str, Any]:
    with here().database.reading() as ledger:
        return {
            "members": moderators.members(ledger, site.id),
            "invitations": moderators.invitations(ledger, site.id),
            "all_roles": list(Role),
        }


def _back(slug: str, said: str, *, themself: bool = False) -> Response:
    if themself:  # who gave up the role has nothing to see here any more
        return flask.redirect(flask.url_for("dashboard.landing.show"), 303)
    return flask.redirect(flask.url_for("dashboard.people.show", slug=slug, said=said), 303)
