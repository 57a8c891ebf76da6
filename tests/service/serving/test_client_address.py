"""Whose address a request counts for: what is believed of X-Forwarded-For, and from whom."""

import ipaddress
from collections.abc import Callable

import flask
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.serving.access import client_address, limit_subject
from tests.cast import make_body, make_site, post
from tests.conftest import database_of

PROXIES = tuple(map(ipaddress.ip_network, ("10.0.0.0/8", "192.0.2.7/32", "2001:db8:f::/48")))


@pytest.mark.parametrize(
    ("peer", "fields", "expected"),
    [
        # no trusted proxy in front: what is written there is the visitor's own invention
        ("198.51.100.1", [], "198.51.100.1"),
        ("198.51.100.1", ["203.0.113.9"], "198.51.100.1"),
        ("198.51.100.1", ["10.0.0.1, 203.0.113.9"], "198.51.100.1"),
        ("2001:db8::1", ["203.0.113.9"], "2001:db8::1"),
        # one proxy: the last hop is what it saw, the others are what the visitor claims
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["203.0.113.9"], "203.0.113.9"),
        ("10.0.0.1", ["1.1.1.1, 203.0.113.9"], "203.0.113.9"),
        ("10.0.0.1", ["1.1.1.1", "203.0.113.9"], "203.0.113.9"),
        ("10.0.0.1", ["203.0.113.9,", "198.51.100.5"], "198.51.100.5"),
        ("10.0.0.1", ["  203.0.113.9  "], "203.0.113.9"),
        ("2001:db8:f::1", ["203.0.113.9"], "203.0.113.9"),
        # chains: every trusted hop is skipped, from the right
        ("10.0.0.1", ["203.0.113.9, 10.0.0.2"], "203.0.113.9"),
        ("10.0.0.1", ["203.0.113.9", "192.0.2.7, 10.0.0.2"], "203.0.113.9"),
        ("10.0.0.1", ["1.1.1.1, 203.0.113.9, 192.0.2.7, 10.0.0.2"], "203.0.113.9"),
        ("10.0.0.1", ["203.0.113.9, 198.51.100.5, 10.0.0.2"], "198.51.100.5"),
        ("10.0.0.1", ["203.0.113.9, 192.0.2.8, 10.0.0.2"], "192.0.2.8"),
        # all of them trusted: the farthest
        ("10.0.0.1", ["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        # nonsense: the last one who is known
        ("10.0.0.1", [""], "10.0.0.1"),
        ("10.0.0.1", ["unknown"], "10.0.0.1"),
        ("10.0.0.1", ["_hidden"], "10.0.0.1"),
        ("10.0.0.1", ["203.0.113.9, unknown"], "10.0.0.1"),
        ("10.0.0.1", ["unknown, 203.0.113.9"], "203.0.113.9"),
        ("10.0.0.1", ["203.0.113.9, , 10.0.0.2"], "10.0.0.2"),
        ("10.0.0.1", ["203.0.113.256"], "10.0.0.1"),
        ("10.0.0.1", ["203.0.113"], "10.0.0.1"),
        ("10.0.0.1", ["0203.0.113.9"], "10.0.0.1"),
        ("10.0.0.1", ["3405803785"], "10.0.0.1"),
        ("10.0.0.1", ["203.0.113.9/32"], "10.0.0.1"),
        ("10.0.0.1", ["for=203.0.113.9"], "10.0.0.1"),
        ("10.0.0.1", ["203.0.113.9:80:80"], "10.0.0.1"),
        ("10.0.0.1", ["[203.0.113.9"], "10.0.0.1"),
        ("10.0.0.1", ["]2001:db8::1["], "10.0.0.1"),
        ("10.0.0.1", ["２０３.0.113.9"], "10.0.0.1"),
        # ports, as some proxies write them
        ("10.0.0.1", ["203.0.113.9:4711"], "203.0.113.9"),
        ("10.0.0.1", ["[2001:db8::1]:4711"], "2001:db8::1"),
        ("10.0.0.1", ["[2001:db8::1]"], "2001:db8::1"),
        ("10.0.0.1", ["203.0.113.9, 10.0.0.2:4711"], "203.0.113.9"),
        # one form for each address
        ("::ffff:10.0.0.1", ["::ffff:203.0.113.9"], "203.0.113.9"),
        ("::ffff:198.51.100.1", ["203.0.113.9"], "198.51.100.1"),
        ("10.0.0.1", ["2001:DB8:0:0:0:0:0:1"], "2001:db8::1"),
        ("10.0.0.1", ["fe80::1%eth0"], "fe80::1"),
        # no peer, as behind a Unix socket
        (None, ["203.0.113.9"], None),
        ("", ["203.0.113.9"], None),
        ("unix:", ["203.0.113.9"], None),
    ],
)
def test_the_client_is_the_right_most_hop_that_is_no_trusted_proxy(
    peer: str | None, fields: list[str], expected: str | None
) -> None:
    assert client_address(peer, fields, PROXIES) == expected


def test_without_trusted_proxies_nothing_is_believed() -> None:
    assert client_address("10.0.0.1", ["203.0.113.9"], ()) == "10.0.0.1"


@given(st.one_of(st.none(), st.text()), st.lists(st.text()))
def test_whatever_is_sent_an_address_or_nothing_comes_out(
    peer: str | None, fields: list[str]
) -> None:
    everybody = tuple(map(ipaddress.ip_network, ("0.0.0.0/0", "::/0")))

    for address in (client_address(peer, fields, ()), client_address("::1", fields, everybody)):
        assert address is None or str(ipaddress.ip_address(address)) == address
        limit_subject(address)


@pytest.mark.parametrize(
    ("address", "subject"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::", "2001:db8:1:3::/64"),
        ("::1", "::/64"),
        (None, "unknown"),
    ],
)
def test_a_limit_counts_an_ipv4_address_or_an_ipv6_network_of_64_bits(
    address: str | None, subject: str
) -> None:
    assert limit_subject(address) == subject


@pytest.mark.parametrize(
    ("trusted", "stored"), [("", "127.0.0.1"), ("127.0.0.0/8, ::1/128", "203.0.113.9")]
)
def test_the_address_of_the_request_is_stored_with_the_comment(
    make_app: Callable[..., flask.Flask], trusted: str, stored: str
) -> None:
    app = make_app(TRUSTED_PROXIES=trusted)
    database = database_of(app)
    make_site(database)

    answer = post(app.test_client(), make_body(), X_Forwarded_For="203.0.113.9")

    assert answer.status_code == 202
    with database.reading() as session:
        assert session.connection().exec_driver_sql("SELECT address FROM comments").all() == [
            (stored,)
        ]
