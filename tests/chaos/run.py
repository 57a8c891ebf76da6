"""One run: start, load, break, mend, and look whether the promises hold."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from service import schema, sites
from service.config import Settings, from_environ
from service.policy import Policy
from tests.cast import PAGE, make_endpoint, make_key, make_site, open_ledger
from tests.chaos import invariants
from tests.chaos.doomed import SWITCH, points
from tests.chaos.harness import Doomed, Faults, Load, Receiver
from tests.chaos.invariants import Seen
from tests.conftest import Valkey

# The promise: decided or held within 15 s of the fault's end.
DECIDED_WITHIN_SECONDS = 15.0
# A lease of 15 s, then a refusal's pause of 5 s and its jitter, twice.
_DELIVERED_WITHIN_SECONDS = 60.0
_CLIENTS = 12


@dataclass(frozen=True)
class Report:
    """What was done and what came of it.

    Attributes:
        broken: what does not hold, by invariant; nothing is what is hoped for.
        decided_seconds: from the last fault's end until all was decided or held.
        delivered_seconds: the same until every delivery had ended.
    """

    comments: int
    faults: dict[str, int]
    answers: dict[int, int]
    events: int
    seconds: float
    decided_seconds: float
    delivered_seconds: float
    broken: dict[str, Any]


def run(
    folder: Path,
    database_url: str,
    *,
    comments: int,
    faults: int,
    seed: int,
    chance: float = 0.002,
    pause_seconds: float = 1.5,
    only: str | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Report:
    """Load a system, break it, mend it, and look.

    Args:
        folder: for its home and Valkey; its path short enough for a socket.
        database_url: of an empty database.
        comments: how many are submitted.
        faults: how many are done; named points go on until all comments are accepted.
        seed: of the dice, which settle what is done, but not when it hits.
        chance: how probably a process dies each time it comes to a named point.
        pause_seconds: at most, between two faults.
        only: one named point in place of all.
        say: told what happens, for people who wait.
    """
    dice = random.Random(seed)
    valkey = Valkey(folder / "v")
    valkey.start()
    environ = {
        "HAMGATE_HOME": str(folder),
        "DATABASE_URL": database_url,
        "REDIS_URL": valkey.url,
        "HAMGATE_CLASSIFY_LEASE_SECONDS": "2",
        "HAMGATE_CLASSIFY_BATCH": "32",
        "HAMGATE_DELIVER_LEASE_SECONDS": "15",
        "HAMGATE_WEBHOOK_NETWORKS": "127.0.0.0/8",
        "HAMGATE_WEBHOOK_PORTS": "1-65535",
        "HAMGATE_WEBHOOK_HTTP": "true",
        "HAMGATE_TRAIN_AFTER": "100000",
        **{f"HAMGATE_LIMIT_{name}": "9999999/second"
           for name in ("ADDRESS", "EMAIL", "THREAD", "SITE", "KEY", "OTHER")},
    }  # fmt: skip
    settings = from_environ(environ)
    schema.migrate(settings)
    database = open_ledger(settings)
    seen = Seen()
    receiver = Receiver(seen, random.Random(dice.random()))
    site = make_site(database)
    with database.transaction() as session:
        sites.set_policy(session, site.id, Policy(undo_seconds=0, storm_mode=False))
    make_endpoint(database, site, url=receiver.url)
    key = make_key(database, site)
    wanted = [only] if only else list(points())
    switch = folder / "doom"
    switch.touch()
    system = Doomed({**environ, SWITCH: str(switch)}, dict.fromkeys(wanted, chance))
    began = time.monotonic()
    try:
        system.start("web")
        system.start("worker")
        load = Load(system, key, seen, comments, random.Random(dice.random()))
        load.start(_CLIENTS)
        breaks = Faults(system, valkey, dice, also=_of_database(settings))
        while not load.is_over or breaks.done.total() < faults:
            time.sleep(dice.uniform(0, pause_seconds))
            if breaks.done.total() < faults:
                breaks.one()
            system.revive()
            say(f"{sum(map(len, seen.accepted.values()))} accepted, {breaks.done.total()} faults")
        load.wait()
        switch.unlink()  # from here on nothing is broken any more
        mended = time.monotonic()
        decided = _until(
            lambda: not invariants.undecided(database), 4 * DECIDED_WITHIN_SECONDS, system
        )
        say("all is decided")
        delivered = _until(
            lambda: not invariants.undelivered(database), _DELIVERED_WITHIN_SECONDS, system
        )
        seen.public = _public(system)
        return Report(
            comments=comments,
            faults=dict(breaks.done),
            answers=dict(load.answers),
            events=len(seen.received),
            seconds=mended - began,
            decided_seconds=decided - mended,
            delivered_seconds=delivered - mended,
            broken=invariants.broken(database, seen),
        )
    finally:
        system.stop()
        receiver.shutdown()
        receiver.server_close()
        database.close()
        valkey.kill()


def _until(true: Callable[[], bool], within_seconds: float, system: Doomed) -> float:
    """Wait until something is true, or the time is over, as whoever restarts the dead does."""
    deadline = time.monotonic() + within_seconds
    while not true() and time.monotonic() < deadline:
        system.revive()
        time.sleep(0.1)
    return time.monotonic()


def _public(system: Doomed) -> set[str]:
    """Give the ids on the public thread, of all its pages."""
    _until(system.is_ready, 30, system)
    found: set[str] = set()
    after = ""
    while True:
        path = f"/api/v1/sites/blog/thread?page_url={PAGE}" + (f"&after={after}" if after else "")
        answer = system.request("GET", path)
        if answer.status != 200:
            raise AssertionError(f"the thread cannot be read: {answer.status} {answer.json}")
        found |= {one["id"] for one in answer.json["comments"]}
        after = answer.json["next"]
        if not after:
            return found


def _of_database(settings: Settings) -> list[Callable[[], None]]:
    if not settings.database_url.startswith("postgresql"):
        return []

    def cut_connections() -> None:
        """End every connection to the ledger from the server's side."""
        with psycopg.connect(settings.database_url, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )

    return [cut_connections]
