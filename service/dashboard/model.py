"""The model page: what a site's moderators have taught, and which of it scores."""

import flask
from flask import Blueprint
from werkzeug.wrappers import Response

from service import labels, shadows, versions
from service.dashboard.session import require
from service.errors import NotFound
from service.here import here
from service.moderators import Role
from service.versions import VersionView

blueprint = Blueprint("model", __name__)

_WIDTH, _HEIGHT = 600.0, 160.0


@blueprint.get("/sites/<slug>/model")
def show(slug: str) -> str:
    """Show versions, labels, the learning curve and what the shadow says."""
    site, _ = require(slug, Role.VIEWER)
    with here().database.reading() as session:
        standing = versions.standing(session, site.id)
        views = versions.listing(session, site.id)
        changes = versions.changes(session, site.id)
        found = labels.of_site(session, site.id, here().settings.train_burst)
        shadow = shadows.moves(session, site.id) if standing.shadow is not None else None
    return flask.render_template(
        "model.html",
        standing=standing,
        versions=views[::-1],
        changes=changes[::-1],
        labels=found,
        shadow=shadow,
        curve=_curve(views),
        size=(_WIDTH, _HEIGHT),
    )


@blueprint.post("/sites/<slug>/model/promote")
def promote(slug: str) -> Response:
    """Have a version score from the next comment on."""
    site, person = require(slug, Role.OWNER)
    with here().database.transaction() as session:
        versions.promote(session, site.id, _number(), actor=person.actor, reason="by hand")
    return _back(slug)


@blueprint.post("/sites/<slug>/model/rollback")
def roll_back(slug: str) -> Response:
    """Go back to the version before."""
    site, person = require(slug, Role.OWNER)
    with here().database.transaction() as session:
        versions.roll_back(session, site.id, actor=person.actor)
    return _back(slug)


@blueprint.post("/sites/<slug>/model/shadow")
def shadow(slug: str) -> Response:
    """Have a version score silently, or none."""
    site, _ = require(slug, Role.OWNER)
    number = None if flask.request.form.get("number") == "off" else _number()
    with here().database.transaction() as session:
        versions.set_shadow(session, site.id, number)
    return _back(slug)


@blueprint.post("/sites/<slug>/model/release")
def release(slug: str) -> Response:
    """Believe an actor's labels that are in quarantine."""
    site, _ = require(slug, Role.OWNER)
    with here().database.transaction() as session:
        labels.release(session, site.id, flask.request.form.get("actor", ""))
    return _back(slug)


def _number() -> int:
    written = flask.request.form.get("number", "")
    if not written.isdecimal() or len(written) > 9:
        raise NotFound("there is no such version")
    return int(written)


def _back(slug: str) -> Response:
    return flask.redirect(flask.url_for("dashboard.model.show", slug=slug), 303)


def _curve(views: list[VersionView]) -> dict[str, str]:
    """Give the points of two lines: share right of each candidate, and of what scored then.

    Across, the labels each was taught by; up, the share of unseen decisions right, 50-100 %.
    """
    if len(views) < 2:
        return {}
    counts = [view.report["labels"]["ham"] + view.report["labels"]["spam"] for view in views]
    most = max(counts)
    lines = {}
    for name in ("candidate", "current"):
        points = []
        for count, view in zip(counts, views, strict=True):
            right = max(0.5, view.report["comparison"][f"accuracy_{name}"])
            points.append(f"{count / most * _WIDTH:.1f},{(1 - right) * 2 * _HEIGHT:.1f}")
        lines[name] = " ".join(points)
    return lines
