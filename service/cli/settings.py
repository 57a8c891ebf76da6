"""`hamgate settings`: every setting, told from their definition and nothing else."""

import click

from service.base.config import SECRETS, VARIABLES, Settings
from service.base.values import Limit


@click.command("settings", short_help="List every setting.")
@click.option("--example", is_flag=True, help="As a file of variables, all of them commented out.")
def show_settings(example: bool) -> None:
    """List every setting, what it is for and its default.

    An unknown name that begins with HAMGATE_ is an error.
    """
    if example:
        click.echo(as_example(), nl=False)
        return
    for variable, name in VARIABLES.items():
        field = Settings.model_fields[name]
        click.echo(f"{variable}\n    {field.description}\n    default: {_told(name)}")
    files = ", ".join(f"{v}_FILE" for v, name in VARIABLES.items() if name in SECRETS)
    click.echo(f"\nFrom a file, as secrets are mounted: {files}")


def as_example() -> str:
    """Give all settings as a file of variables, each commented out with its default.

    A shell, systemd's EnvironmentFile and Compose's env_file read it alike.
    """
    lines = ["# Every setting and its default: `hamgate settings --example`."]
    for variable, name in VARIABLES.items():
        value = _written(name)
        quoted = f'"{value}"' if " " in value else value
        lines += ["", f"# {Settings.model_fields[name].description}", f"#{variable}={quoted}"]
        if name in SECRETS:
            lines.append(f"#{variable}_FILE=")
    return "\n".join(lines) + "\n"


def _told(name: str) -> str:
    none = "(none)" if Settings.model_fields[name].default == () else "(see above)"
    return _written(name) or none


def _written(name: str) -> str:
    """Give a setting's default as one would write it in the environment; empty if it is nothing."""
    default = Settings.model_fields[name].default
    if isinstance(default, Limit):
        return f"{default.amount}/{default.window_seconds} seconds"
    if isinstance(default, tuple):
        return ",".join(map(str, default))
    return "" if default is None else str(default).lower()
