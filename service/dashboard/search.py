"""The page of all comments: filters in the address, so that every view has one."""

from datetime import date
from typing import Any
from urllib.parse import urlencode

import flask
from flask import Blueprint, Response

from service import search
from service.dashboard import forms
from service.dashboard.session import require
from service.errors import FieldError, Invalid
from service.here import here
from service.moderators import Role
from service.policy import RULES, Status
from service.search import Filters

blueprint = Blueprint("search", __name__)
_TEMPLATE = "search.html"


@blueprint.get("/sites/<slug>/comments")
def show(slug: str) -> str | Response:
    """Show the comments that the address asks for, newest first."""
    site, _ = require(slug, Role.VIEWER)
    asked = {name: value.strip() for name, value in flask.request.args.items() if value.strip()}
    before = asked.pop("before", None)
    shown = {"asked": asked, "statuses": list(Status), "rules": [r.__name__ for r in RULES]}
    try:
        filters = _filters(asked)
    except Invalid as error:
        return forms.again(_TEMPLATE, error, **shown)
    with here().database.reading() as session:
        found = search.find(session, site.id, filters, before=before)
    more = urlencode({**asked, "before": found.cursor}) if found.cursor else None
    return flask.render_template(_TEMPLATE, faults={}, found=found, more=more, **shown)


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
        "until": (date.fromisoformat, "write a day as 2026-01-31"),
        "score_from": (_share, "write a number from 0 to 100"),
        "score_to": (_share, "write a number from 0 to 100"),
    }
    for name in Filters.__dataclass_fields__:
        if name not in asked:
            continue
        read, message = readers.get(name, (str, ""))
        try:
            values[name] = read(asked[name])
        except ValueError:
            faults.append(FieldError(f"/{name}", message))
    if faults:
        raise Invalid(faults)
    return Filters(**values)


def _share(written: str) -> float:
    share = float(written.removesuffix("%").strip()) / 100
    if not 0 <= share <= 1:
        raise ValueError(written)
    return share
