"""Receivers: the snippets of the documentation, run as they stand, and the libraries they use.

They are given what Hamgate really signed, and then each byte of it changed. Where node or its
registry is missing its part is skipped and says so, and fails where CI is set.
"""

import base64
import http.client
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import standardwebhooks
import svix.webhooks

from service.core.webhooks import deliveries, signing
from service.ledger.db import Database
from tests.cast import make_comment, make_endpoint, make_site
from tests.system import free_port

README = (Path(signing.__file__).parent / "README.md").read_text()
FOREIGN = Path(__file__).parents[2] / "foreign"
SIGNED = ("webhook-id", "webhook-timestamp", "webhook-signature")

Headers = dict[str, str]
Post = Callable[[Headers, bytes], int]


class Signed:
    """A delivery's body, and what signs it at a time."""

    def __init__(self, database: Database) -> None:
        site = make_site(database)
        endpoint_id, self.secret = make_endpoint(database, site)
        make_comment(database, site, name="Zoë", body="Grüße aus „Köln“ 🐹")
        with database.transaction() as session:
            claim = deliveries.claim(session, endpoint_id, 30)
        assert claim is not None
        self.body = claim.body
        self._event_id = claim.event_id

    def headers(self, *, seconds_ago: int = 0) -> Headers:
        """Sign it; never so that base64's unused bits could be changed without effect."""
        then = int(time.time()) - seconds_ago
        while True:
            headers = signing.headers(self._event_id, then, self.body, [self.secret])
            if headers["webhook-signature"][-2] not in "048":
                return headers
            then -= 1

    def tampered(self) -> Iterator[tuple[Headers, bytes]]:
        """Give it with one byte changed, for each byte."""
        headers = self.headers()
        for name in SIGNED:
            for place, letter in enumerate(headers[name]):
                changed = headers[name][:place] + chr(ord(letter) ^ 1) + headers[name][place + 1 :]
                yield {**headers, name: changed}, self.body
        for place, byte in enumerate(self.body):
            changed_body = bytearray(self.body)
            changed_body[place] = byte ^ 1
            yield headers, bytes(changed_body)


@pytest.fixture
def signed(database: Database) -> Signed:
    return Signed(database)


def assert_receives(post: Post, signed: Signed) -> None:
    assert post(signed.headers(), signed.body) == 204
    assert post(signed.headers(seconds_ago=290), signed.body) == 204
    assert post(signed.headers(seconds_ago=301), signed.body) == 401
    assert post(signed.headers(seconds_ago=-310), signed.body) == 401
    assert post({"content-type": "application/json"}, signed.body) == 401
    other = signing.headers("evt_1", int(time.time()), signed.body, [signing.new_secret()])
    assert post(other, signed.body) == 401
    taken = [one for one in signed.tampered() if post(*one) != 401]
    assert taken == []


def snippet(language: str) -> str:
    """Give the one block of a language in the documentation."""
    (found,) = re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)
    return str(found)


def test_the_python_snippet_takes_what_is_signed_and_nothing_else(
    signed: Signed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WEBHOOK_SECRET", signed.secret)
    module: dict[str, Any] = {"__name__": "receive"}
    exec(compile(snippet("python"), "receive.py", "exec"), module)
    client = module["app"].test_client()

    def post(headers: Headers, body: bytes) -> int:
        status: int = client.post("/hook", data=body, headers=headers).status_code
        return status

    assert_receives(post, signed)


@pytest.mark.parametrize("library", [standardwebhooks, svix.webhooks])
def test_the_libraries_take_what_is_signed_and_nothing_else(signed: Signed, library: Any) -> None:
    webhook = library.Webhook(signed.secret)

    def post(headers: Headers, body: bytes) -> int:
        try:
            webhook.verify(body, headers)
        except (library.WebhookVerificationError, ValueError):
            return 401
        return 204

    assert_receives(post, signed)


@pytest.fixture(scope="session")
def node_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the snippet for Node needs, installed from the lock file."""
    missing = pytest.fail if "CI" in os.environ else pytest.skip
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        missing("node and npm are not installed: apt-get install nodejs npm")
    folder = tmp_path_factory.mktemp("node")
    for name in ("package.json", "package-lock.json"):
        shutil.copy(FOREIGN / name, folder)
    installed = subprocess.run(
        [str(npm), "ci", "--ignore-scripts", "--no-audit", "--no-fund"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=100,
    )
    if installed.returncode:
        missing(f"npm cannot install what the snippet needs: {installed.stderr[-300:]}")
    return folder


@pytest.mark.process
def test_the_node_snippet_takes_what_is_signed_and_nothing_else(
    node_folder: Path, signed: Signed
) -> None:
    port = free_port()
    script = node_folder / "receive.mjs"
    script.write_text(snippet("js"))
    environ = {**os.environ, "WEBHOOK_SECRET": signed.secret, "PORT": str(port)}
    with subprocess.Popen(["node", script], env=environ, stdout=subprocess.DEVNULL) as process:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)

        def post(headers: Headers, body: bytes) -> int:
            connection.request("POST", "/hook", body, headers)
            answer = connection.getresponse()
            answer.read()
            return answer.status

        try:
            _wait_for(connection, process)
            assert_receives(post, signed)
        finally:
            connection.close()
            process.kill()


def test_a_signature_that_is_decoded_is_the_one_that_was_made(signed: Signed) -> None:
    """What `Signed.headers` relies on: four bits of the last letter count, and two do not."""
    signature = signed.headers()["webhook-signature"].removeprefix("v1,")

    changed = signature[:-2] + chr(ord(signature[-2]) ^ 1) + "="

    assert not changed[-2].isalnum() or base64.b64decode(changed) != base64.b64decode(signature)


def _wait_for(connection: http.client.HTTPConnection, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            return connection.connect()
        except ConnectionRefusedError:
            assert process.poll() is None, "the snippet ended by itself"
            assert time.monotonic() < deadline
            time.sleep(0.05)
