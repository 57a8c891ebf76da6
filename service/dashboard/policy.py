"""The policy page: what a site tolerates; nothing is saved before its effect was shown."""

from typing import Any

import flask
from flask import Blueprint
from pydantic import ValidationError
from werkzeug.wrappers import Response

from service.base.errors import FieldError, Invalid
from service.core import sites
from service.core.moderators import Role
from service.dashboard import forms
from service.dashboard.session import require
from service.judgement import previews
from service.pure.policy import Policy, ProofOfWork
from service.serving.here import here

blueprint = Blueprint("policy", __name__)
_TEMPLATE = "policy.html"

_LISTS = {
    "blocked_words": "Words and phrases",
    "blocked_domains": "Sites that are linked to",
    "banned_names": "Names of authors",
    "banned_emails": "E-mail addresses of authors",
    "banned_networks": "Networks (CIDR)",
}
_SWITCHES = {
    "premoderation": "Every comment waits for a person",
    "storm_mode": "In a storm, when too much is odd at once, every comment waits for a person",
    "forms_only": "What comes past the comment form, straight to the API, waits for a person",
    "trust_approved_authors": "Authors with a verified e-mail and approved comments are trusted",
    "share_personal": "Webhooks that ask for it are told e-mail and network addresses",
}
_NUMBERS = {
    "max_links": ("More links than this are held", 0, 1000),
    "write_seconds": ("Comments written in fewer seconds than this are held", 0, 60),
    "trust_after": ("Approved comments before an author is trusted", 1, 100),
    "undo_seconds": ("Seconds in which a decision can be undone before webhooks are told", 0, 300),
}
_CHOICES = {
    "proof_of_work": (
        "Browsers have to work for a second before a comment, or it waits for a person",
        {
            ProofOfWork.NEVER: "never",
            ProofOfWork.STORM: "in a storm",
            ProofOfWork.ALWAYS: "always",
        },
    ),
}
_SHARES = {
    "hold_at_most": ("Good comments that may wait for a person", 10.0, 0.1),
    "mark_at_most": ("Good comments that may be marked as spam", 1.0, 0.01),
}
_SAMPLES = {
    "second_looks": (
        "Decisions that another moderator is asked about as well, blindly",
        100.0,
        0.5,
    ),
}


_SHOWN = {
    "lists": _LISTS,
    "switches": _SWITCHES,
    "numbers": _NUMBERS,
    "choices": _CHOICES,
    "shares": _SHARES,
    "samples": _SAMPLES,
}


@blueprint.get("/sites/<slug>/policy")
def show(slug: str) -> str:
    """Show the form with the present policy."""
    site, _ = require(slug, Role.VIEWER)
    values = site.policy.model_dump(mode="json")
    saved = "saved" in flask.request.args
    return flask.render_template(_TEMPLATE, values=values, faults={}, saved=saved, **_SHOWN)


@blueprint.post("/sites/<slug>/policy")
def ask(slug: str) -> Response:
    """Have a worker work out what the sent policy would do."""
    site, _ = require(slug, Role.OWNER)
    values = _sent()
    try:
        wanted = Policy.model_validate(values)
    except ValidationError as error:
        return forms.again(_TEMPLATE, _invalid(error), values=values, **_SHOWN)
    with here().database.transaction() as session:
        preview_id = previews.ask(session, site.id, wanted)
    return flask.redirect(
        flask.url_for("dashboard.policy.preview", slug=slug, preview_id=preview_id), 303
    )


@blueprint.get("/sites/<slug>/policy/previews/<preview_id>")
def preview(slug: str, preview_id: str) -> str:
    """Show what a policy would do, or that it is being worked out."""
    site, _ = require(slug, Role.VIEWER)
    with here().database.reading() as session:
        found = previews.get(session, site.id, preview_id)
    return flask.render_template(
        "preview.html", preview=found, changed=_changed(site.policy, found)
    )


@blueprint.post("/sites/<slug>/policy/previews/<preview_id>/save")
def save(slug: str, preview_id: str) -> Response:
    """Put the policy that was looked at in place."""
    site, person = require(slug, Role.OWNER)
    with here().database.transaction() as session:
        wanted = previews.get(session, site.id, preview_id).policy
        sites.set_policy(session, site.id, wanted, actor=person.actor)
    return flask.redirect(flask.url_for("dashboard.policy.show", slug=slug, saved=1), 303)


def _sent() -> dict[str, Any]:
    """Read the form: shares in per cent, lists a line each, switches by their presence."""
    form = flask.request.form
    values: dict[str, Any] = {name: _lines(form.get(name, "")) for name in _LISTS}
    values |= {name: name in form for name in _SWITCHES}
    values |= {name: form.get(name, "") for name in (*_NUMBERS, *_CHOICES)}
    for name in (*_SHARES, *_SAMPLES):
        written = form.get(name, "").strip().replace(",", ".")
        try:
            values[name] = float(written) / 100
        except ValueError:
            values[name] = written
    return values


def _lines(written: str) -> list[str]:
    return [line.strip() for line in written.splitlines() if line.strip()]


def _invalid(error: ValidationError) -> Invalid:
    """Give the first fault of each field; one of a list with its line."""
    found: dict[str, FieldError] = {}
    for fault in error.errors():
        name = str(fault["loc"][0]) if fault["loc"] else "hold_at_most"
        message = fault["msg"].removeprefix("Value error, ")
        if len(fault["loc"]) > 1:
            message = f"line {int(fault['loc'][1]) + 1}: {message}"
        found.setdefault(name, FieldError(f"/{name}", message))
    return Invalid(list(found.values()))


def _changed(present: Policy, found: previews.PreviewView) -> dict[str, tuple[Any, Any]]:
    """Give what differs from the present policy: name to before and after."""
    now, then = present.model_dump(mode="json"), found.policy.model_dump(mode="json")
    return {name: (now[name], then[name]) for name in then if now[name] != then[name]}
