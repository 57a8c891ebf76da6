"""How far it is: bars on a terminal, a line now and then elsewhere."""

import contextlib
import time
from collections.abc import Iterator
from typing import Protocol

import click
from rich import progress as bars
from rich.console import Console

_LINE_EVERY_SECONDS = 10.0


class Progress(Protocol):
    """Called with how many rows are answered and decided, out of so many accepted."""

    def __call__(self, answered: int, decided: int, *, accepted: int) -> None:
        """Show it."""


@contextlib.contextmanager
def progress(rows: int) -> Iterator[Progress]:
    """Show progress on standard error for the length of a block."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _Lines(rows)
        return
    columns = (
        bars.TextColumn("{task.description:8}"),
        bars.BarColumn(),
        bars.MofNCompleteColumn(),
        bars.TimeElapsedColumn(),
        bars.TimeRemainingColumn(),
    )
    with bars.Progress(*columns, console=console) as shown:
        posting = shown.add_task("posted", total=rows)
        deciding = shown.add_task("decided", total=rows)

        def show(answered: int, decided: int, *, accepted: int) -> None:
            shown.update(posting, completed=answered)
            # A row that was refused will not be decided.
            shown.update(deciding, completed=decided, total=rows - (answered - accepted))

        yield show


class _Lines:
    """Progress for a log file."""

    def __init__(self, rows: int) -> None:
        self._rows = rows
        self._next_at = time.monotonic() + _LINE_EVERY_SECONDS
        click.echo(f"posting {rows} rows", err=True)

    def __call__(self, answered: int, decided: int, *, accepted: int) -> None:
        if time.monotonic() >= self._next_at:
            self._next_at = time.monotonic() + _LINE_EVERY_SECONDS
            click.echo(f"{answered} of {self._rows} posted, {decided} decided", err=True)
