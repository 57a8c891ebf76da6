"""A plain host as deploy/ describes it: the units under a real systemd, nginx before them.

PostgreSQL and Valkey are on another host, the client on a third, all of them in namespaces of this
machine.
"""

import contextlib
import json
import shlex
import shutil
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPSConnection
from typing import Any

import pytest
import trustme

from tests.cast import HAM, SPAM, make_body, wait_until
from tests.deploy import machine
from tests.deploy.files import DEPLOY
from tests.deploy.machine import Machine
from tests.deploy.network import HUB_ADDRESS, Network
from tests.deploy.servers import Servers
from tests.system import Answer

_MISSING = machine.missing() or ("" if shutil.which("nginx") else "no nginx (Debian: nginx-light)")
pytestmark = [pytest.mark.process, pytest.mark.skipif(bool(_MISSING), reason=_MISSING)]

NAME = "comments.example.org"
PAGE = "https://blog.example.org"
_UP_WITHIN_SECONDS = 60
UNITS = ("hamgate-migrate.service", "hamgate-web.service", "hamgate-worker@1.service")


@dataclass
class Installation:
    """The host, and how a visitor on another one reaches it."""

    net: Network
    host: Machine
    trusted: ssl.SSLContext

    def request(
        self, method: str, path: str, body: Any = None, visitor: str = "visitor", **headers: str
    ) -> Answer:
        def ask() -> Answer:
            connection = _Connection(self.net.address("plain"), self.trusted)
            given = {name.replace("_", "-"): value for name, value in headers.items()}
            content = body if isinstance(body, bytes | None) else json.dumps(body).encode()
            connection.request(method, path, content, {"Host": NAME, **given})
            answer = connection.getresponse()
            raw = answer.read()
            connection.close()
            found = {name.lower(): value for name, value in answer.getheaders()}
            is_json = "json" in found.get("content-type", "") and "content-encoding" not in found
            return Answer(answer.status, found, json.loads(raw) if is_json else raw)

        return self.net.call(visitor, ask)

    def submit(self, text: str, visitor: str = "visitor", **headers: str) -> Answer:
        return self.request(
            "POST",
            "/api/v1/sites/blog/comments",
            make_body(body=text, page_url=f"{PAGE}/first-post"),
            visitor,
            Origin=PAGE,
            Content_Type="application/json",
            **headers,
        )

    def is_ready(self) -> bool:
        try:
            return self.request("GET", "/readyz").status == 200
        except OSError:
            return False


class _Connection(HTTPSConnection):
    """Asks at an address for the server that has the certificate of `NAME`."""

    def __init__(self, address: str, context: ssl.SSLContext) -> None:
        super().__init__(NAME, timeout=15, context=context)
        self._address = address

    def connect(self) -> None:
        self.host, name = self._address, self.host
        try:
            super(HTTPSConnection, self).connect()
        finally:
            self.host = name
        context: ssl.SSLContext = self._context  # type: ignore[attr-defined]  # theirs
        self.sock = context.wrap_socket(self.sock, server_hostname=NAME)


def configure(host: Machine, servers: Servers, authority: trustme.CA) -> None:
    """Lay down what an operator writes: settings, secrets, certificate, the site of nginx."""
    written = host.etc / "hamgate"
    credentials = written / "credentials"
    credentials.mkdir(parents=True)
    credentials.chmod(0o700)
    example = (DEPLOY / "env.example").read_text()
    for variable, value in {
        "HAMGATE_URL": f"https://{NAME}",
        "TRUSTED_PROXIES": "127.0.0.1/32",
        "HAMGATE_LIMIT_ADDRESS": '"3/minute"',
    }.items():
        before = next(line for line in example.splitlines() if line.startswith(f"#{variable}="))
        example = example.replace(before, f"{variable}={value}")
    (written / "env").write_text(example)
    (credentials / "database-url").write_text(servers.database_url)
    (credentials / "redis-url").write_text(servers.redis_url)
    (credentials / "secret").write_text("s" * 64)
    sites = host.etc / "nginx" / "conf.d"
    sites.mkdir(parents=True)
    shutil.copy(DEPLOY / "proxies" / "nginx.conf", sites / "hamgate.conf")
    certificates = host.etc / "ssl" / "hamgate"
    certificates.mkdir(parents=True)
    issued = authority.issue_cert(NAME)
    issued.private_key_pem.write_to_path(certificates / "key.pem")
    for blob in issued.cert_chain_pems:
        blob.write_to_path(certificates / "fullchain.pem", append=True)


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    authority = trustme.CA()
    trusted = ssl.create_default_context()
    authority.configure_trust(trusted)
    with contextlib.ExitStack() as stack:
        net = Network()
        stack.callback(net.remove)
        for name in ("plain", "visitor", "another"):
            net.add_host(name)
        servers = Servers(address=HUB_ADDRESS, inside=net.inside())
        stack.callback(servers.stop)
        servers.start()
        host = Machine(tmp_path_factory.mktemp("host"), inside=net.inside("plain"))
        stack.callback(host.shut_down)
        configure(host, servers, authority)
        host.boot("nginx.service", "dbus.service")
        made = Installation(net, host, trusted)
        wait_until(made.is_ready, _UP_WITHIN_SECONDS, host.told)
        command = (DEPLOY / "README.md").read_text().split("sudo systemd-run", 1)[1]
        site = shlex.split("systemd-run " + command.split("```")[0].replace("\\\n", " "))
        done = host.run(*site)
        assert done.returncode == 0, done.stderr
        yield made


def test_a_comment_goes_in_through_nginx_and_a_decision_comes_out(
    installation: Installation,
) -> None:
    ham, spam = (installation.submit(text, Prefer="wait=5") for text in (HAM, SPAM))

    assert (ham.status, ham.json["status"]) == (201, "approved"), installation.host.told()
    assert (spam.status, spam.json["status"]) == (201, "spam")


def test_every_unit_does_what_it_should(installation: Installation) -> None:
    for unit in UNITS:
        shown = installation.host.run(
            "systemctl", "show", unit, "--property=Result,NRestarts,ActiveState"
        ).stdout
        assert "Result=success" in shown, installation.host.told()
        assert "NRestarts=0" in shown
    assert "degraded" not in str(installation.request("GET", "/readyz").json)
    assert "rror" not in (installation.host.logs / "hamgate-worker@1.service").read_text()


def test_the_units_are_sound_and_let_little_through(installation: Installation) -> None:
    verified = installation.host.run("systemd-analyze", "verify", *UNITS, "hamgate.target")
    assert (verified.returncode, verified.stdout + verified.stderr) == (0, "")

    for unit in UNITS:
        # In tenths: 0 is what can do nothing, 100 what can do everything.
        weighed = installation.host.run("systemd-analyze", "security", "--threshold=15", unit)
        assert weighed.returncode == 0, weighed.stdout


def test_the_client_is_who_nginx_saw_and_not_who_it_says_it_is(installation: Installation) -> None:
    installation.submit("one", visitor="another")
    lies = [
        installation.submit(f"lie {n}", "another", X_Forwarded_For=f"203.0.113.{n}").status
        for n in range(3)
    ]

    assert lies == [202, 202, 429]
    assert installation.request("GET", "/livez").status == 200


def test_metrics_are_for_the_inside_and_large_bodies_for_nobody(
    installation: Installation,
) -> None:
    assert installation.request("GET", "/metrics").status == 404
    assert installation.request("POST", "/dashboard/sign-in", b"x" * 300_000).status == 413


def test_answers_are_packed_and_known_again(installation: Installation) -> None:
    path = f"/api/v1/sites/blog/thread?page_url={PAGE}/a-quiet-one"
    packed = installation.request("GET", "/openapi.json", Accept_Encoding="gzip")
    thread = installation.request("GET", path, Accept_Encoding="gzip")
    again = installation.request(
        "GET", path, Accept_Encoding="gzip", If_None_Match=thread.headers["etag"]
    )

    assert packed.headers["content-encoding"] == "gzip"
    assert again.status == 304, (thread, again)
    assert thread.headers["strict-transport-security"]


def test_what_dies_is_started_again(installation: Installation) -> None:
    host = installation.host
    killed = host.run("systemctl", "kill", "--signal=KILL", "hamgate-web.service")
    assert killed.returncode == 0

    wait_until(
        lambda: "NRestarts=1" in host.run("systemctl", "show", "hamgate-web").stdout,
        _UP_WITHIN_SECONDS,
        host.told,
    )
    wait_until(installation.is_ready, _UP_WITHIN_SECONDS, host.told)


def test_everything_stops_in_order_when_it_is_told_to(installation: Installation) -> None:
    """Runs last: there is nothing to ask any more."""
    host = installation.host
    stopped = host.run("systemctl", "stop", "hamgate.target", *UNITS[1:])

    assert stopped.returncode == 0
    for unit in UNITS[1:]:
        shown = host.run("systemctl", "show", unit, "--property=Result,ActiveState").stdout
        assert "ActiveState=inactive" in shown, shown
        assert "Result=success" in shown, shown
