"""Log lines: one event, one line, in both formats."""

import asyncio
import contextlib
import itertools
import json
import logging
import os
import sys
import threading
from collections.abc import Callable, Iterator

import pytest

from service.base import logs
from tests.cast import wait_until

_HOSTILE = 'x\r\n{"level": "error"}\x00\x1b[31m\u2028\u0085\x7f'


def record(message: str, **extra: object) -> logging.LogRecord:
    made = logging.getLogger("service.web").makeRecord(
        "service.web", logging.INFO, "", 0, message, (), None, extra=logs.fields(**extra)
    )
    made.user = _HOSTILE
    return made


def test_a_line_stays_one_line_whatever_was_sent() -> None:
    for formatter in (logs.TextFormatter(), logs.JsonFormatter()):
        line = formatter.format(record(_HOSTILE, comment=_HOSTILE))

        assert len(line.splitlines()) == 1
        assert all(character.isprintable() for character in line)


def test_json_has_every_field_by_its_name_and_none_without_a_value() -> None:
    line = json.loads(logs.JsonFormatter().format(record("done", comment="cmt_1", ms=3, site=None)))

    assert (line["message"], line["comment"], line["ms"]) == ("done", "cmt_1", 3)
    assert "site" not in line
    assert line["user"] == _HOSTILE


def test_what_the_message_tells_is_not_told_twice_to_people() -> None:
    assert "cmt_1" not in logs.TextFormatter().format(record("done", comment="cmt_1"))


def test_lines_of_many_threads_arrive_whole_and_in_the_order_of_each(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with _reader(monkeypatch) as read:
        handler = logs._Lines()
        threads = [
            threading.Thread(
                target=lambda name=name: [
                    handler.handle(record(f"{name} {number} {'x' * (number % 9 * 700)}"))
                    for number in range(100)
                ]
            )
            for name in "abcdefgh"
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    lines = read().splitlines()

    assert len(lines) == 800
    for name in "abcdefgh":
        mine = [line.split() for line in lines if line.startswith(f"{name} ")]
        assert [line[1] for line in mine] == [str(number) for number in range(100)]
        assert [len(line[2]) if len(line) > 2 else 0 for line in mine] == [
            number % 9 * 700 for number in range(100)
        ]


def test_nobody_waits_for_a_line_that_another_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    try:
        monkeypatch.setattr(sys, "stderr", os.fdopen(writing, "w"))
        handler = logs._Lines()
        slow = threading.Thread(target=lambda: handler.handle(record("y" * 200_000)), daemon=True)
        slow.start()  # more than the pipe holds, and nobody reads yet
        wait_until(lambda: handler._turn.locked())

        handler.handle(record("another"))

        with os.fdopen(reading, "r") as lines:
            assert [line.strip()[:7] for line in itertools.islice(lines, 2)] == ["y" * 7, "another"]
        slow.join()
    finally:
        sys.stderr.close()


def test_lines_of_a_loop_are_written_together_and_warnings_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    handler = logs._Lines()
    written: list[bytes] = []
    monkeypatch.setattr(os, "write", lambda _, lines: written.append(lines))

    async def tell() -> None:
        handler.handle(record("first"))
        handler.handle(record("second"))
        assert written == []
        await asyncio.sleep(0)
        assert written == [b"first\nsecond\n"]
        handler.handle(record("third"))
        warning = record("a warning")
        warning.levelno = logging.WARNING
        handler.handle(warning)
        assert written[1:] == [b"third\na warning\n"]
        handler.handle(record("last"))

    asyncio.run(tell())
    handler.handle(record("after the loop"))

    assert b"".join(written[2:]) == b"last\nafter the loop\n"


def test_a_child_does_not_wait_for_a_thread_that_was_left_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with _reader(monkeypatch) as read:
        handler = logs._Lines()
        handler._turn.acquire()  # somebody is writing
        handler.handle(record("of the parent"))
        child = os.fork()
        if child == 0:
            handler.handle(record("of the child"))
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        handler._turn.release()
        handler.handle(record("of the parent again"))

    assert read().splitlines() == ["of the child", "of the parent", "of the parent again"]


@contextlib.contextmanager
def _reader(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], str]]:
    """Catch what is written to standard error in the block; it is all there after it."""
    reading, writing = os.pipe()
    found: list[str] = []
    with os.fdopen(reading, "r") as pipe, monkeypatch.context() as patch:
        thread = threading.Thread(target=lambda: found.append(pipe.read()))
        thread.start()
        with os.fdopen(writing, "w") as end:
            patch.setattr(sys, "stderr", end)
            yield lambda: found[0]
        thread.join()
