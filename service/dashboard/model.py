"""The model pages: what a site's moderators have taught, which of it scores, how far they agree."""

from dataclasses import dataclass
from typing import Any

import flask
from flask import Blueprint
from werkzeug.wrappers import Response

from service.base.errors import NotFound
from service.core import moderators
from service.core.moderators import Role
from service.dashboard import plots
from service.dashboard.plots import Lines, Stack
from service.dashboard.session import require
from service.judgement import labels, previews, second_looks, shadows, versions
from service.judgement.versions import VersionView
from service.pure import agreement
from service.serving.here import here

blueprint = Blueprint("model", __name__)

_NUMBER_MOST = 999_999_999
# Fewer pairs than that say little of how far people agree.
_FEW_PAIRS = 30


@dataclass(frozen=True, slots=True)
class Drawn:
    """The pictures of one version's report, and the figures of their tables.

    Attributes:
        scores: of good comments and of spam.
        steps: the same, each occupied step of the score as written.
        reliability, calibration: what became of each score.
        growth, curve: the learning curve; `None` and empty on a site with few decisions.
    """

    scores: Stack
    steps: list[tuple[str, int, int]]
    reliability: Lines
    calibration: list[dict[str, Any]]
    growth: Lines | None
    curve: list[dict[str, Any]]


@blueprint.get("/sites/<slug>/model")
def show(slug: str) -> str:
    """Show which version scores, the candidate, the learning curve, and how far people agree."""
    site, _ = require(slug, Role.VIEWER)
    with here().database.reading() as session:
        standing = versions.standing(session, site.id)
        views = versions.listing(session, site.id)[::-1]
        changes = versions.changes(session, site.id)
        found = labels.of_site(session, site.id, here().settings.train_burst)
        shadow = shadows.moves(session, site.id) if standing.shadow is not None else None
        pairs = second_looks.counts(session, site.id)
        apart = second_looks.apart(session, site.id)
        actors = {one.actor for one in changes} | set(found.suspects)
        actors |= {who for one in apart for who in (one.decided_by, one.said_by)}
        called = moderators.names(session, actors)
    drawn = {view.number: _draw(view) for view in views}
    grown = (view for view in views if (pictures := drawn[view.number]) and pictures.growth)
    newest = views[0] if views else None
    return flask.render_template(
        "model.html",
        standing=standing,
        versions=views,
        current=next((view for view in views if view.number == standing.model), None),
        candidate=newest if newest and newest.number != standing.model else None,
        drawn=drawn,
        grown=next(grown, None),
        size=(plots.WIDTH, plots.HEIGHT),
        changes=changes[::-1],
        labels=found,
        shadow=shadow,
        agreement=agreement.of(pairs),
        pairs=pairs,
        apart=apart,
        answers=second_looks.ANSWERS,
        few=_FEW_PAIRS,
        names=called,
    )


@blueprint.get("/sites/<slug>/model/versions/<int:number>")
def version(slug: str, number: int) -> str:
    """Show the whole report of a version."""
    site, _ = require(slug, Role.VIEWER)
    if number > _NUMBER_MOST:
        raise NotFound("there is no such version")
    with here().database.reading() as session:
        view = versions.get(session, site.id, number)
        standing = versions.standing(session, site.id)
    return flask.render_template(
        "version.html",
        view=view,
        standing=standing,
        drawn=_draw(view),
        size=(plots.WIDTH, plots.HEIGHT),
    )


@blueprint.post("/sites/<slug>/model/preview")
def preview(slug: str) -> Response:
    """Have a worker work out what a version would have done to the last days' comments."""
    site, _ = require(slug, Role.OWNER)
    number = _number()
    with here().database.transaction() as session:
        if number != versions.SHIPPED:
            versions.get(session, site.id, number)
        preview_id = previews.ask(session, site.id, site.policy, number)
    return flask.redirect(
        flask.url_for("dashboard.policy.preview", slug=slug, preview_id=preview_id), 303
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
    if not written.isdecimal() or len(written) > len(str(_NUMBER_MOST)):
        raise NotFound("there is no such version")
    return int(written)


def _back(slug: str) -> Response:
    return flask.redirect(flask.url_for("dashboard.model.show", slug=slug), 303)


def _draw(view: VersionView) -> Drawn | None:
    """Draw a version's report; `None` for one that was made before there was something to draw."""
    appraisal = view.report.get("appraisal")
    if appraisal is None:
        return None
    ham, spam, curve = appraisal["ham"], appraisal["spam"], appraisal["curve"]
    steps = [
        (f"{100 * place // len(ham)} to {100 * (place + 1) // len(ham)} %", *counts)
        for place, counts in enumerate(zip(ham, spam, strict=True))
        if any(counts)
    ]
    return Drawn(
        scores=plots.scores(ham, spam),
        steps=steps,
        reliability=plots.reliability(appraisal["calibration"]),
        calibration=appraisal["calibration"],
        growth=plots.growth(curve) if curve else None,
        curve=curve,
    )
