"""Scrubbing: what was deleted is not left behind in the ledger's files.

A database marks what is deleted as free and writes over it when it likes. SQLite overwrites it at
once (`secure_delete`), but not what moving rows between pages has left behind, nor what its log
still holds, and its index of words keeps terms until it is merged. PostgreSQL keeps the old
versions of rows until it vacuums.
"""

import contextlib
import sqlite3

from sqlalchemy import text

from service.ledger.db import Database

# For a writer that is at it, and for readers of the log.
_WAIT_SECONDS = 30.0
# Those that held what a person wrote or was called by.
_TABLES = ("comments", "decisions", "events", "objections", "search_entries", "setting_changes",
           "verified_authors", "saved_filters", "previews", "sites", "moderators")  # fmt: skip


def scrub(database: Database) -> bool:
    """Write the ledger anew where it takes that; others may use it meanwhile.

    On SQLite nobody else writes for as long as the file takes: some ten seconds for a gigabyte,
    in which submissions are answered with 503.

    Returns:
        Whether nothing is left: no where others were reading from the log all the time.
    """
    if database.engine.dialect.name == "sqlite":
        return _scrub_sqlite(str(database.engine.url.database))
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("SET statement_timeout = 0"))
        connection.execute(text(f"VACUUM {', '.join(_TABLES)}"))
    return True


def _scrub_sqlite(file: str) -> bool:
    with contextlib.closing(
        sqlite3.connect(file, timeout=_WAIT_SECONDS, isolation_level=None)
    ) as connection:
        connection.execute("INSERT INTO search_words (search_words) VALUES ('optimize')")
        connection.execute("VACUUM")
        busy, *_ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    return not busy
