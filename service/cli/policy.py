"""`hamgate policy …`: what a site tolerates, and what another policy would do."""

from typing import TYPE_CHECKING, Any

import click
from pydantic import ValidationError

from service.base.config import Settings
from service.base.errors import ConfigError
from service.cli.opening import open_database, progress, with_settings

if TYPE_CHECKING:
    from service.judgement.backtest import Backtest
    from service.judgement.budgets import Expectation
    from service.pure.policy import Policy


class Share(click.ParamType["float"]):
    """A percentage such as 2%, as a number from 0 to 1."""

    name = "percentage"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Read it."""
        if isinstance(value, float):
            return value
        written = str(value).strip()
        try:
            share = float(written.removesuffix("%")) / 100
        except ValueError:
            share = -1.0
        if not written.endswith("%") or not 0 <= share <= 1:
            self.fail(f"{value} is no percentage; write it as 2% or 0.1%")
        return share


_SITE = click.argument("slug", metavar="SITE")
_PROPOSED = (
    click.option(
        "--hold-at-most", type=Share(), metavar="SHARE", help="Of good comments, held; such as 2%."
    ),
    click.option(
        "--mark-at-most",
        type=Share(),
        metavar="SHARE",
        help="Of good comments, marked as spam; such as 0.1%.",
    ),
    click.option("--max-links", type=click.IntRange(min=0), help="More links than so are held."),
    click.option(
        "--premoderation/--no-premoderation",
        default=None,
        help="Whether every comment waits for a person.",
    ),
    click.option(
        "--write-seconds",
        type=click.IntRange(min=0, max=60),
        help="Comments written in fewer seconds are held.",
    ),
    click.option(
        "--forms-only/--no-forms-only",
        default=None,
        help="Whether what comes past the comment form is held.",
    ),
    click.option(
        "--proof-of-work",
        type=click.Choice(["never", "storm", "always"]),
        help="When browsers have to work for a comment, or it is held.",
    ),
)
_DAYS = click.option(
    "--days",
    type=click.IntRange(min=1, max=3650),
    default=7,
    show_default=True,
    help="How far back.",
)


def _proposed(function: Any) -> Any:
    for option in reversed(_PROPOSED):
        function = option(function)
    return function


@click.group(short_help="See and change what a site tolerates.")
def policy() -> None:
    """See and change what a site tolerates.

    You say which errors are tolerable, never thresholds: how many good comments may be held,
    how many marked as spam. Before anything is saved you see what it would change.
    """


@policy.command("show", short_help="Show a site's policy and the queue to expect.")
@_SITE
@with_settings
def policy_show(settings: Settings, slug: str) -> None:
    """Show SITE's policy, the thresholds that follow from it, and the queue to expect."""
    from service.core import sites
    from service.judgement import budgets
    from service.judgement.shelf import Shelf
    from service.pure.scoring import Scorer

    database = open_database(settings)
    with database.reading() as session:
        site = sites.find(session, slug)
    expected = budgets.expect(database, Scorer(settings.model), Shelf(), site.id)
    for name, value in site.policy.model_dump(mode="json").items():
        click.echo(f"{name}: {_written(value)}")
    click.echo(_expected(expected))


@policy.command("set", short_help="Change a site's policy, after a look at what it does.")
@_SITE
@_proposed
@_DAYS
@click.option("--yes", is_flag=True, help="Save without asking.")
@with_settings
def policy_set(settings: Settings, /, slug: str, days: int, yes: bool, **values: Any) -> None:
    """Show what a changed policy would do to SITE, ask, and save it."""
    from service.core import sites
    from service.judgement import backtest, budgets
    from service.judgement.shelf import Shelf
    from service.pure.scoring import Scorer

    database, scorer, shelf = open_database(settings), Scorer(settings.model), Shelf()
    with database.reading() as session:
        site = sites.find(session, slug)
    wanted = _changed(site.policy, values)
    if wanted == site.policy:
        raise click.UsageError("nothing to change; name at least one option")
    click.echo("now:    " + _expected(budgets.expect(database, scorer, shelf, site.id)))
    then = budgets.expect(database, scorer, shelf, site.id, wanted)
    click.echo("then:   " + _expected(then))
    with progress("judging") as show:
        found = backtest.run(
            database,
            scorer,
            shelf,
            site.id,
            days=days,
            policy=wanted,
            expected=then,
            progress=lambda done, of: show(done, of, ""),
        )
    _show(found, days)
    if not yes:
        click.confirm("Save it?", abort=True, err=True)
    budgets.set_policy(database, scorer, shelf, site.id, wanted, then)
    click.echo("saved; it counts from the next comment on")


@policy.command("backtest", short_help="See what another policy or model would have done.")
@_SITE
@_proposed
@click.option(
    "--model", "number", type=click.IntRange(min=0), help="Version of the model; 0 is the shipped."
)
@_DAYS
@with_settings
def policy_backtest(
    settings: Settings, /, slug: str, number: int | None, days: int, **values: Any
) -> None:
    """Judge SITE's comments of the last days again, and list what would change.

    Nothing is changed. A version that was taught by some of these comments knows them, so it
    looks better here than it is; `hamgate model evaluate` is fair in that.
    """
    from service.core import sites
    from service.judgement import backtest
    from service.judgement.shelf import Shelf
    from service.pure.scoring import Scorer

    database = open_database(settings)
    with database.reading() as session:
        site = sites.find(session, slug)
    wanted = _changed(site.policy, values)
    if wanted == site.policy and number is None:
        raise click.UsageError("name what to try: a policy option, or --model")
    with progress("judging") as show:
        found = backtest.run(
            database,
            Scorer(settings.model),
            Shelf(),
            site.id,
            days=days,
            policy=wanted,
            number=number,
            progress=lambda done, of: show(done, of, ""),
        )
    _show(found, days)


def _written(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value * 100:g}%"
    return ", ".join(value) or "(none)" if isinstance(value, list) else str(value)


def _changed(present: "Policy", values: dict[str, Any]) -> "Policy":
    given = {name: value for name, value in values.items() if value is not None}
    try:
        return type(present).model_validate({**present.model_dump(), **given})
    except ValidationError as error:
        said = error.errors()[0]["msg"].removeprefix("Value error, ")
        for name in values:
            said = said.replace(name, f"--{name.replace('_', '-')}")
        raise ConfigError(said) from error


def _expected(expected: "Expectation") -> str:
    outlook, per_day = expected.outlook, expected.per_day
    thresholds = (
        f"hold from {expected.thresholds.hold:.4f}, spam from {expected.thresholds.spam:.4f}"
    )
    if not expected.comments:
        return f"{thresholds}; no comments yet to say what queue to expect"
    return (
        f"{thresholds}; of {per_day:.1f} comments a day {outlook.held * per_day:.1f} held and"
        f" {outlook.marked * per_day:.1f} marked as spam; of good ones {outlook.good_held:.2%}"
        f" held, {outlook.good_lost:.2%} marked (measured on {expected.comments})"
    )


def _show(found: "Backtest", days: int) -> None:
    click.echo(
        f"of {found.comments} comments of the last {days} days,"
        f" {found.changed} would fare otherwise"
    )
    for (before, after), count in found.moves.most_common():
        click.echo(f"\n{count} {before} -> {after}")
        for change in found.examples[(before, after)]:
            decided = f", a person said {change.decided}" if change.decided else ""
            click.echo(
                f"  {change.comment_id}  {change.name}: {change.excerpt}\n"
                f"    {change.before.ruling.reason} -> {change.after.ruling.reason}{decided}"
            )
    if found.against_people:
        click.echo(
            f"\noutright against what people said: now {found.mistakes('before')},"
            f" then {found.mistakes('after')}"
        )
