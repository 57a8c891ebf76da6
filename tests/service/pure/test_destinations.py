"""Where webhooks may go, as far as it can be said without asking where a name leads."""

import logging
from ipaddress import IPv4Address, IPv6Address, ip_address
from urllib.parse import urlsplit

import httpcore2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.base.config import Settings, from_environ
from service.base.errors import Invalid
from service.core.webhooks import addresses
from service.pure import destinations
from service.pure.destinations import Destination, Refused
from tests import forbidden

DEFAULT = from_environ({})
OPEN = from_environ(
    {
        "HAMGATE_WEBHOOK_HTTP": "true",
        "HAMGATE_WEBHOOK_NETWORKS": "10.0.0.0/8",
        "HAMGATE_WEBHOOK_PORTS": "1-65535",
    }
)


def kept(url: str, settings: Settings = DEFAULT) -> str:
    """Give the form under which a URL is kept."""
    return destinations.parse(url, settings).url


def why_not(url: str, settings: Settings = DEFAULT) -> str:
    """Give why a URL is refused, as the log has it."""
    with pytest.raises(Refused) as refusal:
        destinations.parse(url, settings)
    assert str(refusal.value) == "this address cannot be used for webhooks"
    return refusal.value.detail


@pytest.mark.parametrize(
    ("written", "form"),
    [
        ("https://example.com", "https://example.com/"),
        ("HTTPS://Example.COM:443", "https://example.com/"),
        ("https://example.com.", "https://example.com/"),
        ("https://example.com?a=b", "https://example.com/?a=b"),
        ("https://example.com/?", "https://example.com/"),
        ("https://example.com/a??", None),
        ("https://example.com:8443/a/../b;c=d,e?f=%20&g=h/i?j", None),
        ("https://example.com:80/", None),
        ("https://hooks.slack.com/services/T0/B0/x-_~!$&'()*+,;=:@y", None),
        ("https://1.1.1.1/", None),
        ("https://[2606:4700:0::1]/", "https://[2606:4700::1]/"),
        ("https://[2606:4700::6810:84E5]:8443/x", "https://[2606:4700::6810:84e5]:8443/x"),
        ("https://bücher.example/", "https://xn--bcher-kva.example/"),
        ("https://BÜCHER.example/", "https://xn--bcher-kva.example/"),
        ("https://xn--bcher-kva.example/", None),
        ("https://faß.example/", "https://xn--fa-hia.example/"),
        ("https://例え。テスト/", "https://xn--r8jz45g.xn--zckzah/"),
        ("https://ｅｘａｍｐｌｅ．ｃｏｍ/", "https://example.com/"),
        ("https://127.0.0.1.example.com/", None),
        ("https://0x7f.example/", None),
        ("https://1.2.3.4.5x/", None),
        ("https://r3---sn.example.com/", None),
        ("https://localhost.example.com/", None),
        ("https://notlocalhost.com/", None),
        ("https://" + "a" * 63 + ".com/", None),
    ],
)
def test_a_url_is_kept_in_one_form(written: str, form: str | None) -> None:
    assert kept(written) == (form or written)
    assert kept(kept(written)) == kept(written)


def test_http_has_to_be_allowed() -> None:
    assert why_not("http://example.com/") == "http is not allowed by the settings"
    assert kept("http://example.com:80/", OPEN) == "http://example.com/"
    assert kept("http://example.com:443/", OPEN) == "http://example.com:443/"


@pytest.mark.parametrize("port", [1, 22, 25, 79, 81, 442, 444, 3306, 6379, 8080, 65535])
def test_other_ports_have_to_be_opened_together_with_a_network(port: int) -> None:
    alone = from_environ({"HAMGATE_WEBHOOK_PORTS": "1-65535"})

    assert why_not(f"https://example.com:{port}/") == f"port {port} is not allowed"
    assert why_not(f"https://example.com:{port}/", alone) == f"port {port} is not allowed"
    assert kept(f"https://example.com:{port}/", OPEN).endswith(f":{port}/")
    assert "HAMGATE_WEBHOOK_NETWORKS" in why_not(f"https://1.1.1.1:{port}/", OPEN)


@pytest.mark.parametrize(
    ("url", "detail"),
    [
        ("https://127.0.0.1/", "127.0.0.1 is not public"),
        ("https://[::ffff:8.8.8.8]/", "::ffff:808:808 is not public"),
        ("https://127.1/", "ends in a number"),
        ("https://example.0x7f/", "ends in a number"),
        ("https://example.0x/", "ends in a number"),
        ("https://１.１.１.１/", "ends in a number"),
        ("https://1.1.1.1./", "ends in a number"),
        ("https://1.1.1.01/", "ends in a number"),
        ("https://intranet/", "a name for inside"),
        ("https://[::1/", "not an absolute http(s) URL"),
        ("https://[::g]/", "not an absolute http(s) URL"),
        ("https://[1::2::3]/", "not an IPv6 address"),
        ("https://" + "a." * 130 + "com/", "not an absolute http(s) URL"),
        ("https://" + "a." * 126 + "com/", "too long"),
        ("https://bü_cher.example/", "not an internationalised host name"),
    ],
)
def test_the_log_can_say_why(url: str, detail: str) -> None:
    assert detail in why_not(url)


def test_who_registers_is_told_the_same_whatever_it_was(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "service.core.webhooks.addresses")
    check = addresses.check(DEFAULT)
    told = set()
    for url in ("https://127.0.0.1/", "http://example.com/", "x\n", "https://db/"):
        with pytest.raises(Invalid) as refusal:
            check(url)
        told |= {(error.pointer, error.message) for error in refusal.value.errors}

    assert told == {("/url", f"cannot be used: {addresses.ALLOWED}")}
    assert len(caplog.messages) == 4
    assert caplog.messages[0].endswith("127.0.0.1 is not public")
    assert check("https://Example.com") == "https://example.com/"


def test_no_form_of_an_address_inside_is_let_through() -> None:
    passed = []
    for url in forbidden.urls():
        try:
            passed.append(destinations.parse(url, DEFAULT))
        except Refused:
            continue

    assert passed == []


@given(st.integers(0, 2**32 - 1).map(IPv4Address))
def test_no_ipv4_address_is_public_that_python_takes_for_private(address: IPv4Address) -> None:
    assert not destinations.is_public(address) or address.is_global


@given(
    st.integers(0, 2**128 - 1).map(IPv6Address)
    | st.builds(
        lambda high, low: IPv6Address(high << 112 | low),
        st.integers(0x2000, 0x3FFF),
        st.integers(0, 2**112 - 1),
    )
)
def test_no_ipv6_address_is_public_that_python_takes_for_private(address: IPv6Address) -> None:
    public = destinations.is_public(address)

    assert not public or (address.is_global and not address.is_multicast)
    assert not public or (address.ipv4_mapped or address.sixtofour or address.teredo) is None


@pytest.mark.parametrize("written", [*forbidden.V4, *forbidden.V6])
def test_special_addresses_are_not_public(written: str) -> None:
    assert not destinations.is_public(ip_address(written))


@given(st.text(max_size=40), st.text(max_size=20))
def test_whatever_is_written_is_refused_or_read_alike_by_other_parsers(
    host: str, rest: str
) -> None:
    for url in (f"https://{host}{rest}", f"https://example.com{rest}", f"https://{host}/{rest}"):
        try:
            found = destinations.parse(url, OPEN)
        except Refused:
            continue
        _is_read_alike(found)


@given(
    st.lists(
        st.sampled_from(
            [
                *"127.0.0.1",
                *"[]:@/\\?#%.",
                "0x",
                "example",
                ".com",
                "localhost",
                "。",
                "ｅ",
                "\u00ad",
            ]
        ),
        max_size=16,
    ).map("".join)
)
def test_pieces_of_addresses_are_refused_or_read_alike(text: str) -> None:
    try:
        found = destinations.parse(f"https://{text}", OPEN)
    except Refused:
        return
    _is_read_alike(found)


def _is_read_alike(found: Destination) -> None:
    """See that what is kept leads to one host, whoever reads it."""
    standard, client = urlsplit(found.url), httpcore2.URL(found.url)
    assert found.url.isascii()
    assert standard.hostname == found.host == client.host.decode()
    assert (standard.port or client.origin.port) == found.port == client.origin.port
    assert (standard.username, standard.password, standard.fragment) == (None, None, "")
    assert client.target.decode() == found.target
    assert destinations.parse(found.url, OPEN) == found
    if found.address is None:
        with pytest.raises(ValueError, match="does not appear to be"):
            ip_address(found.host)
