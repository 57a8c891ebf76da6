"""No connection is attempted to an address inside, however it is written or come by."""

import asyncio
import logging
import re
import ssl
from collections.abc import Iterable, Sequence
from ipaddress import IPv6Address, ip_address

import pytest

from service.base.config import Settings, from_environ
from service.pure import destinations
from service.pure.destinations import IpAddress
from tests import forbidden, sockets
from tests.receivers import Certificates, answering, receiving
from tests.sockets import Detour
from workers.outbound import Answer, Failure, Outbound, Resolver

DEFAULT = from_environ({})
# Everything that can be opened is, but for what is forbidden.
HTTP = from_environ({"HAMGATE_WEBHOOK_HTTP": "true"})
OTHERS = from_environ(
    {
        "HAMGATE_WEBHOOK_HTTP": "true",
        "HAMGATE_WEBHOOK_NETWORKS": "10.20.0.0/16,fd12:3456::/32",
        "HAMGATE_WEBHOOK_PORTS": "1-65535",
    }
)
TLS = ssl.create_default_context()  # reading the system's authorities takes a moment
PUBLIC = ip_address("93.184.215.14")
UNIFORM = "this address cannot be used for webhooks"
FORBIDDEN = [ip_address(written) for written in [*forbidden.V4, *forbidden.V6]]
ALIKE = [
    *("9.255.255.255", "11.0.0.0", "11.0.0.1", "100.63.255.255", "100.128.0.1", "126.255.255.255"),
    *("128.0.0.1", "168.63.129.15", "168.63.129.17", "169.253.255.255", "169.255.0.1"),
    *("172.15.0.1", "172.15.255.255", "172.32.0.1", "192.0.1.1", "192.0.3.1", "192.31.195.255"),
    *("192.88.98.1", "192.88.100.1", "192.167.255.255", "192.169.0.1", "198.17.255.255"),
    *("198.20.0.1", "198.51.99.255", "198.51.101.0", "203.0.112.1", "203.0.114.1", "1.0.0.1"),
    *("1.1.1.1", "8.8.8.8", "12.0.0.1", "223.255.255.255", "54.240.197.233"),
    *("2000::1", "2001:200::1", "2001:4860:4860::8888", "2001:db7:ffff::1", "2001:db9::1"),
    *("2003::1", "2400:cb00::1", "2606:4700::6810:84e5", "2606:4700::7f00:1", "2620:4f:7fff::1"),
    *(
        "2620:4f:8001::1",
        "2a00:1450:4001::1",
        "2a01:4f8::127:0:0:1",
        "3ffd::1",
        "3fef::1",
    ),
    *("2606:4700::5eff:7f00:1", "2606:4700::100:5efe:7f00:1", "2606:4700::ffff:7f00:1"),
]


class Answers:
    """A name server of ours: gives each answer once, the last for ever."""

    def __init__(self, *answers: Iterable[IpAddress]) -> None:
        self._answers = [list(answer) for answer in answers]
        self.asked: list[str] = []

    async def __call__(self, host: str) -> Sequence[IpAddress]:
        self.asked.append(host)
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]


def post_all(urls: Iterable[str], settings: Settings, resolve: Resolver) -> list[Answer]:
    async def run() -> list[Answer]:
        async with Outbound(settings, resolve=resolve, tls=TLS) as outbound:
            return [await outbound.post(url, b"{}", {}) for url in urls]

    return asyncio.run(run())


def post_on_detour(
    urls: Sequence[str], settings: Settings, resolve: Resolver, *, dead: Iterable[str] = ()
) -> tuple[list[Answer], list[tuple[str, int]]]:
    """Post where every address is a receiver of ours; give to which ones that would have gone."""
    loops: list[Detour] = []

    async def run() -> list[Answer]:
        async with Outbound(settings, resolve=resolve, tls=TLS) as outbound:
            return [await outbound.post(url, b"{}", {}) for url in urls]

    with receiving(answering("200 OK")) as receiver:

        def make() -> Detour:
            loops.append(Detour(receiver.port))
            loops[0].dead.update(dead)
            return loops[0]

        with asyncio.Runner(loop_factory=make) as runner:
            return runner.run(run()), loops[0].wanted


def test_there_are_hundreds_of_forms() -> None:
    assert len(forbidden.hosts()) > 4500
    assert len(forbidden.urls()) > 10_000


@pytest.mark.parametrize("settings", [DEFAULT, HTTP], ids=["default", "http allowed"])
def test_no_form_of_an_address_inside_is_connected_to_or_looked_up(settings: Settings) -> None:
    resolve = Answers([PUBLIC])
    urls = forbidden.urls()

    with sockets.recording() as record:
        answers = post_all(urls, settings, resolve)

    passed = [url for url, answer in zip(urls, answers, strict=True) if not _is_refused(answer)]
    assert passed == []
    assert (record.connected, record.looked_up, resolve.asked) == ([], [], [])


def test_an_opened_network_opens_no_other() -> None:
    """Names for inside are looked up then, and their answers decide."""
    resolve = Answers([ip_address("10.0.0.1")])
    urls = [url for url in forbidden.urls() if not re.search(r"^https?://(example|8\.8|\[26)", url)]

    with sockets.recording() as record:
        answers = post_all(urls, OTHERS, resolve)

    assert {answer.failure for answer in answers} == {Failure.ADDRESS}
    assert (record.connected, record.looked_up) == ([], [])


@pytest.mark.parametrize("address", FORBIDDEN, ids=str)
def test_a_name_that_leads_inside_is_not_connected_to(address: IpAddress) -> None:
    others = [PUBLIC, ip_address("2606:4700::1"), ip_address("1.1.1.1")]
    mixtures = [[address], [address, *others], [*others, address], [PUBLIC, address, PUBLIC]]

    with sockets.recording() as record:
        for mixture in mixtures:
            for settings in (DEFAULT, OTHERS):
                (answer,) = post_all(["https://hooks.example.com/"], settings, Answers(mixture))
                assert _is_refused(answer)

    assert record.connected == []


@pytest.mark.parametrize(
    "host",
    [
        *(
            "127.0.0.1.nip.example",
            "127-0-0-1.sslip.example",
            "7f000001.hex.example",
            "localtest.me",
        ),
        *("169.254.169.254.nip.example", "a.b.10.0.0.1.xip.example", "www.127.0.0.1.example"),
        *("0x7f.1.example", "2130706433.example", "xn--bcher-kva.example", "metadata.example"),
    ],
)
def test_a_public_looking_name_is_looked_up_and_its_answer_decides(host: str) -> None:
    inside, outside = Answers([ip_address("127.0.0.1")]), Answers([PUBLIC])

    with sockets.recording() as record:
        (answer,) = post_all([f"https://{host}/"], DEFAULT, inside)
    assert _is_refused(answer)
    assert (record.connected, inside.asked) == ([], [host])

    _, wanted = post_on_detour([f"http://{host}/"], HTTP, outside)
    assert wanted == [(str(PUBLIC), 80)]


@pytest.mark.parametrize("written", ALIKE)
def test_a_public_address_that_looks_similar_is_connected_to(written: str) -> None:
    address = ip_address(written)
    literal = f"[{written}]" if address.version == 6 else written

    answers, wanted = post_on_detour(
        [f"http://{literal}/", "http://hooks.example.com:8443/"], HTTP, Answers([address])
    )

    assert [answer.status for answer in answers] == [200, 200]
    assert wanted == [(str(address), 80), (str(address), 8443)]


def test_a_name_that_is_bound_anew_is_checked_anew_and_never_asked_twice_at_once() -> None:
    rebound = [ip_address("127.0.0.1")]
    resolve = Answers([PUBLIC], rebound, [PUBLIC], rebound, rebound)

    answers, wanted = post_on_detour(["http://rebind.example/"] * 5, HTTP, resolve)

    assert [answer.failure for answer in answers] == [
        None,
        Failure.ADDRESS,
        None,
        Failure.ADDRESS,
        Failure.ADDRESS,
    ]
    assert wanted == [(str(PUBLIC), 80)] * 2
    assert len(resolve.asked) == 5


def test_the_next_checked_address_is_tried_and_no_name_asked_for_it() -> None:
    addresses = [ip_address(f"93.184.215.{last}") for last in (1, 2, 3, 4)]
    addresses.append(ip_address("2606:4700::1"))
    resolve = Answers(addresses, [ip_address("127.0.0.1")])

    (answer,), wanted = post_on_detour(
        ["http://many.example/"], HTTP, resolve, dead=["93.184.215.1", "93.184.215.2"]
    )

    assert answer.status == 200
    assert [host for host, _ in wanted] == ["93.184.215.1", "93.184.215.2", "2606:4700::1"]
    assert len(resolve.asked) == 1


def test_not_every_address_of_many_is_tried() -> None:
    addresses = [ip_address(f"93.184.215.{last}") for last in range(50)]

    (answer,), wanted = post_on_detour(
        ["http://many.example/"], HTTP, Answers(addresses), dead=map(str, addresses)
    )

    assert (answer.failure, answer.reason) == (Failure.CONNECT, "connection refused")
    assert len(wanted) == 2


@pytest.mark.parametrize("status", ["301 A", "302 B", "303 C", "307 D", "308 E"])
@pytest.mark.parametrize(
    "location", ["http://169.254.169.254/latest/meta-data/", "http://[::1]/", "//127.0.0.1/", "/x"]
)
def test_a_redirect_is_an_answer_and_not_a_way(status: str, location: str) -> None:
    settings = from_environ(
        {
            "HAMGATE_WEBHOOK_HTTP": "1",
            "HAMGATE_WEBHOOK_NETWORKS": "127.0.0.1/32",
            "HAMGATE_WEBHOOK_PORTS": "1-65535",
        }
    )
    with (
        receiving(answering(status, f"Location: {location}\r\n")) as receiver,
        sockets.recording() as record,
    ):
        (answer,) = post_all([receiver.url()], settings, Answers([PUBLIC]))

    assert answer.status == int(status[:3])
    assert record.connected == [("127.0.0.1", receiver.port)]
    assert len(receiver.requests) == 1


def test_the_systems_own_resolver_is_not_believed_either() -> None:
    """With a network opened, `localhost` is a name like any other, and leads elsewhere."""

    async def run() -> Answer:
        async with Outbound(OTHERS) as outbound:
            return await outbound.post("https://localhost/", b"{}", {})

    with sockets.recording() as record:
        answer = asyncio.run(run())

    assert _is_refused(answer)
    assert (record.connected, record.looked_up) == ([], ["localhost"])


def test_the_systems_own_resolver_finds_what_is_allowed() -> None:
    settings = from_environ(
        {
            "HAMGATE_WEBHOOK_HTTP": "true",
            "HAMGATE_WEBHOOK_NETWORKS": "127.0.0.0/8,::1/128",
            "HAMGATE_WEBHOOK_PORTS": "1024-65535",
        }
    )

    async def run(url: str) -> Answer:
        async with Outbound(settings) as outbound:
            return await outbound.post(url, b"{}", {})

    with receiving(answering("200 OK")) as receiver:
        assert asyncio.run(run(receiver.url("localhost"))).status == 200


def test_a_name_that_leads_nowhere_looks_like_one_that_leads_inside() -> None:
    """Or whoever registers webhooks could ask which names there are inside."""

    async def nowhere(host: str) -> Sequence[IpAddress]:
        raise OSError(-2, "Name or service not known")

    url = ["https://db.corp.example.com/"]
    (absent,) = post_all(url, DEFAULT, nowhere)
    (empty,) = post_all(url, DEFAULT, Answers([]))
    (inside,) = post_all(url, DEFAULT, Answers([ip_address("10.0.0.7")]))
    (literal,) = post_all(["https://10.0.0.7/"], DEFAULT, Answers([]))

    told = {(answer.failure, answer.reason) for answer in (absent, empty, inside, literal)}
    assert told == {(Failure.ADDRESS, UNIFORM)}


def test_why_is_for_the_log_alone(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "workers.outbound")

    post_all(["https://db.example/\r\nforged", "https://db.example/"], DEFAULT, Answers(FORBIDDEN))

    told = [record.getMessage() for record in caplog.records]
    assert "0.0.0.0 is not public" in told[1]
    assert not any("\n" in line or "\r" in line for line in told)


def test_a_resolver_that_is_out_of_order_is_said_so() -> None:
    async def out_of_order(host: str) -> Sequence[IpAddress]:
        raise OSError(-3, "Temporary failure in name resolution")

    (answer,) = post_all(["https://hooks.example.com/"], DEFAULT, out_of_order)

    assert (answer.failure, answer.reason) == (Failure.RESOLVE, "its name could not be looked up")


def test_a_slow_name_is_asked_for_once_and_delays_no_other() -> None:
    asked: list[str] = []

    async def resolve(host: str) -> Sequence[IpAddress]:
        asked.append(host)
        if host == "slow.example":
            await asyncio.Event().wait()
        return [PUBLIC]

    async def run() -> tuple[list[Answer], Answer]:
        async with Outbound(HTTP, resolve=resolve, most_seconds=0.4) as outbound:
            slow = [
                asyncio.create_task(outbound.post("http://slow.example/", b"", {}))
                for _ in range(50)
            ]
            good = await outbound.post("http://good.example/", b"", {})
            return [await task for task in slow], good

    with (
        receiving(answering("200 OK")) as receiver,
        asyncio.Runner(loop_factory=lambda: Detour(receiver.port)) as runner,
    ):
        slow, good = runner.run(run())

    assert good.status == 200
    assert {answer.failure for answer in slow} == {Failure.TIMEOUT}
    assert asked.count("slow.example") == 1


def test_the_name_stays_in_the_certificates_check() -> None:
    """The connection is made by number; what is trusted is still the name."""
    certificates = Certificates()

    async def run(outbound: Outbound) -> list[Answer]:
        async with outbound:
            return [
                await outbound.post(f"https://{name}/", b"{}", {})
                for name in ("good.example.com", "evil.example.com")
            ]

    with receiving(answering("200 OK"), certificates.server("good.example.com")) as receiver:
        outbound = Outbound(DEFAULT, resolve=Answers([PUBLIC]), tls=certificates.client())
        with asyncio.Runner(loop_factory=lambda: Detour(receiver.port)) as runner:
            good, evil = runner.run(run(outbound))

    assert (good.status, evil.failure) == (200, Failure.TLS)
    assert receiver.server_names == ["good.example.com", "evil.example.com"]
    assert [request.headers["host"] for request in receiver.requests] == ["good.example.com"]


@pytest.mark.parametrize(
    ("url", "answer", "goes"),
    [
        ("http://10.20.0.9:9000/", "10.20.0.9", True),
        ("http://10.21.0.9:9000/", "10.21.0.9", False),
        ("http://wiki:9000/", "10.20.255.255", True),
        ("http://wiki.local/", "fd12:3456::1", True),
        ("http://wiki/", "fd12:3457::1", False),
        ("http://hooks.example.com/", str(PUBLIC), True),
        ("http://hooks.example.com:9000/", str(PUBLIC), False),
        ("http://1.1.1.1:9000/", "1.1.1.1", False),
        ("http://[::ffff:10.20.0.9]/", "::ffff:10.20.0.9", False),
        ("http://wiki/", "::ffff:10.20.0.9", False),
        ("http://wiki/", "64:ff9b::10.20.0.9", False),
    ],
)
def test_a_network_is_opened_by_the_settings_and_its_ports_there_alone(
    url: str, answer: str, goes: bool
) -> None:
    (got,), wanted = post_on_detour([url], OTHERS, Answers([ip_address(answer)]))

    assert (got.status == 200, len(wanted) == 1) == (goes, goes)


def test_not_even_a_network_that_is_opened_wide_has_certain_addresses() -> None:
    wide = from_environ({"HAMGATE_WEBHOOK_NETWORKS": "0.0.0.0/8,224.0.0.0/8,255.0.0.0/8,fc00::/7"})
    unusable = ["0.0.0.0", "0.0.0.1", "224.0.0.1", "255.255.255.255", "::", "ff02::1"]

    for address in [*map(ip_address, unusable), IPv6Address("fd00::5efe:7f00:1")]:
        with pytest.raises(destinations.Refused):
            destinations.require([address], 443, wide)


def _is_refused(answer: Answer) -> bool:
    """Whether it is refused, in the words that are the same for all."""
    return (answer.status, answer.failure, answer.reason) == (None, Failure.ADDRESS, UNIFORM)
