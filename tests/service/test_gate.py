"""The gate: bounded places, a bounded line, ranks, and each site its share."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest

from service.admission import rank_of, site_of
from service.gate import LINE_FOR_EACH_PLACE, Gate, Overloaded, Rank
from tests.cast import wait_until

_LONG_SECONDS = 20.0


@dataclass
class Crowd:
    """Threads that want in; what became of each, in the order in which they got in."""

    gate: Gate
    admitted: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    _threads: list[threading.Thread] = field(default_factory=list)

    def send(self, name: str, rank: Rank, site: str = "") -> None:
        """Have one more come, and return when it waits or was refused or let in."""
        before = self._arrived()
        thread = threading.Thread(target=self._visit, args=(name, rank, site))
        thread.start()
        self._threads.append(thread)
        wait_until(lambda: self._arrived() > before)

    def end(self) -> None:
        for thread in self._threads:
            thread.join(_LONG_SECONDS)

    def _arrived(self) -> int:
        return self.gate.waiting + len(self.admitted) + len(self.refused)

    def _visit(self, name: str, rank: Rank, site: str) -> None:
        try:
            self.gate.enter(rank, site)
        except Overloaded as overload:
            self.refused[name] = overload.why
            return
        self.admitted.append(name)
        self.gate.leave(rank, site)


@contextmanager
def taken(gate: Gate, count: int, rank: Rank, site: str = "busy") -> Iterator[None]:
    """Hold so many places, as one site."""
    for _ in range(count):
        gate.enter(rank, site)
    yield
    for _ in range(count):
        gate.leave(rank, site)


def test_while_there_is_room_nobody_waits() -> None:
    gate = Gate(8, _LONG_SECONDS)

    assert [gate.enter(Rank.SUBMIT, "blog") for _ in range(6)] == [0.0] * 6


def test_who_waits_too_long_is_sent_away() -> None:
    gate = Gate(4, 0.02)
    with taken(gate, 2, Rank.SUBMIT), pytest.raises(Overloaded) as refusal:
        gate.enter(Rank.SUBMIT, "blog")

    assert refusal.value.why == "waited"
    assert gate.enter(Rank.SUBMIT, "blog") == 0.0


def test_the_public_leaves_room_for_moderators_and_they_for_it() -> None:
    gate = Gate(8, 0.01)
    with taken(gate, 6, Rank.SUBMIT), taken(gate, 1, Rank.READ):
        with pytest.raises(Overloaded):
            gate.enter(Rank.READ, "")
        assert gate.enter(Rank.DASHBOARD, "blog") == 0.0
        gate.leave(Rank.DASHBOARD, "blog")
    with taken(gate, 4, Rank.DASHBOARD):
        with pytest.raises(Overloaded):
            gate.enter(Rank.DASHBOARD, "blog")
        assert gate.enter(Rank.READ, "") == gate.enter(Rank.SUBMIT, "") == 0.0


@pytest.mark.parametrize(("many", "few"), [(Rank.READ, Rank.SUBMIT), (Rank.SUBMIT, Rank.READ)])
def test_readers_and_writers_leave_room_for_each_other(many: Rank, few: Rank) -> None:
    gate = Gate(8, 0.01)
    with taken(gate, 6, many):
        with pytest.raises(Overloaded):
            gate.enter(many, "blog")
        assert gate.enter(few, "blog") == 0.0


def test_the_line_is_bounded_and_who_finds_it_full_is_told_at_once() -> None:
    gate = Gate(2, _LONG_SECONDS)
    crowd = Crowd(gate)
    with taken(gate, 1, Rank.SUBMIT):
        for number in range(2 * LINE_FOR_EACH_PLACE):
            crowd.send(f"waits {number}", Rank.SUBMIT, "blog")
        with pytest.raises(Overloaded) as refusal:
            gate.enter(Rank.SUBMIT, "blog")
    crowd.end()

    assert refusal.value.why == "full"
    assert len(crowd.admitted) == 2 * LINE_FOR_EACH_PLACE


def test_the_higher_rank_goes_first() -> None:
    gate = Gate(2, _LONG_SECONDS)
    crowd = Crowd(gate)
    with taken(gate, 1, Rank.DASHBOARD), taken(gate, 1, Rank.SUBMIT):
        for name, rank in (("submit", Rank.SUBMIT), ("read", Rank.READ)):
            crowd.send(name, rank)
        crowd.send("dashboard", Rank.DASHBOARD)
    crowd.end()

    assert crowd.admitted.index("read") < crowd.admitted.index("submit")
    assert crowd.refused == {}


def test_a_site_that_holds_fewer_places_goes_before_a_flood_of_another() -> None:
    gate = Gate(8, _LONG_SECONDS)
    crowd = Crowd(gate)
    with taken(gate, 5, Rank.SUBMIT, "flood"):
        with taken(gate, 1, Rank.SUBMIT, "flood"):
            for number in range(5):
                crowd.send(f"flood {number}", Rank.SUBMIT, "flood")
            crowd.send("quiet", Rank.SUBMIT, "quiet")
        crowd.end()

    assert crowd.admitted[0] == "quiet"
    assert len(crowd.admitted) == 6


def test_in_a_full_line_a_flood_makes_room_for_others_and_not_the_reverse() -> None:
    gate = Gate(2, _LONG_SECONDS)
    crowd = Crowd(gate)
    line = 2 * LINE_FOR_EACH_PLACE
    with taken(gate, 1, Rank.SUBMIT, "flood"):
        for number in range(line):
            crowd.send(f"flood {number}", Rank.SUBMIT, "flood")
        crowd.send("quiet", Rank.SUBMIT, "quiet")
        crowd.send("reader", Rank.READ)
        crowd.send("late flood", Rank.SUBMIT, "flood")
    crowd.end()

    assert crowd.refused == {
        f"flood {line - 1}": "displaced",
        f"flood {line - 2}": "displaced",
        "late flood": "full",
    }
    assert crowd.admitted[0] == "reader"


def test_readers_never_fill_the_whole_line() -> None:
    gate = Gate(2, _LONG_SECONDS)
    crowd = Crowd(gate)
    with taken(gate, 1, Rank.SUBMIT):
        for number in range(LINE_FOR_EACH_PLACE):
            crowd.send(f"reader {number}", Rank.READ)
        with pytest.raises(Overloaded):
            gate.enter(Rank.READ, "")
        crowd.send("submit", Rank.SUBMIT)
    crowd.end()

    assert "submit" in crowd.admitted


def test_under_a_crowd_places_are_never_exceeded_and_nobody_is_forgotten() -> None:
    gate = Gate(4, _LONG_SECONDS)
    inside = 0
    most = 0
    lock = threading.Lock()
    outcomes: list[str] = []

    def visit(number: int) -> None:
        nonlocal inside, most
        rank = Rank(number % 3)
        for _ in range(20):
            try:
                gate.enter(rank, f"site {number % 5}")
            except Overloaded as overload:
                outcomes.append(overload.why)
                continue
            with lock:
                inside += 1
                most = max(most, inside)
            time.sleep(0.0002)
            with lock:
                inside -= 1
            gate.leave(rank, f"site {number % 5}")
            outcomes.append("done")

    threads = [threading.Thread(target=visit, args=(number,)) for number in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(_LONG_SECONDS)

    assert most <= 4
    assert len(outcomes) == 30 * 20
    assert gate.waiting == gate.held == 0


@pytest.mark.parametrize(
    ("method", "path", "cookie", "rank", "site"),
    [
        ("GET", "/api/v1/sites/blog/thread", "", Rank.READ, "blog"),
        ("OPTIONS", "/api/v1/sites/blog/comments", "", Rank.READ, "blog"),
        ("POST", "/api/v1/sites/blog/comments", "", Rank.SUBMIT, "blog"),
        ("PATCH", "/api/v1/comments/cmt_1", "", Rank.SUBMIT, ""),
        ("POST", "/sites/blog/thread", "", Rank.SUBMIT, "blog"),
        ("GET", "/embed.js", "", Rank.READ, ""),
        ("POST", "/dashboard/sign-in", "", Rank.READ, ""),
        ("GET", "/dashboard/sites/blog/queue", "__Host-hamgate=x", Rank.DASHBOARD, "blog"),
        ("POST", "/dashboard/sites/blog/decisions", "a=b; hamgate=x", Rank.DASHBOARD, "blog"),
    ],
)
def test_rank_and_site_follow_from_the_request(
    method: str, path: str, cookie: str, rank: Rank, site: str
) -> None:
    environ = {"REQUEST_METHOD": method, "PATH_INFO": path, "HTTP_COOKIE": cookie}

    assert rank_of(environ) is rank
    assert site_of(path) == site
