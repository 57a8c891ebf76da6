"""`hamgate export` and `hamgate erase`: what a person may ask for."""

import json
from pathlib import Path

import click

from service.base.config import Settings
from service.cli.opening import counted, open_database, progress, with_settings

_EMAIL = click.option("--email", required=True, metavar="ADDRESS", help="Whose.")


@click.command(short_help="Print all that is kept about a person.")
@_EMAIL
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="A file to write, for nobody else to read; default standard output.",
)
@with_settings
def export(settings: Settings, email: str, output: Path | None) -> None:
    """Print all that is kept about a person on all sites, one JSON object a line.

    Their comments with all decisions, objections and webhook events, verifications, bans and, of
    a moderator, the account, its sessions and what was decided. See that you hand it to nobody
    else: an address can be claimed by anybody.
    """
    from service.base.files import draft
    from service.operations import persons

    database = open_database(settings)
    with database.reading() as session:
        found = persons.find(session, persons.address_of(email))
        lines = (json.dumps(one, ensure_ascii=False) for one in persons.records(session, found))
        if output is None:
            for line in lines:
                click.echo(line)
        else:
            with draft(output) as target, target.open("w", encoding="utf-8") as file:
                file.writelines(f"{line}\n" for line in lines)
    click.echo(counted(len(found.comment_ids), "comment"), err=True)


@click.command(short_help="Forget a person.")
@_EMAIL
@click.option("--yes", is_flag=True, help="Do not ask.")
@with_settings
def erase(settings: Settings, email: str, yes: bool) -> None:
    """Forget a person on all sites: what they wrote, their name, address and URL.

    Their comments stay as deleted ones, so that replies keep their place. Versions of a site's
    model that they taught are forgotten, and the site is taught anew. A ban on the address
    stays, as a digest. It cannot be undone, and does not reach into backups.
    """
    from service.operations import persons

    database = open_database(settings)
    with database.reading() as session:
        found = persons.find(session, persons.address_of(email))
    click.echo(
        f"{counted(len(found.comment_ids), 'comment')} on {counted(len(found.comments), 'site')}"
        + (", and an account in the dashboard" if found.moderator_id else ""),
        err=True,
    )
    if not yes:
        click.confirm(f"Forget {email} for good?", abort=True, err=True)
    with progress("forgetting") as show:
        erased = persons.erase(database, found, progress=show)
    click.echo(
        f"forgotten: {counted(erased.comments, 'comment')} on {counted(erased.sites, 'site')}"
    )
    if erased.unlearnt:
        click.echo(f"to be taught anew within a minute or two: {counted(erased.unlearnt, 'site')}")
    if not erased.is_clean:
        click.echo("somebody was reading all the time; run it again at a quieter moment", err=True)
    database.close()
