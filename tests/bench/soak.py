"""`python -m tests.bench.soak`: whether `hamgate up` takes more memory the longer it works.

Not a row of the table: it takes an hour. Comments come and threads are read at a steady rate, and
all processes are weighed about once a second. A worker's child is there for some hundredths of a
second at a time, so each half minute tells the greatest of its readings, and the mean. What caches
and arenas take they have taken after some minutes; at the end stands how the last tenth of the
half minutes compares with the second tenth, by their medians.
"""

import argparse
import contextlib
import random
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

from service.base.jobs import Doorbell
from service.core import sites
from service.ledger.db import Database
from service.pure.policy import Policy
from tests.bench.intake import count_decided
from tests.bench.load import Generator
from tests.bench.memory import weigh
from tests.bench.servers import SITE, Installation, Stage
from tests.cast import ORIGIN

_CONNECTIONS = 4
_READS_FOR_EACH = 4
_TELL_EVERY_SECONDS = 30.0
_LEAST_MINUTES = 2
_PARTS = ("web", "worker", "Valkey", "supervisor")

_PAGE = quote(f"{ORIGIN}/posts/1", safe="")

# MB: of each part, by its name.
Weights = Mapping[str, float]


def main() -> int:
    """Run the command line; give the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.soak")
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--rate", type=int, default=25, help="comments a second; four times reads")
    options = parser.parse_args()
    if options.minutes < _LEAST_MINUTES:
        parser.error(f"--minutes: at least {_LEAST_MINUTES}, or there is nothing to compare")
    print(f"| minute | comments | all at most, MB | {' | '.join(_PARTS)} | all in the mean |")
    print("|---:|---:|---:|---:|---:|---:|---:|---:|")
    with tempfile.TemporaryDirectory(prefix="hamgate-soak-") as name:
        stage = Stage(Path(name))
        try:
            with stage.whole("sqlite") as here:
                _without_storms(here)
                told = list(soak(here, options.minutes * 60, options.rate))
                with here.ledger() as session:
                    print(f"\n{count_decided(session):,} comments were decided.")
        finally:
            stage.close()
    tenth = max(1, len(told) // 10)
    for name, figures in zip(("At most", "In the mean"), zip(*told, strict=True), strict=True):
        early = statistics.median(figures[tenth : 2 * tenth])
        late = statistics.median(figures[-tenth:])
        print(
            f"{name}, all processes: {early:.0f} MB, then {late:.0f} MB: {late / early - 1:+.1%}."
        )
    return 0


def _without_storms(here: Installation) -> None:
    """Have all minutes alike.

    So many strangers at once are a storm, which ends by itself after a quarter of an hour. Until
    then nothing is published, and no thread changes that would have to be rendered.
    """
    database = Database(here.settings, Doorbell(here.settings))
    with database.transaction() as session:
        sites.set_policy(session, sites.find(session, SITE).id, Policy(storm_mode=False))
    database.close()


def soak(here: Installation, seconds: float, rate: int) -> Iterator[tuple[float, float]]:
    """Load an installation; give for each half minute what it took at most and in the mean, in MB.

    Args:
        here: a running `hamgate up`.
        seconds: how long.
        rate: comments a second.
    """
    writing = replace(here.target, connections=_CONNECTIONS)
    reading = replace(
        here.target,
        method="GET",
        path=here.target.path.replace("/comments", f"/thread?page_url={_PAGE}"),
        connections=_CONNECTIONS,
    )
    reads = rate * _READS_FOR_EACH
    began = time.monotonic()
    tell_at = _TELL_EVERY_SECONDS
    sent = 0
    with (
        Generator(writing, count=int((seconds + 60) * rate)) as writer,
        Generator(reading, count=int((seconds + 60) * reads)) as reader,
        _readings(here) as readings,
    ):
        while (elapsed := time.monotonic() - began) < seconds:
            sent += writer.run(most=rate).accepted
            reader.run(most=reads)
            if elapsed >= tell_at:
                tell_at += _TELL_EVERY_SECONDS
                weights = [readings.pop() for _ in range(len(readings))]
                yield _tell(elapsed / 60, sent, weights)
            time.sleep(max(0.0, 1.0 - (time.monotonic() - began - elapsed)))


@contextlib.contextmanager
def _readings(here: Installation) -> Iterator[list[Weights]]:
    """Weigh about once a second, at no particular moment of the load, into what is given."""
    readings: list[Weights] = []
    over = threading.Event()

    def read() -> None:
        while not over.wait(random.uniform(0.5, 1.5)):
            readings.append(weigh(here))

    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(read)
        try:
            yield readings
        finally:
            over.set()
            reading.result()


def _tell(minute: float, sent: int, readings: Sequence[Weights]) -> tuple[float, float]:
    most = max(readings, key=lambda weights: sum(weights.values()))
    mean = statistics.fmean(sum(weights.values()) for weights in readings)
    whole = sum(most.values())
    row = " | ".join(f"{most.get(name, 0.0):.0f}" for name in _PARTS)
    print(f"| {minute:.1f} | {sent:,} | {whole:.0f} | {row} | {mean:.0f} |", flush=True)
    return whole, mean


if __name__ == "__main__":
    sys.exit(main())
