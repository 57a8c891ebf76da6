"""The page of all comments: filters in the address, so that every view has one, and may be kept."""

from datetime import date
from typing import Any
from urllib.parse import parse_qsl, urlencode

import flask
from flask import Blueprint, Response
from werkzeug.wrappers import Response as AnyResponse

from service.base.errors import FieldError, Invalid, NotFound
from service.core import filters as saved
from service.core import search
from service.core.moderators import Role
from service.core.search import Filters
from service.core.sites import SiteView
from service.dashboard import forms
from service.dashboard.session import require
from service.pure import terms, text
from service.pure.policy import RULES, Status
from service.serving.here import here

blueprint = Blueprint("search", __name__)
_TEMPLATE = "search.html"
_WORDS_MOST = 200


@blueprint.get("/sites/<slug>/comments")
def show(slug: str) -> str | Response:
    """Show the comments that the address asks for, newest first."""
    site, _ = require(slug, Role.VIEWER)
    asked = _asked(flask.request.args.items())
    before = flask.request.args.get("before") or None
    if before is not None and text.unstorable(before):
        raise NotFound("there is no such page")
    try:
        return flask.render_template(_TEMPLATE, faults={}, **_found(site, asked, before))
    except Invalid as error:
        return forms.again(_TEMPLATE, error, **_shown(site, asked))


@blueprint.post("/sites/<slug>/filters")
def save(slug: str) -> AnyResponse:
    """Save a view under a name."""
    site, who = require(slug, Role.MODERATOR)
    name, asked = forms.field("name"), _asked(parse_qsl(forms.field("query")))
    try:
        _filters(asked)
        with here().database.transaction() as ledger:
            saved.save(
                ledger,
                site.id,
                name,
                urlencode(asked),
                actor=who.actor,
                is_owner=who.may(site.id, Role.OWNER),
            )
    except Invalid as error:
        return forms.again(_TEMPLATE, error, **_shown(site, asked), name=name)
    page = flask.url_for("dashboard.search.show", slug=slug)
    return flask.redirect(f"{page}?{urlencode(asked)}", 303)


@blueprint.post("/sites/<slug>/filters/remove")
def remove(slug: str) -> AnyResponse:
    """Remove a saved view."""
    site, who = require(slug, Role.MODERATOR)
    name = forms.field("name")
    is_owner = who.may(site.id, Role.OWNER)
    with here().database.transaction() as ledger:
        saved.remove(ledger, site.id, name, actor=who.actor, is_owner=is_owner)
    return flask.redirect(flask.url_for("dashboard.search.show", slug=slug), 303)


def _asked(pairs: Any) -> dict[str, str]:
    """Give what is asked for, always in the same order, so that the same view is the same text."""
    given = {name: value.strip() for name, value in pairs if value.strip()}
    return {name: given[name] for name in Filters.__dataclass_fields__ if name in given}


def _shown(site: SiteView, asked: dict[str, str]) -> dict[str, Any]:
    """Give what the page shows besides hits."""
    with here().database.reading() as session:
        kept = saved.listing(session, site.id)
    return {
        "asked": asked,
        "query": urlencode(asked),
        "kept": kept,
        "statuses": list(Status),
        "rules": [rule.__name__ for rule in RULES],
    }


def _found(site: SiteView, asked: dict[str, str], before: str | None) -> dict[str, Any]:
    """Give what the page shows with hits.

    Raises:
        Invalid: a filter is not what it has to be.
    """
    filters = _filters(asked)
    with here().database.reading() as session:
        found = search.find(session, site.id, filters, before=before)
        empty = not found.hits and found.cursor is None
        gaps = search.gaps(session) if empty else None
    words, author, email = asked.get("words", ""), asked.get("author", ""), asked.get("email", "")
    return {
        **_shown(site, asked),
        "found": found,
        "gaps": gaps,
        "more": urlencode({**asked, "before": found.cursor}) if found.cursor else None,
        "in_text": terms.pattern(words),
        "in_name": terms.pattern(f"{words} {author}"),
        "in_email": terms.pattern(f"{words} {email}"),
    }


def _filters(asked: dict[str, str]) -> Filters:
    """Read the filters.

    Raises:
        Invalid: something is no day, number or status; every fault at once.
    """
    values: dict[str, Any] = {}
    faults: list[FieldError] = []
    readers = {
        "status": (Status, "is no status"),
        "since": (date.fromisoformat, "write a day as 2026-01-31"),
        "until": (_last_day, "write a day as 2026-01-31"),
        "score_from": (_share, "write a number from 0 to 100"),
        "score_to": (_share, "write a number from 0 to 100"),
        "words": (_brief, f"write at most {_WORDS_MOST} characters"),
        "author": (_brief, f"write at most {_WORDS_MOST} characters"),
    }
    for name, value in asked.items():
        read, message = readers.get(name, (str, ""))
        fault = text.unstorable(value)
        try:
            values[name] = read(value)
        except ValueError:
            fault = fault or message
        if fault:
            faults.append(FieldError(f"/{name}", fault))
    if faults:
        raise Invalid(faults)
    return Filters(**values)


def _brief(written: str) -> str:
    if len(written) > _WORDS_MOST:
        raise ValueError(written)
    return written


def _last_day(written: str) -> date:
    day = date.fromisoformat(written)
    if day == date.max:  # it has no day after it
        raise ValueError(written)
    return day


def _share(written: str) -> float:
    share = float(written.removesuffix("%").strip()) / 100
    if not 0 <= share <= 1:
        raise ValueError(written)
    return share
