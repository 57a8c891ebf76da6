"""The short version of `make chaos`: some faults of every kind, and all invariants."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.chaos.run import DECIDED_WITHIN_SECONDS, run


@pytest.fixture
def home() -> Iterator[Path]:
    """A folder with a path short enough for sockets."""
    folder = Path(tempfile.mkdtemp(prefix="chaos-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.process
@pytest.mark.timeout(300)
def test_whatever_breaks_the_promises_hold(new_ledger: Callable[[], str], home: Path) -> None:
    report = run(home, new_ledger(), comments=300, faults=12, seed=20_261_125, chance=0.01)

    assert report.broken == {}
    assert report.decided_seconds <= DECIDED_WITHIN_SECONDS
    assert sum(report.faults.values()) == 12
