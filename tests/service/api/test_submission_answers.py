"""What a submission is answered with: decisions in time, parents, closed pages, receipts."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator

import flask
import psycopg
import pytest
from flask.testing import FlaskClient
from sqlalchemy import select, text, update
from werkzeug.test import TestResponse

from service.base.config import Settings
from service.ledger.db import Database
from service.ledger.models import THREADS, Comment, Thread
from service.pure.scoring import Scorer
from tests.cast import (
    HAM,
    ORIGIN,
    bearer,
    faults,
    json_of,
    make_body,
    make_site,
    post,
    wait_until,
)
from tests.conftest import Door, database_of
from workers import classification

_MISSING = "there is no such comment on this page"


def test_a_reply_names_a_comment_on_the_same_page(door: Door) -> None:
    parent = json_of(post(door.client, make_body()))["id"]

    reply = post(door.client, make_body(parent_id=parent))

    seen = door.client.get(reply.headers["Location"], headers=bearer(door.key))
    assert json_of(seen)["parent_id"] == parent


def test_a_reply_to_a_comment_that_is_not_on_this_page_is_refused(door: Door) -> None:
    make_site(door.database, "elsewhere")
    here = json_of(post(door.client, make_body()))["id"]
    next_page = make_body(page_url=f"{ORIGIN}/second-post", parent_id=here)

    assert faults(post(door.client, next_page)) == {"/parent_id": _MISSING}
    assert faults(post(door.client, make_body(parent_id=here), "elsewhere")) == {
        "/parent_id": _MISSING
    }
    assert faults(post(door.client, make_body(parent_id="cmt_none"))) == {"/parent_id": _MISSING}


def test_a_closed_page_takes_no_comments(door: Door) -> None:
    body = make_body(page_url=f"{ORIGIN}/closed")
    open_page = post(door.client, body)
    with door.database.transaction() as session:
        session.execute(
            update(THREADS).where(THREADS.c.page_url == body["page_url"]).values(closed=True)
        )

    refused = post(door.client, body)

    assert open_page.status_code == 202
    assert refused.status_code == 403
    assert json_of(refused)["type"] == "/problems/closed"


def test_the_title_of_a_page_is_that_of_its_first_comment(door: Door) -> None:
    page = f"{ORIGIN}/titled"
    post(door.client, make_body(page_url=page, page_title="First"))
    post(door.client, make_body(page_url=f"{page}#later", page_title="Second"))

    with door.database.reading() as session:
        titles = list(session.scalars(select(Thread.page_title).where(Thread.page_url == page)))
    assert titles == ["First"]


def test_a_filled_honeypot_is_a_signal_and_no_error(door: Door) -> None:
    answer = post(door.client, make_body(honeypot="https://spam.example"))

    assert answer.status_code == 202
    seen = door.client.get(answer.headers["Location"], headers=bearer(door.key))
    assert json_of(seen)["signals"]["honeypot_filled"] is True


def test_a_receipt_shows_its_own_comment_and_no_other(door: Door) -> None:
    mine = json_of(post(door.client, make_body()))
    other = json_of(post(door.client, make_body()))

    assert _show(door, mine["id"], mine["receipt"]).status_code == 200
    assert (
        door.client.get(
            f"/api/v1/comments/{mine['id']}", query_string={"receipt": mine["receipt"]}
        ).status_code
        == 200
    )
    for wrong in (other["receipt"], mine["receipt"][:-1], f"{mine['receipt']}A", "rcp_", "", "é"):
        assert _show(door, mine["id"], wrong).status_code == 401
        query = {"receipt": wrong}
        answer = door.client.get(f"/api/v1/comments/{mine['id']}", query_string=query)
        assert answer.status_code == 401


def test_a_receipt_shows_neither_address_nor_score(door: Door) -> None:
    mine = json_of(post(door.client, make_body()))

    seen = json_of(_show(door, mine["id"], mine["receipt"]))

    assert seen.keys() == {
        "id", "status", "version", "page_url", "parent_id", "name", "url", "body", "html",
        "created_at", "edited_at", "editable_until", "appealed_at", "decision",
        "confirmable",
    }  # fmt: skip


def test_a_receipt_of_another_installation_is_none(
    door: Door, make_app: Callable[..., flask.Flask]
) -> None:
    mine = json_of(post(door.client, make_body()))
    elsewhere = make_app(HAMGATE_SECRET="x" * 32).test_client()

    answer = elsewhere.get(f"/api/v1/comments/{mine['id']}", query_string=mine)

    assert answer.status_code == 401


def test_without_prefer_the_answer_does_not_wait(door: Door) -> None:
    with _at_once():
        answer = post(door.client, make_body())

    assert answer.status_code == 202
    assert "Preference-Applied" not in answer.headers


@pytest.mark.parametrize(
    "preference",
    [
        "wait", "wait=", "wait=x", "wait=-5", "wait=0", "wait=5.5", "wait=²", "wait=5e0", "wait;=5",
        "respond-async", "wait 5", "=5", ",,;;==", 'wait="', "waiting=5", "x; wait=5",
    ],
    ids=ascii,
)  # fmt: skip
def test_a_preference_that_cannot_be_read_is_ignored(door: Door, preference: str) -> None:
    with _at_once():
        answer = post(door.client, make_body(), Prefer=preference)

    assert answer.status_code == 202


def test_of_two_preferences_to_wait_the_first_counts(door: Door) -> None:
    with _at_once():
        answer = post(door.client, make_body(), Prefer="wait=0, wait=5")

    assert answer.status_code == 202


def test_a_decision_that_does_not_come_is_not_waited_for_longer_than_asked(door: Door) -> None:
    began = time.monotonic()

    answer = post(door.client, make_body(), Prefer="wait=1")

    assert answer.status_code == 202
    assert json_of(answer).keys() == {"id", "status", "receipt"}
    assert "Preference-Applied" not in answer.headers
    assert 0.5 < time.monotonic() - began < 4.5


@pytest.mark.parametrize(
    "preference",
    ["wait=5", 'wait="5"', "WAIT = 5", "respond-async, wait=5", "wait=5; x=y", "wait=" + "9" * 400],
)
def test_a_decision_that_comes_in_time_is_answered(
    door: Door, scorer: Scorer, settings: Settings, preference: str
) -> None:
    with _draining(door.database, scorer, settings):
        answer = post(door.client, make_body(body=HAM), Prefer=preference)

    assert answer.status_code == 201
    assert answer.headers["Preference-Applied"] == "wait"
    given = json_of(answer)
    assert answer.headers["Location"] == f"/api/v1/comments/{given['id']}"
    assert given["status"] == given["decision"]["status"]
    assert given["decision"].keys() == {"status", "actor", "rule", "reason", "decided_at"}
    assert (given["decision"]["actor"], given["version"]) == ("policy", 2)
    assert _show(door, given["id"], given["receipt"]).status_code == 200


def test_a_held_comment_is_answered_in_time_as_well_with_the_reason(
    door: Door, scorer: Scorer, settings: Settings
) -> None:
    with _draining(door.database, scorer, settings):
        answer = post(door.client, make_body(honeypot="x"), Prefer="wait=5")

    assert answer.status_code == 201
    assert json_of(answer)["status"] == "pending"
    assert json_of(answer)["decision"]["rule"] == "honeypot"


def test_those_who_wait_never_fill_all_threads(make_app: Callable[..., flask.Flask]) -> None:
    app = make_app(HAMGATE_WEB_THREADS="4")
    make_site(database_of(app))
    waiting: threading.Semaphore = app.extensions["hamgate"].waiting
    places = 0
    while waiting.acquire(blocking=False):
        places += 1

    with _at_once():
        answer = post(app.test_client(), make_body(), Prefer="wait=5")

    assert places == 2
    assert answer.status_code == 202


def test_a_ledger_that_goes_away_while_waiting_does_not_turn_a_202_into_a_503(
    client: FlaskClient, database: Database, settings: Settings, postgres_url: str
) -> None:
    make_site(database)
    answers: list[TestResponse] = []
    waiting = threading.Thread(
        target=lambda: answers.append(post(client, make_body(), Prefer="wait=5"))
    )
    waiting.start()
    wait_until(lambda: _count(database) == 1)

    if database.engine.dialect.name == "sqlite":
        with database.transaction() as session:
            session.execute(text("ALTER TABLE comments RENAME TO gone"))
    else:
        name = settings.sqlalchemy_url.partition("?")[0].rpartition("/")[2]
        with psycopg.connect(postgres_url, autocommit=True) as connection:
            connection.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name]
            )
    waiting.join()

    assert answers[0].status_code == 202


def _show(door: Door, comment_id: str, receipt: str) -> TestResponse:
    return door.client.get(
        f"/api/v1/comments/{comment_id}", headers={"Authorization": f"Receipt {receipt}"}
    )


@contextlib.contextmanager
def _at_once() -> Iterator[None]:
    """Fail if the block takes as long as the five seconds that a caller may wait."""
    began = time.monotonic()
    yield
    assert time.monotonic() - began < 4


@contextlib.contextmanager
def _draining(database: Database, scorer: Scorer, settings: Settings) -> Iterator[None]:
    """Have a worker drain in another thread."""
    ended = threading.Event()

    def drain() -> None:
        while not ended.wait(0.01):
            classification.drain(database, scorer, settings)

    worker = threading.Thread(target=drain)
    worker.start()
    try:
        yield
    finally:
        ended.set()
        worker.join()


def _count(database: Database) -> int:
    with database.reading() as session:
        return len(session.scalars(select(Comment.id)).all())
