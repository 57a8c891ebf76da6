"""The same Idempotency-Key or external id gives the same comment, whoever races whom."""

import json
import os
import threading
from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar

import pytest
from flask.testing import FlaskClient
from sqlalchemy import func, select, update
from werkzeug.test import TestResponse

from service.app import create_app
from service.base.config import Settings
from service.base.errors import Closed, Duplicate, Invalid
from service.core import comments
from service.core.comments import Accepted, Submission
from service.core.sites import SiteView
from service.ledger.db import Database, GroupCommit
from service.ledger.models import COMMENTS, THREADS
from service.pure.policy import Status
from tests.cast import bearer, json_of, make_body, make_key, make_site, make_submission, post
from tests.conftest import Door, database_of

_THREADS = 32
R = TypeVar("R")
_UUID = "8e03978e-40d5-43dd-bc93-6894a57f9324"


def test_the_same_key_and_body_is_the_same_comment(door: Door) -> None:
    first = post(door.client, make_body(), Idempotency_Key=f'"{_UUID}"')
    again = post(door.client, make_body(), Idempotency_Key=f'"{_UUID}"')

    assert first.status_code == again.status_code == 202
    assert json_of(first) == json_of(again)
    assert first.headers["Location"] == again.headers["Location"]


def test_the_same_body_without_a_key_is_another_comment(door: Door) -> None:
    first, again = (json_of(post(door.client, make_body()))["id"] for _ in range(2))

    assert first != again


@pytest.mark.parametrize(
    "change",
    [
        {"body": "Another text."}, {"name": "Bob"}, {"email": "Ada@example.org"},
        {"page_url": "https://blog.example.org/second-post"}, {"page_title": "None"},
        {"url": "https://ada.example.org/"}, {"external_id": "e-1"},
    ],
    ids=repr,
)  # fmt: skip
def test_the_same_key_with_another_body_is_refused(door: Door, change: dict[str, Any]) -> None:
    post(door.client, make_body(), Idempotency_Key="reused")

    answer = post(door.client, make_body(**change), Idempotency_Key="reused")

    assert answer.status_code == 422
    assert json_of(answer)["type"] == "/problems/key-reused"


def test_a_body_that_is_written_otherwise_is_the_same_body(door: Door) -> None:
    first = post(door.client, make_body(), Idempotency_Key="respelt")

    spelt = make_body(page_title="", page_url="HTTPS://BLOG.example.org/first-post#top")
    again = post(door.client, dict(reversed(spelt.items())), Idempotency_Key="respelt")

    assert json_of(first)["id"] == json_of(again)["id"]


def test_a_time_in_another_zone_is_the_same_time(door: Door) -> None:
    ids = set()
    for written in ("2026-01-31T12:00:00Z", "2026-01-31T13:00:00+01:00"):
        body = make_body(submitted_at=written)
        ids.add(json_of(_post_with_key(door.client, door.key, body, "zoned"))["id"])

    assert len(ids) == 1


def test_a_key_in_quotes_is_the_same_as_without(door: Door) -> None:
    given = {
        json_of(post(door.client, make_body(), Idempotency_Key=written))["id"]
        for written in ("quoted", '"quoted"', '  "quoted" ')
    }

    assert len(given) == 1


@pytest.mark.parametrize("key", ["x" * 255, "x", '"', "a b", 'a"b', "-"], ids=len)
def test_a_key_of_1_to_255_ascii_characters_is_taken(door: Door, key: str) -> None:
    given = {
        json_of(_post_with_key(door.client, door.key, make_body(), key))["id"] for _ in range(2)
    }

    assert len(given) == 1


@pytest.mark.parametrize(
    "key", ["", " ", '""', "x" * 256, '"' + "x" * 256 + '"', "clé", "a\tb", "a\x01b"], ids=ascii
)
def test_a_key_that_is_none_is_malformed(door: Door, key: str) -> None:
    answer = post(door.client, make_body(), Idempotency_Key=key)

    assert answer.status_code == 400
    assert json_of(answer)["type"] == "/problems/malformed"


def test_a_key_is_the_callers_own(door: Door) -> None:
    other_key = make_key(door.database, door.site)
    other_site = make_site(door.database, "other")
    elsewhere = make_key(door.database, other_site)

    given = {
        json_of(post(door.client, make_body(), Idempotency_Key="own"))["id"],
        json_of(post(door.client, make_body(), "other", Idempotency_Key="own"))["id"],
        json_of(_post_with_key(door.client, door.key, make_body(), "own"))["id"],
        json_of(_post_with_key(door.client, other_key, make_body(), "own"))["id"],
        json_of(_post_with_key(door.client, elsewhere, make_body(), "own", "other"))["id"],
    }

    assert len(given) == 5


def test_an_invalid_request_does_not_take_the_key(door: Door) -> None:
    assert post(door.client, make_body(name=None), Idempotency_Key="mended").status_code == 422

    assert post(door.client, make_body(), Idempotency_Key="mended").status_code == 202


def test_a_repeated_request_is_answered_with_what_became_of_the_comment(door: Door) -> None:
    first = json_of(post(door.client, make_body(), Idempotency_Key="decided"))
    door.client.post(
        f"/api/v1/comments/{first['id']}/decisions",
        json={"status": "approved", "seen_version": 1},
        headers=bearer(door.key),
    )

    again = post(door.client, make_body(), Idempotency_Key="decided")
    waited = post(door.client, make_body(), Idempotency_Key="decided", Prefer="wait=5")

    assert json_of(again) == {**first, "status": "approved"}
    assert waited.status_code == 201
    assert json_of(waited)["decision"]["status"] == "approved"


def test_the_same_external_id_and_content_is_the_same_comment(door: Door) -> None:
    body = make_body(external_id="wp-1")

    given = {json_of(post(door.client, body))["id"] for _ in range(2)}

    assert len(given) == 1


def test_the_same_external_id_with_other_content_is_a_duplicate(door: Door) -> None:
    first = json_of(post(door.client, make_body(external_id="wp-2")))["id"]

    answer = post(door.client, make_body(external_id="wp-2", body="Another text."))

    assert answer.status_code == 409
    assert json_of(answer)["type"] == "/problems/duplicate"
    assert first in json_of(answer)["detail"]


def test_another_site_has_external_ids_of_its_own(door: Door) -> None:
    make_site(door.database, "third")
    body = make_body(external_id="wp-3")

    assert json_of(post(door.client, body))["id"] != json_of(post(door.client, body, "third"))["id"]


def test_where_key_and_external_id_are_taken_the_key_answers(door: Door) -> None:
    keyed = json_of(post(door.client, make_body(), Idempotency_Key="both"))["id"]
    named = json_of(post(door.client, make_body(external_id="both")))["id"]

    both = post(door.client, make_body(external_id="both"), Idempotency_Key="both")
    new_key = post(door.client, make_body(external_id="both"), Idempotency_Key="both-2")

    assert keyed != named
    assert json_of(both)["type"] == "/problems/key-reused"
    assert json_of(new_key)["id"] == named


def test_a_key_that_races_itself_makes_one_comment(door: Door) -> None:
    before = _count(door.database)

    answers = _at_once(
        lambda _: post(door.app.test_client(), make_body(), Idempotency_Key="race"), _THREADS
    )

    assert {answer.status_code for answer in answers} == {202}
    assert len({json_of(answer)["id"] for answer in answers}) == 1
    assert _count(door.database) == before + 1


def test_a_key_that_races_itself_with_two_bodies_makes_one_comment(door: Door) -> None:
    before = _count(door.database)

    answers = _at_once(
        lambda number: post(
            door.app.test_client(), make_body(body=f"Text {number % 2}."), Idempotency_Key="two"
        ),
        _THREADS,
    )

    statuses = [answer.status_code for answer in answers]
    assert statuses.count(202) == statuses.count(422) == _THREADS // 2
    assert len({json_of(a)["id"] for a in answers if a.status_code == 202}) == 1
    assert _count(door.database) == before + 1


def test_an_external_id_that_races_itself_makes_one_comment(door: Door) -> None:
    answers = _at_once(
        lambda _: post(door.app.test_client(), make_body(external_id="race")), _THREADS
    )

    assert {answer.status_code for answer in answers} == {202}
    assert len({json_of(answer)["id"] for answer in answers}) == 1


def test_a_key_that_races_itself_in_several_processes_makes_one_comment(
    make_settings: Callable[..., Settings],
) -> None:
    settings = make_settings(HAMGATE_LIMIT_ADDRESS="9999/second", HAMGATE_LIMIT_EMAIL="9999/second")
    app = create_app(settings)
    make_site(database_of(app))
    database_of(app).close()  # connections are not for children

    given = _in_processes(4, lambda: _ids_of_a_race(settings))
    database = database_of(app)
    stored = _count(database)
    database.close()

    assert len(given) == 4 * 8
    assert len(set(given)) == stored == 1


def _ids_of_a_race(settings: Settings) -> list[str]:
    app = create_app(settings)
    answers = _at_once(
        lambda _: post(app.test_client(), make_body(external_id="x"), Idempotency_Key="processes"),
        8,
    )
    return [json_of(answer)["id"] for answer in answers]


def test_one_bad_item_does_not_take_its_group_with_it(database: Database) -> None:
    site = make_site(database)
    write = GroupCommit(database, comments.submit)
    naive = datetime(2026, 1, 31)  # noqa: DTZ001 - what the ledger refuses to store is the point
    items = [make_submission(site, body=f"Text {number}.") for number in range(_THREADS)]
    items[7] = make_submission(site, submitted_at=naive)

    outcome = _write_together(database, write, items)

    assert isinstance(outcome.pop(7), Exception)
    assert all(isinstance(entry, Accepted) for entry in outcome)
    assert _count(database) == _THREADS - 1


def test_a_refusal_in_a_group_is_that_items_alone(database: Database) -> None:
    site = make_site(database)
    write = GroupCommit(database, comments.submit)
    _close(database, site, "https://blog.example.org/closed")
    write(make_submission(site, external_id="taken"))
    stored = _count(database)
    items = [make_submission(site, body=f"Text {number}.") for number in range(_THREADS)]
    items[3] = make_submission(site, page_url="https://blog.example.org/closed")
    items[5] = make_submission(site, parent_id="cmt_none")
    items[7] = make_submission(site, external_id="taken", body="Another text.")
    items[9] = make_submission(site, external_id="taken")

    outcome = _write_together(database, write, items)

    assert isinstance(outcome[3], Closed)
    assert isinstance(outcome[5], Invalid)
    assert isinstance(outcome[7], Duplicate)
    assert isinstance(outcome[9], Accepted)
    assert outcome[9].repeated
    assert sum(isinstance(entry, Accepted) for entry in outcome) == _THREADS - 3
    assert _count(database) == stored + _THREADS - 4


def test_the_same_key_twice_in_one_group_makes_one_comment(database: Database) -> None:
    site = make_site(database)
    same = make_submission(site, idempotency_key="k")
    other = make_submission(site, idempotency_key="k", body="Another text.")

    with database.transaction() as session:
        first, second, third = comments.submit(session.connection(), [same, same, other])

    assert isinstance(first, Accepted)
    assert second == Accepted(first.id, Status.PENDING, repeated=True)
    assert not isinstance(third, Accepted)
    assert _count(database) == 1


def _write_together(
    database: Database, write: GroupCommit[Submission, Accepted], items: list[Submission]
) -> list[Accepted | Exception]:
    """Write items from as many threads, held back until all of them wait."""
    outcome: dict[int, Accepted | Exception] = {}

    def one(number: int) -> None:
        try:
            outcome[number] = write(items[number])
        except Exception as error:  # noqa: BLE001 - what it raised is what the test looks at
            outcome[number] = error

    _at_once(one, len(items))
    return [outcome[number] for number in range(len(items))]


def _at_once(call: Callable[[int], R], count: int) -> list[R]:
    """Call from as many threads, which start together."""
    start = threading.Barrier(count)
    results: list[R] = []

    def run(number: int) -> None:
        start.wait()
        results.append(call(number))

    threads = [threading.Thread(target=run, args=[number]) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == count
    return results


def _in_processes(count: int, call: Callable[[], list[str]]) -> list[str]:
    """Call in as many forked children, which start together, and give all they gave."""
    gate, opener = os.pipe()
    children: list[tuple[int, int]] = []
    for _ in range(count):
        answers, answer = os.pipe()
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                os.close(opener)
                os.read(gate, 1)
                os.write(answer, json.dumps(call()).encode())
                code = 0
            finally:
                os._exit(code)
        os.close(answer)
        children.append((pid, answers))
    os.close(opener)
    os.close(gate)
    given: list[str] = []
    for pid, answers in children:
        with os.fdopen(answers) as file:
            given += json.loads(file.read() or "[]")
        assert os.waitpid(pid, 0)[1] == 0
    return given


def _close(database: Database, site: SiteView, page_url: str) -> None:
    with database.transaction() as session:
        comments.submit(session.connection(), [make_submission(site, page_url=page_url)])
        session.execute(update(THREADS).values(closed=True))


def _count(database: Database) -> int:
    with database.reading() as session:
        return session.scalar(select(func.count()).select_from(COMMENTS)) or 0


def _post_with_key(
    client: FlaskClient, api_key: str, body: Any, key: str, slug: str = "blog"
) -> TestResponse:
    return client.post(
        f"/api/v1/sites/{slug}/comments",
        json=body,
        headers={**bearer(api_key), "Idempotency-Key": key},
    )
