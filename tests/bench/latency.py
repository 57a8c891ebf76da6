"""Latency: from submitting a comment to an idle system until it is decided.

The whole of `hamgate up` runs; comments come one at a time with pauses of no fixed length, so
that nothing that happens at fixed intervals falls in step with them.
"""

import random
import statistics
import time
from dataclasses import dataclass, replace

from sqlalchemy import select

from service.ledger.models import COMMENTS, DECISIONS
from tests.bench.load import Generator
from tests.bench.servers import DatabaseKind, Installation, Stage

_COMMENTS_A_SECOND = 20
_WARM_UP_COMMENTS = 3
_WAIT = {"Prefer": "wait=5"}


@dataclass(frozen=True, slots=True)
class Latency:
    """The whole system, otherwise idle."""

    kind: DatabaseKind
    table: str = "latency"

    @property
    def name(self) -> str:
        """The row's name."""
        return f"latency-{self.kind}"

    def measure(self, stage: Stage, seconds: float) -> dict[str, float]:
        """Submit 20 comments for each of the seconds, at least five.

        Returns:
            `answer_…`: until the answer with the decision (`Prefer: wait`) has come back;
            `recorded_…`: from the time the comment was made to the time of its decision, as
            both stand in the ledger.
        """
        count = max(5, int(_COMMENTS_A_SECOND * seconds))
        answers = []
        dice = random.Random(count)
        with stage.whole(self.kind) as here:
            target = replace(here.target, connections=1, headers=_WAIT)
            with Generator(target, count=_WARM_UP_COMMENTS + count) as generator:
                for _ in range(_WARM_UP_COMMENTS + count):
                    time.sleep(dice.uniform(0.1, 0.3))
                    load = generator.run(most=1)
                    if load.statuses != {201: 1}:
                        raise RuntimeError(f"not decided in time: {load.statuses}")
                    answers.append(load.p50_ms)
            recorded = _recorded_ms(here)
        return {
            **_percentiles("answer", answers[_WARM_UP_COMMENTS:]),
            **_percentiles("recorded", recorded[_WARM_UP_COMMENTS:]),
        }


def _recorded_ms(here: Installation) -> list[float]:
    query = (
        select(COMMENTS.c.created_at, DECISIONS.c.decided_at)
        .join(DECISIONS, DECISIONS.c.id == COMMENTS.c.decision_id)
        .order_by(COMMENTS.c.id)
    )
    with here.ledger() as session:
        rows = session.execute(query).all()
    return [(decided - created).total_seconds() * 1e3 for created, decided in rows]


def _percentiles(name: str, values: list[float]) -> dict[str, float]:
    cuts = statistics.quantiles(values, n=100, method="inclusive")
    return {f"{name}_p50_ms": cuts[49], f"{name}_p99_ms": cuts[98]}
