"""The rows of the benchmark, in the order in which each round measures them."""

from collections.abc import Sequence
from typing import Protocol

from tests.bench.decisions import Decisions
from tests.bench.deliveries import Deliveries
from tests.bench.flooded import Flooded
from tests.bench.intake import Intake, Reference
from tests.bench.isso import Isso, IssoIntake
from tests.bench.large import Large
from tests.bench.latency import Latency
from tests.bench.memory import Memory
from tests.bench.nginx import Nginx
from tests.bench.overload import Overload
from tests.bench.pages import OpenPages
from tests.bench.queue import Queue
from tests.bench.reading import Reading, ReadingReference
from tests.bench.search import Search
from tests.bench.servers import KINDS, Stage
from tests.bench.widget import Widget


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


# Measured only if they are named: what they need are PyPI, nginx, and 15 GB.
ISSO, ISSO_INTAKE, ISSO_INTAKE_16 = Isso(), IssoIntake(), IssoIntake(16)
NGINX, LARGE = Nginx(), Large()
UNASKED: tuple[Row, ...] = (ISSO, ISSO_INTAKE, ISSO_INTAKE_16, NGINX, LARGE)
# The row that the others of a table are stated against.
REFERENCES: dict[str, Row] = {
    "intake": Reference(),
    "intake-16": Reference(16),
    "reading": ReadingReference(),
}
ROWS: tuple[Row, ...] = (
    REFERENCES["intake"],
    Intake("sqlite"),
    Intake("postgresql"),
    Intake("sqlite", keyed=True),
    Intake("postgresql", keyed=True),
    Intake("sqlite", worker=True),
    Intake("postgresql", worker=True),
    ISSO_INTAKE,
    REFERENCES["intake-16"],
    Intake("sqlite", connections=16),
    Intake("postgresql", connections=16),
    ISSO_INTAKE_16,
    Overload("sqlite"),
    Overload("postgresql"),
    Overload("sqlite", stubborn=True),
    REFERENCES["reading"],
    *(
        Reading(kind, comments, known)
        for kind in KINDS
        for comments, known in ((50, False), (100, False), (50, True))
    ),
    ISSO,
    NGINX,
    Flooded("sqlite"),
    Flooded("postgresql"),
    OpenPages("sqlite"),
    OpenPages("postgresql"),
    Decisions("sqlite"),
    Decisions("postgresql"),
    Latency("sqlite"),
    Latency("postgresql"),
    Deliveries("sqlite"),
    Deliveries("postgresql"),
    Queue("sqlite"),
    Queue("postgresql"),
    LARGE,
    Search("sqlite"),
    Search("postgresql"),
    Widget("sqlite"),
    Memory(),
)


def choose(names: Sequence[str]) -> list[Row]:
    """Give the rows with these names; each table brings its reference.

    Without names all, but for those that need what not everybody has.
    """
    chosen: list[Row] = [
        row for row in ROWS if (row.name in names if names else row not in UNASKED)
    ]
    wanted = {REFERENCES[row.table].name for row in chosen if row.table in REFERENCES}
    return [row for row in ROWS if row in chosen or row.name in wanted]
