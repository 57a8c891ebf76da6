"""Submitting a comment over HTTP: what is taken, what is refused, and in which words."""

from flask.testing import FlaskClient

from service.db import Database
from tests.cast import make_body, make_site, post


def test_a_valid_comment_is_accepted_with_a_receipt(
    client: FlaskClient, database: Database
) -> None:
    make_site(database)

    answer = post(client, make_body())

    assert answer.status_code == 202
    assert answer.json is not None
    assert answer.json["status"] == "pending"
    assert answer.headers["Location"] == f"/api/v1/comments/{answer.json['id']}"
    own = client.get(
        answer.headers["Location"],
        headers={"Authorization": f"Receipt {answer.json['receipt']}"},
    )
    assert own.status_code == 200
    assert own.json is not None
    assert own.json["decision"] is None


def test_every_bad_field_is_named_at_once(client: FlaskClient, database: Database) -> None:
    make_site(database)

    answer = post(client, {"page_url": "nowhere", "name": "\u200b", "email": "ada@", "extra": 1})

    assert answer.status_code == 422
    assert answer.content_type == "application/problem+json"
    assert answer.json is not None
    assert {fault["pointer"] for fault in answer.json["errors"]} == {
        "/page_url",
        "/name",
        "/email",
        "/body",
        "/extra",
    }
