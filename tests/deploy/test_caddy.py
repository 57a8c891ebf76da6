"""Caddy as deploy/ has it, before a running server; nginx is tried on the plain host.

What differs from the file: the address, and whose certificate it shows.
"""

import contextlib
import http.client
import json
import os
import socket
import ssl
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import trustme

from service.base import config
from service.operations import schema
from tests.cast import make_body, make_site, open_ledger, wait_until
from tests.conftest import Valkey
from tests.deploy.files import DEPLOY, run, tool
from tests.system import System, free_port

pytestmark = pytest.mark.process

FILE = DEPLOY / "proxies" / "Caddyfile"
_UP_WITHIN_SECONDS = 30
_TIMEOUT_SECONDS = 2


@dataclass
class Proxy:
    """Caddy, and how to reach it."""

    port: int
    trusted: ssl.SSLContext

    def request(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        source: str = "127.0.0.1",
        **headers: str,
    ) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPSConnection(
            "localhost", self.port, timeout=15, context=self.trusted, source_address=(source, 0)
        )
        with contextlib.closing(connection):
            given = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body, given)
            answer = connection.getresponse()
            found = {name.lower(): value for name, value in answer.getheaders()}
            return answer.status, found, answer.read()

    def submit(self, number: int, source: str = "127.0.0.1", **headers: str) -> int:
        body: Any = make_body(body=f"Thank you {number}", email=f"r{number}@example.org")
        return self.request(
            "POST", "/api/v1/sites/blog/comments", json.dumps(body).encode(), source,
            Origin="https://blog.example.org", Content_Type="application/json", **headers,
        )[0]  # fmt: skip

    def is_up(self) -> bool:
        try:
            return self.request("GET", "/livez")[0] == 200
        except OSError:
            return False


def changed(folder: Path, authority: trustme.CA) -> Path:
    """Write the file for localhost, with our own certificate and short time-outs."""
    issued = authority.issue_cert("localhost")
    certificate, key = folder / "cert.pem", folder / "key.pem"
    issued.private_key_pem.write_to_path(key)
    for blob in issued.cert_chain_pems:
        blob.write_to_path(certificate, append=True)
    text = FILE.read_text()
    text = text.replace(
        "{\n\tservers", "{\n\tadmin off\n\tauto_https disable_redirects\n\tservers", 1
    )
    text = text.replace("read_header 10s", f"read_header {_TIMEOUT_SECONDS}s")
    text = text.replace("\tencode", f"\ttls {certificate} {key}\n\tencode", 1)
    path = folder / "Caddyfile"
    path.write_text(text)
    return path


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def proxy(
    shared_valkey: Valkey, authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Proxy]:
    shared_valkey.flush()
    folder = tmp_path_factory.mktemp("caddy")
    environ = {
        "HAMGATE_HOME": str(folder / "home"),
        "REDIS_URL": shared_valkey.url,
        "TRUSTED_PROXIES": "127.0.0.1/32",
        "HAMGATE_LIMIT_ADDRESS": "3/minute",
    }
    settings = config.from_environ(environ)
    schema.migrate(settings)
    ledger = open_ledger(settings)
    make_site(ledger)
    ledger.close()
    system = System(environ)
    trusted = ssl.create_default_context()
    authority.configure_trust(trusted)
    made = Proxy(free_port(), trusted)
    with contextlib.ExitStack() as stack:
        stack.callback(system.stop)
        system.start("web")
        caddy = subprocess.Popen(
            [tool("caddy"), "run", "--config", str(changed(folder, authority))],
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(folder),
                "HAMGATE_URL": f"https://localhost:{made.port}",
                "HAMGATE_UPSTREAM": f"127.0.0.1:{system.port}",
            },
            stderr=(folder / "caddy.log").open("wb"),
        )
        stack.callback(caddy.wait)
        stack.callback(caddy.terminate)
        wait_until(made.is_up, _UP_WITHIN_SECONDS, (folder / "caddy.log").read_text)
        yield made


def test_caddy_finds_nothing_wrong_with_the_file() -> None:
    run("caddy", "validate", "--adapter", "caddyfile", "--config", FILE)
    run("caddy", "fmt", FILE, "--diff")


def test_caddy_passes_on_what_it_should_and_nothing_else(proxy: Proxy) -> None:
    # Who it is: what Caddy saw, never what the client says.
    assert [proxy.submit(number, X_Forwarded_For=f"203.0.113.{number}") for number in range(4)] == [
        202, 202, 202, 429,
    ]  # fmt: skip
    assert proxy.submit(9, source="127.0.0.2") == 202
    # What is for the inside, and what is too much.
    assert proxy.request("GET", "/metrics")[0] == 404
    assert proxy.request("POST", "/dashboard/sign-in", b"x" * 300_000)[0] == 413
    # How it is sent.
    status, headers, _ = proxy.request("GET", "/openapi.json", Accept_Encoding="gzip")
    assert (status, headers["content-encoding"]) == (200, "gzip")
    assert headers["strict-transport-security"]


def test_who_drips_a_header_is_sent_away(proxy: Proxy) -> None:
    with (
        socket.create_connection(("localhost", proxy.port), timeout=15) as plain,
        proxy.trusted.wrap_socket(plain, server_hostname="localhost") as connection,
    ):
        connection.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nX-Slow: ")

        answer = connection.recv(1000)

    assert answer == b"" or b" 408 " in answer or b" 400 " in answer
