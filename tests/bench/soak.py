"""`python -m tests.bench.soak`: whether `hamgate up` takes more memory the longer it works.

Not a row of the table: it takes an hour. Comments come and threads are read at a steady rate, and
all processes are weighed twice a minute. What caches and arenas take they have taken after some
minutes; it tells how the median of the last tenth stands to that of the second tenth.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

from service.base.jobs import Doorbell
from service.core import sites
from service.ledger.db import Database
from service.pure.policy import Policy
from tests.bench import accounting
from tests.bench.intake import count_decided
from tests.bench.load import Generator
from tests.bench.memory import parts_of
from tests.bench.servers import SITE, Installation, Stage
from tests.cast import ORIGIN

_CONNECTIONS = 4
_READS_FOR_EACH = 4
_WEIGH_EVERY_SECONDS = 30.0

_PAGE = quote(f"{ORIGIN}/posts/1", safe="")

Weights = Mapping[str, float]


def main() -> int:
    """Run the command line; give the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.soak")
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--rate", type=int, default=25, help="comments a second; four times reads")
    options = parser.parse_args()
    print("| minute | comments | all, MB | web | worker | Valkey | supervisor |")
    print("|---:|---:|---:|---:|---:|---:|---:|")
    with tempfile.TemporaryDirectory(prefix="hamgate-soak-") as name:
        stage = Stage(Path(name))
        try:
            with stage.whole("sqlite") as here:
                _without_storms(here)
                weighed = list(soak(here, options.minutes * 60, options.rate))
                with here.ledger() as session:
                    print(f"\n{count_decided(session):,} comments were decided.")
        finally:
            stage.close()
    tenth = max(1, len(weighed) // 10)
    early, late = _median(weighed[tenth : 2 * tenth]), _median(weighed[-tenth:])
    print(f"All processes: {early:.0f} MB, then {late:.0f} MB: {late / early - 1:+.1%}.")
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


def soak(here: Installation, seconds: float, rate: int) -> Iterator[Weights]:
    """Load an installation and give what its parts weigh, in MB, as time goes by."""
    writing = replace(here.target, connections=_CONNECTIONS)
    reading = replace(
        here.target,
        method="GET",
        path=here.target.path.replace("/comments", f"/thread?page_url={_PAGE}"),
        connections=_CONNECTIONS,
    )
    reads = rate * _READS_FOR_EACH
    began = time.monotonic()
    weigh_at = _WEIGH_EVERY_SECONDS
    sent = 0
    with (
        Generator(writing, count=int((seconds + 60) * rate)) as writer,
        Generator(reading, count=int((seconds + 60) * reads)) as reader,
    ):
        while (elapsed := time.monotonic() - began) < seconds:
            sent += writer.run(most=rate).accepted
            reader.run(most=reads)
            if elapsed >= weigh_at:
                weigh_at += _WEIGH_EVERY_SECONDS
                weights = _weigh(here)
                row = " | ".join(f"{size:.0f}" for size in weights.values())
                print(f"| {elapsed / 60:.1f} | {sent:,} | {row} |", flush=True)
                yield weights
            time.sleep(max(0.0, 1.0 - (time.monotonic() - began - elapsed)))


def _weigh(here: Installation) -> Weights:
    parts = accounting.proportional_mb(parts_of(here.roots["up"]))
    whole = accounting.proportional_mb(here.roots)["up"]
    named = {name: parts.get(name, 0.0) for name in ("web", "worker", "Valkey")}
    return {"all": whole, **named, "supervisor": whole - sum(named.values())}


def _median(weighed: Sequence[Weights]) -> float:
    return statistics.median(weights["all"] for weights in weighed)


if __name__ == "__main__":
    sys.exit(main())
