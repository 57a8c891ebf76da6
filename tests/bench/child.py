"""Processes of the benchmark's own that are told what to do in lines of JSON."""

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any


class Child:
    """A module of this package that runs in a process of its own and answers orders."""

    def __init__(self, module: str, environ: Mapping[str, str] | None = None) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=None if environ is None else dict(environ),
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def ask(self, order: Mapping[str, Any]) -> dict[str, Any]:
        """Give an order and wait for the answer.

        Raises:
            RuntimeError: the process ended instead; it has said why on standard error.
        """
        if self._process.stdin is None or self._process.stdout is None:
            raise AssertionError("started with pipes")
        with suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(order) + "\n")
            self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self._process.args!r} ended with {self._process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def __enter__(self) -> "Child":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        with self._process:
            pass  # closes the pipes and waits


def answer(handle: Callable[[dict[str, Any]], Mapping[str, Any]]) -> None:
    """Answer orders on standard input until the parent closes it."""
    for line in sys.stdin:
        print(json.dumps(handle(json.loads(line))), flush=True)
