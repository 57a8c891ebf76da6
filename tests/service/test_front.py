"""The front: what is asked of the server comes to Flask as WSGI has it, and its answers go back."""

import asyncio
import logging
import threading
from collections.abc import Callable, Iterator

import flask
import pytest
from werkzeug.test import Client

from service.app import in_front_of
from tests.cast import ORIGIN, json_of, make_body, make_site, post, wait_until
from tests.conftest import database_of
from tests.fronted import Exchange, client_of, scope_of

MakeApp = Callable[..., flask.Flask]
_LONG_SECONDS = 20.0


@pytest.fixture
def client(app: flask.Flask) -> Client:
    return client_of(app)


@pytest.mark.parametrize(
    ("path", "expected"),
    [("/echo/a%20b%2Fc", "a b/c"), ("/echo/%C3%A4%E2%98%83", "ä☃"), ("/echo/%ff", "\ufffd")],
)
def test_a_path_is_told_as_it_was_meant(
    app: flask.Flask, client: Client, path: str, expected: str
) -> None:
    app.add_url_rule("/echo/<path:name>", view_func=lambda name: name)

    assert client.get(path).text == expected


def test_fields_of_one_name_are_one_with_commas_between(app: flask.Flask) -> None:
    app.add_url_rule("/echo", view_func=lambda: flask.request.headers["X-Forwarded-For"])
    exchange = Exchange()
    scope = scope_of("GET", "/echo", [("x-forwarded-for", "a"), ("x-forwarded-for", "b, c")])

    asyncio.run(in_front_of(app).__rsgi__(scope, exchange))

    assert exchange.content == [b"a,b, c"]


def test_an_answer_without_a_length_is_sent_in_parts(app: flask.Flask, client: Client) -> None:
    app.add_url_rule("/parts", view_func=lambda: iter(["one ", "", "two ", "three"]))

    answer = client.get("/parts")

    assert answer.text == "one two three"
    assert "Content-Length" not in answer.headers
    assert client.head("/parts").data == b""


def test_who_streams_gives_the_place_back_and_goes_on(make_app: MakeApp) -> None:
    app = make_app(HAMGATE_WEB_THREADS="2", HAMGATE_WEB_WAIT_SECONDS="0.2")
    go_on = threading.Event()

    def parts() -> Iterator[str]:
        yield "begun"
        assert go_on.wait(_LONG_SECONDS)
        yield ", ended"

    app.add_url_rule("/parts", view_func=parts)
    app.add_url_rule("/whole", view_func=lambda: "whole")

    async def ask() -> tuple[list[Watched], list[Exchange]]:
        front = in_front_of(app)
        streams = [Watched() for _ in range(6)]
        asked = []
        for stream in streams:
            asked.append(asyncio.create_task(front.__rsgi__(scope_of("GET", "/parts"), stream)))
            await stream.begun.wait()
        others = [Exchange() for _ in range(2)]
        for one in others:
            await front.__rsgi__(scope_of("GET", "/whole"), one)
        go_on.set()
        await asyncio.gather(*asked)
        return streams, others

    streams, others = asyncio.run(asyncio.wait_for(ask(), _LONG_SECONDS))

    assert [one.content for one in streams] == [[b"begun", b", ended"]] * 6
    assert [one.content for one in others] == [[b"whole"]] * 2


def test_an_answer_that_nobody_takes_any_more_is_ended(
    app: flask.Flask, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    ended = threading.Event()

    def parts() -> Iterator[str]:
        try:
            for number in range(1000):
                yield str(number)
        finally:
            ended.set()

    app.add_url_rule("/parts", view_func=parts)
    exchange = Gone()

    asyncio.run(in_front_of(app).__rsgi__(scope_of("GET", "/parts"), exchange))

    assert exchange.content == [b"0", b"1"]
    assert ended.is_set()
    assert not [one for one in caplog.records if one.levelno >= logging.WARNING]


def test_a_fault_outside_of_flask_is_told_and_logged(
    app: flask.Flask, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> list[bytes]:
        raise ZeroDivisionError

    monkeypatch.setattr(app, "wsgi_app", broken)
    answer = client_of(app).get("/embed.js")

    assert answer.status_code == 500
    assert answer.json is not None
    assert answer.json["type"] == "/problems/internal"
    assert answer.json["instance"] == f"urn:request:{answer.headers['X-Request-Id']}"
    (line,) = [one for one in caplog.records if one.levelno == logging.ERROR]
    assert line.exc_info is not None


def test_comments_that_come_together_are_stored_together(make_app: MakeApp) -> None:
    """By coroutines and threads alike, each told its own outcome."""
    app = make_app(HAMGATE_LIMIT_ADDRESS="9999/hour", HAMGATE_LIMIT_EMAIL="9999/hour")
    groups: list[int] = []
    work = app.extensions["hamgate"].intake._together._work

    def counted(items: list[object]) -> object:
        groups.append(len(items))
        return work(items)

    app.extensions["hamgate"].intake._together._work = counted
    make_site(database_of(app))
    assert post(app.test_client(), make_body()).status_code == 202
    groups.clear()
    by_thread: list[str] = []

    def submit(number: int) -> None:
        answer = post(app.test_client(), make_body(body=f"by thread {number}"))
        by_thread.append(json_of(answer)["id"])

    async def ask() -> list[Exchange]:
        front = in_front_of(app)
        exchanges = [
            Exchange(flask.json.dumps(make_body(body=f"on the loop {number}")).encode())
            for number in range(40)
        ]
        headers = [("origin", ORIGIN), ("content-type", "application/json")]
        await asyncio.gather(
            *(
                front.__rsgi__(
                    scope_of(
                        "POST",
                        "/api/v1/sites/blog/comments",
                        [*headers, ("content-length", str(len(one.body)))],
                    ),
                    one,
                )
                for one in exchanges
            )
        )
        return exchanges

    threads = [threading.Thread(target=submit, args=(number,)) for number in range(10)]
    for thread in threads:
        thread.start()
    exchanges = asyncio.run(ask())
    for thread in threads:
        thread.join(_LONG_SECONDS)

    wait_until(lambda: len(by_thread) == 10)
    ids = [flask.json.loads(one.content[0])["id"] for one in exchanges]
    assert {one.status for one in exchanges} == {202}
    assert len({*ids, *by_thread}) == 50
    assert sum(groups) == 50
    assert len(groups) < 50


def test_of_readers_who_ask_at_once_one_is_counted_for_many(make_app: MakeApp) -> None:
    app = make_app(HAMGATE_READER_SECONDS="60")
    make_site(database_of(app))
    routed: list[str] = []
    app.before_request(lambda: routed.append(flask.request.path))

    async def ask(clients: list[str], times: int) -> list[Exchange]:
        exchanges = [Exchange() for _ in range(times * len(clients))]
        await asyncio.gather(
            *(
                front.__rsgi__(
                    scope_of(
                        "GET",
                        "/api/v1/sites/blog/thread",
                        query_string=f"page_url={ORIGIN}/first-post",
                        client=clients[number % len(clients)],
                    ),
                    one,
                )
                for number, one in enumerate(exchanges)
            )
        )
        return exchanges

    front = in_front_of(app)
    asyncio.run(ask(["203.0.113.1"], 1))
    routed.clear()
    # Twelve are taken at once of a limit of 1,200.
    exchanges = asyncio.run(ask(["203.0.113.2", "203.0.113.3"], 60))

    assert {one.status for one in exchanges} == {200}
    assert len(routed) == 2 * 60 / 12
    assert not front._turns


class Watched(Exchange):
    """A client who says when an answer has begun to come."""

    def __init__(self) -> None:
        super().__init__()
        self.begun = asyncio.Event()

    async def send_bytes(self, data: bytes) -> None:
        await super().send_bytes(data)
        self.begun.set()


class Gone(Exchange):
    """A client who takes two parts and goes."""

    async def send_bytes(self, data: bytes) -> None:
        if len(self.content) == 2:
            raise RuntimeError("transport is closed")
        await super().send_bytes(data)
