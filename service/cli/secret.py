"""`hamgate secret …`: change what signs receipts and forms."""

import click

from service.base.config import Settings
from service.cli.opening import with_settings


@click.group(short_help="Change what signs receipts and forms.")
def secret() -> None:
    """Change the secret in HAMGATE_HOME, which signs receipts and forms.

    Receipts that authors have stay good for as long as the old secret is kept beside the new.
    Where HAMGATE_SECRET is set, change it there: see HAMGATE_SECRET_PREVIOUS.
    """


@secret.command("rotate", short_help="Make a new secret and keep the old beside it.")
@with_settings
def secret_rotate(settings: Settings) -> None:
    """Make a new secret and keep the old one beside it; servers take it when they start."""
    from service.operations import secret as keys

    keys.rotate(settings)
    click.echo("a new secret signs once the servers were restarted; the old one is believed")
    click.echo("`hamgate secret forget` ends that, and voids the receipts it signed", err=True)


@secret.command("forget", short_help="Forget the old secret: what it signed is void.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@with_settings
def secret_forget(settings: Settings, yes: bool) -> None:
    """Forget the secret before the present one; receipts signed by it are void from the restart."""
    from service.operations import secret as keys

    if not yes:
        click.confirm("Receipts signed by the old secret become void. Go on?", abort=True, err=True)
    click.echo("forgotten" if keys.forget(settings) else "there was none")
