"""What commands share: their settings, the ledger if they need one, and how they tell of it."""

import functools
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar

from service.base import config, logs
from service.base.config import Settings
from service.base.errors import ConfigError

if TYPE_CHECKING:
    from service.ledger.db import Database

P = ParamSpec("P")
R = TypeVar("R")


def with_settings(function: "Callable[Concatenate[Settings, P], R]") -> Callable[P, R]:
    """Give the command its settings as first argument, and set up the log."""

    @functools.wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        settings = config.from_environ(os.environ)
        logs.configure(settings)
        return function(settings, *args, **kwargs)

    return wrapper


def open_database(settings: Settings) -> "Database":
    """Open the ledger for a command.

    Raises:
        ConfigError: there is none yet, or it is not at this version's revision.
        Unavailable: it cannot be reached.
    """
    from service.base.jobs import Doorbell
    from service.ledger.db import Database
    from service.operations import schema

    if settings.embedded_database and not settings.database_file.exists():
        raise ConfigError(
            f"there is no database in {settings.home}; `hamgate up` makes one, or `hamgate"
            " migrate` alone; or set HAMGATE_HOME to the folder that has it"
        )
    if (fault := schema.mismatch(settings)) is not None:
        raise ConfigError(fault)
    return Database(settings, Doorbell(settings))


@contextmanager
def progress(what: str) -> "Iterator[Callable[[int, int, str], None]]":
    """Show a bar on standard error, if that is a terminal, for the length of a block."""
    from rich import progress as bars
    from rich.console import Console

    columns = (
        bars.TextColumn("{task.description}"),
        bars.BarColumn(),
        bars.MofNCompleteColumn(),
        bars.TimeElapsedColumn(),
        bars.TextColumn("{task.fields[step]}", style="dim"),
    )
    console = Console(stderr=True)
    with bars.Progress(
        *columns, console=console, disable=not console.is_terminal, transient=True
    ) as shown:
        task = shown.add_task(what, total=None, step="")

        def show(done: int, of: int, step: str = "") -> None:
            shown.update(task, completed=done, total=of, step=step)

        yield show


def counted(count: int, noun: str) -> str:
    """Give a number of things as people write it: 1 comment, 1,200 comments."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
