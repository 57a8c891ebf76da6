"""What this process asks the system for: every connection and every look-up, by Python's audit
events, which no code can go round. And a network in which every address is this machine."""

import asyncio
import contextlib
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Record:
    """Where connections were attempted to, and which names were looked up."""

    connected: list[Any] = field(default_factory=list)
    looked_up: list[Any] = field(default_factory=list)


_records: list[Record] = []


def _hear(event: str, arguments: tuple[Any, ...]) -> None:
    if not _records:
        return
    if event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
        for record in _records:
            record.connected.append(arguments[1])
    elif event in ("socket.getaddrinfo", "socket.gethostbyname"):
        for record in _records:
            record.looked_up.append(arguments[0])


# An audit hook can never be taken away again; without a record it does nothing.
sys.addaudithook(_hear)


@contextlib.contextmanager
def recording() -> Iterator[Record]:
    """Record what the process does to reach others."""
    record = Record()
    _records.append(record)
    try:
        yield record
    finally:
        _records.remove(record)


class Detour(asyncio.SelectorEventLoop):
    """An event loop whose connections all end at one port of this machine.

    Attributes:
        wanted: the addresses for which the connections were, in order.
        dead: addresses at which nobody listens.
    """

    def __init__(self, port: int) -> None:
        super().__init__()
        self.wanted: list[tuple[str, int]] = []
        self.dead: set[str] = set()
        self._port = port

    async def sock_connect(self, sock: socket.socket, address: Any) -> None:
        self.wanted.append(address[:2])
        if address[0] in self.dead:
            raise ConnectionRefusedError(111, "Connection refused")
        # An IPv6 socket reaches a server of IPv4 by the mapped form of its address.
        here = "::ffff:127.0.0.1" if sock.family == socket.AF_INET6 else "127.0.0.1"
        await super().sock_connect(sock, (here, self._port))
