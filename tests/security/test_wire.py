"""What arrives on the wire, byte by byte, at the real server: read in one way or not at all.

No test here needs PostgreSQL: what is refused never reaches a ledger.
"""

import json
import re
import socket
import threading
from collections.abc import Iterator

import psutil
import pytest

from service.base import config
from tests.cast import ORIGIN, make_body, make_site, open_ledger, wait_until
from tests.conftest import Valkey, ledgers
from tests.system import System

pytestmark = pytest.mark.process

# The server gives headers ten seconds (`service.web`), and bodies as many (`serving.bodies`); a
# busy machine may need longer.
_GENEROUS_SECONDS = 40.0

_BODY = json.dumps(make_body()).encode()
_POST = (
    b"POST /api/v1/sites/blog/comments HTTP/1.1\r\nHost: x\r\n"
    b"Origin: %s\r\nContent-Type: application/json\r\n" % ORIGIN.encode()
)
_LENGTH = b"Content-Length: %d\r\n" % len(_BODY)
_CHUNKED = b"Transfer-Encoding: chunked\r\n"
_CHUNKS = b"%x\r\n%s\r\n0\r\n\r\n" % (len(_BODY), _BODY)
# What an attacker hides in or behind a body, to be answered as a request of somebody else.
_HIDDEN = b"GET /embed.js HTTP/1.1\r\nHost: x\r\n\r\n"
_LONG = b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n"
_LAST = b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


@pytest.fixture(scope="module")
def web(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    shared_valkey: Valkey,
) -> Iterator[System]:
    home = tmp_path_factory.mktemp("wire")
    with ledgers("sqlite", request, home) as new_ledger:
        environ = {
            "HAMGATE_HOME": str(home),
            "DATABASE_URL": new_ledger(),
            "REDIS_URL": shared_valkey.url,
            "HAMGATE_LOG_LEVEL": "error",
            "HAMGATE_WEB_PROCESSES": "1",
            "HAMGATE_LIMIT_ADDRESS": "100000/second",
            "HAMGATE_LIMIT_OTHER": "100000/second",
            "HAMGATE_LIMIT_EMAIL": "100000/second",
            "HAMGATE_LIMIT_THREAD": "100000/second",
        }
        database = open_ledger(config.from_environ(environ))
        make_site(database)
        database.close()
        system = System(environ)
        try:
            system.start("web")
            yield system
            assert system.request("GET", "/livez").status == 200
        finally:
            system.stop()


@pytest.fixture(scope="module", autouse=True)
def dawdlers(web: System) -> Iterator[dict[str, "Dawdler"]]:
    """Clients that never end what they send; they wait while the other tests run."""
    begun = _POST + b"Content-Length: 30000\r\n\r\n{"
    # All connections of an address that sends a body slowly may be ended; so each has its own.
    slow = {
        "sends no body": Dawdler(web, begun, "127.0.0.2"),
        "drips a body": Dawdler(web, begun, "127.0.0.3", drop=b" "),
        "drips chunks": Dawdler(web, _POST + _CHUNKED + b"\r\n", "127.0.0.4", drop=b"1\r\n \r\n"),
        "is told to go on and does not": Dawdler(
            web,
            _POST + b"Expect: 100-continue\r\nContent-Length: 30000\r\n\r\n",
            "127.0.0.5",
        ),
        "drips a body after an answer": Dawdler(web, _HIDDEN + begun, "127.0.0.6", drop=b" "),
        "drips a body and takes answers as slowly": Dawdler(
            web, 3 * _LONG + begun, "127.0.0.7", drop=b" ", takes=200
        ),
        "takes nothing": Dawdler(web, 40 * _LONG, takes=0),
        "says nothing": Dawdler(web, b""),
        "begins and stops": Dawdler(web, b"GET /livez HTTP/1.1\r\nHost: x\r\n"),
        "drips": Dawdler(web, b"GET /livez HTTP/1.1\r\n", drop=b"X: y\r\n"),
        "stays after an answer": Dawdler(web, b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\nGET"),
    }
    yield slow
    for one in slow.values():
        one.leave()


@pytest.mark.parametrize(
    ("headers", "sent"),
    [
        pytest.param(_LENGTH + b"Content-Length: 0\r\n", _BODY, id="two lengths"),
        pytest.param(b"Content-Length: %d, 0\r\n" % len(_BODY), _BODY, id="a list of lengths"),
        pytest.param(b"Content-Length: +%d\r\n" % len(_BODY), _BODY, id="a length with a sign"),
        pytest.param(b"Content-Length: -1\r\n", _BODY, id="a negative length"),
        pytest.param(b"Content-Length: 0x10\r\n", _BODY, id="a hexadecimal length"),
        pytest.param(b"Content-Length: 1%s\r\n" % (b"0" * 30), _BODY, id="a length beyond 64 bits"),
        pytest.param(_LENGTH + _CHUNKED, b"0\r\n\r\n", id="chunks after a length"),
        pytest.param(b"Transfer-Encoding: xchunked\r\n", _CHUNKS, id="nearly chunked"),
        pytest.param(b"Transfer-Encoding: identity\r\n" + _LENGTH, _BODY, id="identity"),
        pytest.param(b"Transfer-Encoding: chunked, gzip\r\n", _CHUNKS, id="chunked not last"),
        pytest.param(b"Transfer-Encoding : chunked\r\n", _CHUNKS, id="a space before the colon"),
        pytest.param(_CHUNKED + b"Transfer-Encoding: identity\r\n", _CHUNKS, id="two codings"),
        pytest.param(_CHUNKED, b"zz\r\n" + _BODY, id="a chunk of no size"),
        pytest.param(_CHUNKED, b"0x10\r\n" + _BODY, id="a chunk size with 0x"),
        pytest.param(_CHUNKED, b"-1\r\n" + _BODY, id="a negative chunk size"),
        pytest.param(_CHUNKED, b"f" * 16 + b"1\r\n" + _BODY, id="a chunk size beyond 64 bits"),
        pytest.param(_CHUNKED, b"5\r\n" + _BODY + b"\r\n0\r\n\r\n", id="a chunk longer than said"),
        pytest.param(_CHUNKED, _CHUNKS.replace(b"\r\n", b"\n"), id="chunks ended by LF alone"),
        pytest.param(_CHUNKED, b"%x;a\nb\r\n%s" % (len(_BODY), _BODY), id="LF in an extension"),
        pytest.param(_CHUNKED, b"5;" + b"a" * 100_000 + b"\r\n", id="an extension without an end"),
        pytest.param(b"X: a\r\n b: c\r\n" + _LENGTH, _BODY, id="a folded header"),
        pytest.param(b"Content-Length:\r\n %d\r\n" % len(_BODY), _BODY, id="a folded length"),
        pytest.param(b"X: a\rY: b\r\n" + _LENGTH, _BODY, id="CR alone"),
        pytest.param(b"X: a\0b\r\n" + _LENGTH, _BODY, id="NUL in a value"),
        pytest.param(b"X\0: a\r\n" + _LENGTH, _BODY, id="NUL in a name"),
        pytest.param(b"X Y: a\r\n" + _LENGTH, _BODY, id="a space in a name"),
    ],
)
def test_what_could_be_read_in_two_ways_is_refused_and_the_connection_ended(
    web: System, headers: bytes, sent: bytes
) -> None:
    assert statuses(web, _POST + headers + b"\r\n" + sent + _HIDDEN) == [400]


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(b"GET /a\0b HTTP/1.1", id="NUL in the path"),
        pytest.param(b"GET /\xff HTTP/1.1", id="a path of no encoding"),
        pytest.param(b"GET /livez HTTP/9.9", id="a version nobody knows"),
        pytest.param(b"GET /livez", id="no version"),
        pytest.param(b"GET  HTTP/1.1", id="no path"),
        pytest.param(b"\x16\x03\x01\x00\xc8\x01\x00\x00\xc4\x03\x03", id="TLS"),
    ],
)
def test_what_is_no_request_line_is_refused_and_the_connection_ended(
    web: System, line: bytes
) -> None:
    assert statuses(web, line + b"\r\nHost: x\r\n\r\n" + _HIDDEN) == [400]


def test_with_length_and_chunks_the_chunks_count_and_nothing_behind_them(web: System) -> None:
    """RFC 9112 section 6.3: whoever does not refuse goes by the chunks, and then hangs up."""
    smuggled = _POST + b"Content-Length: 4\r\n" + _CHUNKED + b"\r\n" + _CHUNKS + _HIDDEN

    assert statuses(web, smuggled) == [202]


@pytest.mark.parametrize("codings", [b"gzip, chunked", b"deflate,chunked", b"chunked, chunked"])
def test_chunks_within_another_coding_are_not_taken_for_plain(web: System, codings: bytes) -> None:
    request = _POST + b"Transfer-Encoding: %s\r\nConnection: close\r\n\r\n" % codings + _CHUNKS

    assert statuses(web, request) in ([400], [415])


@pytest.mark.parametrize(
    ("start", "expected"),
    [
        pytest.param(b"POST /nowhere HTTP/1.1\r\n", 404, id="of what is not there"),
        pytest.param(b"PUT /livez HTTP/1.1\r\n", 405, id="of a wrong method"),
        pytest.param(b"GET /livez HTTP/1.1\r\n", 200, id="of a GET"),
    ],
)
@pytest.mark.parametrize("chunked", [False, True], ids=["by length", "in chunks"])
def test_a_body_that_nobody_reads_is_no_request(
    web: System, start: bytes, expected: int, chunked: bool
) -> None:
    body = _HIDDEN * 3
    framed = (
        _CHUNKED + b"\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
        if chunked
        else b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
    )

    found = statuses(web, start + b"Host: x\r\n" + framed + _LAST)

    assert found in ([expected, 200], [expected])  # hanging up is as good


def test_a_body_that_is_too_large_is_no_request(web: System) -> None:
    body = _HIDDEN * 30_000
    request = _POST + b"Content-Length: %d\r\n\r\n" % len(body) + body + _HIDDEN

    # The server hangs up on who still sends; then the answer may be lost on the way.
    assert statuses(web, request) in ([413], [])


def test_requests_in_a_row_are_each_answered_once_in_their_order(web: System) -> None:
    submission = _POST + _LENGTH + b"\r\n" + _BODY
    nowhere = b"GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n"

    row = _HIDDEN + nowhere + submission + submission + nowhere + _LAST

    assert statuses(web, row) == [200, 404, 202, 202, 404, 200]


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        pytest.param(b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414, id="URL"),
        pytest.param(
            b"GET /livez HTTP/1.1\r\nX: " + b"a" * 900_000 + b"\r\n\r\n", 431, id="header"
        ),
        pytest.param(b"GET /livez HTTP/1.1\r\n" + b"X: a\r\n" * 500 + b"\r\n", 431, id="headers"),
    ],
)
def test_what_is_too_long_is_told_so_and_the_connection_ended(
    web: System, request_: bytes, expected: int
) -> None:
    assert statuses(web, request_ + _HIDDEN) in ([expected], [])


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"CONNECT inside.example:443 HTTP/1.1", {400, 404, 405}),
        (b"CONNECT /livez HTTP/1.1", {400, 404, 405}),
        (b"TRACE /livez HTTP/1.1", {405}),
        (b"OPTIONS * HTTP/1.1", {400, 404, 405}),
        (b"BANANA /livez HTTP/1.1", {405}),
        (b"GET http://inside.example/livez HTTP/1.1", {200}),  # our own path; nobody is asked
        (b"GET http://inside.example/secret HTTP/1.1", {404}),
    ],
)
def test_nobody_makes_a_proxy_of_it(web: System, line: bytes, expected: set[int]) -> None:
    (found,) = statuses(web, line + b"\r\nHost: x\r\nConnection: close\r\n\r\n")

    assert found in expected


@pytest.mark.parametrize("host", [b"evil.example", b"evil.example\r\nHost: x", b"a/b@evil.example"])
@pytest.mark.parametrize("path", [b"/dashboard/", b"/demo", b"/dashboard/sign-in"])
def test_a_host_that_somebody_made_up_is_nowhere_in_an_answer(
    web: System, host: bytes, path: bytes
) -> None:
    request = b"GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n" % (path, host)

    assert b"evil.example" not in exchange(web, request)


@pytest.mark.parametrize(
    "who", ["says nothing", "begins and stops", "drips", "stays after an answer"]
)
def test_who_never_ends_their_headers_is_sent_away(
    dawdlers: dict[str, "Dawdler"], who: str
) -> None:
    assert dawdlers[who].sent_away_within(_GENEROUS_SECONDS)


@pytest.mark.parametrize(
    "who",
    [
        "sends no body",
        "drips a body",
        "drips chunks",
        "is told to go on and does not",
        "drips a body after an answer",
    ],
)
def test_who_never_ends_their_body_is_told_so_and_sent_away(
    dawdlers: dict[str, "Dawdler"], who: str
) -> None:
    assert dawdlers[who].sent_away_within(_GENEROUS_SECONDS)
    assert re.findall(rb"HTTP/1\.1 ([2-5]\d\d) ", dawdlers[who].heard)[-1:] == [b"408"]


def test_taking_earlier_answers_slowly_gives_no_more_time_for_a_body(
    dawdlers: dict[str, "Dawdler"],
) -> None:
    slow = dawdlers["drips a body and takes answers as slowly"]

    assert slow.sent_away_within(_GENEROUS_SECONDS)


def test_who_takes_nothing_of_an_answer_is_hung_up_on(
    web: System, dawdlers: dict[str, "Dawdler"]
) -> None:
    """Nobody tells them, so it is the server that is asked."""
    wait_until(lambda: not dawdlers["takes nothing"].is_held_by(web))


def test_a_body_that_breaks_off_is_no_body(web: System) -> None:
    with connect(web) as connection:
        connection.sendall(_POST + b"Content-Length: %d\r\n\r\n" % (len(_BODY) + 1) + _BODY)
        connection.shutdown(socket.SHUT_WR)

        assert b" 400 " in connection.recv(65536).partition(b"\r\n")[0]


class Dawdler:
    """A client that never ends what it sends."""

    def __init__(
        self,
        system: System,
        sent: bytes,
        address: str = "127.0.0.1",
        *,
        drop: bytes = b"",
        takes: int = 65536,
    ) -> None:
        self._drop = drop
        self._takes = takes
        self._gone = threading.Event()
        self._left = threading.Event()
        self.heard = b""
        self._connection = socket.socket()
        if takes < 65536:
            self._connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        self._connection.bind((address, 0))
        self._connection.connect(("127.0.0.1", system.port))
        self._connection.sendall(sent)
        self._connection.settimeout(0.5)
        self._thread = threading.Thread(target=self._dawdle, daemon=True)
        self._thread.start()

    def sent_away_within(self, seconds: float) -> bool:
        return self._gone.wait(seconds)

    def is_held_by(self, system: System) -> bool:
        """Whether the server has the connection still."""
        port = self._connection.getsockname()[1]
        server = psutil.Process(system.processes["web"].pid)
        return any(
            one.raddr and one.raddr.port == port
            for process in server.children(recursive=True)
            for one in process.net_connections()
        )

    def leave(self) -> None:
        self._left.set()
        self._thread.join()
        self._connection.close()

    def _dawdle(self) -> None:
        while self._takes and not self._left.is_set():
            try:
                if self._drop:
                    self._connection.sendall(self._drop)
                heard = self._connection.recv(self._takes)
                if not heard:
                    break
                self.heard += heard
                self._left.wait(0.2)  # whoever takes all at once would be done with it
            except TimeoutError:
                continue
            except OSError:
                break
        self._gone.set()


def connect(system: System) -> socket.socket:
    return socket.create_connection(("127.0.0.1", system.port), timeout=_GENEROUS_SECONDS)


def exchange(system: System, request: bytes) -> bytes:
    """Send bytes and give all that comes back until the server hangs up."""
    with connect(system) as connection:
        received = bytearray()
        try:
            connection.sendall(request)
            while part := connection.recv(65536):
                received += part
        except ConnectionError:
            pass  # it hung up on what it would not read; what it said before is there
        return bytes(received)


def statuses(system: System, request: bytes) -> list[int]:
    """Give the status of each answer until the server hangs up."""
    found = re.findall(rb"HTTP/1\.1 (\d{3}) ", exchange(system, request))
    return [int(status) for status in found]
