"""Connections: what the kernel is told of the clients of this process.

The server keeps its sockets to itself, so they are found among the files of the process.
"""

import os
import socket
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

_FILES = Path("/proc/self/fd")


def expect_reading(port: int, within_seconds: float) -> None:
    """Have the kernel end connections of clients who take nothing of an answer for so long.

    It is told so of the socket that listens on a port of ours, and those of clients inherit it
    (tcp(7), TCP_USER_TIMEOUT; on Linux only).
    """
    for found in _sockets():
        listens = found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
        if listens and found.getsockname()[1] == port:
            milliseconds = int(within_seconds * 1000)
            found.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)


def _sockets() -> Iterator[socket.socket]:
    """Give the process's TCP sockets, each held open for as long as it is looked at."""
    if sys.platform != "linux":
        return
    for file in _FILES.iterdir():
        try:
            held = os.dup(int(file.name))
        except OSError:  # closed meanwhile
            continue
        if not stat.S_ISSOCK(os.fstat(held).st_mode):
            os.close(held)
            continue
        with socket.socket(fileno=held) as found:
            if found.type == socket.SOCK_STREAM and found.family != socket.AF_UNIX:
                yield found
