"""Objections: who may object to what, and that only a person's decision answers."""

from typing import Any

import flask
import pytest
from flask.testing import FlaskClient
from sqlalchemy import select
from werkzeug.test import TestResponse

from service.base.config import Settings
from service.core import comments, moderation, objections
from service.core.moderators import Role
from service.core.sites import SiteView
from service.ledger.db import Database, new_id
from service.ledger.models import OBJECTIONS
from service.pure.policy import Status
from service.pure.scoring import Scorer
from tests.browsing import Browser, make_moderator
from tests.cast import HAM, ORIGIN, decide, make_body, make_comment, make_site, post, status_of
from workers import classification


@pytest.fixture
def site(database: Database) -> SiteView:
    return make_site(database)


def report(
    client: FlaskClient,
    comment_id: str,
    reason: str = "it insults me",
    *,
    address: str = "192.0.2.1",
    origin: str = ORIGIN,
) -> TestResponse:
    return client.post(
        f"/api/v1/comments/{comment_id}/reports",
        json={"reason": reason},
        headers={"Origin": origin},
        environ_base={"REMOTE_ADDR": address},
    )


def appeal(client: FlaskClient, sent: dict[str, Any], reason: str = "read it again") -> Any:
    return client.post(
        f"/api/v1/comments/{sent['id']}/appeals",
        json={"reason": reason},
        headers={"Authorization": f"Receipt {sent['receipt']}", "Origin": ORIGIN},
    )


def submitted(client: FlaskClient, database: Database, status: Status) -> dict[str, Any]:
    sent: dict[str, Any] = post(client, make_body()).json or {}
    decide(database, [sent["id"]], status)
    return sent


def waiting(database: Database, site: SiteView) -> dict[str, list[str]]:
    with database.reading() as session:
        found = objections.waiting(session, site.id)
    return {comment: [one.reason for one in those] for comment, those in found.items()}


def test_a_report_waits_for_a_person_and_changes_nothing(
    client: FlaskClient, database: Database, site: SiteView
) -> None:
    comment = make_comment(database, site)
    decide(database, [comment], Status.APPROVED)

    answer = report(client, comment)

    assert (answer.status_code, answer.data) == (204, b"")
    assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert status_of(database, comment) is Status.APPROVED
    assert waiting(database, site) == {comment: ["it insults me"]}


def test_a_reader_counts_once_and_ten_are_enough(
    client: FlaskClient, database: Database, site: SiteView
) -> None:
    comment = make_comment(database, site)
    decide(database, [comment], Status.APPROVED)

    for number in (1, 1, *range(1, 15)):
        assert report(client, comment, address=f"192.0.2.{number}").status_code == 204

    assert len(waiting(database, site)[comment]) == 10
    with database.reading() as session:
        sources = session.scalars(select(OBJECTIONS.c.source)).all()
    assert len(set(sources)) == 10
    assert not any("192.0.2" in source for source in sources)


def test_readers_of_one_comment_cannot_be_known_again_at_another(
    client: FlaskClient, database: Database, site: SiteView
) -> None:
    both = [make_comment(database, site) for _ in range(2)]
    decide(database, both, Status.APPROVED)

    for comment in both:
        report(client, comment)

    with database.reading() as session:
        assert len(set(session.scalars(select(OBJECTIONS.c.source)))) == 2


@pytest.mark.parametrize("status", [Status.PENDING, Status.SPAM, Status.REJECTED])
def test_what_is_not_public_cannot_be_reported(
    client: FlaskClient, database: Database, site: SiteView, status: Status
) -> None:
    comment = make_comment(database, site)
    if status is not Status.PENDING:
        decide(database, [comment], status)

    told = report(client, comment)
    nothing = report(client, "cmt_none")

    assert (told.status_code, nothing.status_code) == (404, 404)
    assert (told.json or {})["detail"] == (nothing.json or {})["detail"]
    assert waiting(database, site) == {}


@pytest.mark.parametrize("origin", ["https://elsewhere.example", "null"])
def test_other_origins_cannot_report(
    client: FlaskClient, database: Database, site: SiteView, origin: str
) -> None:
    comment = make_comment(database, site)
    decide(database, [comment], Status.APPROVED)

    assert report(client, comment, origin=origin).status_code == 404
    assert waiting(database, site) == {}


@pytest.mark.parametrize("reason", ["", "   ", "x" * 1001, None, 7])
def test_a_report_needs_some_words(
    client: FlaskClient, database: Database, site: SiteView, reason: Any
) -> None:
    comment = make_comment(database, site)
    decide(database, [comment], Status.APPROVED)

    answer = report(client, comment, reason)

    assert answer.status_code == 422
    assert (answer.json or {})["errors"][0]["pointer"] == "/reason"


@pytest.mark.parametrize("verdict", [Status.APPROVED, Status.SPAM, Status.REJECTED])
def test_whatever_a_person_decides_answers_all(
    client: FlaskClient, database: Database, site: SiteView, verdict: Status
) -> None:
    comment = make_comment(database, site)
    decide(database, [comment], Status.APPROVED)
    for number in range(3):
        report(client, comment, address=f"192.0.2.{number}")

    decide(database, [comment], verdict)

    assert waiting(database, site) == {}
    with database.reading() as session:
        assert len(objections.of_comment(session, comment)) == 3


def test_what_is_undone_is_open_again(
    client: FlaskClient, database: Database, site: SiteView
) -> None:
    comment = make_comment(database, site)
    decide(database, [comment], Status.APPROVED)
    report(client, comment)
    act = new_id("act")
    decide(database, [comment], Status.SPAM, act_id=act)
    assert waiting(database, site) == {}

    with database.transaction() as session:
        moderation.undo(session, site.id, act, "moderator:ada")

    assert waiting(database, site) == {comment: ["it insults me"]}


def test_a_machine_answers_nobody(
    client: FlaskClient, database: Database, site: SiteView, scorer: Scorer, settings: Settings
) -> None:
    sent: dict[str, Any] = post(client, make_body(body=HAM)).json or {}
    classification.drain(database, scorer, settings)
    report(client, sent["id"])
    headers = {"Authorization": f"Receipt {sent['receipt']}", "Origin": ORIGIN}
    path = f"/api/v1/comments/{sent['id']}"
    client.patch(path, json={"body": f"{HAM} Indeed."}, headers=headers)
    classification.drain(database, scorer, settings)
    assert status_of(database, sent["id"]) is Status.APPROVED

    assert waiting(database, site) == {sent["id"]: ["it insults me"]}

    client.delete(path, headers=headers)

    assert waiting(database, site) == {}  # nothing is left to decide


@pytest.mark.parametrize("status", [Status.SPAM, Status.REJECTED])
def test_an_author_appeals_once(
    client: FlaskClient, database: Database, site: SiteView, status: Status
) -> None:
    sent = submitted(client, database, status)

    first = appeal(client, sent)
    again = appeal(client, sent, "and again")

    assert (first.status_code, again.status_code) == (200, 200)
    assert first.json["status"] == status
    assert first.json["appealed_at"] == again.json["appealed_at"] is not None
    assert waiting(database, site) == {sent["id"]: ["read it again"]}


def test_there_is_no_appeal_against_what_was_not_refused(
    client: FlaskClient, database: Database, site: SiteView
) -> None:
    sent = submitted(client, database, Status.APPROVED)

    assert appeal(client, sent).status_code == 403
    assert waiting(database, site) == {}


def test_only_the_author_appeals(client: FlaskClient, database: Database, site: SiteView) -> None:
    sent = submitted(client, database, Status.SPAM)
    other = submitted(client, database, Status.SPAM)

    assert appeal(client, {**sent, "receipt": other["receipt"]}).status_code == 401


def test_sites_see_their_own_alone(client: FlaskClient, database: Database, site: SiteView) -> None:
    comment = make_comment(database, site)
    decide(database, [comment], Status.APPROVED)
    report(client, comment)

    assert waiting(database, make_site(database, "other")) == {}


def test_the_dashboard_leads_from_the_queue_to_an_answer(
    app: flask.Flask, client: FlaskClient, database: Database, site: SiteView
) -> None:
    sent = submitted(client, database, Status.SPAM)
    appeal(client, sent, "I am <b>no</b> robot")
    make_moderator(database, site, Role.MODERATOR)
    browser = Browser(app)
    browser.sign_in()
    assert "Reports and appeals: 1" in browser.get("/dashboard/sites/blog/queue").text

    page = browser.get("/dashboard/sites/blog/queue/objections").text

    assert "The author appeals" in page
    assert "I am &lt;b&gt;no&lt;/b&gt; robot" in page
    with database.reading() as session:
        version = comments.get(session, sent["id"]).version
    browser.post(
        "/dashboard/sites/blog/decisions",
        item=f"{sent['id']}:{version}",
        status="approved",
        back="/dashboard/sites/blog/queue/objections",
    )
    assert status_of(database, sent["id"]) is Status.APPROVED
    assert "1 approved" in browser.page.text
    assert "The author appeals" not in browser.page.text
    assert "The author appeals" in browser.get(f"/dashboard/sites/blog/comments/{sent['id']}").text
