"""The benchmark itself runs: every kind of row, for a moment, so that it cannot rot unseen."""

import json
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from tests.bench import machine, report, rows
from tests.bench.load import Generator
from tests.bench.machine import Awake, Calibration
from tests.bench.report import Round
from tests.bench.rows import REFERENCES, Row
from tests.bench.servers import Stage

pytestmark = pytest.mark.process

_SECONDS = 0.02
# Each kind of row, each of its variants, and each database; the others are made of the same.
_NAMES = (
    "reference",
    "intake-sqlite-keyed",
    "intake-postgresql-worker",
    "overload-sqlite",
    "intake-sqlite-16",
    "reading-sqlite-100",
    "reading-postgresql-50-known",
    "flooded-postgresql",
    "pages-sqlite",
    "decisions-sqlite",
    "decisions-postgresql",
    "latency-postgresql",
    "deliveries-sqlite",
    "queue-sqlite",
    "large-postgresql",
    "search-postgresql",
    "widget-sqlite",
    "memory",
)


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    # Not in pytest's folder: every pytest that starts closes that one to other users, and
    # PostgreSQL runs as another user where the tests are run by root.
    with tempfile.TemporaryDirectory(prefix="hamgate-bench-") as name:
        made = Stage(Path(name))
        yield made
        made.close()


@pytest.mark.parametrize("row", rows.choose(_NAMES), ids=lambda row: row.name)
def test_row_gives_every_figure_of_its_table(row: Row, stage: Stage) -> None:
    figures = row.measure(stage, _SECONDS)
    assert all(value >= 0 for value in figures.values())
    columns = {key for _, key, _ in report.TABLES[row.table].columns}
    assert set(figures) <= columns


def test_calibration_measures_loop_ping_and_fsync(stage: Stage) -> None:
    with stage.valkey() as (_, valkey_socket):
        speed = machine.calibrate(stage.folder, valkey_socket)
    assert min(speed.loop_ms, speed.ping_us, speed.fsync_us) > 0


def test_where_the_kernel_may_not_be_asked_processes_keep_the_cores_awake(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(machine, "_LATENCY", tmp_path / "none")
    with Awake() as awake:
        started = list(awake.spinners)
        assert awake.manner == "by processes, in the way of others"
        assert started
        assert all(process.poll() is None for process in started)
    assert all(process.poll() is not None for process in started)


def test_the_kernel_is_asked_for_as_long_as_the_block(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked = tmp_path / "latency"
    asked.touch()
    monkeypatch.setattr(machine, "_LATENCY", asked)
    with Awake() as awake:
        assert (awake.manner, awake.spinners) == ("by the kernel", [])
        assert asked.read_bytes() == bytes(4)
        assert str(asked) in {one.path for one in psutil.Process().open_files()}
    assert str(asked) not in {one.path for one in psutil.Process().open_files()}


def test_generator_counts_only_what_was_accepted(stage: Stage) -> None:
    with stage.parts("sqlite") as here:
        target = replace(here.target, connections=4)
        with Generator(target, count=20) as generator:
            assert generator.run(most=20).statuses == {202: 20}
        elsewhere = replace(target, path="/api/v1/sites/none/comments")
        with Generator(elsewhere, count=20) as generator:
            load = generator.run(most=20)
    assert (load.accepted, load.statuses) == (0, {404: 20})


def test_report_states_intake_against_the_reference_of_the_same_round() -> None:
    speed = Calibration(loop_ms=10, ping_us=20, fsync_us=30)
    rounds = [Round(speed), Round(speed)]
    row = rows.choose(["intake-sqlite"])[1]
    for one, rate in zip(rounds, (1000, 3000), strict=True):
        one.add(REFERENCES["intake"], {"requests_per_second": rate, "all_ms": 0.5})
        one.add(row, {"requests_per_second": rate / 2, "all_ms": 1.0})
    written = report.markdown(machine.describe(Path()), rounds, [REFERENCES["intake"], row])
    assert "| intake-sqlite | 1,000 (500–1,500) | 0.50 | 1.000 | 2.00 |" in written
    json.dumps([one.figures for one in rounds])
