"""`python -m tests.bench`: measure all rows in turn, several rounds of them, and report."""

import argparse
import json
import signal
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from tests.bench import machine, report, rows
from tests.bench.machine import Awake, Machine
from tests.bench.report import Round
from tests.bench.rows import Row
from tests.bench.servers import Stage


def main() -> int:
    """Run the command line; give the exit code."""
    options = _parser().parse_args()
    chosen = rows.choose(options.only)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # unwinds, so everything is stopped
    rounds: list[Round] = []
    code = 0
    with tempfile.TemporaryDirectory(prefix="hamgate-bench-", dir=options.folder) as name:
        folder = Path(name)
        this = machine.describe(folder)
        stage = Stage(folder)
        try:
            with Awake() as awake:
                this = replace(this, awake=awake.manner)
                measure(stage, chosen, rounds, options.rounds, options.seconds)
        except KeyboardInterrupt:
            code = 130
        finally:
            stage.close()
    print(report.markdown(this, rounds, chosen))
    if options.json is not None:
        options.json.write_text(_json(this, rounds))
    return code or int(any(one.failures for one in rounds))


def measure(
    stage: Stage, chosen: Sequence[Row], rounds: list[Round], count: int, seconds: float
) -> None:
    """Measure the rows `count` times over; each round is in `rounds` from its beginning."""
    with Progress(
        TextColumn("{task.description:30}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True),
    ) as progress:
        task = progress.add_task("", total=count * len(chosen))
        for number in range(1, count + 1):
            progress.update(task, description=f"round {number}: calibration")
            with stage.valkey() as (_, valkey_socket):
                one = Round(machine.calibrate(stage.folder, valkey_socket))
            rounds.append(one)
            for row in chosen:
                progress.update(task, description=f"round {number}: {row.name}")
                try:
                    one.add(row, row.measure(stage, seconds))
                except (RuntimeError, OSError) as error:
                    one.failures[row.name] = str(error)
                progress.advance(task)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench",
        description="Measure Hamgate on this machine. Each row is the median of the rounds.",
    )
    parser.add_argument("--rounds", type=int, default=3, help="how often each row is measured (3)")
    parser.add_argument(
        "--seconds",
        type=float,
        default=5.0,
        help="how long a row is under load; what is counted in comments grows with it (5)",
    )
    parser.add_argument(
        "--only",
        nargs="+",
        default=[],
        metavar="ROW",
        choices=[row.name for row in rows.ROWS],
        help="these rows only: %(choices)s",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    parser.add_argument(
        "--folder", type=Path, help="where ledgers are written: the disk to be measured"
    )
    return parser


def _json(this: Machine, rounds: Sequence[Round]) -> str:
    whole = {"machine": asdict(this), "rounds": [asdict(one) for one in rounds]}
    return json.dumps(whole, indent=1) + "\n"


if __name__ == "__main__":
    sys.exit(main())
