"""The command line, `hamgate …`.

The one rule: an error that a person can mend ends with one line that says how, and exit code 1;
wrong usage ends with 2, as everywhere.
"""

import functools
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from service import config, logs, sites
from service.config import Settings
from service.db import Database
from service.errors import HamgateError, Invalid
from service.jobs import Doorbell
from service.sites import Scope

F = TypeVar("F", bound=Callable[..., Any])


def main() -> None:
    """Run the command line."""
    try:
        hamgate.main(prog_name="hamgate")
    except Invalid as error:
        for fault in error.errors:
            click.echo(f"error: {fault.pointer.strip('/')}: {fault.message}", err=True)
        sys.exit(1)
    except HamgateError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(1)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="hamgate", message="%(prog)s %(version)s")
@click.pass_context
def hamgate(context: click.Context) -> None:
    """Self-hosted comment moderation.

    `hamgate up` starts everything on this machine. Settings come from the environment:
    `hamgate settings` lists them.
    """
    context.obj = None


def with_settings(function: F) -> F:
    """Give the command its settings as first argument, and set up the log."""

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        settings = config.from_environ(os.environ)
        logs.configure(settings)
        return function(settings, *args, **kwargs)

    return wrapper  # type: ignore[return-value]


def open_database(settings: Settings) -> Database:
    """Open the ledger for a command."""
    return Database(settings, Doorbell(settings))


@hamgate.command()
@with_settings
def up(settings: Settings) -> None:
    """Start everything on this machine and keep it running.

    Valkey, the migrations, the web server, a worker and its sweeper. What DATABASE_URL and
    REDIS_URL name is used instead of starting it. Ctrl-C stops everything in order.
    """
    from service import up as embedded

    sys.exit(embedded.run(settings))


@hamgate.command()
@with_settings
def web(settings: Settings) -> None:
    """Run the web server alone."""
    from service import web as server

    server.run(settings)


@hamgate.command()
@with_settings
def worker(settings: Settings) -> None:
    """Run an RQ worker and the sweeper beside it, with the model loaded once for both."""
    # The arrow points from the workers to the service, so they are a program of their own.
    os.environ["HAMGATE_HOME"] = str(settings.home)
    os.execv(sys.executable, [sys.executable, "-m", "workers"])


@hamgate.command()
@click.argument("revision", default="head")
@with_settings
def migrate(settings: Settings, revision: str) -> None:
    """Bring the database to REVISION: head (the default), base, a revision, or -1 for one back."""
    from service import schema

    before, after = schema.migrate(settings, revision)
    click.echo(f"{before or 'empty'} -> {after or 'empty'}" if before != after else f"at {after}")


@hamgate.command("settings")
def show_settings() -> None:
    """List every setting, its default and what it is for."""
    for variable, name in config.VARIABLES.items():
        field = Settings.model_fields[name]
        click.echo(f"{variable}\n    {field.description}\n    default: {config.written(name)}")


@hamgate.group()
def site() -> None:
    """Make and list sites."""


@site.command("create")
@click.argument("slug")
@click.option("--origin", "origins", multiple=True, help="Origin whose pages may submit; repeat.")
@click.option("--name", default="", help="For people; default the slug.")
@with_settings
def site_create(settings: Settings, slug: str, origins: tuple[str, ...], name: str) -> None:
    """Make a site; SLUG stands in its URLs."""
    with open_database(settings).transaction() as session:
        made = sites.create(session, slug, name=name, origins=list(origins))
    click.echo(f"made site {made.slug}")
    if not origins:
        click.echo("no --origin given: only keys may submit to it", err=True)


@site.command("list")
@with_settings
def site_list(settings: Settings) -> None:
    """List all sites with their origins."""
    with open_database(settings).reading() as session:
        found = sites.listing(session)
    for one in found:
        click.echo(f"{one.slug}\t{one.name}\t{' '.join(sorted(one.origins)) or '(keys only)'}")


@hamgate.group()
def key() -> None:
    """Make, list and revoke API keys."""


class _Scopes(click.ParamType[frozenset[Scope]]):
    name = "scopes"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> frozenset[Scope]:
        names = [part.strip() for part in str(value).split(",") if part.strip()]
        unknown = sorted(set(names) - set(Scope))
        if unknown or not names:
            self.fail(f"{', '.join(unknown) or 'nothing'}; choose from {', '.join(Scope)}")
        return frozenset(Scope(name) for name in names)


@key.command("create")
@click.argument("slug", metavar="SITE")
@click.option("--scopes", type=_Scopes(), required=True, help="submit, moderate, or both.")
@with_settings
def key_create(settings: Settings, slug: str, scopes: frozenset[Scope]) -> None:
    """Make a key for SITE and print it, once, alone on standard output."""
    with open_database(settings).transaction() as session:
        made = sites.create_key(session, sites.find(session, slug).id, set(scopes))
    click.echo(made)
    click.echo("keep it: only its hash is stored", err=True)


@key.command("list")
@click.argument("slug", metavar="SITE")
@with_settings
def key_list(settings: Settings, slug: str) -> None:
    """List the keys of SITE, without their secrets."""
    with open_database(settings).reading() as session:
        for one in sites.keys(session, sites.find(session, slug).id):
            state = "live" if one.revoked_at is None else f"revoked {one.revoked_at:%Y-%m-%d}"
            click.echo(f"{one.id}\t{','.join(one.scopes)}\t{one.created_at:%Y-%m-%d}\t{state}")


@key.command("revoke")
@click.argument("slug", metavar="SITE")
@click.argument("key_id")
@with_settings
def key_revoke(settings: Settings, slug: str, key_id: str) -> None:
    """End the life of a key of SITE; it is refused within two seconds."""
    with open_database(settings).transaction() as session:
        sites.revoke_key(session, sites.find(session, slug).id, key_id)
    click.echo(f"revoked {key_id}")


@hamgate.command()
@with_settings
def doctor(settings: Settings) -> None:
    """Check database, Redis, model, workers and clock, and say what to do."""
    from service import doctor as checks

    sys.exit(checks.run(settings))


@hamgate.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--site", "slug", required=True, help="Site to post to.")
@click.option("--limit", type=click.IntRange(min=1), help="Post at most so many rows.")
@with_settings
def replay(settings: Settings, file: Path, slug: str, limit: int | None) -> None:
    """Post the comments in a CSV FILE through the running server, and report what became of them.

    Columns: text, and as far as there are label (1 is spam), author, date, group (the page).
    """
    from service import replay as replaying

    sys.exit(replaying.run(settings, file, slug, limit))


if __name__ == "__main__":
    main()
