"""`hamgate up` as a newcomer runs it: one command, a comment decided, and nothing left behind."""

import contextlib
import http.client
import itertools
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.cast import wait_until
from tests.system import free_port

pytestmark = pytest.mark.process

_HAMGATE = str(Path(sys.executable).parent / "hamgate")
_PATIENCE_SECONDS = 40


class Up:
    """`hamgate up` in a folder of the test's own."""

    def __init__(self, home: Path, port: int | None = None) -> None:
        self.home = home
        self.port = port or free_port()
        self.said = home.parent / f"{home.name}.out"
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def environ(self) -> dict[str, str]:
        clean = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("HAMGATE_") and name not in ("DATABASE_URL", "REDIS_URL")
        }
        return {**clean, "HAMGATE_HOME": str(self.home), "HAMGATE_PORT": str(self.port)}

    def start(self) -> None:
        """Start and wait until it says that it runs."""
        with self.said.open("wb") as out:
            started = subprocess.Popen([_HAMGATE, "up"], env=self.environ, stdout=out)
        self.process = started
        wait_until(
            lambda: b"Hamgate runs at" in self.said.read_bytes() or started.poll() is not None
        )
        assert started.poll() is None, "it did not start"

    def stop(self) -> int:
        """Ask it to stop and give its exit code."""
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(_PATIENCE_SECONDS)

    def family(self) -> list[psutil.Process]:
        """Give all living processes that belong to this home, whoever their parent is."""
        return [process for process in psutil.process_iter() if self._owns(process)]

    def child(self, words: str) -> psutil.Process | None:
        """Give the child whose command line has these words."""
        assert self.process is not None
        for child in psutil.Process(self.process.pid).children():
            with contextlib.suppress(psutil.Error):
                if words in " ".join(child.cmdline()):
                    return child
        return None

    def clean(self) -> None:
        """End whatever is left, by force."""
        for process in self.family():
            with contextlib.suppress(psutil.Error):
                process.kill()
        if self.process is not None:
            self.process.wait()

    def curl(self) -> dict[str, Any]:
        """Paste the command that it printed into a shell, and give the answer."""
        found = re.search(r"curl .*?}'$", self.said.read_text(), re.DOTALL | re.MULTILINE)
        assert found is not None
        if shutil.which("curl") and shutil.which("bash"):
            pasted = subprocess.run(["bash", "-c", found[0]], capture_output=True, check=True)
            return parsed(pasted.stdout)
        return send(found[0])

    def decided(self) -> dict[str, Any]:
        """Submit the printed comment and give its decision, once it has one."""
        answer: dict[str, Any] = {}

        def submitted() -> bool:
            with contextlib.suppress(ValueError, OSError, subprocess.CalledProcessError):
                answer.update(self.curl())
            return "id" in answer

        wait_until(submitted)
        path = f"/api/v1/comments/{answer['id']}?receipt={answer['receipt']}"

        def has_decision() -> bool:
            with contextlib.suppress(ValueError, OSError, http.client.HTTPException):
                answer.update(self.get(path))
            return answer.get("decision") is not None

        wait_until(has_decision)
        return answer

    def read(self, path: str) -> str:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        with contextlib.closing(connection):
            connection.request("GET", path)
            return connection.getresponse().read().decode()

    def get(self, path: str) -> dict[str, Any]:
        return parsed(self.read(path))

    def sign_in_link(self) -> str:
        """Give the path of the link for the first owner, as it was printed."""
        found = re.search(
            rf"http://localhost:{self.port}(/dashboard/link\?token=\S+)", self.said.read_text()
        )
        assert found is not None, self.said.read_text()
        return found[1]

    def _owns(self, process: psutil.Process) -> bool:
        try:
            if process.status() == psutil.STATUS_ZOMBIE:
                return False
            # Valkey writes its title over its environment, but works in a folder of the home.
            return process.environ().get("HAMGATE_HOME") == str(self.home) or (
                Path(process.cwd()).is_relative_to(self.home)
            )
        except (psutil.Error, OSError):
            return False


def parsed(content: str | bytes) -> dict[str, Any]:
    """Give what an answer says."""
    answer: dict[str, Any] = json.loads(content)
    return answer


def send(command: str) -> dict[str, Any]:
    """Do what curl would do."""
    words = shlex.split(command.replace("\\\n", " "))
    url = urllib.parse.urlsplit(next(word for word in words if word.startswith("http")))
    pairs = list(itertools.pairwise(words))
    headers = dict(value.split(": ", 1) for option, value in pairs if option == "-H")
    (body,) = [value for option, value in pairs if option == "-d"]
    connection = http.client.HTTPConnection(url.netloc, timeout=10)
    with contextlib.closing(connection):
        connection.request("POST", url.path, body, headers)
        return parsed(connection.getresponse().read())


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Up]:
    """An installation that has not been started yet."""
    made = Up(tmp_path / "home")
    yield made
    made.clean()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """A running installation."""
    made = Up(tmp_path_factory.mktemp("up") / "home")
    try:
        made.start()
        yield made
    finally:
        made.clean()


def test_the_command_it_prints_works_when_pasted_and_a_decision_comes(running: Up) -> None:
    answer = running.decided()

    assert answer["name"] == "Ada"
    assert answer["decision"]["actor"] == "policy"


def test_the_addresses_it_prints_are_there(running: Up) -> None:
    said = running.said.read_text()
    paths = re.findall(rf"http://localhost:{running.port}(/\w+) ", said)

    assert paths == ["/docs", "/readyz", "/dashboard"]
    for path in paths:
        connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=10)
        with contextlib.closing(connection):
            connection.request("GET", path)
            assert connection.getresponse().status in (200, 308)


def test_the_link_it_prints_lets_the_first_owner_in(running: Up) -> None:
    page = running.read(running.sign_in_link())

    assert "Choose how you sign in" in page


def test_metrics_count_the_requests_of_all_web_processes(running: Up) -> None:
    for _ in range(20):
        running.get("/readyz")

    def counted() -> bool:
        found = re.search(
            r'^hamgate_http_requests_total{route="/readyz",status="200"} (\S+)$',
            running.read("/metrics"),
            re.MULTILINE,
        )
        return found is not None and float(found[1]) >= 20

    wait_until(counted)


def test_the_home_is_private(running: Up) -> None:
    assert running.home.stat().st_mode & 0o077 == 0


def test_the_doctor_finds_nothing_wrong_with_it(running: Up) -> None:
    running.decided()

    def well() -> bool:
        ended = subprocess.run(
            [_HAMGATE, "doctor", "--json"], env=running.environ, capture_output=True, check=False
        )
        grades = [check["grade"] for check in json.loads(ended.stdout)["checks"]]
        assert ended.returncode == ("fail" in grades)
        return set(grades) == {"ok"}

    wait_until(well)


def test_a_second_one_on_the_same_port_is_refused(running: Up, tmp_path: Path) -> None:
    second = Up(tmp_path / "home", running.port)

    ended = subprocess.run(
        [_HAMGATE, "up"], env=second.environ, capture_output=True, text=True, check=False
    )

    assert ended.returncode == 1
    assert f"port {running.port} on 127.0.0.1 is taken" in ended.stderr
    assert second.family() == []


def test_a_second_one_over_the_same_home_is_refused(running: Up) -> None:
    second = Up(running.home)

    ended = subprocess.run(
        [_HAMGATE, "up"], env=second.environ, capture_output=True, text=True, check=False
    )

    assert ended.returncode == 1
    assert running.process is not None
    assert (
        f"another `hamgate up` (process {running.process.pid}) uses {running.home}" in ended.stderr
    )


@pytest.mark.parametrize("part", ["valkey-server", "hamgate web", "-m workers"])
def test_a_part_that_is_killed_is_started_again_and_the_service_works(
    running: Up, part: str
) -> None:
    wait_until(lambda: running.child(part) is not None)
    victim = running.child(part)
    assert victim is not None

    victim.kill()

    def replaced() -> bool:
        heir = running.child(part)
        return heir is not None and heir.pid != victim.pid

    wait_until(replaced)
    assert running.decided()["decision"] is not None


def test_it_stops_cleanly_leaves_no_process_and_finds_its_data_again(up: Up) -> None:
    up.start()
    before, link = up.decided(), up.sign_in_link()

    assert up.stop() == 0
    assert up.family() == []

    up.port = free_port()
    up.start()
    after = up.get(f"/api/v1/comments/{before['id']}?receipt={before['receipt']}")
    assert after["decision"] == before["decision"]
    assert up.decided()["id"] != before["id"]
    # Nobody has signed in, so there is a new link, and the old one has ended.
    assert "Choose how you sign in" in up.read(up.sign_in_link())
    assert "Choose how you sign in" not in up.read(link)


def test_told_to_stop_while_it_starts_it_leaves_no_process(up: Up) -> None:
    up.process = subprocess.Popen([_HAMGATE, "up"], env=up.environ)
    wait_until(lambda: up.child("valkey-server") is not None)

    assert up.stop() == 0
    assert up.family() == []


def test_killed_it_leaves_no_process_and_can_be_started_at_once(up: Up) -> None:
    up.start()
    assert up.process is not None

    up.process.send_signal(signal.SIGKILL)
    up.process.wait()
    up.start()
    family = {process.pid for process in psutil.Process(up.process.pid).children(recursive=True)}

    family.add(up.process.pid)
    wait_until(lambda: {p.pid for p in up.family()} <= family)


def test_a_database_that_does_not_answer_ends_it_with_the_reason(up: Up) -> None:
    environ = {**up.environ, "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/nothing"}

    ended = subprocess.run(
        [_HAMGATE, "up"], env=environ, capture_output=True, text=True, check=False
    )

    assert ended.returncode == 1
    assert "error: the database does not answer" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert up.family() == []
