"""SQLite: a copy of the ledger while it is in use, and a ledger put in place of another.

The one rule: nobody is stopped by a copy, and nothing is replaced that anybody has open.
"""

import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

from service.base.errors import HamgateError, Unavailable
from service.base.files import keep
from service.operations.backups import rows
from service.operations.backups.rows import Sum

_PAGES = 4096
_BUSY_SECONDS = 5.0

Progress = Callable[[int, int, str], None]


class Damaged(HamgateError):
    """A copy is not what it was copied from, or the ledger itself is damaged."""


class InUse(HamgateError):
    """Something of ours has the ledger open."""


def copy(source: Path, target: Path, progress: Progress) -> dict[str, Sum]:
    """Copy a ledger as it is at one moment, check the copy, and give what it holds.

    A read transaction holds the moment: in WAL mode others go on writing, and the online backup
    API, which begins anew whenever the file has changed under it, has no reason to.

    Raises:
        Damaged: the copy is not whole, or the ledger was not.
    """
    with _opened(source) as ours, _opened(target) as copied:
        ours.execute("BEGIN")
        ours.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        ours.backup(
            copied,
            pages=_PAGES,
            progress=lambda _, left, of: progress(of - left, of, "copying pages"),
        )
        copied.execute("PRAGMA journal_mode=DELETE")  # one file, whoever opens it
        wanted = _summed(ours, progress, "hashing the ledger")
        ours.execute("COMMIT")
        progress(0, 0, "checking the copy")
        faults = [row[0] for row in copied.execute("PRAGMA integrity_check(3)")]
        if faults != ["ok"]:
            raise Damaged(f"the ledger is damaged: {'; '.join(faults)}")
        found = _summed(copied, progress, "hashing the copy")
    if wrong := rows.differences(wanted, found):
        raise Damaged(f"the copy differs from the ledger in {', '.join(wrong)}")
    return found


def sums(file: Path, progress: Progress) -> dict[str, Sum]:
    """Give what a ledger holds that nobody else has open."""
    with _opened(file) as connection:
        return _summed(connection, progress, "hashing what was restored")


def has_rows(file: Path) -> bool:
    """Whether there is anything in a ledger but its revision."""
    with _opened(file) as connection:
        names = [
            name
            for (name,) in connection.execute(
                "SELECT name FROM sqlite_schema WHERE type = 'table'"
                " AND name NOT LIKE 'sqlite_%' AND name NOT LIKE 'search_words%'"
                " AND name <> 'alembic_version'"
            )
        ]
        return any(connection.execute(rows.everything(name)).fetchone() for name in names)


def replace(file: Path, fresh: Path) -> None:
    """Put a checked ledger in the place of another, or where none is.

    Raises:
        InUse: somebody has the other one open.
    """
    if file.exists():
        _close_alone(file)
    keep(fresh)
    fresh.replace(file)
    keep(file.parent)


def _close_alone(file: Path) -> None:
    """Make a ledger one file, without the log beside it, which only its last user can.

    Left there, the log would be played into the ledger that comes in its place.
    """
    with _opened(file) as connection:
        try:
            mode = connection.execute("PRAGMA journal_mode=DELETE").fetchone()[0]
        except sqlite3.OperationalError as error:
            if "locked" not in str(error):
                raise
            mode = "wal"
    if mode != "delete":
        raise InUse(
            f"{file} is in use; stop `hamgate up`, or the web server and the workers, first"
        )


def _summed(connection: sqlite3.Connection, progress: Progress, step: str) -> dict[str, Sum]:
    return rows.of_sqlite(connection, lambda done: progress(done, 0, step))


@contextlib.contextmanager
def _opened(file: Path) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(file, timeout=_BUSY_SECONDS, isolation_level=None)
    try:
        yield connection
    except sqlite3.OperationalError as error:
        raise Unavailable(f"{file}: {error}") from error
    except sqlite3.DatabaseError as error:
        raise Damaged(f"{file}: {error}") from error
    finally:
        connection.close()
