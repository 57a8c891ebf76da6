"""Receivers of webhooks, real sockets on this machine, that behave or torture.

Each way is a function that is given one accepted connection and does with it what it likes.
`WAYS` has them all by name, with what the one who posts has to make of it.
"""

import contextlib
import datetime as dt
import functools
import gzip
import re
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import trustme

_PATIENCE_SECONDS = 20


@dataclass(frozen=True)
class Request:
    """A request that arrived, and when, by the monotonic clock."""

    head: str
    body: bytes
    at: float = field(default_factory=time.monotonic)

    @property
    def headers(self) -> dict[str, str]:
        """The headers, names in lower case."""
        pairs = (line.partition(": ") for line in self.head.split("\r\n")[1:])
        return {name.lower(): value for name, _, value in pairs}


@dataclass
class Peer:
    """One accepted connection."""

    socket: socket.socket
    receiver: "Receiver"

    def read(self) -> Request:
        """Read the whole request."""
        data = b""
        while b"\r\n\r\n" not in data:
            if not (chunk := self.socket.recv(65536)):
                raise ConnectionError("gone")
            data += chunk
        head, _, body = data.partition(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head.lower())
        while length is not None and len(body) < int(length[1]):
            body += self.socket.recv(65536)
        request = Request(head.decode("latin-1"), body)
        self.receiver.requests.append(request)
        return request

    def send(self, data: bytes) -> None:
        """Send all of it."""
        self.socket.sendall(data)

    def answer(self, status: str, headers: str = "", body: bytes = b"") -> None:
        """Read the request and answer as one should."""
        self.read()
        head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{headers}\r\n"
        self.send(head.encode() + body)

    def hang(self) -> None:
        """Do nothing until the other side goes."""
        with contextlib.suppress(OSError):
            while self.socket.recv(65536):
                pass

    def drip(self, data: bytes) -> None:
        """Send a byte now and then."""
        for byte in data:
            self.send(bytes([byte]))
            time.sleep(0.02)

    def reset(self) -> None:
        """Break the connection off with a RST in place of a FIN."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()


Way = Callable[[Peer], None]


@dataclass
class Receiver:
    """Somebody who listens."""

    port: int
    scheme: str
    requests: list[Request] = field(default_factory=list)
    accepted: int = 0
    server_names: list[str | None] = field(default_factory=list)

    def url(self, host: str = "127.0.0.1", path: str = "/hook") -> str:
        """Give the address of a webhook here."""
        return f"{self.scheme}://{host}:{self.port}{path}"


@contextlib.contextmanager
def receiving(way: Way, tls: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    """Listen on a port of 127.0.0.1 and treat every connection in this way."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=512)
    receiver = Receiver(listener.getsockname()[1], "https" if tls else "http")
    open_sockets: set[socket.socket] = set()
    if tls is not None:
        tls.sni_callback = lambda _, name, __: receiver.server_names.append(name)

    def treat(accepted: socket.socket) -> None:
        open_sockets.add(accepted)
        # Whoever tortures is itself often cut off in the middle.
        with contextlib.suppress(OSError), accepted:
            accepted.settimeout(_PATIENCE_SECONDS)
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if tls is None:
                way(Peer(accepted, receiver))
            else:
                with tls.wrap_socket(accepted, server_side=True) as wrapped:
                    way(Peer(wrapped, receiver))
        open_sockets.discard(accepted)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                accepted, _ = listener.accept()
                receiver.accepted += 1
                threading.Thread(target=treat, args=(accepted,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield receiver
    finally:
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for left in list(open_sockets):
            with contextlib.suppress(OSError):
                left.shutdown(socket.SHUT_RDWR)


class Certificates:
    """An authority and what it issues."""

    def __init__(self) -> None:
        self.authority = trustme.CA()

    def client(self) -> ssl.SSLContext:
        """Give a context that believes the authority and nobody else."""
        return ssl.create_default_context(cadata=self.pem())

    def pem(self) -> str:
        """Give the authority as it stands in a file."""
        return self.authority.cert_pem.bytes().decode()

    def server(self, name: str, *, valid_from_days: int = -1, days: int = 30) -> ssl.SSLContext:
        """Give a server's context with a certificate for the name."""
        begin = dt.datetime.now(dt.UTC) + dt.timedelta(days=valid_from_days)
        leaf = self.authority.issue_cert(
            name, not_before=begin, not_after=begin + dt.timedelta(days=days)
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        leaf.configure_cert(context)
        return context


def answering(status: str, headers: str = "", body: bytes = b"") -> Way:
    """Give the way of somebody who answers as one should."""
    return functools.partial(Peer.answer, status=status, headers=headers, body=body)


def sending(*parts: bytes) -> Way:
    """Give the way of somebody who reads the request and sends just this."""

    def way(peer: Peer) -> None:
        peer.read()
        for part in parts:
            peer.send(part)

    return way


def _then_hang(*parts: bytes) -> Way:
    def way(peer: Peer) -> None:
        sending(*parts)(peer)
        peer.hang()

    return way


def _for_ever(first: bytes, again: bytes) -> Way:
    def way(peer: Peer) -> None:
        peer.read()
        peer.send(first)
        while True:
            peer.send(again)

    return way


def _slowly(first: bytes, again: bytes) -> Way:
    def way(peer: Peer) -> None:
        peer.read()
        peer.send(first)
        peer.drip(again * _PATIENCE_SECONDS * 50)

    return way


def _reset_after(*parts: bytes) -> Way:
    def way(peer: Peer) -> None:
        sending(*parts)(peer)
        time.sleep(0.05)  # or the reset overtakes what was sent
        peer.reset()

    return way


def _reset_at_first_byte(peer: Peer) -> None:
    peer.socket.recv(1)  # or the other side may not have noticed that it is connected
    peer.reset()


def _early(peer: Peer) -> None:
    peer.send(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    peer.hang()


_TEN_GB = 10 * 1000**3
_OK = b"HTTP/1.1 200 OK\r\n"
_ZEROES = bytes(1024 * 1024)
# 10 MB of zeroes in 10 kB, a thousand times: 10 GB if somebody decoded it.
_BOMB = gzip.compress(bytes(10 * 1000**2)) * 1000


@dataclass(frozen=True)
class Torture:
    """A way, and what has to become of an attempt at it.

    Attributes:
        status: what is recorded; `None` for none.
        failure: the value of the failure; `None` for none.
        takes_all: whether it goes on until the attempt's time is over.
    """

    way: Way
    status: int | None = None
    failure: str | None = None
    takes_all: bool = False


def _redirect(status: str) -> Torture:
    # Where the tests have a receiver of their own, to see that nobody comes.
    header = "Location: http://127.0.0.1:{port}/inside\r\n"

    def way(peer: Peer) -> None:
        peer.answer(status, header.format(port=peer.receiver.port))

    return Torture(way, int(status[:3]))


WAYS: dict[str, Torture] = {
    # nothing, or too little, in time
    "hangs after accept": Torture(Peer.hang, None, "timeout", True),
    "hangs after the request": Torture(_then_hang(), None, "timeout", True),
    "hangs after the status line": Torture(_then_hang(_OK), None, "timeout", True),
    "hangs after the headers": Torture(
        _then_hang(_OK + b"Content-Length: 9\r\n\r\n"), 200, None, True
    ),
    "drips the status line": Torture(_slowly(b"", _OK), None, "timeout", True),
    "drips headers": Torture(_slowly(_OK, b"A: b\r\n"), None, "timeout", True),
    "drips the body": Torture(
        _slowly(_OK + b"Content-Length: 99999\r\n\r\n", b"drip "), 200, None, True
    ),
    "drips a chunked body": Torture(
        _slowly(_OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\na\r\n"), 200, None, True
    ),
    "drips interim answers": Torture(
        _slowly(b"", b"HTTP/1.1 102 Processing\r\n\r\n"), None, "timeout", True
    ),
    # breaking off
    "resets at the first byte": Torture(_reset_at_first_byte, None, "closed"),
    "resets after the request": Torture(_reset_after(), None, "closed"),
    "resets within the headers": Torture(_reset_after(_OK + b"A: b"), None, "closed"),
    "resets within the body": Torture(
        _reset_after(_OK + b"Content-Length: 9\r\n\r\nhalf"), 200, None
    ),
    "closes at once": Torture(lambda peer: None, None, "closed"),
    "closes without an answer": Torture(sending(), None, "closed"),
    "closes within the status line": Torture(sending(b"HTTP/1.1 20"), None, "protocol"),
    "closes within the headers": Torture(sending(_OK + b"A: b\r\n"), None, "protocol"),
    "closes within the body": Torture(sending(_OK + b"Content-Length: 9\r\n\r\nhalf"), 200),
    # statuses
    **{
        f"redirects with {status[:3]}": _redirect(status)
        for status in (
            "301 Moved Permanently",
            "302 Found",
            "303 See Other",
            "307 Temporary Redirect",
            "308 Permanent Redirect",
        )
    },
    "offers a choice": Torture(answering("300 Multiple Choices", "Location: /inside\r\n"), 300),
    "says not modified": Torture(sending(b"HTTP/1.1 304 Not Modified\r\n\r\n"), 304),
    "refreshes to inside": Torture(answering("200 OK", "Refresh: 0; url=/inside\r\n"), 200),
    "fails": Torture(answering("500 Internal Server Error", "", b"Traceback: none of yours"), 500),
    "is a gateway to nothing": Torture(answering("502 Bad Gateway"), 502),
    "is gone": Torture(answering("410 Gone"), 410),
    "is busy for seconds": Torture(answering("429 Too Many Requests", "Retry-After: 7\r\n"), 429),
    "is busy until a date": Torture(
        answering("503 Service Unavailable", "Retry-After: Fri, 31 Dec 2100 23:59:59 GMT\r\n"), 503
    ),
    "wants a password": Torture(answering("401 Unauthorized", "WWW-Authenticate: Basic\r\n"), 401),
    "wants a proxy": Torture(answering("305 Use Proxy", "Location: http://127.0.0.1/\r\n"), 305),
    "switches protocols": Torture(
        sending(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\nX"
        ),
        None,
        "protocol",
    ),
    "answers before it has read": Torture(_early, 413),
    "hints first": Torture(
        sending(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n", _OK + b"\r\n"), 200
    ),
    "sends a body with 204": Torture(
        sending(b"HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 500 Not Yours\r\n\r\n"), 204
    ),
    "answers twice": Torture(
        sending(_OK + b"Content-Length: 0\r\n\r\n", b"HTTP/1.1 500 Oh\r\n\r\n"), 200
    ),
    # too much
    "sends 10 GB": Torture(
        _for_ever(_OK + f"Content-Length: {_TEN_GB}\r\n\r\n".encode(), _ZEROES), 200
    ),
    "sends without end": Torture(_for_ever(_OK + b"\r\n", _ZEROES), 200),
    "sends chunks without end": Torture(
        _for_ever(_OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n" * 10_000), 200
    ),
    "sends a gzip bomb": Torture(sending(_OK + b"Content-Encoding: gzip\r\n\r\n", _BOMB), 200),
    "sends 100 kB of headers": Torture(
        sending(_OK + b"A: b\r\n" * 17_000 + b"\r\n"), None, "too_large"
    ),
    "sends one header of 100 kB": Torture(
        sending(_OK + b"A: " + b"b" * 100_000 + b"\r\n\r\n"), None, "too_large"
    ),
    "sends headers without end": Torture(_for_ever(_OK, b"A: b\r\n" * 1000), None, "too_large"),
    "sends a status line without end": Torture(
        _for_ever(b"HTTP/1.1 200 ", b"O" * 10_000), None, "too_large"
    ),
    "sends interim answers without end": Torture(
        _for_ever(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 1000), None, "too_large"
    ),
    # no HTTP
    "speaks HTTP/0.9": Torture(sending(b"<html>welcome</html>\n"), None, "protocol"),
    "speaks HTTP/2": Torture(
        sending(bytes.fromhex("000012040000000000000300000080000400010000000500ffffff")),
        None,
        "protocol",
    ),
    "speaks SMTP": Torture(sending(b"220 mail.example ESMTP\r\n"), None, "protocol"),
    "speaks Redis": Torture(sending(b"-ERR unknown command 'POST'\r\n"), None, "protocol"),
    "sends noise": Torture(sending(bytes(range(256)) * 8), None, "protocol"),
    "has a status of four digits": Torture(sending(b"HTTP/1.1 2000 OK\r\n\r\n"), None, "protocol"),
    "has no header names": Torture(sending(_OK + b": b\r\n\r\n"), None, "protocol"),
    "has NUL in a header": Torture(sending(_OK + b"A: b\x00c\r\n\r\n"), None, "protocol"),
    "has two lengths": Torture(
        sending(_OK + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab"), None, "protocol"
    ),
    "has a negative length": Torture(
        sending(_OK + b"Content-Length: -1\r\n\r\n"), None, "protocol"
    ),
    "has an endless length": Torture(
        sending(_OK + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n"), None, "protocol"
    ),
    "has a bad chunk": Torture(sending(_OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n"), 200),
}
