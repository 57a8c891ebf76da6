"""Whatever a receiver does, an attempt ends in time with what is true of it."""

import asyncio
import contextlib
import datetime as dt
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Sequence
from ipaddress import ip_address
from pathlib import Path

import psutil
import pytest

from service.base.config import Settings, from_environ
from service.base.errors import ConfigError
from service.pure.destinations import IpAddress
from tests.receivers import (
    WAYS,
    Certificates,
    Peer,
    Torture,
    Way,
    answering,
    receiving,
    sending,
)
from workers.outbound import Answer, Failure, Outbound, Resolver

LOCAL = from_environ(
    {
        "HAMGATE_WEBHOOK_NETWORKS": "127.0.0.0/8",
        "HAMGATE_WEBHOOK_PORTS": "1-65535",
        "HAMGATE_WEBHOOK_HTTP": "true",
    }
)
BODY = b'{"type":"comment.approved"}'
HEADERS = {"Content-Type": "application/json", "webhook-id": "evt_1"}


async def here(host: str) -> Sequence[IpAddress]:
    """Resolve every name to this machine."""
    return [ip_address("127.0.0.1")]


def post(
    url: str,
    *,
    settings: Settings = LOCAL,
    seconds: float = 10,
    resolve: Resolver = here,
    tls: ssl.SSLContext | None = None,
    times: int = 1,
) -> Answer:
    """Make attempts one after another; give the last answer."""

    async def run() -> Answer:
        async with Outbound(settings, most_seconds=seconds, resolve=resolve, tls=tls) as outbound:
            for _ in range(times):
                answer = await outbound.post(url, BODY, HEADERS)
        return answer

    return asyncio.run(run())


def answer_of(way: Way, *, seconds: float = 10) -> Answer:
    with receiving(way) as receiver:
        return post(receiver.url(), seconds=seconds)


def after_hello(way: Way) -> Way:
    """Take what comes first, which is no HTTP, then go that way."""

    def taking(peer: Peer) -> None:
        peer.socket.recv(65536)
        way(peer)

    return taking


@pytest.fixture(scope="module")
def certificates() -> Certificates:
    return Certificates()


def test_a_request_arrives_as_it_was_given() -> None:
    with receiving(answering("200 OK", "", b"thanks")) as receiver:
        answer = post(receiver.url("hooks.example", "/a%20b?c=d&e"))

    (request,) = receiver.requests
    assert request.head.startswith("POST /a%20b?c=d&e HTTP/1.1\r\n")
    assert request.body == BODY
    assert request.headers["host"] == f"hooks.example:{receiver.port}"
    assert request.headers["content-length"] == str(len(BODY))
    assert request.headers["webhook-id"] == "evt_1"
    assert request.headers["accept-encoding"] == "identity"
    assert (answer.status, answer.failure, answer.reason) == (200, None, "")
    assert (answer.excerpt, answer.retry_after_seconds) == ("thanks", None)


@pytest.mark.parametrize("name", WAYS)
def test_torture_gives_the_right_answer_in_time(name: str) -> None:
    torture = WAYS[name]
    before = set(_connections())

    with receiving(torture.way) as receiver:
        started = time.monotonic()
        answer = post(receiver.url(), seconds=0.4 if torture.takes_all else 10)
        took = time.monotonic() - started

    assert (answer.status, answer.failure) == (torture.status, torture.failure)
    assert took < 5
    assert len(answer.excerpt) <= 1024
    assert receiver.accepted == 1
    assert all(request.head.startswith("POST /hook ") for request in receiver.requests)
    assert (answer.reason == "") == (answer.failure is None and not _is_cut(torture, name))
    assert set(_connections()) - before == set()


def test_there_are_more_than_enough_ways() -> None:
    assert len(WAYS) >= 50


@pytest.mark.parametrize(
    "name", ["sends 10 GB", "sends without end", "sends a gzip bomb", "sends chunks without end"]
)
def test_memory_stays_flat_whatever_is_sent(name: str) -> None:
    with receiving(WAYS[name].way) as receiver:
        post(receiver.url())  # what is loaded once is loaded now
        process = psutil.Process()
        before = process.memory_info().rss
        post(receiver.url(), times=20)

        assert process.memory_info().rss - before < 8 * 1024 * 1024


def test_torture_of_one_does_not_delay_another() -> None:
    """All ways at once, and beside them somebody who answers at once."""

    async def run(urls: list[str], good: str) -> float:
        async with Outbound(LOCAL, most_seconds=3, resolve=here) as outbound:
            tortured = [
                asyncio.create_task(outbound.post(url, BODY, HEADERS)) for url in urls for _ in "ab"
            ]
            took = []
            for _ in range(100):
                started = time.monotonic()
                answer = await outbound.post(good, BODY, HEADERS)
                took.append(time.monotonic() - started)
                assert answer.status == 200
            for task in tortured:
                await task
        return sorted(took)[-2]

    with contextlib.ExitStack() as stack:
        urls = [stack.enter_context(receiving(torture.way)).url() for torture in WAYS.values()]
        good = stack.enter_context(receiving(answering("200 OK")))
        assert asyncio.run(run(urls, good.url())) < 2


def test_what_is_shown_of_an_answer_is_text_and_short() -> None:
    body = "grüße\r\n\x1b[31mred\x00\u202e end ".encode() + b"\xff" + "ü".encode() * 2000

    answer = answer_of(answering("200 OK", "", body))

    assert answer.excerpt.startswith("grüße\n\ufffd[31mred\ufffd\ufffd end \ufffdüü")
    assert answer.excerpt.endswith("ü")
    assert len(answer.excerpt.encode()) <= 1024 + 20


def test_a_compressed_answer_is_not_unpacked_for_showing() -> None:
    answer = answer_of(answering("200 OK", "Content-Encoding: br\r\n", b"\x0b\x02\x80hello\x03"))

    assert (answer.status, answer.excerpt) == (200, "")


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("7", 7),
        ("0", 0),
        ("86401", 86_400),
        ("9" * 5000, 86_400),
        ("Fri, 31 Dec 2100 23:59:59 GMT", 86_400),
        ("Sun Nov  6 08:49:37 1994", 0),
        ("-1", None),
        ("7.5", None),
        ("٧", None),
        ("soon", None),
        ("", None),
        ("Mon, 99 Foo 99999999999999999999 99:99:99 GMT", None),
        ("Fri, 31 Dec 10000 23:59:59 GMT", None),
        ("7, 8", None),
    ],
)
def test_retry_after_is_read_and_capped(written: str, seconds: float | None) -> None:
    with receiving(_with_header(f"Retry-After: {written}\r\n".encode())) as receiver:
        assert post(receiver.url()).retry_after_seconds == seconds


def test_retry_after_may_be_a_date() -> None:
    at = dt.datetime.now(dt.UTC) + dt.timedelta(hours=1)
    header = f"Retry-After: {at:%a, %d %b %Y %H:%M:%S} GMT\r\n"

    seconds = answer_of(answering("429 Too Many Requests", header)).retry_after_seconds

    assert seconds == pytest.approx(3600, abs=30)


def test_cookies_are_not_sent_back() -> None:
    with receiving(answering("200 OK", "Set-Cookie: id=7; Path=/\r\n")) as receiver:
        post(receiver.url(), times=2)

    assert [("cookie" in request.headers) for request in receiver.requests] == [False, False]


def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with receiving(answering("502 Bad Gateway")) as proxy, receiving(answering("200 OK")) as good:
        for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
            monkeypatch.setenv(name, proxy.url())
        answer = post(good.url())

    assert (answer.status, proxy.accepted) == (200, 0)


def test_nobody_listening_is_said_so() -> None:
    with receiving(answering("200 OK")) as receiver:
        url = receiver.url()

    answer = post(url)

    assert (answer.status, answer.failure) == (None, Failure.CONNECT)
    assert answer.reason == "connection refused"


def test_a_receiver_that_does_not_read_is_not_waited_for() -> None:
    """Its window and our buffers are full long before the end of the body."""
    stop = threading.Event()

    def way(peer: Peer) -> None:
        peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        stop.wait()

    async def run(url: str) -> Answer:
        async with Outbound(LOCAL, most_seconds=0.4) as outbound:
            return await outbound.post(url, bytes(50 * 1024 * 1024), {})

    with receiving(way) as receiver:
        answer = asyncio.run(run(receiver.url()))
        stop.set()

    assert answer.failure is Failure.TIMEOUT


def test_somebody_who_stops_an_attempt_is_obeyed() -> None:
    async def run(url: str) -> None:
        async with Outbound(LOCAL) as outbound:
            attempt = asyncio.create_task(outbound.post(url, BODY, HEADERS))
            await asyncio.to_thread(arrived.acquire)
            attempt.cancel()
            with pytest.raises(asyncio.CancelledError):
                await attempt

    arrived = threading.Semaphore(0)

    def way(peer: Peer) -> None:
        peer.read()
        arrived.release()
        peer.hang()

    before = set(_connections())
    with receiving(way) as receiver:
        asyncio.run(run(receiver.url()))
    assert set(_connections()) - before == set()


def test_tls_goes_by_the_name_of_the_url(certificates: Certificates) -> None:
    tls = certificates.server("hooks.example")
    with receiving(answering("200 OK", "", b"well met"), tls) as receiver:
        answer = post(receiver.url("hooks.example"), tls=certificates.client())

    assert (answer.status, answer.excerpt) == (200, "well met")
    assert receiver.server_names == ["hooks.example"]
    assert receiver.requests[0].headers["host"] == f"hooks.example:{receiver.port}"


def test_tls_goes_by_an_address_as_well(certificates: Certificates) -> None:
    with receiving(answering("200 OK"), certificates.server("127.0.0.1")) as receiver:
        assert post(receiver.url(), tls=certificates.client()).status == 200


def test_an_intranets_authority_is_believed_from_a_file(
    certificates: Certificates, tmp_path: Path
) -> None:
    file = tmp_path / "ca.pem"
    file.write_text(certificates.pem())
    settings = LOCAL.model_copy(update={"webhook_ca": file})

    with receiving(answering("200 OK"), certificates.server("hooks.example")) as receiver:
        url = receiver.url("hooks.example")
        assert post(url, settings=settings).status == 200
        assert post(url).failure is Failure.TLS


@pytest.mark.parametrize("content", [None, "no certificate", b"\xff\xfe"])
def test_a_file_of_authorities_that_cannot_be_used_is_named(
    content: str | bytes | None, tmp_path: Path
) -> None:
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_bytes(content if isinstance(content, bytes) else content.encode())

    with pytest.raises(ConfigError, match=f"HAMGATE_WEBHOOK_CA: cannot use {file}: "):
        Outbound(LOCAL.model_copy(update={"webhook_ca": file}))


def test_a_certificate_for_another_name_is_refused(certificates: Certificates) -> None:
    answer = _tls_answer(certificates, certificates.server("other.example"))

    assert answer.failure is Failure.TLS
    assert "Hostname mismatch" in answer.reason


def test_an_expired_certificate_is_refused(certificates: Certificates) -> None:
    tls = certificates.server("hooks.example", valid_from_days=-60)

    answer = _tls_answer(certificates, tls)

    assert (answer.failure, answer.reason) == (
        Failure.TLS,
        "its certificate is not believed: certificate has expired",
    )


def test_a_certificate_that_is_not_valid_yet_is_refused(certificates: Certificates) -> None:
    tls = certificates.server("hooks.example", valid_from_days=7)

    assert "not yet valid" in _tls_answer(certificates, tls).reason


def test_an_authority_that_nobody_knows_is_refused(certificates: Certificates) -> None:
    answer = _tls_answer(certificates, Certificates().server("hooks.example"))

    assert answer.failure is Failure.TLS
    assert "issuer certificate" in answer.reason


def test_a_self_signed_certificate_is_refused(certificates: Certificates, tmp_path: Path) -> None:
    """An authority's own, as the server's."""
    own = Certificates().authority
    file = tmp_path / "own.pem"
    file.write_bytes(own.private_key_pem.bytes() + own.cert_pem.bytes())
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(file)

    answer = _tls_answer(certificates, tls)

    assert answer.failure is Failure.TLS
    assert "self-signed certificate" in answer.reason


def test_a_server_that_wants_our_certificate_is_not_spoken_to(certificates: Certificates) -> None:
    tls = certificates.server("hooks.example")
    tls.verify_mode = ssl.CERT_REQUIRED

    answer = _tls_answer(certificates, tls)

    assert answer.status is None
    assert answer.failure in (Failure.TLS, Failure.CLOSED)


def test_old_tls_is_refused(certificates: Certificates) -> None:
    tls = certificates.server("hooks.example")
    tls.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        tls.maximum_version = ssl.TLSVersion.TLSv1_1

    assert _tls_answer(certificates, tls).failure is Failure.TLS


@pytest.mark.parametrize(
    ("way", "failure"),
    [
        (after_hello(lambda peer: peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")), Failure.TLS),
        (after_hello(Peer.reset), Failure.TLS),
        (after_hello(lambda peer: None), Failure.TLS),
        (lambda peer: peer.send(b"HTTP/1.1 200 OK\r\n\r\n"), Failure.TLS),
        (Peer.hang, Failure.TIMEOUT),
        (lambda peer: peer.drip(b"\x16\x03\x03\x40\x00" + bytes(5000)), Failure.TIMEOUT),
    ],
    ids=["http", "reset", "closed", "http unasked", "hangs", "drips"],
)
def test_a_port_without_tls_is_no_receiver(
    certificates: Certificates, way: Way, failure: Failure
) -> None:
    before = set(_connections())
    with receiving(way) as receiver:
        answer = post(
            receiver.url().replace("http:", "https:"),
            seconds=0.4 if failure is Failure.TIMEOUT else 10,
            tls=certificates.client(),
        )

    assert (answer.status, answer.failure) == (None, failure)
    assert set(_connections()) - before == set()


@pytest.mark.parametrize("name", ["hangs after the headers", "sends 10 GB", "speaks SMTP"])
def test_torture_within_tls_is_no_different(name: str, certificates: Certificates) -> None:
    torture = WAYS[name]
    with receiving(torture.way, certificates.server("hooks.example")) as receiver:
        answer = post(
            receiver.url("hooks.example"),
            seconds=1 if torture.takes_all else 10,
            tls=certificates.client(),
        )

    assert (answer.status, answer.failure) == (torture.status, torture.failure)


def test_headers_of_ours_cannot_be_given_by_others() -> None:
    async def run(url: str) -> None:
        async with Outbound(LOCAL) as outbound:
            await outbound.post(url, BODY, {"hOST": "elsewhere", "content-LENGTH": "1", "X-A": "b"})

    with receiving(answering("200 OK")) as receiver:
        asyncio.run(run(receiver.url()))

    (request,) = receiver.requests
    assert request.headers["host"] == f"127.0.0.1:{receiver.port}"
    assert request.headers["x-a"] == "b"
    assert request.head.lower().count("\r\nhost:") == 1
    assert request.body == BODY


def _is_cut(torture: Torture, name: str) -> bool:
    """Whether a status came, but not all of the answer."""
    return torture.status is not None and (
        torture.takes_all
        or "within the body" in name
        or name in ("sends 10 GB", "sends without end", "sends chunks without end")
        or name in ("sends a gzip bomb", "has a bad chunk")
    )


def _connections() -> Iterator[tuple[str, int]]:
    """Give the ends of this process's connections that were made by asking for them."""
    for connection in psutil.Process().net_connections("tcp"):
        if connection.raddr and connection.status == psutil.CONN_ESTABLISHED:
            yield (connection.laddr.ip, connection.laddr.port)


def _tls_answer(certificates: Certificates, server: ssl.SSLContext) -> Answer:
    with receiving(answering("200 OK"), server) as receiver:
        answer = post(receiver.url("hooks.example"), tls=certificates.client())
        assert receiver.requests == []
    return answer


def _with_header(header: bytes) -> Way:
    return sending(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n", header, b"\r\n")
