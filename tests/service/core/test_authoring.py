"""What authors do with their own comments: edit for a while, withdraw, nobody else's."""

from datetime import timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import update
from werkzeug.test import TestResponse

from service.base.config import Settings
from service.base.errors import Stale
from service.core import comments, moderation
from service.core.moderation import Ballot
from service.core.sites import SiteView
from service.ledger.db import Database, utc_now
from service.ledger.models import COMMENTS
from service.pure.policy import Status
from service.pure.scoring import Scorer
from tests.cast import (
    HAM,
    ORIGIN,
    PAGE,
    SPAM,
    decide,
    decisions_by_comment,
    make_body,
    make_comment,
    make_site,
    post,
    status_of,
)
from workers import classification


@pytest.fixture
def site(database: Database) -> SiteView:
    return make_site(database)


class Author:
    """Somebody who has submitted a comment and kept the receipt."""

    def __init__(self, client: FlaskClient, **changes: Any) -> None:
        self._client = client
        answer = post(client, make_body(**changes)).json or {}
        self.id: str = answer["id"]
        self._headers = {"Authorization": f"Receipt {answer['receipt']}", "Origin": ORIGIN}

    def edit(self, body: str, comment_id: str | None = None) -> TestResponse:
        path = f"/api/v1/comments/{comment_id or self.id}"
        return self._client.patch(path, json={"body": body}, headers=self._headers)

    def withdraw(self, comment_id: str | None = None) -> TestResponse:
        path = f"/api/v1/comments/{comment_id or self.id}"
        return self._client.delete(path, headers=self._headers)

    def look(self) -> dict[str, Any]:
        answer = self._client.get(f"/api/v1/comments/{self.id}", headers=self._headers)
        assert answer.status_code == 200
        return answer.json or {}


@pytest.fixture
def author(client: FlaskClient, site: SiteView) -> Author:
    return Author(client)


def test_an_approved_text_that_is_edited_is_judged_again(
    author: Author, client: FlaskClient, database: Database, scorer: Scorer, settings: Settings
) -> None:
    classification.drain(database, scorer, settings)
    assert status_of(database, author.id) is Status.APPROVED

    answer = author.edit(SPAM)

    assert (answer.status_code, (answer.json or {})["status"]) == (200, "pending")
    assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN
    thread = client.get(f"/api/v1/sites/blog/thread?page_url={PAGE}").json or {}
    assert thread["comments"] == []  # neither the old text nor the new one is public
    classification.drain(database, scorer, settings)
    assert status_of(database, author.id) is Status.SPAM
    found = decisions_by_comment(database)[author.id]
    assert [(one.actor, one.status, one.comment_revision) for one in found] == [
        ("policy", "approved", 1),
        ("author", "pending", 1),
        ("policy", "spam", 2),
    ]


def test_a_good_edit_is_public_again_and_says_so(
    author: Author, client: FlaskClient, database: Database, scorer: Scorer, settings: Settings
) -> None:
    author.edit("Thank you; the *third* step was what I had missed.")
    classification.drain(database, scorer, settings)

    thread = client.get(f"/api/v1/sites/blog/thread?page_url={PAGE}").json or {}

    (comment,) = thread["comments"]
    assert "<em>third</em>" in comment["html"]
    assert comment["edited_at"] is not None


def test_the_same_text_again_changes_nothing(author: Author) -> None:
    before = author.look()

    assert author.edit(before["body"]).status_code == 200
    assert author.look() == before


def test_a_verdict_on_the_old_text_comes_too_late(author: Author, database: Database) -> None:
    with database.reading() as session:
        seen = comments.get(session, author.id).version
    author.edit("Another text.")
    with database.transaction() as session:
        (outcome,) = moderation.record(
            session, [Ballot(author.id, seen, Status.APPROVED, "policy", "no rule objected")]
        )

    assert isinstance(outcome, Stale)
    assert status_of(database, author.id) is Status.PENDING


def test_the_time_to_edit_ends(author: Author, database: Database) -> None:
    assert author.look()["editable_until"] is not None
    with database.transaction() as session:
        past = utc_now() - timedelta(minutes=16)
        session.execute(update(COMMENTS).values(created_at=past))

    answer = author.edit("Another text.")

    assert (answer.status_code, "15 minutes" in answer.text) == (403, True)


@pytest.mark.parametrize("status", [Status.SPAM, Status.REJECTED, Status.DELETED])
def test_what_was_refused_cannot_be_edited(
    author: Author, database: Database, status: Status
) -> None:
    decide(database, [author.id], status)

    assert author.look()["editable_until"] is None
    assert author.edit("Another text.").status_code == 403


@pytest.mark.parametrize("body", ["", " ", "x" * 10_001, None, 1])
def test_an_edit_is_checked_as_a_submission_is(author: Author, body: Any) -> None:
    assert author.edit(body).status_code == 422


def test_who_withdraws_takes_it_back_for_good(author: Author, database: Database) -> None:
    decide(database, [author.id], Status.APPROVED)

    answer = author.withdraw()

    assert (answer.status_code, (answer.json or {})["status"]) == (200, "deleted")
    assert author.withdraw().status_code == 200
    with database.transaction() as session:
        version = comments.get(session, author.id).version
        (outcome,) = moderation.record(
            session, [Ballot(author.id, version, Status.APPROVED, "moderator:m1", "")]
        )
    assert isinstance(outcome, Stale)  # nor does a moderator publish it again
    assert len(decisions_by_comment(database)[author.id]) == 2


def test_nobody_edits_or_withdraws_what_is_another_authors(
    author: Author, database: Database, site: SiteView
) -> None:
    others = make_comment(database, site, body=HAM)

    assert author.edit("Mine now.", others).status_code == 401
    assert author.withdraw(others).status_code == 401
    assert author.withdraw("cmt_none").status_code == 401
    assert status_of(database, others) is Status.PENDING


def test_a_page_may_ask_for_it(client: FlaskClient, author: Author) -> None:
    answer = client.options(
        f"/api/v1/comments/{author.id}",
        headers={"Origin": ORIGIN, "Access-Control-Request-Method": "PATCH"},
    )

    assert answer.status_code == 204
    assert {"PATCH", "DELETE"} <= set(answer.headers["Access-Control-Allow-Methods"].split(", "))
