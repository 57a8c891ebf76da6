"""The ledger's schema: brought to a revision by Alembic, in one transaction, by one process.

The one rule: nothing else makes or changes tables.
"""

import logging
import time
from pathlib import Path

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.script.revision import RevisionError
from alembic.util import CommandError
from psycopg import errors
from sqlalchemy import Connection, Engine, inspect, text
from sqlalchemy.exc import DBAPIError

from service.base.config import Settings
from service.base.errors import ConfigError, Unavailable
from service.core.moderators.tables import Moderator
from service.ledger import migrations
from service.ledger.db import WRITING, make_engine, unavailable

log = logging.getLogger(__name__)

# Any numbers will do, as long as no other use of this database takes the same (pg_advisory_lock).
_LOCK, _AHEAD_LOCK = 7_242_002_021, 7_242_002_022
# Less than PostgreSQL's deadlock_timeout: whoever waits for us is never the one to be given up.
_LOCK_MS = 500
# What every comment's way writes, in its order; taken first, so that nobody is met half-way.
_BUSY = ("comments", "decisions", "threads")
# A building that was cut off leaves an index that is not used, and in the way of the next.
_IS_HALF_MADE = """
SELECT true FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
WHERE relname = :name AND NOT indisvalid AND pg_table_is_visible(pg_class.oid)
"""
_TRIES = 30
_PAUSE_SECONDS = 1.0
# Until the lock above is ours, and for statements that go through a large table.
_PATIENCE = (("statement_timeout", 0), ("idle_in_transaction_session_timeout", 0),
             ("lock_timeout", 0))  # fmt: skip


def migrate(settings: Settings, revision: str = "head") -> tuple[str | None, str | None]:
    """Bring the ledger to a revision and give the one it was at and the one it is at.

    Two that run at once wait for each other. On PostgreSQL a change of a table waits for who is
    using it for half a second only, since everybody else would wait behind it; then all of it is
    taken back, and tried again a moment later.

    Args:
        settings: where the ledger is.
        revision: `head`, `base`, a revision, or steps such as `-1`.

    Raises:
        Unavailable: the database cannot be reached or written; nothing was changed.
        ConfigError: there is no such revision, or the ledger is at one of a newer version.
    """
    engine = make_engine(settings)
    try:
        for left in reversed(range(_TRIES)):
            try:
                _build_ahead(engine, revision)
                return _migrate(engine, revision)
            except Unavailable as error:
                if not left or not _was_locked_out(error):
                    raise
                log.info("somebody uses what is to be changed; trying again, %d times more", left)
            time.sleep(_PAUSE_SECONDS)
        raise AssertionError("the last try gives or raises")
    except (CommandError, RevisionError) as error:
        raise ConfigError(
            f"{error}: not a revision of this version; a newer Hamgate may have made it"
        ) from error
    finally:
        engine.dispose()


def _build_ahead(engine: Engine, revision: str) -> None:
    """Build the indexes that the coming migrations name (`AHEAD`), while everybody writes on.

    On a table of millions that takes a minute, for which `_migrate` would keep all others out.
    SQLite has no such way; its migrations make them themselves, and find them made otherwise.
    """
    if engine.dialect.name != "postgresql" or _leads_down(revision):
        return
    ahead = engine.execution_options(isolation_level="AUTOCOMMIT")
    with unavailable(), ahead.connect() as connection:
        there = _revision(connection)
        if there is None:
            return
        scripts = ScriptDirectory.from_config(_config(connection))
        passed = {script.revision for script in scripts.iterate_revisions(there, "base")}
        wanted = {
            name: on
            for script in scripts.iterate_revisions(revision, there)
            for name, (since, on) in getattr(script.module, "AHEAD", {}).items()
            if since in passed  # else its columns come with the migrations themselves
        }
        if not wanted:
            return
        for name, value in _PATIENCE:
            connection.execute(text(f"SET {name} = {value}"))
        # Asked for again and again: building waits for all who wait inside a statement, and one
        # of these may be another migration that waits for this lock.
        while not connection.scalar(text(f"SELECT pg_try_advisory_lock({_AHEAD_LOCK})")):
            time.sleep(_PAUSE_SECONDS)
        for name, on in wanted.items():
            if connection.scalar(text(_IS_HALF_MADE), {"name": name}):
                connection.execute(text(f"DROP INDEX CONCURRENTLY {name}"))
            log.info("building %s while the ledger is in use; this takes its time", name)
            connection.execute(text(f"CREATE INDEX CONCURRENTLY IF NOT EXISTS {name} ON {on}"))
        connection.execute(text(f"SELECT pg_advisory_unlock({_AHEAD_LOCK})"))
        connection.invalidate()  # its patience is for nobody else


def _leads_down(revision: str) -> bool:
    return revision == "base" or revision.startswith("-")


def _migrate(engine: Engine, revision: str) -> tuple[str | None, str | None]:
    writing = engine.execution_options(**WRITING)
    with unavailable(), writing.connect() as connection, connection.begin():
        if connection.dialect.name == "postgresql":
            for name, value in _PATIENCE:
                connection.execute(text(f"SET LOCAL {name} = {value}"))
            connection.execute(text(f"SELECT pg_advisory_xact_lock({_LOCK})"))
            connection.execute(text(f"SET LOCAL lock_timeout = {_LOCK_MS}"))
            for name in _BUSY:
                if inspect(connection).has_table(name):
                    connection.execute(text(f"LOCK TABLE {name} IN SHARE ROW EXCLUSIVE MODE"))
        before = _revision(connection)
        config = _config(connection)
        if _leads_down(revision):
            command.downgrade(config, revision)
        else:
            command.upgrade(config, revision)
        return before, _revision(connection)


def _was_locked_out(error: Unavailable) -> bool:
    cause = error.__cause__
    fault = cause.orig if isinstance(cause, DBAPIError) else None
    return isinstance(fault, errors.LockNotAvailable | errors.DeadlockDetected)


def remove(settings: Settings) -> None:
    """Remove every table of the ledger, with all that is in them.

    Raises:
        Unavailable: the database cannot be reached or written; nothing was removed.
        ConfigError: the ledger is at a revision of a newer version.
    """
    migrate(settings, "base")
    engine = make_engine(settings)
    try:
        with unavailable(), engine.begin() as connection:
            connection.execute(text("DROP TABLE alembic_version"))
    finally:
        engine.dispose()


def revision(settings: Settings) -> str | None:
    """Give the revision the ledger is at; `None` without tables.

    Raises:
        Unavailable: the database cannot be reached.
    """
    engine = make_engine(settings)
    try:
        with unavailable(), engine.connect() as connection:
            return _revision(connection)
    finally:
        engine.dispose()


def is_current(settings: Settings) -> bool:
    """Whether the ledger is at the newest revision.

    Raises:
        Unavailable: the database cannot be reached.
    """
    engine = make_engine(settings)
    try:
        with unavailable(), engine.connect() as connection:
            head = ScriptDirectory.from_config(_config(connection)).get_current_head()
            return _revision(connection) == head
    finally:
        engine.dispose()


def mismatch(settings: Settings) -> str | None:
    """Say what to do where the ledger is not at this version's revision; `None` if it is.

    Raises:
        Unavailable: the database cannot be reached.
    """
    engine = make_engine(settings)
    try:
        with unavailable(), engine.connect() as connection:
            scripts = ScriptDirectory.from_config(_config(connection))
            there, head = _revision(connection), scripts.get_current_head()
    finally:
        engine.dispose()
    if there == head:
        return None
    if there is None:
        return "the database has no tables yet; run `hamgate migrate`"
    if there in {one.revision for one in scripts.walk_revisions()}:
        return (
            f"the database is at {there}, older than this version ({head}); run `hamgate migrate`"
        )
    return (
        f"the database is at {there}, newer than this version ({head}): install the Hamgate that"
        " made it; to go back, run `hamgate migrate` with that one first, or restore a backup"
    )


def differences(connection: Connection) -> list[object]:
    """Give how the ledger's tables differ from the models; empty if they do not."""
    metadata = Moderator.metadata  # their module imports all other tables
    options = {"include_object": _has_model}
    return list(compare_metadata(MigrationContext.configure(connection, opts=options), metadata))


def _has_model(_object: object, name: str | None, *_: object) -> bool:
    """Whether a table or index is not one that only a database's own SQL can say."""
    return name is None or not name.startswith(("search_words", "ix_search_entries_words"))


def _revision(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    config.attributes["connection"] = connection
    return config
