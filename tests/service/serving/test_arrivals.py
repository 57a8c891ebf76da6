"""Arrivals: a comment is answered, counted, stored and logged the same before Flask as in it."""

from collections.abc import Callable
from typing import Any

import flask
import pytest
from sqlalchemy import select, update
from werkzeug.test import Client, TestResponse

from service.core.sites import Scope, SiteView
from service.ledger.db import Database, utc_now
from service.ledger.models import COMMENTS, THREADS
from service.serving import access
from service.serving.challenges import unsolved
from tests.cast import ORIGIN, bearer, json_of, make_body, make_key, make_site, wait_until
from tests.conftest import Valkey, database_of
from tests.fronted import client_of

PATH = "/api/v1/sites/blog/comments"
CLOSED = f"{ORIGIN}/closed"
PAGE_OF_PARENT = f"{ORIGIN}/parent"
# What a key tells of its visitor.
VISIT = {"ip": "203.0.113.7", "user_agent": "one", "referrer": f"{ORIGIN}/before"}
# Those differ from one request to the next, whoever answers.
OWN = {"X-Request-Id", "RateLimit", "Location"}
# What the route is asked so that it answers as it would without.
BY_ROUTE = {"Prefer": "wait=0"}

AS_MOST_DO: dict[str, dict[str, Any]] = {
    "plain": {},
    "of a form": {
        "page_title": "First",
        "url": "https://ada.example",
        "honeypot": "",
        "altcha": "",
    },
    "a trap filled in": {"honeypot": "me@example.org"},
    "a challenge that is none": {"altcha": "eyJhIjoxfQ=="},
    "a closed page": {"page_url": CLOSED},
    "no such parent": {"parent_id": "cmt_none"},
    "a name of another script": {"name": "Ἄδα Λ", "email": "Ada@EXAMPLE.org", "body": "☃\u0301 …"},
}
OTHERWISE: dict[str, Any] = {
    "no name": make_body(name=None),
    "all wrong": make_body(name="", email="ada", body=" ", page_url="blog", more=1),
    "a list": [make_body()],
    "no JSON": "{",
    "a key twice": '{"name": "Ada", "name": "Ada"}',
    "not UTF-8": b'{"name": "\xff"}',
    "too long": '"' + "a" * 40_000 + '"',
    "nothing": b"",
}


@pytest.fixture
def app(make_app: Callable[..., flask.Flask], monkeypatch: pytest.MonkeyPatch) -> flask.Flask:
    # What is known is known for as long as the test takes.
    monkeypatch.setattr(access, "_REMEMBER_SECONDS", 600.0)
    names = ("ADDRESS", "EMAIL", "THREAD", "SITE", "OTHER", "KEY")
    return make_app(**{f"HAMGATE_LIMIT_{name}": "9999/hour" for name in names})


@pytest.fixture
def client(app: flask.Flask) -> Client:
    return client_of(app)


@pytest.fixture
def database(app: flask.Flask) -> Database:
    return database_of(app)


@pytest.fixture
def site(database: Database) -> SiteView:
    return make_site(database)


@pytest.fixture
def key(database: Database, site: SiteView) -> str:
    return make_key(database, site)


@pytest.fixture
def routed(app: flask.Flask) -> list[str]:
    """The paths of requests that came to a route."""
    found: list[str] = []
    app.before_request(lambda: found.append(flask.request.path))
    return found


@pytest.fixture
def known(client: Client, key: str, database: Database, routed: list[str]) -> str:
    """Give a key that, as the site, was looked up a moment ago; a page is closed."""
    _send(client, make_body(page_url=CLOSED))
    _send(client, make_body(), **bearer(key))
    with database.transaction() as session:
        session.execute(update(THREADS).where(THREADS.c.page_url == CLOSED).values(closed=True))
    routed.clear()
    return key


@pytest.mark.parametrize("changes", AS_MOST_DO.values(), ids=AS_MOST_DO)
@pytest.mark.parametrize("with_key", [False, True], ids=["from a page", "with a key"])
def test_before_flask_it_is_as_in_it(
    client: Client,
    database: Database,
    known: str,
    routed: list[str],
    changes: dict[str, Any],
    with_key: bool,
) -> None:
    body = make_body(**changes)
    if with_key:
        body |= VISIT
    headers = bearer(known) if with_key else {"Referer": f"{ORIGIN}/before", "User-Agent": "one"}

    by_route = _send(client, body, **headers, **BY_ROUTE)
    assert len(routed) == 1
    at_once = _send(client, body, **headers)
    assert len(routed) == 1

    assert _told(at_once) == _told(by_route)
    assert at_once.headers["X-Request-Id"] != by_route.headers["X-Request-Id"]
    if at_once.status_code == 202:
        assert _left(at_once) == _left(by_route) - 1
        assert at_once.headers["Location"] == f"/api/v1/comments/{json_of(at_once)['id']}"
        assert _row(database, at_once) == _row(database, by_route)


def test_the_challenge_of_a_form_is_looked_at(
    client: Client, database: Database, known: str, site: SiteView, app: flask.Flask
) -> None:
    made = app.extensions["hamgate"].challenges.issue(site.id, proof=False, now=utc_now())
    sent = [_send(client, make_body(body=text, altcha=unsolved(made))) for text in ("one", "two")]

    assert [_row(database, answer)["challenge"] for answer in sent] == ["signed", "used"]


@pytest.mark.parametrize("body", OTHERWISE.values(), ids=OTHERWISE)
def test_what_is_not_as_it_should_be_is_for_the_route_to_tell(
    client: Client, known: str, routed: list[str], body: Any
) -> None:
    first = _send(client, body)
    second = _send(client, body, **BY_ROUTE)

    assert len(routed) == 2
    assert first.status_code in (400, 413, 422)
    assert _told(first) == _told(second)


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("GET", PATH, {}, 401),
        ("OPTIONS", PATH, {}, 204),
        ("PUT", PATH, {}, 405),
        ("POST", PATH + "/", {}, 404),
        ("POST", PATH.replace("blog", "nobody"), {}, 404),
        ("POST", PATH, {"Origin": "https://elsewhere.example"}, 403),
        ("POST", PATH, {"Origin": "null"}, 403),
        ("POST", PATH, {"Authorization": "Bearer hg_nobody"}, 401),
        ("POST", PATH, {"Authorization": "Basic YTpi"}, 401),
        ("POST", PATH, {"Content-Type": "text/plain"}, 415),
        ("POST", PATH, {"Content-Encoding": "gzip"}, 415),
        ("POST", PATH, {"Idempotency-Key": ""}, 400),
        ("POST", PATH, {"Prefer": "wait=0"}, 202),
    ],
)
def test_what_is_asked_otherwise_comes_to_the_routes(
    client: Client,
    known: str,
    routed: list[str],
    method: str,
    path: str,
    headers: dict[str, str],
    status: int,
) -> None:
    given = {"Origin": ORIGIN, "Content-Type": "application/json", **headers}
    body = b"" if method in ("GET", "OPTIONS") else flask.json.dumps(make_body()).encode()

    answer = client.open(path, method=method, data=body, headers=given)

    assert len(routed) == 1
    assert answer.status_code == status


def test_a_key_without_the_scope_or_of_another_site_is_refused(
    client: Client, database: Database, site: SiteView, known: str, routed: list[str]
) -> None:
    reader = make_key(database, site, {Scope.MODERATE})
    stranger = make_key(database, make_site(database, "elsewhere"))
    _send(client, make_body(), "elsewhere", **bearer(stranger))
    routed.clear()

    answers = [_send(client, make_body(), **bearer(one)) for one in (reader, reader, stranger)]

    assert [answer.status_code for answer in answers] == [403, 403, 404]
    assert len(routed) == 3


def test_the_same_key_and_body_are_the_same_comment(
    client: Client, known: str, routed: list[str]
) -> None:
    def send(text: str, **more: str) -> TestResponse:
        return _send(client, make_body(body=text), **{"Idempotency-Key": "one", **more})

    first, again, other = send("one"), send("one"), send("two")
    assert not routed
    by_route, other_by_route = send("one", **BY_ROUTE), send("two", **BY_ROUTE)

    assert len({json_of(answer)["id"] for answer in (first, again, by_route)}) == 1
    assert _told(other) == _told(other_by_route)
    assert json_of(other)["type"] == "/problems/key-reused"


def test_a_taken_external_id_is_told(client: Client, known: str, routed: list[str]) -> None:
    def send(text: str, **more: str) -> TestResponse:
        return _send(client, make_body(body=text, external_id="wp-1"), **more)

    send("one")
    at_once = send("two")
    assert not routed

    def problem(answer: TestResponse) -> dict[str, Any]:
        return {name: value for name, value in json_of(answer).items() if name != "instance"}

    assert problem(at_once) == problem(send("two", **BY_ROUTE))
    assert at_once.status_code == 409


def test_a_reply_is_stored_under_its_parent(
    client: Client, database: Database, known: str, routed: list[str]
) -> None:
    page = {"page_url": PAGE_OF_PARENT}
    parent = json_of(_send(client, make_body(**page)))["id"]

    reply = _send(client, make_body(**page, parent_id=parent))

    assert not routed
    assert _row(database, reply)["parent_id"] == parent


def test_one_too_many_is_refused(
    make_app: Callable[..., flask.Flask], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access, "_REMEMBER_SECONDS", 600.0)
    app = make_app(HAMGATE_LIMIT_EMAIL="3/hour", HAMGATE_LIMIT_ADDRESS="9999/hour")
    make_site(database_of(app))
    client = client_of(app)

    answers = [_send(client, make_body(body=str(number))) for number in range(4)]
    by_route = _send(client, make_body(), **BY_ROUTE)

    assert [answer.status_code for answer in answers] == [202, 202, 202, 429]
    assert _told(answers[-1]) == _told(by_route)
    assert answers[-1].headers["RateLimit"] == by_route.headers["RateLimit"]


def test_without_redis_the_route_takes_it(
    make_app: Callable[..., flask.Flask], own_valkey: Valkey
) -> None:
    app = make_app(REDIS_URL=own_valkey.url)
    make_site(database_of(app))
    client = client_of(app)
    assert _send(client, make_body(body="one")).status_code == 202
    assert _send(client, make_body(body="two")).status_code == 202

    own_valkey.kill()
    answers = [_send(client, make_body(body=f"without {number}")) for number in range(3)]

    assert [answer.status_code for answer in answers] == [202] * 3


def test_it_leaves_its_line_in_the_log(
    client: Client, known: str, routed: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "service.web")
    answers = [_send(client, make_body(), **more) for more in (BY_ROUTE, {})]

    wait_until(lambda: len([one for one in caplog.records if one.name == "service.web"]) == 2)
    lines = [vars(one)["fields"] for one in caplog.records if one.name == "service.web"]
    for fields, answer in zip(lines, answers, strict=True):
        assert fields["request"] == answer.headers["X-Request-Id"]
        assert fields["route"] == "/api/v1/sites/<site>/comments"
        assert fields["comment"] == json_of(answer)["id"]
        assert fields["status"] == 202


def _send(client: Client, body: Any, slug: str = "blog", **headers: str) -> TestResponse:
    given = {"Content-Type": "application/json", **headers}
    if "Authorization" not in given:
        given["Origin"] = ORIGIN
    data = body if isinstance(body, str | bytes) else flask.json.dumps(body)
    return client.post(PATH.replace("blog", slug), data=data, headers=given)


def _told(answer: TestResponse) -> tuple[int, str, dict[str, Any], list[tuple[str, str]]]:
    headers = sorted(one for one in answer.headers if one[0] not in OWN)
    said = {
        name: value
        for name, value in json_of(answer).items()
        if name not in ("id", "receipt", "instance")
    }
    return answer.status_code, answer.status, said, headers


def _left(answer: TestResponse) -> int:
    return int(answer.headers["RateLimit"].partition("r=")[2].partition(";")[0])


def _row(database: Database, answer: TestResponse) -> dict[str, Any]:
    """Give what was stored, but for what differs between two comments."""
    with database.reading() as session:
        row = session.execute(select(COMMENTS).where(COMMENTS.c.id == json_of(answer)["id"])).one()
    own = ("id", "submitted_at", "created_at", "classify_at")
    return {name: value for name, value in row._mapping.items() if name not in own}
