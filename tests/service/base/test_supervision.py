"""Keeping processes running: restarts, back-off, an orderly stop, nothing left behind."""

import functools
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from service.base import supervision
from service.base.supervision import Child, Supervisor
from tests.cast import wait_until
from tests.system import is_gone

pytestmark = pytest.mark.process

_PATIENCE_SECONDS = 15


def sleep() -> None:
    time.sleep(600)


def end_of(child: Child) -> int:
    """Wait until a child has ended and give how."""
    codes: list[int] = []

    def ended() -> bool:
        code = child.reap()
        codes.extend([] if code is None else [code])
        return bool(codes)

    wait_until(ended)
    return codes[0]


@pytest.fixture
def make_child() -> Iterator[Callable[..., Child]]:
    """Makes children that do not outlive the test."""
    made: list[Child] = []

    def make(body: Callable[[], None], ready: Callable[[], bool] | None = None) -> Child:
        made.append(Child("child", body, ready))
        return made[-1]

    yield make
    for child in made:
        child.signal(signal.SIGKILL)
        while child.pid is not None:
            child.reap()


@pytest.fixture
def supervise(tmp_path: Path) -> Iterator[Callable[[str], subprocess.Popen[str]]]:
    """Runs a supervisor in a process of its own; its children write their ids to `pids`."""
    started: list[subprocess.Popen[str]] = []

    def run(children: str) -> subprocess.Popen[str]:
        script = f"""
import os, signal, sys, time
from pathlib import Path
from service.base.supervision import Child, Supervisor

def note(name):
    with Path({str(tmp_path / "pids")!r}).open("a") as file:
        file.write(f"{{name}} {{os.getpid()}}\\n")

def sleeper(name):
    def body():
        note(name)
        time.sleep(600)
    return body

supervisor = Supervisor()
supervisor.install()
{textwrap.dedent(children)}
supervisor.run()
"""
        started.append(
            subprocess.Popen(
                [sys.executable, "-c", script], stderr=subprocess.PIPE, stdout=subprocess.PIPE,
                text=True,
            )
        )  # fmt: skip
        return started[-1]

    yield run
    for process in started:
        process.kill()
        process.communicate()
    for _, pid in noted(tmp_path):
        if psutil.pid_exists(pid):
            os.kill(pid, signal.SIGKILL)


def noted(folder: Path) -> list[tuple[str, int]]:
    """Give name and process id of the children so far."""
    file = folder / "pids"
    lines = file.read_text().splitlines() if file.exists() else []
    return [(line.split()[0], int(line.split()[1])) for line in lines]


def test_a_living_child_has_no_exit_code(make_child: Callable[..., Child]) -> None:
    child = make_child(sleep)

    child.start()

    assert child.pid is not None
    assert child.reap() is None


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (lambda: None, 0),
        (lambda: sys.exit(7), 7),
        (lambda: 1 // 0, 1),
        (lambda: os.kill(os.getpid(), signal.SIGKILL), -signal.SIGKILL),
    ],
    ids=["returns", "exits", "raises", "is killed"],
)
def test_it_is_known_how_a_child_ended(
    make_child: Callable[..., Child], body: Callable[[], None], code: int
) -> None:
    child = make_child(body)

    child.start()

    assert end_of(child) == code
    assert child.pid is None


def test_a_child_becomes_the_program_it_is_given(
    make_child: Callable[..., Child], tmp_path: Path
) -> None:
    program = ["/bin/sh", "-c", 'echo "$WORD" > "$0"', str(tmp_path / "said")]
    child = make_child(supervision.command(program, {"WORD": "hello"}))

    child.start()

    assert end_of(child) == 0
    assert (tmp_path / "said").read_text() == "hello\n"


def test_a_child_that_keeps_dying_is_restarted_more_and_more_slowly(
    make_child: Callable[..., Child],
) -> None:
    child = make_child(lambda: None)
    delays = []
    for _ in range(7):
        child.start()
        end_of(child)
        delays.append(child.delay_seconds)

    assert delays == [0.25, 0.5, 1.0, 2.0, 4.0, 5.0, 5.0]


def test_a_child_that_lived_well_is_forgiven(
    make_child: Callable[..., Child], monkeypatch: pytest.MonkeyPatch
) -> None:
    child = make_child(lambda: None)
    for _ in range(3):
        child.start()
        end_of(child)
    monkeypatch.setattr(supervision, "_LIVED_WELL_SECONDS", -1.0)

    child.start()
    end_of(child)

    assert child.delay_seconds == 0.25


def test_a_dead_child_is_restarted_when_its_delay_is_over(
    make_child: Callable[..., Child],
) -> None:
    child = make_child(sleep)
    child.start()
    first = child.pid
    child.signal(signal.SIGKILL)
    end_of(child)

    def restarted() -> bool:
        child.restart_if_due()
        return child.pid is not None

    wait_until(restarted)
    assert child.pid != first


def test_what_a_dead_child_started_dies_with_it(
    make_child: Callable[..., Child], tmp_path: Path
) -> None:
    script = f"sleep 600 & echo $! > {tmp_path}/left; exit 3"
    child = make_child(supervision.command(["/bin/sh", "-c", script], os.environ))

    child.start()

    assert end_of(child) == 3
    left = int((tmp_path / "left").read_text())
    wait_until(lambda: is_gone(left))


def test_a_child_is_added_once_it_is_ready(tmp_path: Path) -> None:
    supervisor = Supervisor()
    flag = tmp_path / "flag"

    def body() -> None:
        time.sleep(0.1)
        flag.touch()
        time.sleep(600)

    assert supervisor.add(Child("slow", body, flag.exists))
    assert flag.exists()
    supervisor.stop()


@pytest.mark.parametrize("body", [sleep, lambda: None], ids=["hangs", "dies"])
def test_a_child_that_does_not_become_ready_is_not_waited_for_for_ever(
    body: Callable[[], None],
) -> None:
    supervisor = Supervisor()

    ready = supervisor.add(Child("never", body, lambda: False), ready_within_seconds=0.3)

    assert not ready
    supervisor.stop()


def test_children_are_stopped_last_started_first(
    supervise: Callable[[str], subprocess.Popen[str]], tmp_path: Path
) -> None:
    process = supervise(
        """
        def tidy(name):
            def body():
                signal.signal(signal.SIGTERM, lambda *_: (note("end-of-" + name), sys.exit(0)))
                note(name)
                while True:
                    time.sleep(0.05)
            return body

        for name in ("one", "two", "three"):
            supervisor.add(Child(name, tidy(name)))
        """
    )
    wait_until(lambda: len(noted(tmp_path)) == 3)

    process.terminate()

    assert process.wait(_PATIENCE_SECONDS) == 0
    assert [name for name, _ in noted(tmp_path)][3:] == ["end-of-three", "end-of-two", "end-of-one"]


def test_a_child_that_will_not_stop_is_killed(
    supervise: Callable[[str], subprocess.Popen[str]], tmp_path: Path
) -> None:
    process = supervise(
        """
        from service.base import supervision
        supervision._GRACE_SECONDS = 0.2

        def stubborn():
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            note("stubborn")
            while True:
                time.sleep(1)

        supervisor.add(Child("stubborn", stubborn))
        """
    )
    wait_until(lambda: len(noted(tmp_path)) == 1)

    process.terminate()

    assert process.wait(_PATIENCE_SECONDS) == 0
    assert is_gone(noted(tmp_path)[0][1])


def test_a_killed_child_is_started_again_and_the_log_says_so(
    supervise: Callable[[str], subprocess.Popen[str]], tmp_path: Path
) -> None:
    process = supervise('supervisor.add(Child("part", sleeper("part")))')
    wait_until(lambda: len(noted(tmp_path)) == 1)

    os.kill(noted(tmp_path)[0][1], signal.SIGKILL)

    wait_until(lambda: len(noted(tmp_path)) == 2)
    process.terminate()
    _, log = process.communicate(timeout=_PATIENCE_SECONDS)
    assert "part ended (signal SIGKILL); starting it again in" in log


def test_children_end_when_their_supervisor_is_killed(
    supervise: Callable[[str], subprocess.Popen[str]], tmp_path: Path
) -> None:
    process = supervise(
        """
        supervisor.add(Child("one", sleeper("one")))
        supervisor.add(Child("two", sleeper("two")))
        """
    )
    wait_until(lambda: len(noted(tmp_path)) == 2)

    process.kill()

    for _, pid in noted(tmp_path):
        wait_until(functools.partial(is_gone, pid))
