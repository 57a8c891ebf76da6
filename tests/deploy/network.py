"""Hosts of their own on this machine: network namespaces, joined by a switch that can be cut."""

import ctypes
import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

HUB_ADDRESS = "192.0.2.1"  # RFC 5737: addresses that are nobody's
_HUB = "hub"
_CLONE_NEWNET = 0x40000000  # sched.h

T = TypeVar("T")


def missing() -> str:
    """Say what is missing to make hosts; empty if nothing is."""
    if os.geteuid() != 0:
        return "only root can make network namespaces"
    if shutil.which("ip") is None:
        return "no `ip` (Debian: iproute2)"
    return ""


class Network:
    """A hub, and hosts on a cable each."""

    def __init__(self) -> None:
        self._made: list[str] = []
        self._add(_HUB)
        self._ip(_HUB, "link add name switch type bridge")
        self._ip(_HUB, f"addr add {HUB_ADDRESS}/24 dev switch")
        self._ip(_HUB, "link set switch up")

    def add_host(self, name: str) -> None:
        """Make a host that reaches the hub and the other hosts, and nothing else."""
        place = len(self._made)
        self._add(name)
        self._ip(name, f"link add cable type veth peer name port{place}")
        self._ip(name, f"link set port{place} netns {_full(_HUB)}")
        self._ip(_HUB, f"link set port{place} master switch up")
        self._ip(name, f"addr add {self.address(name)}/24 dev cable")
        self._ip(name, "link set cable up")

    def inside(self, name: str = _HUB) -> list[str]:
        """Give what goes before a command that is to run on a host."""
        return ["ip", "netns", "exec", _full(name)]

    def address(self, name: str) -> str:
        """Give the address of a host."""
        return f"192.0.2.{10 + self._made.index(name)}"

    def call(self, name: str, function: Callable[[], T]) -> T:
        """Give what a function gives that is called on a host: its sockets are of that host."""

        def enter_and_call() -> T:
            with Path("/run/netns", _full(name)).open() as namespace:
                # Of this thread alone (setns(2)); Python has it from 3.12 on.
                if ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), _CLONE_NEWNET):
                    raise OSError(ctypes.get_errno(), "setns")
            return function()

        with ThreadPoolExecutor(1) as thread:
            return thread.submit(enter_and_call).result()

    def cut(self, name: str) -> None:
        """Pull the cable; who talks to the host, or on it, is not told."""
        self._ip(_HUB, f"link set port{self._made.index(name)} down")

    def mend(self, name: str) -> None:
        """Put the cable back."""
        self._ip(_HUB, f"link set port{self._made.index(name)} up")

    def remove(self) -> None:
        """Remove all hosts; whatever runs there must have ended."""
        for name in self._made:
            _run(["ip", "netns", "delete", _full(name)])

    def _add(self, name: str) -> None:
        _run(["ip", "netns", "add", _full(name)])
        self._made.append(name)
        self._ip(name, "link set lo up")

    def _ip(self, name: str, command: str) -> None:
        _run(["ip", "-n", _full(name), *command.split()])


def _full(name: str) -> str:
    return f"hamgate-{os.getpid()}-{name}"


def _run(command: Sequence[str]) -> None:
    subprocess.run(command, check=True)
