"""The ledger's engine: transactions, UTC time by the database's clock, ids.

The one rule: commit, then ring. A bell asked for inside a transaction is rung only after the
commit, so nobody is ever woken for a row that is not there.
"""

import contextlib
import random
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar, cast

from sqlalchemy import (
    ColumnElement,
    DateTime,
    Dialect,
    Float,
    MetaData,
    create_engine,
    event,
    literal,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import DBAPIError, InternalError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import DeclarativeBase, Session
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator

from service.base.config import Settings
from service.base.errors import ConfigError, Unavailable
from service.base.grouping import Grouped
from service.base.jobs import Doorbell, Job
from service.ledger.tallies import Tally

# SQLite waits for another writer this long before it says "database is locked".
_SQLITE_BUSY_MS = 5000
_SQLITE_PAUSE_SECONDS = 0.0005
# What a host that went silent held locked is free again after 5 s, well before its leases end,
# and neither side waits for the other for much longer than that.
_POSTGRES_SESSION = {
    "statement_timeout": 15_000,
    "lock_timeout": 5_000,
    "idle_in_transaction_session_timeout": 5_000,
    "tcp_keepalives_idle": 5,
    "tcp_keepalives_interval": 2,
    "tcp_keepalives_count": 3,
    "tcp_user_timeout": 10_000,
    "timezone": "UTC",
}
# What the connections of servers, workers and commands are called in pg_stat_activity.
APPLICATION = "hamgate"
_POSTGRES_CONNECTION = {
    "application_name": APPLICATION,
    "connect_timeout": 3,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
    "options": " ".join(f"-c {name}={value}" for name, value in _POSTGRES_SESSION.items()),
}
_RINGS = "rings"
_TALLY = "hamgate_tally"
_WRITES = "hamgate_writes"
# Options of a connection whose transactions write, so that SQLite waits its turn from the start.
WRITING = {_WRITES: True}


class Base(DeclarativeBase):
    """Base of every table; constraints have names, so that migrations can find them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class UtcDateTime(TypeDecorator[datetime]):
    """An aware UTC datetime; a naive one is refused rather than guessed at."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Store as UTC."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a time without a time zone cannot be stored")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Give back as UTC; SQLite has no zones of its own."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class DatabaseNow(FunctionElement[datetime]):
    """The database's clock in a statement; made by `db_now`."""

    type = UtcDateTime()
    inherit_cache = True
    name = "db_now"


def db_now(offset_seconds: float | ColumnElement[float] = 0) -> DatabaseNow:
    """Give the database's clock for use in a statement: `db_now(10)` is ten seconds from now."""
    given = isinstance(offset_seconds, ColumnElement)
    return DatabaseNow(offset_seconds if given else literal(offset_seconds, Float))


@compiles(DatabaseNow, "postgresql")
def _postgres_now(element: DatabaseNow, compiler: SQLCompiler, **options: Any) -> str:
    offset = compiler.process(element.clauses, **options)
    # In a query of its own, so that it is one value for the whole statement: PostgreSQL looks
    # nothing up in an index by what may change from row to row, but reads the table.
    return f"(SELECT clock_timestamp() + make_interval(secs => {offset}))"


@compiles(DatabaseNow, "sqlite")
def _sqlite_now(element: DatabaseNow, compiler: SQLCompiler, **options: Any) -> str:
    offset = compiler.process(element.clauses, **options)
    # Three digits of the second, filled up to the six that SQLAlchemy stores and compares.
    return f"(strftime('%Y-%m-%d %H:%M:%f', 'now', {offset} || ' seconds') || '000')"


def utc_now() -> datetime:
    """Give this machine's time; what is compared across machines, such as leases, uses `db_now`."""
    return datetime.now(UTC)


def new_id(prefix: str) -> str:
    """Make an id such as `cmt_…`: 48 bits of milliseconds, 56 random; sorts by time of making.

    Ids have to be unique, not secret: what they name is behind keys and receipts. The module's
    generator is seeded by the operating system, anew in every forked child.
    """
    return f"{prefix}_{int(time.time() * 1000):012x}{random.getrandbits(56):014x}"


def first_id(prefix: str, moment: datetime) -> str:
    """Give what sorts before every id of a kind made at a time or later."""
    return f"{prefix}_{max(0, int(moment.timestamp() * 1000)):012x}"


def made_at(row_id: str) -> datetime:
    """Give when an id was made."""
    return datetime.fromtimestamp(int(row_id.partition("_")[2][:12], 16) / 1000, UTC)


def insert_into(connection: Connection, table: Any) -> Any:
    """Give an INSERT of this database's own dialect, which knows ON CONFLICT."""
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    return dialect.insert(table)


def ring_after(connection: Connection, job: Job) -> None:
    """Ring for `job` once the transaction that is open on this connection has been committed."""
    connection.info.setdefault(_RINGS, set()).add(job)


def tally_of(connection: Connection) -> Tally:
    """Give what is counted if the transaction that is open on this connection is committed."""
    tally: Tally = connection.info.setdefault(_TALLY, Tally())
    return tally


class Database:
    """One process's door to the ledger; safe between threads, to be remade after a fork."""

    def __init__(self, settings: Settings, doorbell: Doorbell) -> None:
        self.engine = make_engine(settings)
        self.doorbell = doorbell
        self._reading = self.engine.execution_options(isolation_level="AUTOCOMMIT")
        self._writing = self.engine.execution_options(**WRITING)

    @contextlib.contextmanager
    def writing(self) -> Iterator[Connection]:
        """Give a connection whose work is committed at the end of the block, or undone whole.

        Raises:
            Unavailable: the database cannot be reached or written; nothing was stored.
        """
        with unavailable(), self._writing.connect() as connection:
            for left in (_RINGS, _TALLY):  # of a transaction that was undone
                connection.info.pop(left, None)
            with connection.begin():
                yield connection
            rings = connection.info.pop(_RINGS, ())
            tally = connection.info.pop(_TALLY, None)
        for job in rings:
            self.doorbell.ring(job)
        if tally is not None:
            self.doorbell.tally(tally.take())

    @contextlib.contextmanager
    def transaction(self) -> Iterator[Session]:
        """Give a session over such a connection, for what is not on every comment's way.

        Raises:
            Unavailable: the database cannot be reached or written; nothing was stored.
        """
        with self.writing() as connection, Session(connection, expire_on_commit=False) as session:
            yield session
            session.flush()

    @contextlib.contextmanager
    def reading(self) -> Iterator[Session]:
        """Give a session for reads; each statement sees what is committed when it runs.

        Raises:
            Unavailable: the database cannot be reached.
        """
        with unavailable(), Session(self._reading, expire_on_commit=False) as session:
            yield session

    def forget_connections(self) -> None:
        """Leave the connections to the parent, after a fork."""
        self.engine.dispose(close=False)

    def close(self) -> None:
        """Give all connections back."""
        self.engine.dispose()


@contextlib.contextmanager
def unavailable() -> Iterator[None]:
    """Say what a driver raises in the block in our words.

    Raises:
        Unavailable: the database cannot be reached or written.
    """
    try:
        yield
    except (OperationalError, InternalError, PoolTimeout) as error:  # a stand-by is the second
        raise Unavailable(f"the database does not answer: {_first_line(error)}") from error
    except DBAPIError as error:
        if not error.connection_invalidated:
            raise
        raise Unavailable(f"the database went away: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    cause = error.orig if isinstance(error, DBAPIError) else error
    return str(cause).partition("\n")[0]


def make_engine(settings: Settings) -> Engine:
    """Make the engine without opening a connection.

    SQLite is in WAL mode with `synchronous=FULL`: a commit is on the disk when it returns. The
    connection used last is used next: what it has cached and prepared is of use again, and those
    that only a rush needs take no memory for it.

    Raises:
        ConfigError: the folder of the SQLite file cannot be made.
    """
    url = settings.sqlalchemy_url
    if url.startswith("sqlite"):
        try:
            settings.home.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"cannot make {settings.home}: {error.strerror}") from error
        engine = create_engine(
            url, pool_size=settings.web_threads, pool_timeout=5, pool_use_lifo=True
        )
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    return create_engine(
        url,
        pool_size=min(settings.web_threads, 10),
        max_overflow=0,
        pool_timeout=5,
        pool_pre_ping=True,
        pool_use_lifo=True,
        connect_args=_POSTGRES_CONNECTION,
    )


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # transactions begin where we say so, see _begin_sqlite
    cursor = connection.cursor()
    # With secure_delete what is forgotten is overwritten, and not only marked as free.
    for pragma in (
        f"busy_timeout={_SQLITE_BUSY_MS}",
        "synchronous=FULL",
        "foreign_keys=ON",
        "secure_delete=ON",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    _use_wal(cursor)
    cursor.close()


def _use_wal(cursor: sqlite3.Cursor) -> None:
    """Go over to WAL; the first time takes the file alone, and SQLite does not wait for that."""
    deadline = time.monotonic() + _SQLITE_BUSY_MS / 1000
    while True:
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def _begin_sqlite(connection: Connection) -> None:
    # A reader that turns into a writer half-way fails at once instead of waiting its turn,
    # so writers say so from the start.
    if not connection.get_execution_options().get(_WRITES):
        return
    # SQLite's own waiting sleeps for up to 100 ms at a time, far longer than our transactions:
    # two web processes would leave the disk idle most of the time.
    driver = cast(sqlite3.Connection, connection.connection.dbapi_connection)
    deadline = time.monotonic() + _SQLITE_BUSY_MS / 1000
    driver.execute("PRAGMA busy_timeout=0")
    try:
        while True:
            try:
                driver.execute("BEGIN IMMEDIATE")
                return
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or time.monotonic() > deadline:
                    raise Unavailable(f"the database does not answer: {error}") from error
            time.sleep(_SQLITE_PAUSE_SECONDS)
    finally:
        driver.execute(f"PRAGMA busy_timeout={_SQLITE_BUSY_MS}")


T = TypeVar("T")
R = TypeVar("R")
Write = Callable[[Connection, Sequence[T]], Sequence[R | Exception]]


def commit_together(
    database: Database, write: Write[T, R], items: Sequence[T]
) -> Sequence[R | Exception]:
    """Write items in one transaction, so that they share its fsync.

    Args:
        database: the ledger.
        write: gives for each item its result, or the exception to raise to whoever brought it.
        items: what to write. If `write` or the commit fails for all together, nothing of them
            is stored, and each is tried alone, so that one cannot take others with it.

    Returns:
        For each item its result or exception; `Unavailable` where the database cannot be
        written and the item was not stored.
    """
    if not items:
        return []
    try:
        with database.writing() as connection:
            return write(connection, items)
    except Unavailable as error:
        return [error] * len(items)
    except Exception as error:  # noqa: BLE001 - raised to the caller it belongs to
        if len(items) == 1:
            return [error]
    return [result for item in items for result in commit_together(database, write, [item])]


class GroupCommit(Grouped[T, R]):
    """A function that stores one item; concurrent calls share transactions."""

    def __init__(self, database: Database, write: Write[T, R], *, most: int = 128) -> None:
        super().__init__(lambda items: commit_together(database, write, items), most=most)
