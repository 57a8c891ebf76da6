"""Tallies: what processes count that do not live long enough to be asked; kept in Redis.

A worker's child ends after each job, and a counter in its memory with it. The one rule: what is
counted is declared here, so that `/metrics` gives it with its meaning and its labels, and gives
it also while it is still at nothing.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric

_SECONDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


@dataclass(frozen=True, slots=True)
class Family:
    """A counter, or with `buckets` a histogram. Values of labels are words without spaces."""

    name: str
    meaning: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


DECISIONS = Family(
    "hamgate_decisions", "Decisions recorded, by whom too.", ("status", "rule", "actor")
)
DECIDED_SECONDS = Family(
    "hamgate_decided_seconds",
    "From a comment's acceptance to the policy's decision on it.",
    buckets=(0.1, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 600.0),
)
SCORED = Family("hamgate_scored", "Comments scored, by the shipped model in use.", ("model",))
SCORING_SECONDS = Family("hamgate_scoring_seconds", "To score a batch.", buckets=_SECONDS)
BATCH = Family(
    "hamgate_batch_comments", "Comments in a batch.", buckets=(1.0, 4.0, 16.0, 64.0, 256.0, 1024.0)
)
LOST = Family("hamgate_claims_lost", "Comments claimed by a worker that others decided meanwhile.")
RESCUES = Family(
    "hamgate_rescues",
    "Times the sweeper found comments due: it rang again, or did the work itself.",
    ("how",),
)
ATTEMPTS = Family(
    "hamgate_attempts", "Attempts to deliver to a webhook: delivered, or why not.", ("outcome",)
)
ATTEMPT_SECONDS = Family("hamgate_attempt_seconds", "An attempt to deliver.", buckets=_SECONDS)
DEAD = Family("hamgate_deliveries_dead", "Deliveries given up.")

FAMILIES = (
    DECISIONS,
    DECIDED_SECONDS,
    SCORED,
    SCORING_SECONDS,
    BATCH,
    LOST,
    RESCUES,
    ATTEMPTS,
    ATTEMPT_SECONDS,
    DEAD,
)
_POLICY = "policy"
_SUM = "sum"
_MICRO = 1_000_000


class Tally:
    """What was counted and not yet told; by the names of Redis' fields, in whole numbers."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def count(self, family: Family, *labels: str, by: int = 1) -> None:
        """Add to a counter."""
        self._counts[_field(family, *labels)] += by

    def observe(self, family: Family, value: float) -> None:
        """Add a value to a histogram."""
        bound = next((str(bound) for bound in family.buckets if value <= bound), "+Inf")
        self._counts[_field(family, bound)] += 1
        self._counts[_field(family, _SUM)] += round(value * _MICRO)

    def take(self) -> Mapping[str, int]:
        """Give what was counted, and begin anew."""
        taken, self._counts = self._counts, Counter()
        return taken


def decided(tally: Tally, decision: Mapping[str, Any], accepted_at: datetime) -> None:
    """Count a decision.

    Args:
        tally: to count on.
        decision: its row.
        accepted_at: when the comment came.
    """
    actor = decision["actor"].partition(":")[0]
    tally.count(DECISIONS, decision["status"], decision["rule"] or "none", actor)
    if actor != _POLICY:
        return
    if decision["model_version"]:
        tally.count(SCORED, decision["model_version"].partition("+")[0])
    if decision["comment_revision"] == 1:  # when a comment was edited is not kept that exactly
        tally.observe(DECIDED_SECONDS, (decision["decided_at"] - accepted_at).total_seconds())


def read(kept: Mapping[str, int]) -> Iterator[Metric]:
    """Give the families, from what `Doorbell.tallies` gives."""
    by_family: dict[str, dict[str, int]] = {family.name: {} for family in FAMILIES}
    for field, count in kept.items():
        name, _, rest = field.partition(" ")
        if name in by_family:  # not what an older version counted
            by_family[name][rest] = count
    for family in FAMILIES:
        found = by_family[family.name]
        yield _histogram(family, found) if family.buckets else _counter(family, found)


def _counter(family: Family, found: Mapping[str, int]) -> Metric:
    metric = CounterMetricFamily(family.name, family.meaning, labels=family.labels)
    for rest, count in found.items():
        values = rest.split(" ") if rest else []
        if len(values) == len(family.labels):
            metric.add_metric(values, count)
    if not family.labels and not found:
        metric.add_metric([], 0)
    return metric


def _histogram(family: Family, found: Mapping[str, int]) -> Metric:
    metric = HistogramMetricFamily(family.name, family.meaning)
    below = 0
    buckets = []
    for bound in (*map(str, family.buckets), "+Inf"):
        below += found.get(bound, 0)
        buckets.append((bound, below))
    metric.add_metric([], buckets, found.get(_SUM, 0) / _MICRO)
    return metric


def _field(family: Family, *labels: str) -> str:
    return " ".join((family.name, *labels))
