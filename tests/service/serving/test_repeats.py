"""Repeats: who asks again a moment later is told the same by memory as by the route."""

from collections.abc import Callable

import flask
import pytest
from werkzeug.test import Client, TestResponse

from service.core.sites import SiteView
from service.ledger.db import Database
from service.pure.policy import Status
from tests.cast import ORIGIN, PAGE, decide, make_comment, make_site
from tests.conftest import database_of
from tests.fronted import client_of

THREAD = f"/api/v1/sites/blog/thread?page_url={PAGE}"
# Those differ from one request to the next, whoever answers.
OWN = {"X-Request-Id", "RateLimit"}
READERS: list[dict[str, str]] = [
    {},
    {"Origin": ORIGIN},
    {"Origin": "https://elsewhere.example"},
    {"Origin": "null"},
    {"Accept-Encoding": "gzip"},
    {"Accept-Encoding": "gzip, deflate, br, zstd", "Origin": ORIGIN},
    {"Accept-Encoding": "gzip;q=0"},
    {"Accept-Encoding": "*"},
    {"If-None-Match": "*"},
    {"If-None-Match": '"another"'},
    {"If-None-Match": 'W/"TAG"'},
    {"If-None-Match": '"another", "TAG"', "Origin": ORIGIN},
    {"If-None-Match": "broken,, "},
    {"If-None-Match": '"TAG"', "Accept-Encoding": "gzip"},
    {"If-None-Match": '"TAG-gzip"', "Accept-Encoding": "gzip"},
    {"Authorization": "Bearer hg_nobody"},
]


@pytest.fixture
def app(make_app: Callable[..., flask.Flask]) -> flask.Flask:
    return make_app(HAMGATE_READER_SECONDS="60")


@pytest.fixture
def client(app: flask.Flask) -> Client:
    return client_of(app)


@pytest.fixture
def database(app: flask.Flask) -> Database:
    return database_of(app)


@pytest.fixture
def site(database: Database) -> SiteView:
    made = make_site(database)
    decide(database, [make_comment(database, made)], Status.APPROVED)
    return made


@pytest.fixture
def routed(app: flask.Flask) -> list[str]:
    """The paths of requests that came to a route."""
    found: list[str] = []
    app.before_request(lambda: found.append(flask.request.path))
    return found


@pytest.mark.parametrize("reader", READERS, ids=str)
def test_memory_says_what_the_route_says(
    client: Client, site: SiteView, routed: list[str], reader: dict[str, str]
) -> None:
    tag = client.get(THREAD).headers["ETag"].strip('"')
    headers = {name: value.replace("TAG", tag) for name, value in reader.items()}
    routed.clear()

    # The route, since nobody looked for the page by this query yet; then memory.
    by_route = client.get(f"{THREAD}&order=oldest", headers=headers)
    assert len(routed) == 1
    by_memory = client.get(f"{THREAD}&order=oldest", headers=headers)
    assert len(routed) == 1

    assert _told(by_memory) == _told(by_route)
    for answer in (by_route, by_memory):
        assert answer.headers["X-Request-Id"].startswith("req_")
    assert by_memory.headers["X-Request-Id"] != by_route.headers["X-Request-Id"]
    assert _left(by_memory) == _left(by_route) - 1


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("HEAD", THREAD),
        ("POST", THREAD),
        ("OPTIONS", THREAD),
        ("GET", THREAD.replace("blog", "nobody")),
        ("GET", THREAD.replace("/thread", "/thread/")),
        ("GET", THREAD.replace("/api/v1", "/api/v2")),
        ("GET", f"{THREAD}&unknown=1"),
        ("GET", f"/api/v1/sites/thread?page_url={PAGE}"),
        ("GET", f"/thread?page_url={PAGE}"),
    ],
)
def test_what_is_asked_otherwise_comes_to_the_routes(
    client: Client, site: SiteView, routed: list[str], method: str, path: str
) -> None:
    client.get(THREAD)
    routed.clear()

    client.open(path, method=method, headers={"Origin": ORIGIN})
    client.open(path, method=method, headers={"Origin": ORIGIN})

    assert len(routed) == 2


def test_a_site_is_not_found_by_its_id(client: Client, site: SiteView) -> None:
    client.get(THREAD)
    made = client.get(THREAD.replace("blog", site.id))

    assert made.status_code == 404


def test_who_asks_too_often_is_refused_all_the_same(
    make_app: Callable[..., flask.Flask],
) -> None:
    app = make_app(HAMGATE_READER_SECONDS="60", HAMGATE_LIMIT_OTHER="200/minute")
    make_site(database_of(app))
    client = client_of(app)

    answers = [client.get(THREAD).status_code for _ in range(220)]

    assert answers == [200] * 200 + [429] * 20


def test_a_repeat_leaves_its_line_in_the_log(
    client: Client, site: SiteView, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "service.web")
    answers = [client.get(THREAD) for _ in range(2)]

    lines = [vars(one)["fields"] for one in caplog.records if one.name == "service.web"]
    for fields, answer in zip(lines, answers, strict=True):
        assert fields["request"] == answer.headers["X-Request-Id"]
        assert fields["route"] == "/api/v1/sites/<site>/thread"
        assert fields["status"] == 200


def _told(answer: TestResponse) -> tuple[int, bytes, list[tuple[str, str]]]:
    headers = sorted(one for one in answer.headers if one[0] not in OWN)
    return answer.status_code, answer.data, headers


def _left(answer: TestResponse) -> int:
    return int(answer.headers["RateLimit"].partition("r=")[2].partition(";")[0])
