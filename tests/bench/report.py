"""The report: ratios to the reference of the same round, medians with their spread, Markdown."""

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from tests.bench.machine import Calibration, Machine
from tests.bench.rows import REFERENCES, Row

Figures = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Round:
    """One pass over the rows.

    Attributes:
        calibration: how fast the machine was when it began.
        figures: of each row by its name; without those that failed.
        failures: why the others failed.
    """

    calibration: Calibration
    figures: dict[str, Figures] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)

    def add(self, row: Row, figures: Figures) -> None:
        """Keep what a row gave, also as ratios to the reference of its table if it has one."""
        self.figures[row.name] = figures
        stated = REFERENCES.get(row.table)
        reference = self.figures.get(stated.name) if stated else None
        if reference is not None:
            figures = {
                **figures,
                "of_reference": figures["requests_per_second"] / reference["requests_per_second"],
                "times_cpu": figures["all_ms"] / (reference["all_ms"] or float("nan")),
            }
        self.figures[row.name] = figures


Columns = Sequence[tuple[str, str, int]]


@dataclass(frozen=True, slots=True)
class Table:
    """What a table says above it, and for each column its heading, figure and decimals."""

    title: str
    columns: Columns


_INTAKE = (
    ("requests/s", "requests_per_second", 0),
    ("of the reference", "of_reference", 2),
    ("web", "web_ms", 3),
    ("database", "database_ms", 3),
    ("Valkey", "Valkey_ms", 3),
    ("worker", "worker_ms", 3),
    ("CPU in all", "all_ms", 3),
    ("times the reference", "times_cpu", 2),
    ("p50", "p50_ms", 1),
    ("p99", "p99_ms", 1),
    ("decided/s", "decided_per_second", 0),
    ("not 2xx", "refused", 0),
    ("(generator)", "generator_ms", 3),
)
TABLES: Mapping[str, Table] = {
    "intake": Table(
        "Intake at 64 connections: requests/s, CPU ms per request, latency ms", _INTAKE
    ),
    "intake-16": Table("The same at 16 connections", _INTAKE),
    "overload": Table(
        "Intake at 640 connections that heed Retry-After: accepted/s, latency ms",
        (
            ("at 64, accepted/s", "peak_per_second", 0),
            ("at 640, accepted/s", "goodput_per_second", 0),
            ("of the former", "of_peak", 2),
            ("refused/s", "refused_per_second", 0),
            ("accepted p50", "p50_ms", 0),
            ("p99", "p99_ms", 0),
            ("recovery s", "recovery_seconds", 2),
        ),
    ),
    "reading": Table(
        "Reading a thread at 16 connections: requests/s, CPU ms per request, latency ms",
        (
            ("requests/s", "requests_per_second", 0),
            ("of the reference", "of_reference", 2),
            ("web", "web_ms", 3),
            ("database", "database_ms", 3),
            ("Valkey", "Valkey_ms", 3),
            ("CPU in all", "all_ms", 3),
            ("times the reference", "times_cpu", 2),
            ("p50", "p50_ms", 1),
            ("p99", "p99_ms", 1),
            ("not 2xx or 304", "refused", 0),
            ("(generator)", "generator_ms", 3),
        ),
    ),
    "pages": Table(
        "Open pages, each asking every 15 seconds whether there is anything new",
        (
            ("pages", "pages", 0),
            ("requests/s", "requests_per_second", 0),
            ("% of a core", "core_percent", 1),
            ("MB for their connections", "memory_mb", 1),
            ("p50 ms", "p50_ms", 1),
            ("p99 ms", "p99_ms", 1),
        ),
    ),
    "decisions": Table(
        "Decisions of one worker: comments/s, CPU ms per comment",
        (
            ("comments/s", "comments_per_second", 0),
            ("per CPU second", "comments_per_cpu_second", 0),
            ("scoring alone, per CPU second", "scored_per_cpu_second", 0),
            ("of scoring alone", "of_scoring", 2),
            ("worker", "worker_ms", 3),
            ("database", "database_ms", 3),
            ("Valkey", "Valkey_ms", 3),
        ),
    ),
    "latency": Table(
        "From submitting to decided, idle system: ms",
        (
            ("answer p50", "answer_p50_ms", 1),
            ("answer p99", "answer_p99_ms", 1),
            ("recorded p50", "recorded_p50_ms", 1),
            ("recorded p99", "recorded_p99_ms", 1),
        ),
    ),
    "deliveries": Table(
        "Webhooks: deliveries/s of one courier, CPU ms per delivery; ms from decision to receiver",
        (
            ("deliveries/s", "deliveries_per_second", 0),
            ("courier", "courier_ms", 3),
            ("database", "database_ms", 3),
            ("Valkey", "Valkey_ms", 3),
            ("first attempt p50", "first_p50_ms", 0),
            ("p99", "first_p99_ms", 0),
        ),
    ),
    "flooded": Table(
        "A page of a thread of fifty, before and after a flood of spam: ms",
        (
            ("spam", "spam", 0),
            ("before p50", "calm_p50_ms", 2),
            ("p95", "calm_p95_ms", 2),
            ("after p50", "flooded_p50_ms", 2),
            ("p95", "flooded_p95_ms", 2),
            ("times", "times", 2),
        ),
    ),
    "queue": Table(
        "The moderators' queue: ms",
        (
            ("comments", "comments", 0),
            ("page p50", "page_p50_ms", 1),
            ("page p95", "page_p95_ms", 1),
            ("key to next comment p50", "key_p50_ms", 1),
            ("p95", "key_p95_ms", 1),
        ),
    ),
    "large": Table(
        "A ledger of ten million, beside one of ten thousand: ms in the ledger, and with our part",
        (
            ("comments", "comments", 0),
            *(
                column
                for title, name in (
                    ("queue page", "queue"),
                    ("decision", "decision"),
                    ("thread page", "thread"),
                )
                for column in (
                    (f"{title} p50", f"{name}_p50_ms", 2),
                    ("p95", f"{name}_p95_ms", 2),
                    ("times the smaller", f"{name}_times", 1),
                    ("whole p50", f"{name}_whole_p50_ms", 2),
                )
            ),
        ),
    ),
    "search": Table(
        "The search: ms for a page of hits",
        (
            ("comments", "comments", 0),
            ("entered/s", "entered_per_second", 0),
            ("rare word p50", "rare_p50_ms", 1),
            ("p95", "rare_p95_ms", 1),
            ("common word p50", "common_p50_ms", 1),
            ("p95", "common_p95_ms", 1),
            ("and status p50", "status_p50_ms", 1),
            ("p95", "status_p95_ms", 1),
            ("three words p50", "apart_p50_ms", 1),
            ("p95", "apart_p95_ms", 1),
            ("no hit p50", "none_p50_ms", 1),
            ("p95", "none_p95_ms", 1),
        ),
    ),
    "widget": Table(
        "The widget on a page with a long thread: ms",
        (
            ("comments", "comments", 0),
            ("first paint p50", "paint_p50_ms", 0),
            ("p95", "paint_p95_ms", 0),
            ("first comment p50", "shown_p50_ms", 0),
            ("p95", "shown_p95_ms", 0),
            ("a hundred more p50", "more_p50_ms", 0),
            ("p95", "more_p95_ms", 0),
            ("longest task", "held_ms", 0),
        ),
    ),
    "memory": Table(
        "Memory of `hamgate up`: PSS in MB",
        (
            ("after the start", "started_mb", 0),
            ("after the comments", "worked_mb", 0),
            ("of it web", "web_mb", 0),
            ("worker", "worker_mb", 0),
            ("Valkey", "Valkey_mb", 0),
            ("supervisor", "supervisor_mb", 0),
        ),
    ),
}


def markdown(machine: Machine, rounds: Sequence[Round], rows: Sequence[Row]) -> str:
    """Give the whole report."""
    lines = [*_machine(machine, rounds), ""]
    for name, table in TABLES.items():
        shown = [row.name for row in rows if row.table == name]
        if shown:
            lines += [f"### {table.title}", "", *_table(table.columns, shown, rounds), ""]
    lines += [
        f"- {name} failed in round {number}: {why}"
        for number, one in enumerate(rounds, 1)
        for name, why in one.failures.items()
    ]
    return "\n".join(lines).rstrip() + "\n"


def _machine(machine: Machine, rounds: Sequence[Round]) -> Iterator[str]:
    yield (
        f"{machine.cores} cores of {machine.processor}, {machine.memory_gb} GB, {machine.kernel},"
        f" {machine.file_system}, Python {machine.python}; load before the start {machine.load};"
        f" cores kept awake {machine.awake}."
    )
    yield ""
    yield "| round | loop ms | PING µs | fsync µs |"
    yield "|---|---:|---:|---:|"
    for number, one in enumerate(rounds, 1):
        speed = one.calibration
        yield f"| {number} | {speed.loop_ms} | {speed.ping_us} | {speed.fsync_us} |"


def _table(columns: Columns, names: Sequence[str], rounds: Sequence[Round]) -> Iterator[str]:
    measured = {
        name: [one.figures[name] for one in rounds if name in one.figures] for name in names
    }
    used = [
        column
        for column in columns
        if any(column[1] in figures for runs in measured.values() for figures in runs)
    ]
    yield "| | " + " | ".join(heading for heading, _, _ in used) + " |"
    yield "|---|" + "---:|" * len(used)
    for name, runs in measured.items():
        cells = [
            _cell([figures[key] for figures in runs if key in figures], decimals)
            for _, key, decimals in used
        ]
        yield f"| {name} | " + " | ".join(cells) + " |"


def _cell(values: Sequence[float], decimals: int) -> str:
    """Give the median and, of several values, the least and the greatest."""
    if not values:
        return "–"
    middle = f"{statistics.median(values):,.{decimals}f}"
    least, most = (f"{bound:,.{decimals}f}" for bound in (min(values), max(values)))
    return middle if least == most else f"{middle} ({least}–{most})"
