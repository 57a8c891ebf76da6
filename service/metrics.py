"""Metrics for Prometheus: what web processes count, what the ledger knows.

The one rule: no scrape costs more for a larger ledger. Only what an index answers is asked, and
what workers did is counted in Redis as they do it, since a forked child's own counters would
die with it.
"""

from collections.abc import Iterator

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from service import moderation, storms
from service.db import Database
from service.errors import Unavailable
from service.jobs import Doorbell, Job
from service.webhooks import deliveries

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
_DECISIONS = "hamgate_decisions"


class _Ledger(Collector):
    """Asks the ledger and Redis at each scrape."""

    def __init__(self, database: Database, doorbell: Doorbell) -> None:
        self._database = database
        self._doorbell = doorbell

    def collect(self) -> Iterator[Metric]:
        """Give the families; what does not answer is left out, and `up` says so."""
        database_up = GaugeMetricFamily("hamgate_database_up", "Whether the database answers.")
        oldest = GaugeMetricFamily(
            "hamgate_oldest_due_seconds", "How long the oldest unclassified comment has been due."
        )
        undelivered = GaugeMetricFamily(
            "hamgate_oldest_delivery_seconds",
            "How long the delivery to a webhook that waits longest has been due.",
        )
        stormy = GaugeMetricFamily("hamgate_storms", "Sites on which a storm is on.")
        try:
            with self._database.reading() as session:
                overdue = moderation.overdue_seconds(session)
                stormy.add_metric([], storms.count_open(session))
                undelivered.add_metric([], deliveries.overdue_seconds(session) or 0.0)
            database_up.add_metric([], 1)
            oldest.add_metric([], overdue or 0.0)
        except Unavailable:
            database_up.add_metric([], 0)
        yield database_up
        yield oldest
        yield undelivered
        yield stormy
        redis_up = GaugeMetricFamily("hamgate_redis_up", "Whether Redis answers.")
        redis_up.add_metric([], 1 if self._doorbell.ping() else 0)
        yield redis_up
        depth = GaugeMetricFamily("hamgate_job_queue_depth", "Runs that wait.", labels=["job"])
        for job in Job:
            backlog = self._doorbell.backlog(job)
            if backlog is not None:
                depth.add_metric([job.value], backlog)
        yield depth
        decisions = CounterMetricFamily(
            _DECISIONS, "Decisions recorded by the workers.", labels=["status", "rule"]
        )
        for name, count in self._doorbell.tallies().items():
            status, _, rule = name.partition(" ")
            decisions.add_metric([status, rule], count)
        yield decisions


def expose(database: Database, doorbell: Doorbell) -> bytes:
    """Give everything in the text format."""
    ledger = CollectorRegistry()
    ledger.register(_Ledger(database, doorbell))
    return generate_latest(_requests()) + generate_latest(ledger)


def _requests() -> CollectorRegistry:
    """Give what all web processes counted, or this one alone if it is the only one."""
    together = CollectorRegistry()
    try:
        MultiProcessCollector(together)  # type: ignore[no-untyped-call]
    except ValueError:  # no folder to share counters through: see `service.web`
        return REGISTRY
    return together
