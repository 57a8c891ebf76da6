"""Metrics for Prometheus: what web processes count, what the ledger knows.

The one rule: no scrape costs more for a larger ledger. Only what an index answers is asked, and
what workers did is counted in Redis as they do it, since a forked child's own counters would
die with it.
"""

import resource
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

from prometheus_client import (
    REGISTRY,
    CollectorRegistry,
    Counter,
    Histogram,
    generate_latest,
    values,
)
from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from service.base.config import Settings
from service.base.errors import Unavailable
from service.base.jobs import Doorbell, Job
from service.core import moderation, storms
from service.core.webhooks import deliveries
from service.ledger import tallies
from service.ledger.db import Database
from service.operations import counters

if not issubclass(values.ValueClass, values.MutexValue):
    # By place instead of process id, so that no process needs files that are not there yet.
    values.ValueClass = values.MultiProcessValue(counters.place)  # type: ignore[no-untyped-call]  # theirs

REQUESTS = Counter(
    "hamgate_http_requests", "Requests answered, by route and status.", ["route", "status"]
)
SECONDS = Histogram(
    "hamgate_http_request_seconds",
    "Time to answer, by route.",
    ["route"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
SHEDS = Counter(
    "hamgate_sheds",
    "Requests refused with 503 before any work, by rank and reason.",
    ["rank", "why"],
)
WAITED = Histogram(
    "hamgate_wait_seconds",
    "Time in the line, of those that had to wait and got their turn, by rank.",
    ["rank"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1),
)
LIMITED = Counter("hamgate_limited", "Requests refused with 429, by the limit.", ["limit"])


class _Ledger(Collector):
    """Asks the ledger and Redis at each scrape."""

    def __init__(self, settings: Settings, database: Database, doorbell: Doorbell) -> None:
        self._settings = settings
        self._database = database
        self._doorbell = doorbell

    def collect(self) -> Iterator[Metric]:
        """Give the families; what does not answer is left out, and `up` says so."""
        yield InfoMetricFamily(
            "hamgate",
            "Which version answers, over which database.",
            {"version": version("hamgate"), "database": self._database.engine.dialect.name},
        )
        yield from self._of_ledger()
        yield from self._of_redis()
        yield from _of_processes(self._settings.counters_folder)

    def _of_ledger(self) -> Iterator[Metric]:
        up = GaugeMetricFamily("hamgate_database_up", "Whether the database answers.")
        due = GaugeMetricFamily(
            "hamgate_oldest_due_seconds", "How long the oldest unclassified comment has been due."
        )
        undelivered = GaugeMetricFamily(
            "hamgate_oldest_delivery_seconds",
            "How long the delivery to a webhook that waits longest has been due.",
        )
        stormy = GaugeMetricFamily("hamgate_storms", "Sites on which a storm is on.")
        try:
            with self._database.reading() as session:
                due.add_metric([], moderation.overdue_seconds(session) or 0.0)
                undelivered.add_metric([], deliveries.overdue_seconds(session) or 0.0)
                stormy.add_metric([], storms.count_open(session))
            up.add_metric([], 1)
        except Unavailable:
            up.add_metric([], 0)
        yield from (up, due, undelivered, stormy)

    def _of_redis(self) -> Iterator[Metric]:
        up = GaugeMetricFamily("hamgate_redis_up", "Whether Redis answers.")
        depth = GaugeMetricFamily("hamgate_job_queue_depth", "Runs that wait.", labels=["job"])
        workers = GaugeMetricFamily("hamgate_workers", "RQ workers that listen.", labels=["job"])
        answers = self._doorbell.ping()
        up.add_metric([], 1 if answers else 0)
        yield up
        if not answers:  # each further question would take a time-out
            return
        for job in Job:
            depth.add_metric([job.value], self._doorbell.backlog(job) or 0)
            workers.add_metric([job.value], self._doorbell.worker_count(job))
        yield from (depth, workers)
        yield from tallies.read(self._doorbell.tallies())


def _of_processes(folder: Path) -> Iterator[Metric]:
    """Give the memory of the web processes: of those that have a place, the ones that live."""
    memory = GaugeMetricFamily(
        "hamgate_web_resident_bytes", "Memory of a web process.", labels=["pid"]
    )
    for pid in counters.processes(folder):
        try:
            pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        except FileNotFoundError:  # it has ended, or this is not Linux
            continue
        memory.add_metric([str(pid)], pages * resource.getpagesize())
    yield memory


def expose(settings: Settings, database: Database, doorbell: Doorbell) -> bytes:
    """Give everything in the text format."""
    ledger = CollectorRegistry()
    ledger.register(_Ledger(settings, database, doorbell))
    return generate_latest(_requests()) + generate_latest(ledger)


def _requests() -> CollectorRegistry:
    """Give what all web processes counted, or this one alone if it is the only one."""
    together = CollectorRegistry()
    try:
        MultiProcessCollector(together)  # type: ignore[no-untyped-call]  # theirs
    except ValueError:  # no folder to share counters through: see `service.web`
        return REGISTRY
    return together
