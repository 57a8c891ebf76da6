"""One run: start, load, break, mend, and look whether the promises hold."""

import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO

from service.base.config import from_environ
from service.core import sites
from service.ledger.db import Database
from service.operations import schema
from service.pure.policy import Policy
from tests.cast import PAGE, make_endpoint, make_key, make_site, open_ledger
from tests.chaos import invariants
from tests.chaos.faults import Faults
from tests.chaos.harness import Doomed, Load, Receiver
from tests.chaos.invariants import Seen
from tests.chaos.stage import Stage

# The promise: decided or held within 15 s of the fault's end.
DECIDED_WITHIN_SECONDS = 15.0
# Deliveries have no such promise. A lease of 15 s, then a refusal's pause of 5 s and its jitter,
# twice: if in this long none has ended, none will.
_STUCK_SECONDS = 60.0
# Clients that insist for so long without any comment being accepted will do so for ever.
_NOTHING_COMES_SECONDS = 120.0
_STARTED_WITHIN_SECONDS = 60.0
_CLIENTS = 12
# What was broken and has not come to itself again after so long is broken once more.
_LAME_SECONDS = 5.0
# So many comments may have been begun of which the receiver does not know. Deliveries that come
# late are not what this is about, and what no longer fits into an outbox is not delivered.
_AHEAD_MOST = 3000
_AHEAD_OF_POINT_MOST = 300
_SETTINGS = {
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


@dataclass(frozen=True)
class Plan:
    """What is to be done in a run.

    Attributes:
        seed: of the dice, which settle what is done, but not when it hits.
        comments: how many are submitted at least.
        kills: how many processes are killed at least; other faults come with them.
        point: the one named point at which all are killed, in place of every way there is.
        first: faults that are done one after another before anything is killed.
        pause_seconds: at most, between two faults.
    """

    seed: int
    comments: int
    kills: int = 0
    point: str | None = None
    first: Sequence[str] = ()
    pause_seconds: float = 1.0


@dataclass(frozen=True)
class Report:
    """What was done and what came of it.

    Attributes:
        kills: how often what was killed.
        others: how often each other fault was done.
        submits: how often each status was answered to a submission, 0 for no answer.
        answers: the same for all that was asked.
        late: how many comments were not decided or held in the time promised.
        decided_seconds: from the last fault's end until all was decided or held.
        delivered_seconds: the same until every delivery had ended.
        broken: what does not hold, by invariant; nothing is what is hoped for.
    """

    comments: int
    kills: Mapping[str, int]
    others: Mapping[str, int]
    submits: Mapping[int, int]
    answers: Mapping[int, int]
    events: int
    seconds: float
    late: int
    decided_seconds: float
    delivered_seconds: float
    broken: Mapping[str, Sequence[str]]


def run(stage: Stage, plan: Plan, say: Callable[[str], None] = lambda _: None) -> Report:
    """Load a system, break it, mend it, and look.

    Args:
        stage: where; its ledger is empty.
        plan: what is done.
        say: told what happens, for people who wait.
    """
    settings = from_environ({**stage.environ, "DATABASE_URL": stage.ledger_url})
    schema.migrate(settings)
    database = open_ledger(settings)
    try:
        with stage.log.open("ab") as log:
            return _Run(stage, plan, database, log, say).played()
    finally:
        database.close()


@dataclass
class _Run:
    stage: Stage
    plan: Plan
    database: Database
    log: BinaryIO
    say: Callable[[str], None]
    seen: Seen = field(default_factory=Seen)
    accepted_then: int = 0
    killed_then: int = 0
    broken_at: float = 0.0

    def __post_init__(self) -> None:
        self.dice = random.Random(self.plan.seed)

    def played(self) -> Report:
        """Play it from beginning to end."""
        dice = self.dice
        receiver = Receiver(self.seen, random.Random(dice.random()))
        site = make_site(self.database)
        with self.database.transaction() as session:
            sites.set_policy(session, site.id, Policy(undo_seconds=0, storm_mode=False))
        make_endpoint(self.database, site, url=receiver.url)
        key = make_key(self.database, site)
        system = Doomed({**self.stage.environ, **_SETTINGS}, self.stage.points, self.log)
        load = Load(system, key, self.seen, random.Random(dice.random()))
        faults = Faults(system, self.stage, dice)
        began = time.monotonic()
        try:
            system.start("web")
            system.start("worker")
            _until(system.is_ready, _STARTED_WITHIN_SECONDS, system)
            load.start(_CLIENTS)
            self._break(system, load, faults)
            return self._look(system, load, faults, time.monotonic() - began)
        finally:
            load.finish()
            system.stop()
            receiver.shutdown()
            receiver.server_close()

    def _break(self, system: Doomed, load: Load, faults: Faults) -> None:
        plan = self.plan
        for number, fault in enumerate(plan.first, 1):
            load.allow(plan.comments * number // len(plan.first))
            faults.do(fault)
        step = self._at_random if plan.point is None else self._at_point
        came, came_at = (0, 0), time.monotonic()
        while not load.is_over:
            killed = faults.kills.total()
            if killed >= plan.kills and load.accepted >= plan.comments:
                load.finish()
                time.sleep(0.05)
            else:
                step(load, faults)
            system.revive()
            self.stage.revive()
            # At some points everybody dies who would accept something.
            now_came = load.accepted, killed if plan.point else 0
            if now_came != came:
                came, came_at = now_came, time.monotonic()
            elif time.monotonic() > came_at + _NOTHING_COMES_SECONDS:
                raise AssertionError(f"nothing is accepted any more: {dict(load.answers)}")
            self.say(f"{load.accepted} accepted, {killed} killed")

    def _at_random(self, load: Load, faults: Faults) -> None:
        """Let some more be submitted, and break the next thing once the last is at work again."""
        plan = self.plan
        share = min(1.0, (faults.kills.total() + 1) / plan.kills) if plan.kills else 1.0
        due = int(plan.comments * share) + faults.others.total()
        load.allow(min(due, self._told + _AHEAD_MOST))
        time.sleep(self.dice.uniform(0, plan.pause_seconds))
        works = load.accepted > self.accepted_then
        if plan.kills and (works or time.monotonic() > self.broken_at + _LAME_SECONDS):
            faults.one()
            self.accepted_then, self.broken_at = load.accepted, time.monotonic()

    def _at_point(self, load: Load, faults: Faults) -> None:
        """Let another be submitted, and have somebody die some time after the last one did."""
        assert self.plan.point is not None
        if load.accepted < self._told + _AHEAD_OF_POINT_MOST:
            load.allow_more()
        if faults.kills.total() > self.killed_then:
            self.killed_then, self.broken_at = faults.kills.total(), time.monotonic()
        elif time.monotonic() > self.broken_at + self.plan.pause_seconds:
            faults.kill_at(self.plan.point)
        time.sleep(0.02)

    @property
    def _told(self) -> int:
        """About how many comments the receiver knows of; it is told of each twice."""
        return len(self.seen.received) // 2

    def _look(self, system: Doomed, load: Load, faults: Faults, seconds: float) -> Report:
        self.stage.mend()
        kills, mended = faults.kills, time.monotonic()

        def undecided() -> int:
            return invariants.undecided(self.database)

        def undelivered() -> int:
            return invariants.undelivered(self.database)

        late = _wait_for_none(undecided, DECIDED_WITHIN_SECONDS, system)
        self.say(f"{late} not decided in time")
        _wait_until_stuck(undecided, system)
        decided = time.monotonic()
        _wait_until_stuck(undelivered, system)
        delivered = time.monotonic()
        self.seen.public = _public(system)
        broken = dict(invariants.broken(self.database, self.seen))
        if late:
            broken["I2 in the time promised"] = [f"{late} comments"]
        if load.answers[500]:
            broken["no fault is ours"] = [f"{load.answers[500]} answers of 500"]
        return Report(
            comments=load.accepted,
            kills=kills,
            others=faults.others,
            submits=load.submits,
            answers=load.answers,
            events=len(self.seen.received),
            seconds=seconds,
            late=late,
            decided_seconds=decided - mended,
            delivered_seconds=delivered - mended,
            broken=broken,
        )


def _wait_for_none(count: Callable[[], int], within_seconds: float, system: Doomed) -> int:
    """Wait until there are none or the time is over; give how many there are then."""
    _until(lambda: not count(), within_seconds, system)
    return count()


def _wait_until_stuck(count: Callable[[], int], system: Doomed) -> None:
    """Wait until there are none, as long as they become fewer."""
    left = count()
    while left and (now_left := _wait_for_none(count, _STUCK_SECONDS, system)) < left:
        left = now_left


def _until(true: Callable[[], bool], within_seconds: float, system: Doomed) -> None:
    """Wait until something is true, or the time is over, as whoever restarts the dead does."""
    deadline = time.monotonic() + within_seconds
    while not true() and time.monotonic() < deadline:
        system.revive()
        time.sleep(0.1)


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
