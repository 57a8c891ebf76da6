"""`hamgate webhook …`: endpoints and their log from a shell, and the receiver to try them with."""

import json
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import pytest

from service.base.config import Settings
from service.base.errors import Forbidden
from service.core.sites import SiteView
from service.core.webhooks import signing
from service.core.webhooks.deliveries import Outcome
from service.ledger.db import Database
from tests.cast import attempt, make_comment, make_endpoint, make_site, open_ledger
from tests.service.conftest import Ended

Command = Callable[..., Ended]
URL = "https://hooks.example.org/in"
HAMGATE = str(Path(sys.executable).parent / "hamgate")
BODY = json.dumps(
    {"type": "comment.approved", "timestamp": "2026-11-20T12:00:00+00:00", "sequence": 7,
     "data": {"site": {"id": "sit_1", "slug": "blog"}}},
).encode()  # fmt: skip


@pytest.fixture
def ledger(installed: Settings) -> Iterator[Database]:
    database = open_ledger(installed)
    yield database
    database.close()


@pytest.fixture
def site(ledger: Database) -> SiteView:
    return make_site(ledger)


def test_an_endpoint_is_made_listed_rotated_and_deleted(command: Command, site: SiteView) -> None:
    made = command("webhook", "create", "blog", URL, "--event", "storm.started", "--name", "shop")
    assert (made.code, made.out[:6]) == (0, "whsec_"), made.err
    found = re.search(r"whe_\w+", made.err)
    assert found is not None

    listed = command("webhook", "list", "blog").out.rstrip("\n").split("\t")
    assert listed == [found[0], URL, "storm.started", "works"]
    rotated = command("webhook", "rotate", "blog", found[0])
    assert rotated.out.startswith("whsec_")
    assert rotated.out != made.out
    assert command("webhook", "rotate", "blog", found[0]).code == 1
    assert command("webhook", "disable", "blog", found[0]).out.startswith("disabled")
    assert command("webhook", "test", "blog", found[0]).err.startswith("error: it is disabled")
    assert command("webhook", "enable", "blog", found[0]).out == "works\n"
    assert command("webhook", "delete", "blog", found[0]).code == 1  # nobody answers the question
    assert command("webhook", "delete", "blog", found[0], "--yes").code == 0
    assert "no endpoints yet" in command("webhook", "list", "blog").err


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("create", "blog", "http://127.0.0.1/"), 1, "error: url: cannot be used"),
        (("create", "blgo", URL), 1, "there is no site"),
        (("create", "blog", URL, "--event", "comment.liked"), 2, "is no type of event"),
        (("test", "blog", "whe_none"), 1, "there is no such endpoint"),
        (("replay", "blog", "dlv_none"), 1, "there is no such delivery"),
        (("replay", "blog"), 2, "name deliveries, or --endpoint and --since"),
        (("replay", "blog", "--since", "2026-01-01"), 2, "name deliveries"),
        (("listen", "--secret", "sesame"), 1, "error: this is no secret"),
    ],
)
def test_what_cannot_be_done_is_said(
    command: Command, site: SiteView, arguments: tuple[str, ...], code: int, said: str
) -> None:
    ended = command("webhook", *arguments)

    assert ended.code == code
    assert said in ended.err


def test_what_was_sent_is_listed_and_sent_again(
    command: Command, ledger: Database, site: SiteView
) -> None:
    endpoint_id, _ = make_endpoint(ledger, site)
    make_comment(ledger, site)
    delivery_id = attempt(ledger, endpoint_id, Outcome(status=204)).delivery_id

    (line,) = command("webhook", "log", "blog", "--status", "delivered").out.splitlines()
    assert line.startswith(f"{delivery_id}\t")
    assert "\tcomment.submitted\t" in line
    assert command("webhook", "log", "blog", "--event", "storm.ended").err == "nothing was sent\n"
    assert command("webhook", "replay", "blog", delivery_id).out == "1 on the way again\n"
    assert "their endpoint is disabled" not in command(
        "webhook", "replay", "blog", "--endpoint", endpoint_id, "--since", "2026-01-01T00:00"
    ).err.replace("\n", " ")
    again = command("webhook", "replay", "blog", delivery_id)
    assert again.out == "0 on the way again\n"
    assert "wait for their first attempt" in again.err


class Listener:
    """`hamgate webhook listen` in a process of its own."""

    def __init__(self, process: subprocess.Popen[str], out: IO[str], url: str) -> None:
        self.process = process
        self.url = url
        self._out = out

    def post(self, headers: dict[str, str], body: bytes) -> int:
        request = urllib.request.Request(self.url, body, headers, method="POST")
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code

    def end(self) -> str:
        self.process.send_signal(signal.SIGINT)
        assert self.process.wait(timeout=20) == 0
        return self._out.read()


@pytest.fixture
def listen() -> Iterator[Callable[..., Listener]]:
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str) -> Listener:
        process = subprocess.Popen(
            [HAMGATE, "webhook", "listen", "--port", "0", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        assert process.stdout is not None
        assert process.stderr is not None
        found = re.search(r"http://\S+/", process.stderr.readline())
        assert found is not None
        return Listener(process, process.stdout, found[0])

    yield start
    for process in started:
        process.kill()
        process.wait()


@pytest.mark.process
def test_the_receiver_shows_what_is_verified_and_refuses_the_rest(
    listen: Callable[..., Listener],
) -> None:
    secret, now = signing.new_secret(), int(time.time())
    listener = listen("--secret", secret)
    good = signing.headers("evt_1", now, BODY, [secret])

    assert listener.post(good, BODY) == 204
    assert listener.post(good, BODY) == 204
    assert listener.post(good, BODY + b" ") == 401
    assert listener.post(signing.headers("evt_2", now - 301, BODY, [secret]), BODY) == 401
    assert listener.post({}, BODY) == 401

    said = listener.end()
    assert said.count("comment.approved") == 2
    assert "time 2" in said
    assert '"slug": "blog"' in said
    assert said.count("refused: ") == 3


@pytest.mark.process
def test_the_receiver_can_be_told_to_fail(listen: Callable[..., Listener]) -> None:
    secret = signing.new_secret()
    listener = listen("--secret", secret, "--status", "503")

    headers = signing.headers("evt_1", int(time.time()), BODY, [secret])
    assert listener.post(headers, BODY) == 503
    assert "answered 503" in listener.end()


def test_each_byte_counts_and_either_of_two_secrets_will_do() -> None:
    old, new, now = signing.new_secret(), signing.new_secret(), 1_700_000_000
    headers = signing.headers("evt_1", now, BODY, [new, old])
    for secret in (old, new):
        signing.require(headers, BODY, secret, now + 299)

    for name in ("webhook-id", "webhook-timestamp", "webhook-signature"):
        only = signing.headers("evt_1", now, BODY, [new])
        for place in range(len(only[name])):
            flipped = chr(ord(only[name][place]) ^ 1)
            changed = only[name][:place] + flipped + only[name][place + 1 :]
            with pytest.raises(Forbidden):
                signing.require({**only, name: changed}, BODY, new, now)
    for headers in ({}, {**only, "webhook-timestamp": f"0{now}"}):
        with pytest.raises(Forbidden):
            signing.require(headers, BODY, new, now)
