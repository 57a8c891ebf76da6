"""What breaks things from outside: kills, and faults that end by themselves.

Kinds are dealt like cards, so that each has its turn, in an order that the dice settle.
"""

import contextlib
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

import psutil
import psycopg
import redis

from tests.chaos.doomed import points
from tests.chaos.harness import Doomed
from tests.chaos.network import Proxy
from tests.chaos.stage import Stage

_KILLS = 0.7
_LEAST_SECONDS = 0.3
_MOST_SECONDS = 3.0
_HOURS_OFF_MOST = 12

_Card = TypeVar("_Card")


class Deck(Generic[_Card]):
    """Cards that are dealt in a random order, all of them before any comes again."""

    def __init__(self, cards: Sequence[_Card], dice: random.Random) -> None:
        self._cards = cards
        self._dice = dice
        self._left: list[_Card] = []

    def deal(self) -> _Card:
        """Give the next card."""
        if not self._left:
            self._left = self._dice.sample(self._cards, len(self._cards))
        return self._left.pop()


class Faults:
    """Kills and other faults, and how many there were of each kind.

    Attributes:
        others: faults besides kills, by kind.
    """

    def __init__(self, system: Doomed, stage: Stage, dice: random.Random) -> None:
        self._system = system
        self._stage = stage
        self._dice = dice
        self._killed: Counter[str] = Counter()
        self._armed: Counter[str] = Counter()
        self.others: Counter[str] = Counter()
        kills = (
            [self.kill_one] * 3 + [self.kill_all, self.kill_redis] + [self.kill_at_next_point] * 4
        )
        others: list[Callable[[float], None]] = [self.stop_one, self.flush_redis]
        others += _of_network("Redis", stage.redis_network)
        if stage.postgres is not None:
            kills += [self.kill_postgres, self.kill_backend]
        if stage.ledger_network is not None:
            others += [self.end_sessions, *_of_network("PostgreSQL", stage.ledger_network)]
        if stage.disk is not None:
            others += [self.fill_disk] * 2
        if stage.clock is not None:
            others += [self.move_clock] * 2
        if stage.ledger_clock is not None:
            others += [self.move_ledger_clock] * 2
        self._kills = Deck(kills, dice)
        self._faults = others
        self._others = Deck(others, dice)
        self._points = Deck(list(points()), dice)

    @property
    def kills(self) -> Counter[str]:
        """How often what was killed; at a point, once somebody came to it."""
        waiting = Counter(file.name for file in self._stage.points.iterdir())
        return self._killed + (self._armed - waiting)

    def one(self) -> None:
        """Kill something, or do something else for some time."""
        if self._dice.random() < _KILLS:
            self._kills.deal()()
        else:
            self._do(self._others.deal())

    def do(self, name: str) -> None:
        """Do a fault that is no kill."""
        self._do(next(one for one in self._faults if _said(one) == name))

    def kill_at(self, point: str) -> None:
        """Have whoever comes to a point next die there, if nobody is to do so yet."""
        waiting = self._stage.points / point
        if not waiting.exists():
            waiting.touch()
            self._armed[point] += 1

    def kill_at_next_point(self) -> None:
        """Have whoever comes to one of the points next die there."""
        self.kill_at(self._points.deal())

    def kill_one(self) -> None:
        """Kill -9 some process of the system."""
        if members := self._system.members():
            self._kill(self._dice.choice(members))
            self._killed["one process"] += 1

    def kill_all(self) -> None:
        """Kill -9 the web server or the worker with all that belongs to it."""
        name = self._dice.choice(("web", "worker"))
        if self._system.processes[name].poll() is None:
            self._system.kill(name)
            self._system.start(name)
            self._killed[f"all of {name}"] += 1

    def kill_redis(self) -> None:
        """Kill -9 Valkey, and start it again later."""
        self._stage.valkey.kill()
        time.sleep(self._dice.uniform(0, _MOST_SECONDS))
        self._stage.valkey.start()
        self._killed["Redis"] += 1

    def kill_postgres(self) -> None:
        """Kill -9 PostgreSQL's main process, and start it again later."""
        assert self._stage.postgres is not None
        self._kill(self._stage.postgres.processes()[0])
        time.sleep(self._dice.uniform(0, _MOST_SECONDS))
        self._stage.postgres.start()
        self._killed["PostgreSQL"] += 1

    def kill_backend(self) -> None:
        """Kill -9 one of PostgreSQL's other processes, after which it recovers as from a crash."""
        assert self._stage.postgres is not None
        if others := self._stage.postgres.processes()[1:]:
            self._kill(self._dice.choice(others))
            self._killed["a PostgreSQL process"] += 1

    def stop_one(self, seconds: float) -> None:
        """Stop some process, often for longer than a lease, and let it go on."""
        if members := self._system.members():
            victim = self._dice.choice(members)
            with contextlib.suppress(psutil.NoSuchProcess):
                victim.send_signal(signal.SIGSTOP)
                time.sleep(seconds)
                victim.send_signal(signal.SIGCONT)

    def flush_redis(self, _seconds: float) -> None:
        """Empty Valkey."""
        with contextlib.suppress(redis.RedisError):
            self._stage.valkey.flush()

    def end_sessions(self, _seconds: float) -> None:
        """End every connection to the ledger from the server's side."""
        with (
            contextlib.suppress(psycopg.OperationalError),  # it recovers from something else
            psycopg.connect(self._stage.ledger_url, autocommit=True) as connection,
        ):
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )

    def fill_disk(self, seconds: float) -> None:
        """Leave no room for what ledger, Valkey and system would write."""
        assert self._stage.disk is not None
        self._stage.disk.fill()
        time.sleep(seconds)
        self._stage.disk.free()
        self._stage.revive()

    def move_clock(self, _seconds: float) -> None:
        """Have the system's wall clock hours off, until it is moved again."""
        assert self._stage.clock is not None
        self._stage.clock.set(self._hours())

    def move_ledger_clock(self, _seconds: float) -> None:
        """Have PostgreSQL's wall clock hours off, until it is moved again."""
        assert self._stage.ledger_clock is not None
        self._stage.ledger_clock.set(self._hours())

    def _do(self, fault: Callable[[float], None]) -> None:
        fault(self._dice.uniform(_LEAST_SECONDS, _MOST_SECONDS))
        self.others[_said(fault)] += 1

    def _hours(self) -> int:
        return round(self._dice.uniform(-_HOURS_OFF_MOST, _HOURS_OFF_MOST) * 3600)

    def _kill(self, process: psutil.Process) -> None:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGKILL)


def _said(fault: Callable[[float], None]) -> str:
    return fault.__name__.replace("_", " ")


def _of_network(name: str, network: Proxy) -> list[Callable[[float], None]]:
    """Give what can go wrong on the way to a server, each for some time."""

    def passing(begin: Callable[[], None]) -> Callable[[float], None]:
        def fault(seconds: float) -> None:
            begin()
            time.sleep(seconds)
            network.mend()

        fault.__name__ = f"{name}: {begin.__name__.replace('_', ' ')}"
        return fault

    def slow() -> None:
        network.slow(0.2)

    return [
        passing(begin)
        for begin in (slow, network.cut, network.silence, network.lose_answers, network.truncate)
    ]
