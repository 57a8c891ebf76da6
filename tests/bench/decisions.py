"""Decisions: how many comments a second one worker decides, and how much of that is scoring.

Pending comments are put into the ledger; then one process claims, scores, decides and records
until none is left, as a worker does. Before and after, the same process does nothing but score the
same comments, in batches of the same size, already in memory: folding, n-grams, facts, the sum and
its clues. That is the pure rate which the whole is stated against. The sketch by which
near-duplicates are found, the rules, every look-up and the ledger are not in it, though a decision
needs them.
"""

import itertools
from dataclasses import dataclass
from typing import Any

from service.base.jobs import Doorbell
from service.core import comments, sites
from service.ledger.db import Database
from tests.bench import accounting, texts
from tests.bench.child import Child
from tests.bench.servers import SITE, DatabaseKind, Installation, Stage
from tests.cast import ORIGIN, make_submission

_COMMENTS_A_SECOND = 2_000
_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Decisions:
    """One worker process over a ledger full of pending comments."""

    kind: DatabaseKind
    table: str = "decisions"

    @property
    def name(self) -> str:
        """The row's name."""
        return f"decisions-{self.kind}"

    def measure(self, stage: Stage, seconds: float) -> dict[str, float]:
        """Decide 2,000 comments for each of the seconds."""
        count = max(100, int(_COMMENTS_A_SECOND * seconds))
        with stage.parts(self.kind, web=False) as here:
            fill(here, count)
            with Child("tests.bench.decider", here.environ) as worker:
                roots = {**here.roots, "worker": worker.pid}
                scored = [worker.ask({"do": "score"})]
                before = accounting.cpu_seconds(roots)
                drained = worker.ask({"do": "drain"})
                after = accounting.cpu_seconds(roots)
                scored.append(worker.ask({"do": "score"}))
        if drained["count"] != count:
            raise RuntimeError(f"{count} were pending, {drained['count']} were decided")
        return _figures(drained, {name: after[name] - before[name] for name in roots}, scored)


def fill(here: Installation, count: int) -> None:
    """Put pending comments into the ledger."""
    database = Database(here.settings, Doorbell(here.settings))
    with database.reading() as session:
        site = sites.find(session, SITE)
    submissions = (
        make_submission(
            site,
            page_url=f"{ORIGIN}/posts/{text.page}",
            name=text.name,
            email=text.email,
            email_normalised=text.email,
            body=text.body,
        )
        for text in texts.generate(0, count)
    )
    while group := list(itertools.islice(submissions, _AT_ONCE)):
        with database.transaction() as session:
            comments.submit(session.connection(), group)
    database.close()


def _figures(
    drained: dict[str, Any], cpu_seconds: dict[str, float], scored: list[dict[str, Any]]
) -> dict[str, float]:
    count = drained["count"]
    rate = count / sum(cpu_seconds.values())
    pure = sum(run["count"] for run in scored) / sum(run["cpu_seconds"] for run in scored)
    return {
        "comments_per_second": count / drained["elapsed_seconds"],
        "comments_per_cpu_second": rate,
        "scored_per_cpu_second": pure,
        "of_scoring": rate / pure,
        **{f"{name}_ms": seconds * 1e3 / count for name, seconds in cpu_seconds.items()},
    }
