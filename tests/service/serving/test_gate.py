"""The gate: bounded places, a bounded line, ranks, and each site its share."""

import asyncio
import functools
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from service.serving.admission import rank_of, site_of
from service.serving.gate import LINE_FOR_EACH_PLACE, Gate, Overloaded, Rank

_LONG_SECONDS = 20.0


@dataclass
class Crowd:
    """Requests that want in; what became of each, in the order in which they got in."""

    gate: Gate
    admitted: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)

    async def send(self, name: str, rank: Rank, site: str = "") -> None:
        """Have one more come, and return when it waits or was refused or let in."""
        before = self._arrived()
        self._tasks.append(asyncio.create_task(self._visit(name, rank, site)))
        for _ in range(2):  # for the one who comes, and for one who makes room
            await asyncio.sleep(0)
        assert self._arrived() > before

    async def end(self) -> None:
        await asyncio.gather(*self._tasks)

    def _arrived(self) -> int:
        return self.gate.waiting + len(self.admitted) + len(self.refused)

    async def _visit(self, name: str, rank: Rank, site: str) -> None:
        try:
            await self.gate.enter(rank, site)
        except Overloaded as overload:
            self.refused[name] = overload.why
            return
        self.admitted.append(name)
        self.gate.leave(rank, site)


@asynccontextmanager
async def taken(gate: Gate, count: int, rank: Rank, site: str = "busy") -> AsyncIterator[None]:
    """Hold so many places, as one site."""
    for _ in range(count):
        await gate.enter(rank, site)
    yield
    for _ in range(count):
        gate.leave(rank, site)


def on_loop(test: Callable[..., Coroutine[None, None, None]]) -> Callable[..., None]:
    """Run a test on an event loop."""

    @functools.wraps(test)
    def run(**given: object) -> None:
        asyncio.run(asyncio.wait_for(test(**given), _LONG_SECONDS))

    return run


@on_loop
async def test_while_there_is_room_nobody_waits() -> None:
    gate = Gate(8, _LONG_SECONDS)

    assert [await gate.enter(Rank.SUBMIT, "blog") for _ in range(6)] == [0.0] * 6


@on_loop
async def test_who_waits_too_long_is_sent_away() -> None:
    gate = Gate(4, 0.02)
    async with taken(gate, 2, Rank.SUBMIT):
        with pytest.raises(Overloaded) as refusal:
            await gate.enter(Rank.SUBMIT, "blog")

    assert refusal.value.why == "waited"
    assert await gate.enter(Rank.SUBMIT, "blog") == 0.0


@on_loop
async def test_the_public_leaves_room_for_moderators_and_they_for_it() -> None:
    gate = Gate(8, 0.01)
    async with taken(gate, 6, Rank.SUBMIT), taken(gate, 1, Rank.READ):
        with pytest.raises(Overloaded):
            await gate.enter(Rank.READ, "")
        assert await gate.enter(Rank.DASHBOARD, "blog") == 0.0
        gate.leave(Rank.DASHBOARD, "blog")
    async with taken(gate, 4, Rank.DASHBOARD):
        with pytest.raises(Overloaded):
            await gate.enter(Rank.DASHBOARD, "blog")
        assert await gate.enter(Rank.READ, "") == await gate.enter(Rank.SUBMIT, "") == 0.0


@pytest.mark.parametrize(("many", "few"), [(Rank.READ, Rank.SUBMIT), (Rank.SUBMIT, Rank.READ)])
@on_loop
async def test_readers_and_writers_leave_room_for_each_other(many: Rank, few: Rank) -> None:
    gate = Gate(8, 0.01)
    async with taken(gate, 6, many):
        with pytest.raises(Overloaded):
            await gate.enter(many, "blog")
        assert await gate.enter(few, "blog") == 0.0


@on_loop
async def test_the_line_is_bounded_and_who_finds_it_full_is_told_at_once() -> None:
    gate = Gate(2, _LONG_SECONDS)
    crowd = Crowd(gate)
    async with taken(gate, 1, Rank.SUBMIT):
        for number in range(2 * LINE_FOR_EACH_PLACE):
            await crowd.send(f"waits {number}", Rank.SUBMIT, "blog")
        with pytest.raises(Overloaded) as refusal:
            await gate.enter(Rank.SUBMIT, "blog")
    await crowd.end()

    assert refusal.value.why == "full"
    assert len(crowd.admitted) == 2 * LINE_FOR_EACH_PLACE


@on_loop
async def test_the_higher_rank_goes_first() -> None:
    gate = Gate(2, _LONG_SECONDS)
    crowd = Crowd(gate)
    async with taken(gate, 1, Rank.DASHBOARD), taken(gate, 1, Rank.SUBMIT):
        for name, rank in (("submit", Rank.SUBMIT), ("read", Rank.READ)):
            await crowd.send(name, rank)
        await crowd.send("dashboard", Rank.DASHBOARD)
    await crowd.end()

    assert crowd.admitted.index("read") < crowd.admitted.index("submit")
    assert crowd.refused == {}


@on_loop
async def test_a_site_that_holds_fewer_places_goes_before_a_flood_of_another() -> None:
    gate = Gate(8, _LONG_SECONDS)
    crowd = Crowd(gate)
    async with taken(gate, 5, Rank.SUBMIT, "flood"):
        async with taken(gate, 1, Rank.SUBMIT, "flood"):
            for number in range(5):
                await crowd.send(f"flood {number}", Rank.SUBMIT, "flood")
            await crowd.send("quiet", Rank.SUBMIT, "quiet")
        await crowd.end()

    assert crowd.admitted[0] == "quiet"
    assert len(crowd.admitted) == 6


@on_loop
async def test_in_a_full_line_a_flood_makes_room_for_others_and_not_the_reverse() -> None:
    gate = Gate(2, _LONG_SECONDS)
    crowd = Crowd(gate)
    line = 2 * LINE_FOR_EACH_PLACE
    async with taken(gate, 1, Rank.SUBMIT, "flood"):
        for number in range(line):
            await crowd.send(f"flood {number}", Rank.SUBMIT, "flood")
        await crowd.send("quiet", Rank.SUBMIT, "quiet")
        await crowd.send("reader", Rank.READ)
        await crowd.send("late flood", Rank.SUBMIT, "flood")
    await crowd.end()

    assert crowd.refused == {
        f"flood {line - 1}": "displaced",
        f"flood {line - 2}": "displaced",
        "late flood": "full",
    }
    assert crowd.admitted[0] == "reader"


@on_loop
async def test_readers_never_fill_the_whole_line() -> None:
    gate = Gate(2, _LONG_SECONDS)
    crowd = Crowd(gate)
    async with taken(gate, 1, Rank.SUBMIT):
        for number in range(LINE_FOR_EACH_PLACE):
            await crowd.send(f"reader {number}", Rank.READ)
        with pytest.raises(Overloaded):
            await gate.enter(Rank.READ, "")
        await crowd.send("submit", Rank.SUBMIT)
    await crowd.end()

    assert "submit" in crowd.admitted


@on_loop
async def test_under_a_crowd_places_are_never_exceeded_and_nobody_is_forgotten() -> None:
    gate = Gate(4, _LONG_SECONDS)
    inside = 0
    most = 0
    outcomes: list[str] = []

    async def visit(number: int) -> None:
        nonlocal inside, most
        rank = Rank(number % 3)
        for _ in range(20):
            try:
                await gate.enter(rank, f"site {number % 5}")
            except Overloaded as overload:
                outcomes.append(overload.why)
                await asyncio.sleep(0)
                continue
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0.0002)
            inside -= 1
            gate.leave(rank, f"site {number % 5}")
            outcomes.append("done")

    await asyncio.gather(*(visit(number) for number in range(30)))

    assert 1 < most <= 4
    assert len(outcomes) == 30 * 20
    assert outcomes.count("done") > 100
    assert gate.waiting == gate.held == 0


@on_loop
async def test_who_goes_away_while_waiting_leaves_no_trace() -> None:
    gate = Gate(2, _LONG_SECONDS)
    async with taken(gate, 1, Rank.SUBMIT):
        waiting = asyncio.create_task(gate.enter(Rank.SUBMIT, "blog"))
        await asyncio.sleep(0)
        assert gate.waiting == 1
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    assert gate.waiting == gate.held == 0
    assert await gate.enter(Rank.SUBMIT, "blog") == 0.0


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
