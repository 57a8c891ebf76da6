"""The ledger's schema: brought to a revision by Alembic, in one transaction, by one process.

The one rule: nothing else makes or changes tables.
"""

from pathlib import Path

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, text

from service.config import Settings
from service.db import make_engine, unavailable
from service.errors import ConfigError
from service.moderators.tables import Moderator

# Any number will do, as long as no other use of this database takes the same (pg_advisory_lock).
_LOCK = 7_242_002_021


def migrate(settings: Settings, revision: str = "head") -> tuple[str | None, str | None]:
    """Bring the ledger to a revision and give the one it was at and the one it is at.

    Two that run at once wait for each other.

    Args:
        settings: where the ledger is.
        revision: `head`, `base`, a revision, or steps such as `-1`.

    Raises:
        Unavailable: the database cannot be reached or written; nothing was changed.
        ConfigError: there is no such revision, or the ledger is at one of a newer version.
    """
    engine = make_engine(settings)
    try:
        with unavailable(), engine.connect() as connection, connection.begin():
            if connection.dialect.name == "postgresql":
                connection.execute(text(f"SELECT pg_advisory_xact_lock({_LOCK})"))
                connection.execute(text("SET LOCAL statement_timeout = 0"))
                connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
            else:
                connection.execute(text("BEGIN IMMEDIATE"))
            before = _revision(connection)
            config = _config(connection)
            if revision == "base" or revision.startswith("-"):
                command.downgrade(config, revision)
            else:
                command.upgrade(config, revision)
            return before, _revision(connection)
    except CommandError as error:
        raise ConfigError(
            f"{error}: not a revision of this version; a newer Hamgate may have made it"
        ) from error
    finally:
        engine.dispose()


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
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    return config
