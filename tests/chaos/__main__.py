"""`python -m tests.chaos`, behind `make chaos`: the long run, with its figures."""

import argparse
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.status import Status

from tests.bench import machine
from tests.chaos.clock import Clock
from tests.chaos.disk import Disk
from tests.chaos.doomed import points
from tests.chaos.run import DECIDED_WITHIN_SECONDS, Plan, Report, run
from tests.chaos.stage import raised

KINDS = ("random", "points", "redisless")
_LOGS = Path("build", "chaos")
_DISK_MB = 2048
_QUIET_SECONDS = 30.0
_LOST, _TWICE = "I1", "I3"


def main() -> None:
    """Make the runs that are asked for, show what came of them; 1 if anything does not hold."""
    options = _parser().parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # unwinds, so everything is stopped
    console = Console(stderr=True)
    missing = {what.__name__.lower(): what.missing() for what in (Disk, Clock)}
    for what, why in missing.items():
        if why:
            console.print(f"without the {what}: {why}")
    reports: dict[str, Report] = {}
    this = machine.describe(Path(tempfile.gettempdir()))
    try:
        for name, database, plan in _asked(options):
            with console.status(name) as status:
                reports[name] = _one(
                    name,
                    database,
                    plan,
                    Telling(console, status, name),
                    with_redis=not name.startswith(KINDS[2]),
                    disk_mb=0 if missing["disk"] else _DISK_MB,
                    moves_clock=not missing["clock"],
                )
            console.print(f"{name}: {reports[name]}", highlight=False)
    finally:
        print(
            f"{this.cores} cores of {this.processor}, {this.memory_gb} GB, {this.kernel};"
            f" load before the start {this.load}.\n"
        )
        print("\n".join(_table(reports)))
    sys.exit(any(report.broken for report in reports.values()))


class Telling:
    """Says how far a run is: in one line of a terminal, elsewhere in a new line now and then."""

    def __init__(self, console: Console, status: Status, name: str) -> None:
        self._console = console
        self._status = status
        self._name = name
        self._said_at = time.monotonic()

    def __call__(self, said: str) -> None:
        """Say it."""
        self._status.update(f"{self._name}: {said}")
        if not self._console.is_terminal and time.monotonic() - self._said_at > _QUIET_SECONDS:
            self._said_at = time.monotonic()
            self._console.print(f"{self._name}: {said}", highlight=False)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos")
    parser.add_argument("kind", choices=KINDS, nargs="*", help="of run; all if none is named")
    parser.add_argument("--database", choices=("sqlite", "postgresql"), action="append")
    parser.add_argument("--comments", type=int, default=20_000, help="in each random run")
    parser.add_argument("--kills", type=int, default=200, help="in each random run")
    parser.add_argument("--seeds", type=int, default=3, help="random runs for each database")
    parser.add_argument("--first-seed", type=int, default=1)
    parser.add_argument("--point", choices=points(), action="append", help="these points only")
    parser.add_argument("--each", type=int, default=50, help="kills at each point")
    return parser


def _asked(options: argparse.Namespace) -> Iterator[tuple[str, str, Plan]]:
    """Give each run's name, database and plan."""
    for kind in options.kind or KINDS:
        for database in options.database or ("sqlite", "postgresql"):
            if kind == KINDS[0]:
                for seed in range(options.first_seed, options.first_seed + options.seeds):
                    plan = Plan(seed=seed, comments=options.comments, kills=options.kills)
                    yield f"{kind}, {database}, seed {seed}", database, plan
            elif kind == KINDS[1]:
                for point in options.point or points():
                    plan = Plan(seed=1, comments=0, kills=options.each, point=point)
                    yield f"{point}, {database}", database, plan
            else:
                plan = Plan(seed=1, comments=options.comments // 10)
                yield f"{kind}, {database}", database, plan


def _one(
    name: str,
    database: str,
    plan: Plan,
    say: Callable[[str], None],
    *,
    disk_mb: int,
    **options: Any,
) -> Report:
    folder = Path(tempfile.mkdtemp(prefix="chaos-"))
    try:
        # Where each kill is at the one point, nothing else is to go wrong.
        disk_mb = 0 if plan.point else disk_mb
        with raised(folder, postgres=database == "postgresql", disk_mb=disk_mb, **options) as stage:
            return run(stage, plan, say)
    finally:
        _LOGS.mkdir(parents=True, exist_ok=True)
        shutil.copy(folder / "log", _LOGS / f"{name.replace(', ', '-').replace(' ', '-')}.log")
        shutil.rmtree(folder, ignore_errors=True)


def _table(reports: dict[str, Report]) -> Iterator[str]:
    """Give the figures as a table in Markdown."""
    columns = (
        "run", "accepted", "lost", f"undecided after {DECIDED_WITHIN_SECONDS:.0f} s",
        "decided twice", "killed", "other faults", "submissions: accepted, shed, unanswered, 500",
        "decided after", "told after", "does not hold",
    )  # fmt: skip
    yield f"| {' | '.join(columns)} |"
    yield "|---|" + "---:|" * (len(columns) - 2) + "---|"
    for name, report in reports.items():
        submits = Counter(report.submits)
        cells: Sequence[object] = (
            name,
            f"{report.comments:,}",
            _count(report, _LOST),
            report.late,
            _count(report, _TWICE),
            sum(report.kills.values()),
            sum(report.others.values()),
            f"{submits[202]:,}, {submits[503]:,}, {submits[0]:,}, {submits[500]:,}",
            f"{report.decided_seconds:.1f} s",
            f"{report.delivered_seconds:.1f} s",
            "; ".join(f"{what}: {len(wrong)}" for what, wrong in report.broken.items()) or "–",
        )
        yield f"| {' | '.join(map(str, cells))} |"


def _count(report: Report, invariant: str) -> int:
    return sum(len(wrong) for what, wrong in report.broken.items() if what.startswith(invariant))


if __name__ == "__main__":
    main()
