"""What is rendered once and kept: until its key changes or there is no room, and never an error."""

import gzip
import threading

import pytest

from service.base.renderings import Rendering, Renderings


def test_it_is_made_once_for_each_who_ask_for_the_same() -> None:
    kept = Renderings()
    made: list[str] = []

    def ask(key: str) -> Rendering:
        def make() -> bytes:
            made.append(key)
            return key.encode()

        return kept.get(key, 1, make)

    found = [ask(key) for key in ("one", "two", "one")]

    assert made == ["one", "two"]
    assert found[0] is found[2]
    assert found[0].digest != found[1].digest
    assert gzip.decompress(found[0].packed) == found[0].plain == b"one"


def test_who_asks_while_it_is_being_made_waits_for_it() -> None:
    kept = Renderings()
    begun, go_on = threading.Event(), threading.Event()
    made: list[int] = []
    found: list[bytes] = []

    def make() -> bytes:
        made.append(1)
        begun.set()
        go_on.wait(10)
        return b"made"

    threads = [
        threading.Thread(target=lambda: found.append(kept.get("key", 1, make).plain))
        for _ in range(8)
    ]
    threads[0].start()
    begun.wait(10)
    for thread in threads[1:]:
        thread.start()
    go_on.set()
    for thread in threads:
        thread.join(10)

    assert (made, found) == ([1], [b"made"] * 8)


def test_the_oldest_goes_when_there_is_no_room() -> None:
    one = Rendering.of(b"1" * 1000)
    kept = Renderings(most_bytes=3 * (len(one.plain) + len(one.packed)))
    made: list[int] = []

    def ask(key: int) -> None:
        def make() -> bytes:
            made.append(key)
            return b"1" * 1000

        kept.get(key, 1, make)

    for key in (1, 2, 3, 1, 4, 1, 3, 2):
        ask(key)

    assert made == [1, 2, 3, 4, 2]


def test_what_fails_is_not_kept() -> None:
    kept = Renderings()

    def fail() -> bytes:
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        kept.get("key", 1, fail)
    assert kept.get("key", 1, lambda: b"yes").plain == b"yes"


def test_of_what_is_asked_for_only_the_last_state_is_kept() -> None:
    room = 3 * _bytes(Rendering.of(b"9" * 1000))
    kept = Renderings(most_bytes=room)
    made: list[tuple[str, int]] = []

    def ask(page: str, version: int) -> bytes:
        def make() -> bytes:
            made.append((page, version))
            return str(version).encode() * 1000

        return kept.get(page, version, make).plain

    ask("quiet", 0)
    for version in range(1, 10):
        assert ask("busy", version) == ask("busy", version) == str(version).encode() * 1000
    ask("quiet", 0)

    assert made == [("quiet", 0), *(("busy", version) for version in range(1, 10))]


def _bytes(made: Rendering) -> int:
    return len(made.plain) + len(made.packed)
