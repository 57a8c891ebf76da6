"""`hamgate model …`: what a site's moderators have taught, and which of it scores."""

import dataclasses
import json
from typing import TYPE_CHECKING, Any

import click

from service.base.config import Settings
from service.cli.opening import open_database, progress, with_settings

if TYPE_CHECKING:
    from service.judgement.labels import Labels

_SITE = click.argument("slug", metavar="SITE")
_NUMBER = click.argument("number", metavar="VERSION", type=click.IntRange(min=0))
_JSON = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")


@click.group(short_help="Look at, train and choose a site's model.")
def model() -> None:
    """Look at, train and choose a site's model.

    A site's comments are scored by the shipped model and, on top, by what its moderators have
    taught. Each training makes a version, 1, 2, 3 …; version 0 is the shipped model alone. A
    version scores comments only if it is better on decisions it has not seen, or if you say so.
    """


@model.command("list", short_help="List a site's versions.")
@_SITE
@_JSON
@with_settings
def model_list(settings: Settings, slug: str, as_json: bool) -> None:
    """List the versions of SITE's model with how they were judged, and its labels."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from service.core import sites
    from service.judgement import labels, versions

    with open_database(settings).reading() as session:
        site = sites.find(session, slug)
        standing = versions.standing(session, site.id)
        views = versions.listing(session, site.id)
        found = labels.of_site(session, site.id, settings.train_burst)
    if as_json:
        values = [dataclasses.asdict(view) for view in views]
        click.echo(_as_json({**dataclasses.asdict(standing), "versions": values}))
        return
    table = Table(box=box.SIMPLE)
    for heading in ("version", "made", "labels", "right on unseen", "of", "before", ""):
        table.add_column(heading, justify="left" if heading in ("made", "") else "right")
    table.add_row("0", "shipped", "", "", "", "", _role(0, standing.model, standing.shadow))
    for view in views:
        judged = view.report["comparison"]
        table.add_row(
            str(view.number),
            f"{view.created_at:%Y-%m-%d %H:%M}",
            str(view.report["labels"]["ham"] + view.report["labels"]["spam"]),
            f"{judged['accuracy_candidate']:.1%}",
            str(view.report["unseen"]),
            f"{judged['accuracy_current']:.1%}",
            _role(view.number, standing.model, standing.shadow) or judged["reason"],
        )
    Console().print(table)
    click.echo(_told(found, slug))
    if not standing.promotes:
        click.echo(
            "Training promotes nothing by itself since a person rolled back; "
            f"`hamgate model promote {slug} VERSION` lets it again."
        )


@model.command("show", short_help="Show how a version was judged.")
@_SITE
@_NUMBER
@_JSON
@with_settings
def model_show(settings: Settings, slug: str, number: int, as_json: bool) -> None:
    """Show the report of VERSION of SITE's model, and when it has scored."""
    from service.core import sites
    from service.judgement import shadows, versions

    with open_database(settings).reading() as session:
        site = sites.find(session, slug)
        standing = versions.standing(session, site.id)
        changes = versions.changes(session, site.id)
        view = None if number == versions.SHIPPED else versions.get(session, site.id, number)
        shadow = None
        if standing.shadow == number:
            shadow = shadows.moves(session, site.id)
    if as_json:
        click.echo(_as_json(None if view is None else dataclasses.asdict(view)))
        return
    if view is None:
        click.echo("version 0: the shipped model alone")
    else:
        _show_report(view.number, view.report, view.base, f"{view.created_at:%Y-%m-%d %H:%M}")
    for change in changes:
        if number in (change.number, change.old_number):
            click.echo(
                f"{change.changed_at:%Y-%m-%d %H:%M}  {change.old_number} -> {change.number}"
                f"  by {change.actor}: {change.reason}"
            )
    if shadow is not None:
        click.echo(f"as shadow: {shadow.total()} comments scored beside the present model")
        for (decided, would), count in sorted(shadow.items()):
            if decided != would:
                click.echo(f"  {count} were {decided}, it would have them {would}")


@model.command("train", short_help="Teach a version now.")
@_SITE
@with_settings
def model_train(settings: Settings, slug: str) -> None:
    """Teach SITE's model from its moderators' decisions now, without waiting for the worker.

    The version is promoted if it is better on decisions it has not seen; it is kept with its
    report either way.
    """
    from service.core import sites
    from service.judgement import labels, learning
    from service.pure.scoring import Scorer

    database = open_database(settings)
    with database.reading() as session:
        site = sites.find(session, slug)
        found = labels.of_site(session, site.id, settings.train_burst)
    click.echo(_told(found, slug))
    with progress("training") as show:
        lesson = learning.train(database, Scorer(settings.model), site.id, settings, progress=show)
    if lesson.number is None:
        click.echo(f"no version made: {lesson.reason}")
        return
    done = "scores from now on" if lesson.promoted else "is kept, but does not score"
    click.echo(f"version {lesson.number} {done}: {lesson.reason}")
    click.echo(f"`hamgate model show {slug} {lesson.number}` tells more")


@model.command("evaluate", short_help="Try every version on decisions it has not seen.")
@_SITE
@_JSON
@with_settings
def model_evaluate(settings: Settings, slug: str, as_json: bool) -> None:
    """Try each version of SITE's model on the decisions people took after it was taught."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from service.core import sites
    from service.judgement import learning
    from service.judgement.shelf import Shelf
    from service.pure.scoring import Scorer

    with open_database(settings).reading() as session:
        site = sites.find(session, slug)
        trials = learning.evaluate(session, Scorer(settings.model), Shelf(), site.id, settings)
    if as_json:
        click.echo(_as_json([dataclasses.asdict(trial) for trial in trials]))
        return
    table = Table(box=box.SIMPLE)
    for heading in ("version", "unseen decisions", "right", "shipped", "log loss", "shipped"):
        table.add_column(heading, justify="right")
    for trial in trials:
        shown = ("–", "–", "–", "–")
        if trial.decisions:
            shown = (
                f"{trial.right:.1%}",
                f"{trial.right_shipped:.1%}",
                f"{trial.loss:.3f}",
                f"{trial.loss_shipped:.3f}",
            )
        table.add_row(str(trial.number), str(trial.decisions), *shown)
    Console().print(table)


@model.command("promote", short_help="Have a version score.")
@_SITE
@_NUMBER
@with_settings
def model_promote(settings: Settings, slug: str, number: int) -> None:
    """Have VERSION score SITE's comments from the next one on; 0 is the shipped model alone.

    Training may promote better ones by itself again, if a rollback had stopped that.
    """
    from service.core import sites
    from service.core.changes import OPERATOR
    from service.judgement import budgets, versions
    from service.judgement.shelf import Shelf
    from service.pure.scoring import Scorer

    database, scorer = open_database(settings), Scorer(settings.model)
    with database.transaction() as session:
        site = sites.find(session, slug)
        versions.check_usable(session, site.id, number, scorer.version)
        versions.promote(session, site.id, number, actor=OPERATOR, reason="by hand")
    budgets.choose(database, scorer, Shelf(), site.id)
    click.echo(f"version {number} scores from now on")
    click.echo(f"`hamgate model rollback {slug}` takes it back", err=True)


@model.command("rollback", short_help="Go back to the version before.")
@_SITE
@with_settings
def model_rollback(settings: Settings, slug: str) -> None:
    """Have the version before the present one score SITE's comments again.

    Training then promotes nothing by itself, until you promote a version: no machine brings
    back what a person has put away.
    """
    from service.core import sites
    from service.core.changes import OPERATOR
    from service.judgement import budgets, versions
    from service.judgement.shelf import Shelf
    from service.pure.scoring import Scorer

    database = open_database(settings)
    with database.transaction() as session:
        site = sites.find(session, slug)
        now, before = versions.roll_back(session, site.id, actor=OPERATOR)
    budgets.choose(database, Scorer(settings.model), Shelf(), site.id)
    click.echo(f"version {before} scores from now on, in place of {now}")
    click.echo(f"`hamgate model promote {slug} {now}` takes it back", err=True)


class _ShadowNumber(click.ParamType["int | None"]):
    name = "version"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> int | None:
        if value == "off":
            return None
        if not str(value).isdecimal():
            self.fail(f"{value} is no version; write its number, or off")
        return int(value)


@model.command("shadow", short_help="Have a version score beside the present one.")
@_SITE
@click.argument("number", metavar="VERSION|off", type=_ShadowNumber())
@with_settings
def model_shadow(settings: Settings, slug: str, number: int | None) -> None:
    """Have VERSION score SITE's comments silently beside the present one.

    It decides nothing; `hamgate model show` then says what it would have decided otherwise.
    """
    from service.core import sites
    from service.judgement import versions
    from service.pure.scoring import Scorer

    with open_database(settings).transaction() as session:
        site = sites.find(session, slug)
        if number is not None:
            versions.check_usable(session, site.id, number, Scorer(settings.model).version)
        versions.set_shadow(session, site.id, number)
    if number is None:
        click.echo("no shadow any more")
    else:
        click.echo(f"version {number} scores beside the present one and decides nothing")


@model.command("release", short_help="Believe labels that are in quarantine.")
@_SITE
@click.argument("actor")
@with_settings
def model_release(settings: Settings, slug: str, actor: str) -> None:
    """Believe what ACTOR has decided on SITE until now.

    Many labels against the classifier by one actor in one hour are not learnt from until
    somebody else decides the same, or you say so here. `hamgate model list` names the actors.
    """
    from service.core import sites
    from service.judgement import labels

    with open_database(settings).transaction() as session:
        site = sites.find(session, slug)
        count = labels.release(session, site.id, actor)
    click.echo(f"{count} decisions of {actor} are believed")


def _role(number: int, scoring: int, shadow: int | None) -> str:
    if number == scoring:
        return "scores"
    return "shadow" if number == shadow else ""


def _told(found: "Labels", slug: str) -> str:
    lines = [f"labels: {found.ham} good, {found.spam} spam"]
    for actor, count in found.suspects.most_common():
        lines.append(
            f"quarantined: {count} of {actor}, too many at once against the classifier; "
            f"look at them, then `hamgate model release {slug} {actor}`"
        )
    return "\n".join(lines)


def _show_report(number: int, report: dict[str, Any], base: str, made: str) -> None:
    counts, judged, expected = report["labels"], report["comparison"], report["expected"]
    click.echo(f"version {number} on top of {base}, made {made}")
    click.echo(
        f"taught by {counts['ham']} good comments and {counts['spam']} spam;"
        f" {counts['quarantined']} labels in quarantine"
    )
    click.echo(
        f"on {report['unseen']} decisions that version {report['against']} had not seen:"
        f" right {judged['accuracy_candidate']:.1%}, before {judged['accuracy_current']:.1%};"
        f" log loss {judged['loss_candidate']:.3f}, before {judged['loss_current']:.3f}"
    )
    click.echo(f"judgement: {judged['reason']}")
    click.echo(
        f"thresholds: hold from {report['thresholds']['hold']:.4f},"
        f" spam from {report['thresholds']['spam']:.4f}"
    )
    click.echo(
        f"expected of {expected['comments']} comments: {expected['held']:.1%} held,"
        f" {expected['marked']:.1%} marked as spam; of the good ones {expected['good_held']:.2%}"
        f" held and {expected['good_lost']:.2%} marked"
    )


def _as_json(value: Any) -> str:
    return json.dumps(value, indent=2, default=str, ensure_ascii=False)
