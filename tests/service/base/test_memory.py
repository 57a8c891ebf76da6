"""What was looked up a moment ago is not looked up again; for how long is said."""

import time
import weakref

import pytest

from service.base.memory import Memory


def test_what_is_known_is_not_looked_up_again() -> None:
    memory: Memory[str] = Memory(60)

    assert memory.get("key", lambda: "first") == "first"
    assert memory.get("key", lambda: "second") == "first"
    assert memory.get("other", lambda: "third") == "third"


def test_nothing_is_known_for_no_time() -> None:
    memory: Memory[str] = Memory(0)

    assert [memory.get("key", lambda: "first"), memory.get("key", lambda: "second")] == [
        "first",
        "second",
    ]


def test_what_a_look_up_raises_is_not_remembered() -> None:
    memory: Memory[str] = Memory(60)

    def fail() -> str:
        raise LookupError

    with pytest.raises(LookupError):
        memory.get("key", fail)
    assert memory.get("key", lambda: "found") == "found"


def test_what_is_known_can_be_asked_without_looking_it_up() -> None:
    memory, forgetful = Memory[str](60), Memory[str](0)

    assert memory.known("key") is None
    for one in (memory, forgetful):
        one.get("key", lambda: "found")
    assert memory.known("key") == "found"
    assert forgetful.known("key") is None


def test_what_is_no_longer_known_is_let_go() -> None:
    memory: Memory[Thing] = Memory(0.05)
    things = [weakref.ref(memory.get(number, Thing)) for number in range(100)]
    assert all(thing() for thing in things)

    time.sleep(0.1)
    newest = memory.get("newest", Thing)

    assert not any(thing() for thing in things)
    assert memory.known("newest") is newest


class Thing:
    """Something that tells when nobody holds it any more."""
