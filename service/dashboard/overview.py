"""The overview page: how moderation has gone lately."""

from datetime import date
from typing import Any

import flask
from flask import Blueprint

from service import overview
from service.dashboard.session import require
from service.here import here
from service.moderators import Role
from service.overview import Overview
from service.policy import Status

blueprint = Blueprint("overview", __name__)

_SHOWN = (Status.APPROVED, Status.PENDING, Status.SPAM, Status.REJECTED, Status.DELETED)
_WIDTH, _HEIGHT = 600.0, 160.0


@blueprint.get("/sites/<slug>/")
def show(slug: str) -> str:
    """Show the figures and the picture of the last days."""
    site, _ = require(slug, Role.VIEWER)
    with here().database.reading() as session:
        found = overview.of_site(session, site.id)
    return flask.render_template(
        "overview.html",
        found=found,
        statuses=_SHOWN,
        bars=_bars(found),
        size=(_WIDTH, _HEIGHT),
        duration=_duration,
    )


def _bars(found: Overview) -> list[dict[str, Any]]:
    """Give the parts of each day's bar, from the bottom up."""
    most = found.busiest or 1
    wide = _WIDTH / max(1, len(found.days))
    bars = []
    for place, (day, counts) in enumerate(found.days.items()):
        top = _HEIGHT
        for status in _SHOWN:
            tall = counts[status] / most * _HEIGHT
            top -= tall
            if tall:
                bars.append(_bar(day, status, counts[status], place * wide, top, wide, tall))
    return bars


def _bar(
    day: date, status: Status, count: int, left: float, top: float, wide: float, tall: float
) -> dict[str, Any]:
    return {
        "title": f"{day:%d %b}: {count} {status}",
        "status": status,
        "x": round(left + wide * 0.12, 1),
        "y": round(top, 1),
        "width": round(wide * 0.76, 1),
        "height": round(tall, 1),
    }


def _duration(seconds: float | None) -> str:
    """Write a time span for people: 40 s, 12 min, 5 h, 3 days."""
    if seconds is None:
        return "–"
    for unit, size in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
