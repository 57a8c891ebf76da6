"""Grouping: who comes together is worked on together, and nobody waits for company for nothing."""

import asyncio
import threading
from collections.abc import Sequence

import pytest

from service.base.grouping import Grouped
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


async def a_group(grouped: Grouped[int, int], work: Work, *items: int) -> list[asyncio.Task[int]]:
    """Have the second group begun, which has these."""
    bring(grouped, 0)
    await work.has_begun(1)
    tasks = bring(grouped, *items)
    await asyncio.sleep(0)
    work.go_on.release()
    await work.has_begun(2)
    assert work.groups == [[0], list(items)]
    return tasks


def test_who_finds_nobody_at_work_begins_at_once(work: Work) -> None:
    grouped = Grouped(work, linger_seconds=_LONG_SECONDS)
    for _ in range(3):
        work.go_on.release()

    assert [grouped(item) for item in (1, 2, 3)] == [2, 4, 6]
    assert work.groups == [[1], [2], [3]]


def test_after_a_group_of_several_the_next_waits_for_as_many_as_there_were(work: Work) -> None:
    grouped = Grouped(work, gap_seconds=_LONG_SECONDS, linger_seconds=_LONG_SECONDS)

    async def come() -> list[int]:
        answered = await a_group(grouped, work, 1, 2)
        first = bring(grouped, 3)
        await asyncio.sleep(0)
        work.go_on.release()
        assert await asyncio.gather(*answered) == [2, 4]
        assert len(work.groups) == 2
        others = bring(grouped, 4, 5)
        await work.has_begun(3)
        work.go_on.release()
        return await asyncio.gather(*first, *others)

    doubled = asyncio.run(asyncio.wait_for(come(), _LONG_SECONDS))

    assert work.groups[2] == [3, 4, 5]
    assert doubled == [6, 8, 10]


def test_who_comes_alone_waits_for_others_no_longer_than_the_gap(work: Work) -> None:
    grouped = Grouped(work, gap_seconds=0.02, linger_seconds=2 * _LONG_SECONDS)

    async def come() -> int:
        await a_group(grouped, work, 1, 2)
        (task,) = bring(grouped, 3)
        await asyncio.sleep(0)
        for _ in range(2):
            work.go_on.release()
        return await task

    assert asyncio.run(asyncio.wait_for(come(), _LONG_SECONDS)) == 6
    assert work.groups[2] == [3]


def test_a_group_does_not_wait_for_ever_while_more_come(work: Work) -> None:
    grouped = Grouped(work, gap_seconds=0.05, linger_seconds=0.2)
    many = range(1, 100_000)

    async def come() -> None:
        await a_group(grouped, work, *many[:100])
        bring(grouped, many[100])
        await asyncio.sleep(0)
        work.go_on.release()
        for item in many[101:]:
            if len(work.groups) == 3:
                break
            bring(grouped, item)
            await asyncio.sleep(0.005)
        work.go_on.release(len(many))

    asyncio.run(asyncio.wait_for(come(), _LONG_SECONDS))

    assert work.groups[2][0] == many[100]
    assert len(work.groups[2]) < 100


def test_each_is_told_its_own_error(work: Work) -> None:
    grouped = Grouped(work)

    async def come() -> list[int | BaseException]:
        await a_group(grouped, work, 1, 2)
        tasks = bring(grouped, 3, -1, 4)
        await asyncio.sleep(0)
        for _ in range(2):
            work.go_on.release()
        return await asyncio.gather(*tasks, return_exceptions=True)

    found = asyncio.run(asyncio.wait_for(come(), _LONG_SECONDS))

    assert [str(one) for one in found] == ["6", "-1", "8"]
    assert isinstance(found[1], ValueError)
