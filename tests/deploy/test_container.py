"""What the image would run, in namespaces of this machine: its commands, its user, its environment.

As the first process, with no rights, and with a file system of which only memory can be written.
"""

import contextlib
import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from service.base import config
from service.operations import schema
from tests.cast import HAM, decisions_by_comment, make_comment, make_site, open_ledger, wait_until
from tests.deploy import machine
from tests.deploy.network import HUB_ADDRESS, Network
from tests.deploy.servers import Servers
from tests.deploy.test_image import LAST_STAGE

_MISSING = machine.missing()
pytestmark = [pytest.mark.process, pytest.mark.skipif(bool(_MISSING), reason=_MISSING)]

_WITHIN_SECONDS = 60


def said(instruction: str) -> list[str]:
    """Give what the last stage of the Dockerfile says after an instruction."""
    return [
        line.removeprefix(instruction).strip()
        for line in LAST_STAGE
        if line.startswith(f"{instruction} ")
    ]


class Containers:
    """Containers on one host, over servers on another."""

    def __init__(self, folder: Path, net: Network, servers: Servers) -> None:
        self._folder = folder
        self._net = net
        self._environ = {**machine.to_install(folder / "wheel"), "SECRETS": str(folder / "secrets")}
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        secrets = folder / "secrets"
        secrets.mkdir(parents=True)
        for name, value in {
            "database_url": servers.database_url,
            "redis_url": servers.redis_url,
            "hamgate_secret": "s" * 64,
        }.items():
            (secrets / name).write_text(value)

    def start(self, command: str) -> None:
        (user,) = said("USER")
        (environment,) = said("ENV")
        (entrypoint,) = said("ENTRYPOINT")
        self._processes[command] = subprocess.Popen(
            [*self._net.inside("host"),
             "unshare", "--mount", "--pid", "--ipc", "--uts", "--mount-proc", "--fork",
             "--kill-child=KILL", str(Path(__file__).parent / "contain.sh"), user,
             *shlex.split(environment.replace("$PATH", "/usr/bin:/bin")),
             "DATABASE_URL_FILE=/run/secrets/database_url",
             "REDIS_URL_FILE=/run/secrets/redis_url",
             "HAMGATE_SECRET_FILE=/run/secrets/hamgate_secret",
             *re.findall(r'"([^"]+)"', entrypoint), command],
            env=self._environ,
            stdout=self._log(command).open("wb"),
            stderr=subprocess.STDOUT,
        )  # fmt: skip

    def exec(self, command: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command beside the first process of a container, as `docker exec` does."""
        first = self.first(command)
        environ = dict(
            line.split("=", 1)
            for line in Path(f"/proc/{first.pid}/environ").read_text().split("\0")
            if line
        )
        return subprocess.run(
            ["nsenter", f"--target={first.pid}", "--all", f"--setuid={first.uids().real}",
             f"--setgid={first.gids().real}", "--", *arguments],
            env={**environ, "PATH": f"{environ['PATH']}:{os.environ['PATH']}"},
            capture_output=True,
            text=True,
        )  # fmt: skip

    def wait_until_healthy(self, command: str, *check: str) -> None:
        """Wait until a container has come to its command, and a check succeeds beside it."""
        running = psutil.Process(self._processes[command].pid)
        wait_until(
            lambda: any(one.uids().real for one in running.children()),
            _WITHIN_SECONDS,
            lambda: self.told(command),
        )
        wait_until(
            lambda: self.exec(command, *check).returncode == 0,
            _WITHIN_SECONDS,
            lambda: self.told(command),
        )

    def first(self, command: str) -> psutil.Process:
        """Give the first process of a container."""
        (first,) = psutil.Process(self._processes[command].pid).children()
        return first

    def told(self, command: str) -> str:
        return self._log(command).read_text(errors="replace")

    def stop(self, command: str) -> int:
        """Send what STOPSIGNAL says to the first process, and give the exit code."""
        (signal,) = said("STOPSIGNAL")
        assert signal == "SIGTERM"
        self.first(command).terminate()
        return self._processes.pop(command).wait(30)

    def kill_all(self) -> None:
        for process in self._processes.values():
            process.kill()
            process.wait()

    def _log(self, command: str) -> Path:
        return self._folder / f"{command}.log"


@pytest.fixture
def servers_and_net() -> Iterator[tuple[Servers, Network]]:
    with contextlib.ExitStack() as stack:
        net = Network()
        stack.callback(net.remove)
        net.add_host("host")
        servers = Servers(address=HUB_ADDRESS, inside=net.inside())
        stack.callback(servers.stop)
        servers.start()
        yield servers, net


def test_web_and_worker_run_as_nobody_with_nothing_to_write_to(
    servers_and_net: tuple[Servers, Network], tmp_path: Path
) -> None:
    servers, net = servers_and_net
    settings = config.from_environ(
        {"DATABASE_URL": servers.local_database_url, "REDIS_URL": servers.local_redis_url}
    )
    schema.migrate(settings)
    ledger = open_ledger(settings)
    containers = Containers(tmp_path, net, servers)
    try:
        containers.start("web")
        containers.start("worker")
        for part in ("web", "worker"):
            (check,) = said("HEALTHCHECK")
            containers.wait_until_healthy(part, *re.findall(r'"([^"]+)"', check), part)
        comment = make_comment(ledger, make_site(ledger), body=HAM)
        wait_until(
            lambda: comment in decisions_by_comment(ledger),
            _WITHIN_SECONDS,
            lambda: containers.told("worker"),
        )

        first = containers.first("worker")
        assert first.uids().real == 10001
        status = Path(f"/proc/{first.pid}/status").read_text()
        assert re.search(r"^CapBnd:\s+0+$", status, re.M)
        assert re.search(r"^NoNewPrivs:\s+1$", status, re.M)
        for place in ("/etc", "/opt/hamgate", "/var", "/home", "/usr"):
            assert containers.exec("worker", "touch", f"{place}/x").returncode == 1, place
        assert containers.exec("worker", "touch", "/tmp/x").returncode == 0

        # A worker that is killed leaves its child to the first process, which has to bury it.
        for child in first.children():
            for orphan in child.children():
                orphan.suspend()
            child.kill()
        wait_until(
            lambda: (
                not any(
                    process.status() == psutil.STATUS_ZOMBIE
                    for process in first.children(recursive=True)
                )
            ),
            _WITHIN_SECONDS,
            "somebody was not buried",
        )
        assert containers.stop("worker") == containers.stop("web") == 0
    finally:
        containers.kill_all()
        ledger.close()
