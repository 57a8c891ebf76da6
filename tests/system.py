"""A whole Hamgate in processes of its own, as an operator runs it: web, worker, sweeper."""

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import psutil

from tests.cast import wait_until

_HAMGATE = str(Path(sys.executable).parent / "hamgate")
_READY_SECONDS = 60  # a second, where nothing else runs


def free_port() -> int:
    """Give a port nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def is_gone(pid: int) -> bool:
    """Whether a process has ended, even if nobody has taken note of it."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def kill_family(process: subprocess.Popen[Any]) -> None:
    """Kill -9 a process and all it started, at once."""
    family = [psutil.Process(process.pid)]
    family += family[0].children(recursive=True)
    for member in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            member.send_signal(signal.SIGKILL)
    process.wait()


@dataclass
class Answer:
    """What the server said."""

    status: int
    headers: dict[str, str]
    json: Any


@dataclass
class System:
    """`hamgate web` and `hamgate worker` over given servers; what a test may kill."""

    environ: Mapping[str, str]
    port: int = field(default_factory=free_port)
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    output: BinaryIO | None = None

    def start(self, name: str) -> None:
        """Start `web` or `worker`; wait until the web server answers."""
        clean = {k: v for k, v in os.environ.items() if not k.startswith("HAMGATE_")}
        self.processes[name] = subprocess.Popen(
            [_HAMGATE, name],
            env={**clean, **self.environ, "HAMGATE_PORT": str(self.port)},
            start_new_session=True,
            stdout=self.output,
            stderr=self.output,
        )
        if name == "web":
            wait_until(self.is_ready, _READY_SECONDS, "the web server did not start")

    def is_ready(self) -> bool:
        try:
            return self.request("GET", "/livez").status == 200
        except OSError:
            return False

    def kill(self, name: str) -> None:
        """Kill -9 the process and all it started, at once."""
        kill_family(self.processes.pop(name))

    def stop(self) -> None:
        """Stop everything, by force where asking does not help."""
        for name, process in list(self.processes.items()):
            process.terminate()
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                self.kill(name)

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send one request on a connection of its own.

        Raises:
            OSError: the server cannot be reached, or went away half-way.
        """
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=15)
        try:
            content = None if body is None else json.dumps(body)
            given = {"Content-Type": "application/json"} if content else {}
            connection.request(method, path, content, {**given, **(headers or {})})
            answer = connection.getresponse()
            raw = answer.read()
            found = {name.lower(): value for name, value in answer.getheaders()}
            is_json = "json" in found.get("content-type", "")
            return Answer(answer.status, found, json.loads(raw) if is_json else raw.decode())
        except http.client.HTTPException as error:
            raise ConnectionError(str(error)) from error
        finally:
            connection.close()


@contextlib.contextmanager
def running(environ: Mapping[str, str], output: BinaryIO | None = None) -> Iterator[System]:
    """Run web and worker for the length of a block; what they print goes to `output`, if given."""
    system = System(environ, output=output)
    try:
        system.start("web")
        system.start("worker")
        yield system
    finally:
        system.stop()
