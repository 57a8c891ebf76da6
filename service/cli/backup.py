"""`hamgate backup` and `hamgate restore`: an installation in one file, and back."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from service.base.config import Settings
from service.cli.opening import counted, progress, with_settings

if TYPE_CHECKING:
    from service.operations.backups import Manifest


@click.command(short_help="Make a backup of everything, in one file.")
@click.argument("where", metavar="FILE|FOLDER", type=click.Path(path_type=Path))
@click.option(
    "--verify", is_flag=True, help="Also load it into a scratch database and compare (PostgreSQL)."
)
@with_settings
def backup(settings: Settings, where: Path, verify: bool) -> None:
    """Make a backup of ledger and secret in FILE, while the installation runs or not.

    In a FOLDER it gets a name by the time. What it holds is compared, row by row, with what is
    in the ledger; its SHA-256 is written beside it. Whoever has the file has all e-mail
    addresses and can make receipts: keep it as you keep the server.
    """
    from service.operations import backups

    with progress("backing up") as show:
        made = backups.make(settings, where, verify=verify, progress=show)
    click.echo(f"{made.path}\t{made.sha256}")
    click.echo(_told(made.manifest), err=True)
    if settings.secret:
        click.echo("HAMGATE_SECRET is not in it: keep it yourself", err=True)


@click.command(short_help="Put a backup in place.")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--force", is_flag=True, help="Even where there is a ledger with something in it.")
@with_settings
def restore(settings: Settings, file: Path, force: bool) -> None:
    """Put the backup in FILE in the place of this installation's ledger and secret.

    Nothing is touched before all of it was found whole, and nothing that is in use. What is
    restored is compared, row by row, with what was in the ledger when the backup was made.
    """
    from service.operations import backups

    with progress("restoring") as show:
        restored = backups.restore(settings, file, force=force, progress=show)
    click.echo(_told(restored.manifest))
    if not restored.same_secret:
        click.echo(
            "warning: this installation has another secret than the backup: set HAMGATE_SECRET to"
            " the one it had, or receipts given before are void",
            err=True,
        )
    if not restored.is_current:
        click.echo("it is at an older revision: run `hamgate migrate`", err=True)


def _told(manifest: "Manifest") -> str:
    comments = manifest.tables["comments"].rows if "comments" in manifest.tables else 0
    return (
        f"{counted(comments, 'comment')}, {counted(manifest.rows, 'row')} in"
        f" {counted(len(manifest.tables), 'table')}, as of"
        f" {manifest.made_at:%Y-%m-%d %H:%M:%S} UTC; every table's hash is equal"
    )
