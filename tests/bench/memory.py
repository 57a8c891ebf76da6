"""Memory: what `hamgate up` takes, all its processes together, before and after work."""

import time
from dataclasses import dataclass, replace

import psutil

from tests.bench import accounting
from tests.bench.intake import count_decided
from tests.bench.load import Generator
from tests.bench.servers import Installation, Stage

_COMMENTS_A_SECOND = 400
_CONNECTIONS = 16
_SETTLE_SECONDS = 1.0
_DECIDED_WITHIN_SECONDS = 60.0
_PARTS = {"valkey-server": "Valkey", "web": "web", "workers": "worker"}


@dataclass(frozen=True, slots=True)
class Memory:
    """The embedded system: web, Valkey, worker, sweeper and their supervisor; SQLite inside."""

    name: str = "memory"
    table: str = "memory"

    def measure(self, stage: Stage, seconds: float) -> dict[str, float]:
        """Weigh it after the start, and after 400 comments for each of the seconds."""
        count = max(20, int(_COMMENTS_A_SECOND * seconds))
        with stage.whole("sqlite") as here:
            time.sleep(_SETTLE_SECONDS)
            started = accounting.proportional_mb(here.roots)["up"]
            target = replace(here.target, connections=_CONNECTIONS)
            with Generator(target, count=count) as generator:
                accepted = generator.run(most=count).accepted
            _await_decided(here, accepted)
            time.sleep(_SETTLE_SECONDS)
            parts = weigh(here)
        return {
            "started_mb": started,
            "worked_mb": sum(parts.values()),
            **{f"{name}_mb": size for name, size in parts.items()},
        }


def _await_decided(here: Installation, count: int) -> None:
    deadline = time.monotonic() + _DECIDED_WITHIN_SECONDS
    while True:
        with here.ledger() as session:
            decided = count_decided(session)
        if decided >= count:
            return
        if time.monotonic() > deadline:
            raise RuntimeError(f"only {decided} of {count} were decided in time")
        time.sleep(0.2)


def weigh(here: Installation) -> dict[str, float]:
    """Give what each part of `hamgate up` takes, in MB; one that is not there is left out."""
    up = here.roots["up"]
    found = {}
    for process in psutil.Process(up).children():
        # Valkey writes what it listens on behind its name, into the same argument.
        for word in " ".join(process.cmdline()).split():
            name = _PARTS.get(word.rpartition("/")[2])
            if name is not None:
                found[name] = process.pid
    return accounting.divided_mb(up, found, "supervisor")
