"""Deliveries: how many a second one courier brings to a receiver, and how soon the first is tried.

The receiver is a thread for each connection in this process, so it shares the cores; its CPU is
not counted. Nothing is kept open between two deliveries, as in production.
"""

import json
import random
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from service.base.jobs import Doorbell
from service.core import sites
from service.ledger.db import Database
from service.pure.events import EventType
from tests.bench import accounting, decisions
from tests.bench.load import Generator
from tests.bench.servers import SITE, DatabaseKind, Installation, Stage
from tests.cast import make_endpoint
from tests.receivers import Receiver, answering, receiving

_COMMENTS_A_SECOND = 300
_SINGLE_A_SECOND = 10
_PATIENCE_SECONDS = 120
_WAIT = {"Prefer": "wait=5"}
_COURIER = (sys.executable, "-c", "from workers import delivery; delivery.run()")


@dataclass(frozen=True, slots=True)
class Deliveries:
    """One courier over an outbox that is full; and the whole system, otherwise idle."""

    kind: DatabaseKind
    table: str = "deliveries"

    @property
    def name(self) -> str:
        """The row's name."""
        return f"deliveries-{self.kind}"

    def measure(self, stage: Stage, seconds: float) -> dict[str, float]:
        """Deliver 300 events for each of the seconds; then one at a time, ten for each.

        Returns:
            `first_…`: from when the decision was made, as the event tells, to the arrival of the
            request.
        """
        with receiving(answering("204 No Content")) as receiver:
            full = self._empty_outbox(stage, receiver, max(20, int(_COMMENTS_A_SECOND * seconds)))
        with receiving(answering("204 No Content")) as receiver:
            waits = self._wait_for_first(stage, receiver, max(5, int(_SINGLE_A_SECOND * seconds)))
        waits.sort()
        return {
            **full,
            "first_p50_ms": waits[len(waits) // 2],
            "first_p99_ms": waits[int(len(waits) * 0.99)],
        }

    def _empty_outbox(self, stage: Stage, receiver: Receiver, count: int) -> dict[str, float]:
        with stage.parts(self.kind, web=False) as here:
            _listen(here, receiver, EventType.COMMENT_SUBMITTED)
            decisions.fill(here, count)
            with subprocess.Popen(_COURIER, env=dict(here.environ)) as courier:
                try:
                    _wait_until(lambda: len(receiver.requests) >= 1)
                    roots = {**here.roots, "courier": courier.pid}
                    begun, before = len(receiver.requests), accounting.cpu_seconds(roots)
                    begin = time.monotonic()
                    _wait_until(lambda: len(receiver.requests) >= count)
                    elapsed = max(r.at for r in receiver.requests) - begin
                    after = accounting.cpu_seconds(roots)
                finally:
                    courier.terminate()
        done = count - begun
        return {
            "deliveries_per_second": done / elapsed,
            **{f"{name}_ms": (after[name] - before[name]) * 1e3 / done for name in roots},
        }

    def _wait_for_first(self, stage: Stage, receiver: Receiver, count: int) -> list[float]:
        dice = random.Random(count)
        with stage.whole(self.kind) as here:
            _listen(here, receiver, EventType.COMMENT_APPROVED)
            target = replace(here.target, connections=1, headers=_WAIT)
            with Generator(target, count=count) as generator:
                for _ in range(count):
                    time.sleep(dice.uniform(0.1, 0.3))
                    generator.run(most=1)
            time.sleep(3)
        since_boot = time.time() - time.monotonic()
        return [
            (request.at + since_boot - _happened_at(request.body)) * 1000
            for request in receiver.requests
        ]


def _listen(here: Installation, receiver: Receiver, event: EventType) -> None:
    database = Database(here.settings, Doorbell(here.settings))
    with database.reading() as session:
        site = sites.find(session, SITE)
    make_endpoint(database, site, url=receiver.url(), events=[event])
    database.close()


def _happened_at(body: bytes) -> float:
    return datetime.fromisoformat(json.loads(body)["timestamp"]).timestamp()


def _wait_until(reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not reached():
        if time.monotonic() > deadline:
            raise RuntimeError("the deliveries did not arrive")
        time.sleep(0.005)
