"""The rows of the benchmark, in the order in which each round measures them."""

from collections.abc import Sequence
from typing import Protocol

from tests.bench.decisions import Decisions
from tests.bench.intake import Intake, Reference
from tests.bench.latency import Latency
from tests.bench.memory import Memory
from tests.bench.queue import Queue
from tests.bench.search import Search
from tests.bench.servers import Stage


class Row(Protocol):
    """One thing to measure: starts what it needs, loads it, gives figures, stops it."""

    @property
    def name(self) -> str:
        """What `--only` knows it by."""

    @property
    def table(self) -> str:
        """The table of the report it stands in."""

    def measure(self, stage: Stage, seconds: float) -> dict[str, float]:
        """Measure once; each figure's name ends with its unit."""


REFERENCE = Reference()
ROWS: tuple[Row, ...] = (
    REFERENCE,
    Intake("sqlite"),
    Intake("postgresql"),
    Intake("sqlite", keyed=True),
    Intake("postgresql", keyed=True),
    Intake("sqlite", worker=True),
    Intake("postgresql", worker=True),
    Decisions("sqlite"),
    Decisions("postgresql"),
    Latency("sqlite"),
    Latency("postgresql"),
    Queue("sqlite"),
    Queue("postgresql"),
    Search("sqlite"),
    Search("postgresql"),
    Memory(),
)


def choose(names: Sequence[str]) -> list[Row]:
    """Give the rows with these names, all if there are none; intake brings the reference along."""
    chosen: list[Row] = [row for row in ROWS if not names or row.name in names]
    if REFERENCE not in chosen and any(row.table == REFERENCE.table for row in chosen):
        chosen.insert(0, REFERENCE)
    return chosen
