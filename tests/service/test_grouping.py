"""Grouping: who comes together is worked on together, and nobody waits for company for nothing."""

import asyncio
import threading
from collections.abc import Sequence

import pytest

from service.grouping import Grouped
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


async def a_group_of_two(grouped: Grouped[int, int], work: Work) -> list[asyncio.Task[int]]:
    """Have the second group begun, which has two."""
    bring(grouped, 0)
    await work.has_begun(1)
    tasks = bring(grouped, 1, 2)
    await asyncio.sleep(0)
    work.go_on.release()
    await work.has_begun(2)
    assert work.groups == [[0], [1, 2]]
    return tasks


def test_who_finds_nobody_at_work_begins_at_once(work: Work) -> None:
    grouped = Grouped(work, linger_seconds=_LONG_SECONDS)
    for _ in range(3):
        work.go_on.release()

    assert [grouped(item) for item in (1, 2, 3)] == [2, 4, 6]
    assert work.groups == [[1], [2], [3]]


def test_after_a_group_of_several_the_next_waits_as_long_as_more_come(work: Work) -> None:
    grouped = Grouped(work, gap_seconds=1.0, linger_seconds=_LONG_SECONDS)

    async def come() -> list[int]:
        of_two = await a_group_of_two(grouped, work)
        first = bring(grouped, 3)
        await asyncio.sleep(0)
        work.go_on.release()
        assert await asyncio.gather(*of_two) == [2, 4]
        others = bring(grouped, *range(4, 13))  # while the leader waits for a second
        await work.has_begun(3)
        work.go_on.release()
        return await asyncio.gather(*first, *others)

    doubled = asyncio.run(asyncio.wait_for(come(), _LONG_SECONDS))

    assert work.groups[2] == list(range(3, 13))
    assert doubled == [2 * item for item in range(3, 13)]


def test_who_comes_alone_is_not_waited_with_for_longer_than_the_gap(work: Work) -> None:
    grouped = Grouped(work, gap_seconds=0.02, linger_seconds=2 * _LONG_SECONDS)

    async def come() -> int:
        await a_group_of_two(grouped, work)
        (task,) = bring(grouped, 3)
        await asyncio.sleep(0)
        for _ in range(2):
            work.go_on.release()
        return await task

    assert asyncio.run(asyncio.wait_for(come(), _LONG_SECONDS)) == 6
    assert work.groups[2] == [3]


def test_a_group_does_not_wait_for_ever_while_more_come(work: Work) -> None:
    grouped = Grouped(work, gap_seconds=0.05, linger_seconds=0.2)

    async def come() -> None:
        await a_group_of_two(grouped, work)
        bring(grouped, 3)
        await asyncio.sleep(0)
        work.go_on.release()
        item = 4
        while len(work.groups) < 3:
            bring(grouped, item)
            item += 1
            await asyncio.sleep(0.005)
        work.go_on.release(item)

    asyncio.run(asyncio.wait_for(come(), _LONG_SECONDS))

    assert work.groups[2][:2] == [3, 4]


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
