"""The short version of `make chaos`: some faults of every kind, and all invariants."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.chaos.clock import Clock
from tests.chaos.disk import Disk
from tests.chaos.run import Plan, run
from tests.chaos.stage import raised

pytestmark = [pytest.mark.process, pytest.mark.timeout(300)]


@pytest.fixture
def home() -> Iterator[Path]:
    """A folder with a path short enough for sockets."""
    folder = Path(tempfile.mkdtemp(prefix="chaos-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def test_whatever_is_killed_or_cut_off_the_promises_hold(
    new_ledger: Callable[[], str], home: Path
) -> None:
    with raised(home, ledger_url=new_ledger()) as stage:
        report = run(stage, Plan(seed=20_261_125, comments=120, kills=6, pause_seconds=0.3))

    assert report.broken == {}
    assert sum(report.kills.values()) >= 6


def test_a_disk_that_is_full_for_a_while_costs_nothing_that_was_accepted(home: Path) -> None:
    if reason := Disk.missing():
        pytest.skip(reason)
    with raised(home, disk_mb=128) as stage:
        report = run(stage, Plan(seed=1, comments=40, first=("fill disk",) * 2))

    assert report.broken == {}
    assert set(report.submits) <= {202, 503}


def test_a_clock_that_is_hours_off_and_put_right_delays_nothing(
    new_ledger: Callable[[], str], home: Path
) -> None:
    if reason := Clock.missing():
        pytest.skip(reason)
    with raised(home, ledger_url=new_ledger(), moves_clock=True) as stage:
        report = run(stage, Plan(seed=3, comments=40, first=("move clock",) * 3))

    assert report.broken == {}
    assert set(report.submits) == {202}
