"""PostgreSQL: its own client programs, and the proof that what they carry is all.

The one rule: what is dumped and what is hashed is one snapshot, which a transaction of ours holds
and exports for `pg_dump` and for who hashes; so the sums in the manifest are those of the dump.
"""

import contextlib
import os
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from service.base.config import Settings
from service.base.errors import HamgateError, Unavailable
from service.ledger.db import APPLICATION
from service.operations.backups import rows
from service.operations.backups.rows import Sum

# Where Debian keeps the programs of each version; PATH has a wrapper for the newest.
_DEBIAN = Path("/usr/lib/postgresql")
_PAUSE_SECONDS = 0.05
# Tables that are restored, or hashed, side by side.
_AT_ONCE = min(os.cpu_count() or 1, 4)
_ONE_MOMENT = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"
# For the indexes, which are most of a restore; a commit there need not wait for the disk, since
# the one after the last does.
_RESTORING = "-c statement_timeout=0 -c synchronous_commit=off -c maintenance_work_mem=256MB"

Connection = psycopg.Connection[tuple[Any, ...]]
Progress = Callable[[int, int, str], None]


class ProgramFault(HamgateError):
    """A client program of PostgreSQL is missing, too old, or ended with an error."""


def conninfo(settings: Settings) -> str:
    """Give the address of the ledger as libpq takes it."""
    return re.sub(r"^postgres(ql)?(\+psycopg)?://", "postgresql://", settings.database_url)


@contextlib.contextmanager
def opened(address: str) -> Iterator[Connection]:
    """Give a connection for the length of a block; its transactions are what the block begins.

    Raises:
        Unavailable: the server does not answer, or not as it should.
    """
    try:
        with psycopg.connect(
            address, autocommit=True, connect_timeout=5, application_name=f"{APPLICATION} backup"
        ) as connection:
            yield connection
    except psycopg.OperationalError as error:
        raise Unavailable(f"the database does not answer: {_first_line(error)}") from error


def dump(settings: Settings, target: Path, progress: Progress) -> dict[str, Sum]:
    """Dump the ledger as it is at one moment, see that the dump can be read, and say what is in it.

    Raises:
        ProgramFault: `pg_dump` is missing, older than the server, or failed.
    """
    address = conninfo(settings)
    with opened(address) as connection, connection.transaction():
        pg_dump = program(settings, "pg_dump", _major(connection))
        connection.execute(_ONE_MOMENT)
        ((snapshot,),) = connection.execute("SELECT pg_export_snapshot()")
        wanted = [pg_dump, "--format=custom", "--compress=1", "--no-owner", "--no-privileges"]
        with (
            _running([*wanted, f"--snapshot={snapshot}", f"--file={target}"], address) as process,
            _readers(address, snapshot) as readers,
        ):
            sums = rows.of_postgres(readers, lambda done: progress(done, 0, "hashing the ledger"))
            while process.poll() is None:
                progress(target.stat().st_size, 0, "dumping bytes")
                time.sleep(_PAUSE_SECONDS)
    check(settings, target)
    return sums


def check(settings: Settings, file: Path) -> None:
    """See that a dump's list of contents can be read, without a server.

    Raises:
        ProgramFault: it cannot, or `pg_restore` is missing.
    """
    with _running([program(settings, "pg_restore"), "--list", str(file)], None):
        pass


def load(settings: Settings, address: str, file: Path, progress: Progress) -> dict[str, Sum]:
    """Load a dump into an empty database, several tables at once, and say what is in it then.

    Raises:
        ProgramFault: `pg_restore` or `vacuumdb` is missing, older than the server, or failed.
    """
    with opened(address) as connection:
        pg_restore = program(settings, "pg_restore", _major(connection))
        vacuumdb = program(settings, "vacuumdb", _major(connection))
        wanted = [pg_restore, "--exit-on-error", "--no-owner", "--no-privileges"]
        wanted += [f"--jobs={_AT_ONCE}", str(file)]
        # All rows before the first index. Left to itself, pg_restore began with what was largest in
        # the dump, compressed, and the largest table waited for another's index of words.
        for step, *sections in (
            ("restoring bytes", "--section=pre-data", "--section=data"),
            ("making indexes, bytes", "--section=post-data"),
        ):
            with _running([*wanted, *sections], address, PGOPTIONS=_RESTORING) as process:
                while process.poll() is None:
                    ((size,),) = connection.execute("SELECT pg_database_size(current_database())")
                    progress(size, 0, step)
                    time.sleep(_PAUSE_SECONDS)
    with (
        # A dump has no statistics for the planner.
        _running([vacuumdb, "--analyze-only", "--quiet"], address, PGOPTIONS=_RESTORING),
        _readers(address) as readers,
    ):
        return rows.of_postgres(
            readers, lambda done: progress(done, 0, "hashing what was restored")
        )


@contextlib.contextmanager
def _readers(address: str, snapshot: str | None = None) -> Iterator[list[Connection]]:
    """Give several connections that read the ledger as it is at one moment.

    Args:
        address: of the ledger.
        snapshot: which moment, if others write meanwhile.
    """
    with contextlib.ExitStack() as stack:
        readers = []
        for _ in range(_AT_ONCE):
            connection = stack.enter_context(opened(address))
            stack.enter_context(connection.transaction())
            connection.execute(_ONE_MOMENT)
            if snapshot is not None:
                connection.execute(sql.SQL("SET TRANSACTION SNAPSHOT {}").format(snapshot))
            readers.append(connection)
        yield readers


@contextlib.contextmanager
def scratch(address: str) -> Iterator[str]:
    """Give the address of an empty database on the same server, dropped at the end.

    Raises:
        ProgramFault: the role may not make one.
    """
    name = f"hamgate_verify_{os.getpid()}_{int(time.time())}"
    with opened(address) as connection:
        try:
            connection.execute(
                sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(name))
            )
        except psycopg.errors.InsufficientPrivilege as error:
            raise ProgramFault(
                "this role may not make a scratch database to verify in: ALTER ROLE … CREATEDB"
            ) from error
    try:
        yield make_conninfo(address, dbname=name)
    finally:
        with opened(address) as connection:
            connection.execute(
                sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
            )


def users(address: str) -> int:
    """Count the connections of web servers, workers and commands to a database."""
    with opened(address) as connection:
        ((count,),) = connection.execute(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE datname = current_database() AND application_name = %s",
            [APPLICATION],
        )
    return int(count)


def tables(address: str) -> list[str]:
    """Give the names of a database's tables."""
    with opened(address) as connection:
        found = connection.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = current_schema()"
        )
        return [name for (name,) in found]


def has_rows(address: str, names: Sequence[str]) -> bool:
    """Whether any of these tables has a row."""
    with opened(address) as connection:
        return any(
            connection.execute(
                sql.SQL("SELECT 1 FROM {} LIMIT 1").format(sql.Identifier(name))
            ).fetchone()
            for name in names
        )


def program(settings: Settings, name: str, server: int = 0) -> str:
    """Find a client program of PostgreSQL that is no older than the server.

    Args:
        settings: which may name its folder.
        name: such as `pg_dump`.
        server: major version of the server; 0 if any will do.

    Raises:
        ProgramFault: there is none, or only an older one.
    """
    found = {_version(path): path for path in _programs(settings, name)}
    if not found:
        raise ProgramFault(
            f"{name} is not installed here: apt-get install postgresql-client, or set"
            " HAMGATE_POSTGRES_PROGRAMS to the folder that has it"
        )
    newest = max(found)
    if newest < server:
        raise ProgramFault(
            f"{found[newest]} is of version {newest}, older than the server ({server}), and would"
            f" refuse it: install postgresql-client-{server} (Debian: from apt.postgresql.org), or"
            " set HAMGATE_POSTGRES_PROGRAMS to the folder that has it"
        )
    return found[newest]


def _programs(settings: Settings, name: str) -> list[str]:
    if settings.postgres_programs is not None:
        folders = [settings.postgres_programs]
    else:
        folders = sorted(_DEBIAN.glob("*/bin"))
    found = [shutil.which(name, path=str(folder)) for folder in folders]
    if settings.postgres_programs is None:
        found.append(shutil.which(name))
    return [path for path in found if path is not None]


def _version(path: str) -> int:
    said = subprocess.run([path, "--version"], capture_output=True, text=True, check=False).stdout
    number = re.search(r"(\d+)(?:\.\d+|devel|beta|rc)", said)
    return int(number[1]) if number else 0


def _major(connection: Connection) -> int:
    return connection.info.server_version // 10_000


@contextlib.contextmanager
def _running(
    arguments: Sequence[str], address: str | None, **environ: str
) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a program beside a block; at its end wait for it, and say what it says if it failed.

    A password travels in the environment, where other users of the machine cannot read it.

    Raises:
        ProgramFault: it failed.
    """
    if address is not None:
        parts = conninfo_to_dict(address)
        password = parts.pop("password", None)
        environ |= {"PGPASSWORD": str(password)} if password else {}
        arguments = [*arguments, f"--dbname={make_conninfo('', **parts)}"]
    process = subprocess.Popen(
        arguments,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={**os.environ, **environ},
    )
    said: list[bytes] = []
    listener = threading.Thread(target=lambda: said.append(_read(process)), daemon=True)
    listener.start()
    try:
        yield process
        process.wait()
    finally:
        process.kill()
        process.wait()
        listener.join()
    if process.returncode:
        lines = b"".join(said).decode("utf-8", "replace").strip().splitlines()
        raise ProgramFault(f"{Path(arguments[0]).name} failed: {lines[0] if lines else 'silently'}")


def _read(process: "subprocess.Popen[bytes]") -> bytes:
    return process.stderr.read() if process.stderr is not None else b""


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
