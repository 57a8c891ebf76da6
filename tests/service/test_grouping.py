"""Grouping: who comes together is worked on together, and nobody waits for company for nothing."""

import asyncio
import threading
from collections.abc import Sequence

import pytest

from service.grouping import _ENOUGH, Grouped
from tests.cast import wait_until

_LONG_SECONDS = 60.0


class Work:
    """Doubles numbers, a group at a time, each when it is told to go on."""

    def __init__(self) -> None:
        self.groups: list[list[int]] = []
        self.go_on = threading.Semaphore(0)

    def __call__(self, items: Sequence[int]) -> Sequence[int | Exception]:
        self.groups.append(list(items))
        assert self.go_on.acquire(timeout=_LONG_SECONDS)
        return [ValueError(str(item)) if item < 0 else 2 * item for item in items]

    async def has_begun(self, count: int) -> None:
        await asyncio.to_thread(wait_until, lambda: len(self.groups) >= count)


@pytest.fixture
def work() -> Work:
    return Work()


def bring(grouped: Grouped[int, int], *items: int) -> list[asyncio.Task[int]]:
    """Have each number brought by a coroutine, in this order."""
    return [asyncio.create_task(grouped.call(item)) for item in items]


async def a_group_of_two(grouped: Grouped[int, int], work: Work) -> None:
    """Have the second group begun, which has two."""
    bring(grouped, 0)
    await work.has_begun(1)
    bring(grouped, 1, 2)
    await asyncio.sleep(0)
    work.go_on.release()
    await work.has_begun(2)
    assert work.groups == [[0], [1, 2]]


def test_who_finds_nobody_at_work_begins_at_once(work: Work) -> None:
    grouped = Grouped(work, linger_seconds=_LONG_SECONDS)
    for _ in range(3):
        work.go_on.release()

    assert [grouped(item) for item in (1, 2, 3)] == [2, 4, 6]
    assert work.groups == [[1], [2], [3]]


def test_after_a_group_of_several_the_next_waits_for_enough_and_no_longer(work: Work) -> None:
    grouped = Grouped(work, linger_seconds=_LONG_SECONDS)
    last = 3 + _ENOUGH

    async def come() -> list[int]:
        await a_group_of_two(grouped, work)
        first = bring(grouped, 3)
        await asyncio.sleep(0)
        work.go_on.release()
        await asyncio.to_thread(wait_until, lambda: grouped._gathers)
        assert len(work.groups) == 2
        others = bring(grouped, *range(4, last))
        await work.has_begun(3)
        work.go_on.release()
        return await asyncio.gather(*first, *others)

    doubled = asyncio.run(asyncio.wait_for(come(), _LONG_SECONDS))

    assert work.groups[2] == list(range(3, last))
    assert doubled == [2 * item for item in range(3, last)]


def test_where_enough_are_there_already_nobody_waits(work: Work) -> None:
    grouped = Grouped(work, linger_seconds=_LONG_SECONDS)

    async def come() -> None:
        await a_group_of_two(grouped, work)
        bring(grouped, *range(3, 3 + _ENOUGH))
        await asyncio.sleep(0)
        work.go_on.release()
        await work.has_begun(3)
        work.go_on.release()

    asyncio.run(asyncio.wait_for(come(), _LONG_SECONDS))

    assert work.groups[2] == list(range(3, 3 + _ENOUGH))


def test_a_group_does_not_wait_for_ever(work: Work) -> None:
    grouped = Grouped(work, linger_seconds=0.02)

    async def come() -> int:
        await a_group_of_two(grouped, work)
        (task,) = bring(grouped, 3)
        await asyncio.sleep(0)
        for _ in range(2):
            work.go_on.release()
        return await task

    assert asyncio.run(asyncio.wait_for(come(), _LONG_SECONDS)) == 6
    assert work.groups[2] == [3]


def test_each_is_told_its_own_error(work: Work) -> None:
    grouped = Grouped(work)

    async def come() -> list[int | BaseException]:
        await a_group_of_two(grouped, work)
        tasks = bring(grouped, 3, -1, 4)
        await asyncio.sleep(0)
        for _ in range(2):
            work.go_on.release()
        return await asyncio.gather(*tasks, return_exceptions=True)

    found = asyncio.run(asyncio.wait_for(come(), _LONG_SECONDS))

    assert [str(one) for one in found] == ["6", "-1", "8"]
    assert isinstance(found[1], ValueError)
