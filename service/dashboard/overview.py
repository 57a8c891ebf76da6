"""The overview page: how moderation has gone lately."""

import flask
from flask import Blueprint

from service.core import overview
from service.core.moderators import Role
from service.dashboard import plots
from service.dashboard.session import require
from service.ledger.db import utc_now
from service.pure.policy import Status
from service.serving.here import here

blueprint = Blueprint("overview", __name__)

_SHOWN = (Status.APPROVED, Status.PENDING, Status.SPAM, Status.REJECTED, Status.DELETED)
_DAY, _HOUR = "%d %b", "%d %b %H:%M"


@blueprint.get("/sites/<slug>/")
def show(slug: str) -> str:
    """Show the figures and the picture of the last days."""
    site, _ = require(slug, Role.VIEWER)
    with here().database.reading() as session:
        found = overview.of_site(session, site.id)
    stormy = [(one.started_at, one.ended_at or utc_now(), one.told) for one in found.storms]
    return flask.render_template(
        "overview.html",
        found=found,
        statuses=_SHOWN,
        days=plots.stack(found.days, _SHOWN, form=_DAY, every=3, marks=stormy),
        hours=plots.stack(found.hours, _SHOWN, form=_HOUR, every=8, marks=stormy),
        forms=(_DAY, _HOUR),
        size=(plots.WIDTH, plots.HEIGHT),
        duration=_duration,
    )


def _duration(seconds: float | None) -> str:
    """Write a time span for people: 40 s, 12 min, 5 h, 3 days."""
    if seconds is None:
        return "–"
    for unit, size in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
