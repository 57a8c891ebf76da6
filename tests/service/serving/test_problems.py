"""Errors: one shape everywhere, and a ledger that is gone loses nothing and tells nothing."""

import contextlib
import logging
import sqlite3
from collections.abc import Callable, Iterator

import flask
import psycopg
import pytest
from sqlalchemy import func, select
from werkzeug.test import TestResponse

from service.app import create_app
from service.base import errors
from service.base.config import Settings, from_environ
from service.ledger.db import Database
from service.ledger.models import COMMENTS
from service.serving import problems
from tests.cast import bearer, json_of, make_body, make_key, make_site, post
from tests.conftest import Door, Valkey, database_of

_SECRET = "hunter2"


@pytest.mark.parametrize(
    ("method", "path", "status", "slug"),
    [
        ("GET", "/nowhere", 404, "not-found"),
        ("GET", "/api/v1/nowhere", 404, "not-found"),
        ("GET", "/api/v1/sites/blog", 404, "not-found"),
        ("GET", "/docs/", 404, "not-found"),
        ("GET", "/assets/docs/../app.py", 404, "not-found"),
        ("GET", "/assets/docs/%2e%2e/openapi.py", 404, "not-found"),
        ("GET", "/api/v1/comments/", 404, "not-found"),
        ("GET", "/%00", 404, "not-found"),
        ("DELETE", "/api/v1/sites/blog/comments", 405, "method-not-allowed"),
        ("PUT", "/api/v1/comments/cmt_none", 405, "method-not-allowed"),
        ("POST", "/livez", 405, "method-not-allowed"),
        ("PROPFIND", "/docs", 405, "method-not-allowed"),
        ("GET", "/api/v1/comments/cmt_none", 401, "unauthenticated"),
        ("POST", "/api/v1/sites/nowhere/comments", 404, "not-found"),
    ],
)
def test_a_refusal_is_a_problem_document(
    door: Door, method: str, path: str, status: int, slug: str
) -> None:
    answer = door.client.open(path, method=method)

    assert answer.status_code == status
    _assert_problem(answer, slug)


def test_a_method_that_is_not_taken_is_told_which_are(door: Door) -> None:
    answer = door.client.delete("/api/v1/sites/blog/comments")

    allowed = {method.strip() for method in answer.headers["Allow"].split(",")}
    assert allowed == {"GET", "HEAD", "POST", "OPTIONS"}


def test_a_path_with_two_slashes_leads_to_the_one_with_one(door: Door) -> None:
    answer = door.client.get("/api/v1//comments/cmt_none")

    assert answer.status_code == 308
    assert answer.headers["Location"] == "http://localhost/api/v1/comments/cmt_none"


def test_a_head_request_is_answered_as_a_get_without_its_body(door: Door) -> None:
    for path in ("/livez", "/nowhere", "/api/v1/comments/cmt_none"):
        got, headed = door.client.get(path), door.client.head(path)
        assert (headed.status_code, headed.data) == (got.status_code, b"")
        assert headed.content_type == got.content_type


def test_every_refusal_of_the_core_has_an_answer() -> None:
    refusals = {
        one
        for one in vars(errors).values()
        if isinstance(one, type) and issubclass(one, errors.HamgateError)
    }

    assert set(problems.TABLE) == refusals - {errors.HamgateError, errors.ConfigError}
    assert len({slug for slug, _, _ in problems.TABLE.values()}) == len(problems.TABLE)


def test_our_fault_is_logged_once_and_tells_nothing(
    make_app: Callable[..., flask.Flask], caplog: pytest.LogCaptureFixture
) -> None:
    app = make_app()

    def fail() -> str:
        raise RuntimeError(_SECRET)

    app.add_url_rule("/fail", view_func=fail)
    with caplog.at_level(logging.WARNING):
        answer = app.test_client().get("/fail")

    assert answer.status_code == 500
    _assert_problem(answer, "internal")
    assert json_of(answer).keys() == {"type", "title", "status", "instance"}
    assert _SECRET not in answer.text
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert answer.headers["X-Request-Id"] in record.getMessage()
    assert record.exc_info is not None
    assert _SECRET in str(record.exc_info[1])


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://hamgate:{_SECRET}@127.0.0.1:1/ledger",
        "sqlite:////nowhere/hamgate.db",
        f"sqlite:///file:/nowhere/{_SECRET}.db?mode=ro&uri=true",
    ],
    ids=["closed port", "no folder", "no file"],
)
def test_without_a_database_nothing_is_taken_and_nothing_told(
    shared_valkey: Valkey,
    tmp_path_factory: pytest.TempPathFactory,
    caplog: pytest.LogCaptureFixture,
    url: str,
) -> None:
    app = create_app(
        from_environ(
            {
                "HAMGATE_HOME": str(tmp_path_factory.mktemp("home")),
                "DATABASE_URL": url,
                "REDIS_URL": shared_valkey.url,
            }
        )
    )
    client = app.test_client()

    with caplog.at_level(logging.WARNING):
        answers = [
            post(client, make_body()),
            client.get("/api/v1/comments/cmt_none", headers=bearer("hg_0123_x")),
            client.get("/api/v1/sites/blog/comments", headers=bearer("hg_0123_x")),
        ]

    for answer in answers:
        assert answer.status_code == 503
        _assert_problem(answer, "unavailable")
        assert int(answer.headers["Retry-After"]) > 0
        assert not any(
            word in answer.text for word in (_SECRET, "127.0.0.1", "nowhere", "hamgate:")
        )
    assert sum(answers[0].headers["X-Request-Id"] in r.getMessage() for r in caplog.records) == 1
    ready = client.get("/readyz")
    assert ready.status_code == 503
    assert json_of(ready)["status"] == "down"
    assert json_of(ready)["checks"]["database"] == "does not answer"
    assert client.get("/livez").status_code == 200
    assert b"hamgate_database_up 0.0" in client.get("/metrics").data


def test_a_ledger_that_cannot_be_written_answers_503_and_holds_nothing(
    app: flask.Flask, database: Database, settings: Settings
) -> None:
    site = make_site(database)
    key = make_key(database, site)
    client = app.test_client()
    with _locked(settings):
        answer = post(client, make_body())
        read = client.get("/api/v1/comments/cmt_none", headers=bearer(key))

    assert answer.status_code == 503
    _assert_problem(answer, "unavailable")
    assert int(answer.headers["Retry-After"]) > 0
    assert read.status_code == 404
    with database.reading() as session:
        assert session.scalar(select(func.count()).select_from(COMMENTS)) == 0
    assert post(client, make_body()).status_code == 202


def test_a_ledger_that_may_only_be_read_answers_503_and_still_reads(
    make_settings: Callable[..., Settings], postgres_url: str
) -> None:
    settings = make_settings()
    app = create_app(settings)
    database = database_of(app)
    key = make_key(database, make_site(database))
    database.close()
    if settings.sqlalchemy_url.startswith("sqlite"):
        path = settings.sqlalchemy_url.removeprefix("sqlite:///")
        read_only = f"sqlite:///file:{path}?mode=ro&uri=true"
        app = create_app(settings.model_copy(update={"database_url": read_only}))
    else:
        name = settings.sqlalchemy_url.partition("?")[0].rpartition("/")[2]
        with psycopg.connect(postgres_url, autocommit=True) as connection:
            connection.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")

    refused = post(app.test_client(), make_body())
    listed = app.test_client().get("/api/v1/sites/blog/comments", headers=bearer(key))
    database_of(app).close()

    assert refused.status_code == 503
    _assert_problem(refused, "unavailable")
    assert json_of(listed)["comments"] == []


def test_metrics_are_not_there_for_strangers(make_app: Callable[..., flask.Flask]) -> None:
    client = make_app(TRUSTED_PROXIES="127.0.0.1").test_client()

    for address, status in (("203.0.113.1", 404), ("10.1.2.3", 200), ("::1", 200)):
        answer = client.get("/metrics", headers={"X-Forwarded-For": address})
        assert answer.status_code == status


def test_no_answer_may_be_sniffed_and_each_has_an_id(door: Door) -> None:
    ids = set()
    for path in ("/", "/docs", "/livez", "/nowhere", "/api/v1/comments/cmt_none", "/metrics"):
        answer = door.client.get(path, headers={"X-Request-Id": "mine"})
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        ids.add(answer.headers["X-Request-Id"])
    assert len(ids) == 6
    assert all(one.startswith("req_") for one in ids)


def _assert_problem(answer: TestResponse, slug: str) -> None:
    problem = json_of(answer)
    assert answer.content_type == "application/problem+json"
    assert problem["type"] == f"/problems/{slug}"
    assert problem["status"] == answer.status_code
    assert problem["title"]
    assert problem["instance"] == f"urn:request:{answer.headers['X-Request-Id']}"


@contextlib.contextmanager
def _locked(settings: Settings) -> Iterator[None]:
    """Have another program hold the lock that a comment needs."""
    url = settings.sqlalchemy_url
    if url.startswith("sqlite"):
        with contextlib.closing(
            sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
        ) as held:
            held.execute("BEGIN IMMEDIATE")
            yield
            held.execute("ROLLBACK")
    else:
        with psycopg.connect(url.replace("+psycopg", "")) as connection:
            connection.execute("LOCK TABLE comments IN EXCLUSIVE MODE")
            yield
            connection.rollback()
