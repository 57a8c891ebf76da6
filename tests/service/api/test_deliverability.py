"""Looking up an e-mail's domain: only where the setting says so, and never for nothing."""

import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset
import flask
import pytest

from service.api import mailboxes
from tests.cast import faults, make_body, make_site, post
from tests.conftest import database_of

_ANSWERS = {
    ("takes.mail.org", "MX"): "10 mx.takes.mail.org.",
    ("null.mail.org", "MX"): "0 .",
    ("address.mail.org", "A"): "93.184.215.14",
}


class NameServer:
    """A real name server for a handful of names; `slow.mail.org` it never answers."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            wire, peer = self._socket.recvfrom(4096)
            if not wire:
                return
            query = dns.message.from_wire(wire)
            question = query.question[0]
            name = question.name.to_text(omit_final_dot=True)
            kind = dns.rdatatype.to_text(question.rdtype)
            self.asked[name] += 1
            answer = dns.message.make_response(query)
            answer.flags |= dns.flags.RA
            found = _ANSWERS.get((name, kind))
            if found is not None:
                answer.answer.append(dns.rrset.from_text(question.name, 300, "IN", kind, found))
            elif name.startswith("nowhere"):
                answer.set_rcode(dns.rcode.NXDOMAIN)
            if not name.startswith("slow"):
                self._socket.sendto(answer.to_wire(), peer)

    def stop(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
            last.sendto(b"", ("127.0.0.1", self.port))
        self._thread.join()
        self._socket.close()


@pytest.fixture
def name_server() -> Iterator[NameServer]:
    """What the resolver of the application asks, in place of this machine's."""
    server = NameServer()
    mailboxes._resolver.cache_clear()
    resolver = mailboxes._resolver()
    resolver.nameservers = ["127.0.0.1"]
    resolver.port = server.port
    resolver.lifetime = 1
    yield server
    mailboxes._resolver.cache_clear()
    server.stop()


@pytest.fixture
def app(make_app: Callable[..., flask.Flask], name_server: NameServer) -> flask.Flask:
    made = make_app(HAMGATE_EMAIL_DELIVERABILITY="true", HAMGATE_LIMIT_ADDRESS="7/hour")
    make_site(database_of(made))
    return made


def test_only_a_domain_that_takes_mail_is_taken(app: flask.Flask) -> None:
    def submit(domain: str) -> dict[str, str]:
        answer = post(app.test_client(), make_body(email=f"ada@{domain}"))
        return {} if answer.status_code == 202 else faults(answer)

    assert submit("takes.mail.org") == {}
    assert submit("address.mail.org") == {}
    assert submit("slow.mail.org") == {}  # no answer is not a no
    assert "does not exist" in submit("nowhere.mail.org")["/email"]
    assert "does not accept email" in submit("null.mail.org")["/email"]
    assert "does not accept email" in submit("silent.mail.org")["/email"]


def test_a_domain_is_looked_up_once(app: flask.Flask, name_server: NameServer) -> None:
    for number in range(3):
        body = make_body(email=f"{number}@takes.mail.org")
        assert post(app.test_client(), body).status_code == 202

    assert name_server.asked == {"takes.mail.org": 1}


def test_who_is_limited_has_nothing_looked_up(app: flask.Flask, name_server: NameServer) -> None:
    statuses = [
        post(app.test_client(), make_body(email=f"ada@nowhere{number}.mail.org")).status_code
        for number in range(12)
    ]

    assert statuses == [422] * 7 + [429] * 5
    assert len(name_server.asked) == 7


def test_without_the_setting_nothing_is_looked_up(
    make_app: Callable[..., flask.Flask], name_server: NameServer
) -> None:
    app = make_app()
    make_site(database_of(app))

    answer = post(app.test_client(), make_body(email="ada@nowhere.mail.org"))

    assert answer.status_code == 202
    assert not name_server.asked
