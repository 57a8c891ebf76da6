"""The command line, `hamgate …`.

The one rule: an error that a person can mend ends with one line that says how, and exit code 1;
wrong usage ends with 2, as everywhere.

Each command imports what it needs when it runs: `hamgate up` stays in memory for as long as the
service runs and needs next to nothing.
"""

import errno
import logging
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from service.base.config import Settings
from service.base.errors import HamgateError, Invalid, Unavailable
from service.cli.backup import backup, restore
from service.cli.model import model
from service.cli.moderator import moderator
from service.cli.opening import open_database, with_settings
from service.cli.person import erase, export
from service.cli.policy import policy
from service.cli.secret import secret
from service.cli.settings import show_settings
from service.cli.webhook import webhook

if TYPE_CHECKING:
    from service.core.sites import Scope

log = logging.getLogger(__name__)

# What the disk may say to any file we write.
_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


def main() -> None:
    """Run the command line."""
    try:
        hamgate.main(prog_name="hamgate")
    except Invalid as error:
        for fault in error.errors:
            click.echo(f"error: {fault.pointer.strip('/')}: {fault.message}", err=True)
    except Unavailable as error:
        click.echo(f"error: {error}; `hamgate doctor` looks closer", err=True)
    except HamgateError as error:
        click.echo(f"error: {error}", err=True)
    except OSError as error:
        if error.errno not in _DISK:
            raise
        click.echo(f"error: {error.strerror}; `hamgate doctor` says where", err=True)
    sys.exit(1)  # without an error, click has ended the program itself


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="hamgate", message="%(prog)s %(version)s")
def hamgate() -> None:
    """Self-hosted comment moderation.

    `hamgate up` starts everything on this machine. Settings come from the environment:
    `hamgate settings` lists them. Exit codes: 0 done, 1 an error that the last line explains,
    2 wrong usage.
    """


hamgate.add_command(backup)
hamgate.add_command(erase)
hamgate.add_command(export)
hamgate.add_command(model)
hamgate.add_command(moderator)
hamgate.add_command(policy)
hamgate.add_command(restore)
hamgate.add_command(secret)
hamgate.add_command(show_settings)
hamgate.add_command(webhook)


@hamgate.command(short_help="Start everything on this machine and keep it running.")
@with_settings
def up(settings: Settings) -> None:
    """Start everything on this machine and keep it running.

    Valkey, the migrations, the web server, a worker and its sweeper. What DATABASE_URL and
    REDIS_URL name is used instead of starting it. Ctrl-C stops everything in order.
    """
    from service.operations import up as embedded

    sys.exit(embedded.run(settings))


@hamgate.command(short_help="Run the web server alone.")
@with_settings
def web(settings: Settings) -> None:
    """Run the web server alone, on HAMGATE_HOST and HAMGATE_PORT, until SIGTERM or Ctrl-C.

    It needs the database, which `hamgate migrate` prepares; without Redis it goes on.
    """
    from service.base import loopback

    loopback.check_free(settings)
    _look_at_database(settings)
    from service import web as server

    server.run(settings)


@hamgate.command(short_help="Run a worker and its sweeper alone.")
@with_settings
def worker(settings: Settings) -> None:
    """Run an RQ worker and the sweeper beside it, until SIGTERM or Ctrl-C.

    The model is loaded once for both. Without Redis, the sweeper works alone.
    """
    _look_at_database(settings)
    # The arrow points from the workers to the service, so they are a program of their own.
    os.environ["HAMGATE_HOME"] = str(settings.home)
    os.execv(sys.executable, [sys.executable, "-m", "workers"])


@hamgate.command(short_help="Say whether the part on this machine lives.")
@click.argument("part", type=click.Choice(["web", "worker"]), default="web")
@with_settings
def probe(settings: Settings, part: str) -> None:
    """Say by the exit code whether the web server or the worker on this machine lives: 0 is yes.

    For whoever starts again what hangs. It asks neither the database nor Redis.
    """
    from service.base import loopback, pulse

    lives = loopback.answers(settings) if part == "web" else pulse.beats(settings)
    sys.exit(0 if lives else 1)


def _look_at_database(settings: Settings) -> None:
    """Warn of a database that will not do; in a child, since Alembic need not stay in memory.

    Only a warning: servers that start together do not wait for each other, and an old version
    goes on beside a new one's database while machines are upgraded in turn.
    """
    from service.base.supervision import Child

    def look() -> None:
        from service.operations import schema

        try:
            if (fault := schema.mismatch(settings)) is not None:
                log.warning("%s", fault)
        except HamgateError as error:
            log.warning("%s", error)

    child = Child("look at the database", look)
    child.start()
    while child.reap() is None:
        time.sleep(0.01)


@hamgate.command(
    short_help="Bring the database to its newest revision.",
    context_settings={"ignore_unknown_options": True},  # -1 is a revision
)
@click.argument("revision", default="head")
@click.option("--yes", is_flag=True, help="Go back without asking.")
@with_settings
def migrate(settings: Settings, revision: str, yes: bool) -> None:
    """Bring the database to REVISION and print where it was and where it is.

    REVISION is head (the default), a revision's name, -1 for one back, or base, which removes
    every table. Going back deletes data, so it asks first.
    """
    from service.operations import schema

    back = revision == "base" or revision.startswith("-")
    if back and not yes:
        click.confirm(f"Going back to {revision} deletes data. Go on?", abort=True, err=True)
    before, after = schema.migrate(settings, revision)
    click.echo(f"{before or 'empty'} -> {after or 'empty'}" if before != after else f"at {after}")


@hamgate.group(short_help="Make and list sites.")
def site() -> None:
    """Make and list sites: a site is one website whose comments are moderated."""


@site.command("create", short_help="Make a site.")
@click.argument("slug")
@click.option(
    "--origin",
    "origins",
    multiple=True,
    metavar="ORIGIN",
    help="Whose pages may submit, such as https://example.org; repeat for more.",
)
@click.option("--name", default="", help="For people; default the slug.")
@with_settings
def site_create(settings: Settings, slug: str, origins: tuple[str, ...], name: str) -> None:
    """Make a site; SLUG stands in its URLs."""
    from service.core import sites

    with open_database(settings).transaction() as session:
        made = sites.create(session, slug, name=name, origins=list(origins))
    click.echo(f"made site {made.slug}")
    if not origins:
        click.echo("no --origin given: only keys may submit to it", err=True)


@site.command("origins", short_help="Say which pages may submit.")
@click.argument("slug")
@click.argument("origins", nargs=-1, metavar="[ORIGIN]...")
@with_settings
def site_origins(settings: Settings, slug: str, origins: tuple[str, ...]) -> None:
    """Let the pages of these origins submit, and no others; without any, only keys."""
    from service.core import sites

    with open_database(settings).transaction() as session:
        sites.set_origins(session, sites.find(session, slug).id, list(origins))
        made = sites.find(session, slug)
    click.echo(f"{made.slug}\t{' '.join(sorted(made.origins)) or '(keys only)'}")


@site.command("list", short_help="List all sites.")
@with_settings
def site_list(settings: Settings) -> None:
    """List all sites: slug, name and origins, separated by tabs."""
    from service.core import sites

    with open_database(settings).reading() as session:
        found = sites.listing(session)
    for one in found:
        click.echo(f"{one.slug}\t{one.name}\t{' '.join(sorted(one.origins)) or '(keys only)'}")
    if not found:
        click.echo("no sites yet: hamgate site create SLUG --origin https://…", err=True)


@hamgate.group(short_help="Make, list and revoke API keys.")
def key() -> None:
    """Make, list and revoke API keys, with which programs submit and moderate."""


class _Scopes(click.ParamType["frozenset[Scope]"]):
    name = "scopes"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> "frozenset[Scope]":
        from service.core.sites import Scope

        names = [part.strip() for part in str(value).split(",") if part.strip()]
        unknown = sorted(set(names) - set(Scope))
        if unknown:
            self.fail(f"no such scope: {', '.join(unknown)}; choose from {', '.join(Scope)}")
        if not names:
            self.fail(f"name at least one of {', '.join(Scope)}")
        return frozenset(Scope(name) for name in names)


@key.command("create", short_help="Make a key and print it, once.")
@click.argument("slug", metavar="SITE")
@click.option(
    "--scopes",
    type=_Scopes(),
    metavar="SCOPES",
    required=True,
    help="What it may do: submit, moderate, webhooks; commas between.",
)
@with_settings
def key_create(settings: Settings, slug: str, scopes: "frozenset[Scope]") -> None:
    """Make a key for SITE and print it, once, alone on standard output."""
    from service.core import sites

    with open_database(settings).transaction() as session:
        made = sites.create_key(session, sites.find(session, slug).id, set(scopes))
    click.echo(made)
    click.echo("keep it: only its hash is stored", err=True)


@key.command("list", short_help="List a site's keys.")
@click.argument("slug", metavar="SITE")
@with_settings
def key_list(settings: Settings, slug: str) -> None:
    """List the keys of SITE without their secrets: id, scopes, day made, whether live, last used.

    When it was used is at most an hour behind; “-” if it never was.
    """
    from service.core import sites

    with open_database(settings).reading() as session:
        for one in sites.keys(session, sites.find(session, slug).id):
            state = "live" if one.revoked_at is None else f"revoked {one.revoked_at:%Y-%m-%d}"
            used = "-" if one.used_at is None else f"{one.used_at:%Y-%m-%d %H:%MZ}"
            scopes = ",".join(one.scopes)
            click.echo(f"{one.id}\t{scopes}\t{one.created_at:%Y-%m-%d}\t{state}\t{used}")


@key.command("revoke", short_help="End the life of a key.")
@click.argument("slug", metavar="SITE")
@click.argument("key_id")
@with_settings
def key_revoke(settings: Settings, slug: str, key_id: str) -> None:
    """End the life of a key of SITE; it is refused within two seconds.

    KEY_ID is what `hamgate key list SITE` shows: key_…, not the key itself.
    """
    from service.core import sites

    with open_database(settings).transaction() as session:
        sites.revoke_key(session, sites.find(session, slug).id, key_id)
    click.echo(f"revoked {key_id}")


_JSON = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")


@hamgate.command(short_help="Check everything, and say what to do.")
@_JSON
@with_settings
def doctor(settings: Settings, as_json: bool) -> None:
    """Check database, Redis, model, workers, clock, disk, sites and server.

    Each line is ok, warn or fail, with the command that helps. Exit code 1 if anything failed.
    """
    from service.operations import doctor as checks

    sys.exit(checks.run(settings, as_json=as_json))


@hamgate.command(short_help="Post a CSV file through the running server, and report.")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--site", "slug", required=True, help="Site to post to.")
@click.option("--limit", type=click.IntRange(min=1), help="Post at most so many rows.")
@_JSON
@with_settings
def replay(settings: Settings, file: Path, slug: str, limit: int | None, as_json: bool) -> None:
    """Post the comments in a CSV FILE through the running server, and report what became of them.

    Columns: text, and as far as there are label (1 is spam, 0 is not), author, date, group (the
    page). The comments stay on the site. Exit code 1 if some were not decided.
    """
    from service.operations import replay as replaying

    sys.exit(replaying.run(settings, file, slug, limit, as_json=as_json))
