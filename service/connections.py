"""Connections: the clients that are connected to this process, by their sockets.

The server keeps its sockets to itself, so they are found among the files of the process. The one
rule: nothing is ended but the connection of a client who has long had nothing from us.
"""

import logging
import os
import socket
import stat
import struct
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

log = logging.getLogger(__name__)

_FILES = Path("/proc/self/fd")
# Where Linux says how many milliseconds ago data was last sent: `tcpi_last_data_sent` in
# <linux/tcp.h>. Before anything was sent, it is since when the client is connected.
_LAST_SENT = struct.Struct("44xI")


def hang_up(port: int, unanswered: Mapping[str, float]) -> None:
    """Stop reading from clients, on the connections on which they have long been told nothing.

    Whoever waits for more from them is told that there is none; an answer may still be sent.
    Elsewhere than on Linux nobody says who was told nothing, and nothing is done.

    Args:
        port: the one of ours that they are connected to.
        unanswered: for each client's address, as its socket has it, for how many seconds at least
            nothing was sent to it.
    """
    for connection in _sockets():
        try:
            if connection.getsockname()[1] != port:
                continue
            seconds = unanswered.get(connection.getpeername()[0].partition("%")[0])
            if seconds is not None and _unanswered_seconds(connection) >= seconds:
                connection.shutdown(socket.SHUT_RD)
        except OSError as error:
            log.debug("a connection ended by itself: %s", error.strerror)


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


def _unanswered_seconds(connection: socket.socket) -> float:
    info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _LAST_SENT.size)
    (milliseconds,) = _LAST_SENT.unpack(info)
    return float(milliseconds / 1000)
