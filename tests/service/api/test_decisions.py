"""Decisions over HTTP: recorded once, by whoever saw the comment as it is."""

import threading
from typing import Any

import pytest
from werkzeug.test import TestResponse

from service.base.config import Settings
from service.core import moderation
from service.core.moderation import Ballot
from service.ledger.models import POLICY_ACTOR
from service.pure.policy import Status
from service.pure.scoring import Scorer
from tests.cast import (
    ORIGIN,
    bearer,
    faults,
    json_of,
    make_body,
    make_comment,
    make_key,
    make_site,
    post,
    status_of,
)
from tests.conftest import Door
from workers import classification


def test_a_decision_is_recorded_with_who_and_why(door: Door) -> None:
    comment = make_comment(door.database, door.site)

    answer = _decide(door, comment, status="approved", reason="On topic.")

    assert answer.status_code == 201
    given = json_of(answer)
    assert given["id"].startswith("dec_")
    assert given["actor"].startswith("key:key_")
    assert (given["old_status"], given["status"]) == ("pending", "approved")
    assert (given["reason"], given["rule"]) == ("On topic.", None)
    assert (given["score"], given["model_version"], given["clues"]) == (None, None, [])
    seen = _show(door, comment)
    assert (seen["status"], seen["version"], seen["decision"]) == ("approved", 2, given)


@pytest.mark.parametrize("status", ["approved", "rejected", "spam", "pending"])
def test_every_status_but_deleted_may_be_decided(door: Door, status: str) -> None:
    comment = make_comment(door.database, door.site)

    assert _decide(door, comment, status=status).status_code == 201
    assert _show(door, comment)["status"] == status


@pytest.mark.parametrize("reason", [None, "", "  "], ids=repr)
def test_a_decision_needs_no_reason(door: Door, reason: str | None) -> None:
    comment = make_comment(door.database, door.site)

    assert json_of(_decide(door, comment, reason=reason))["reason"] == ""


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("status", "deleted"), ("status", "ham"), ("status", ""), ("status", None), ("status", 1),
        ("seen_version", 0), ("seen_version", -1), ("seen_version", "1"), ("seen_version", 1.0),
        ("seen_version", True), ("seen_version", None), ("reason", "x" * 1001), ("reason", "\x00"),
        ("reason", "\ud800"), ("reason", 1), ("actor", "policy"), ("score", 0.1),
    ],
    ids=ascii,
)  # fmt: skip
def test_a_decision_that_is_none_is_refused(door: Door, field: str, value: Any) -> None:
    comment = make_comment(door.database, door.site)

    assert set(faults(_decide(door, comment, **{field: value}))) == {f"/{field}"}
    assert _show(door, comment)["version"] == 1


def test_a_decision_on_what_changed_is_stale_and_does_nothing(door: Door) -> None:
    comment = make_comment(door.database, door.site)
    _decide(door, comment, status="rejected")

    for seen_version in (1, 3, 10**30):
        answer = _decide(door, comment, status="approved", seen_version=seen_version)
        assert answer.status_code == 409
        assert json_of(answer)["type"] == "/problems/stale"
        assert json_of(answer)["version"] == 2

    assert _show(door, comment)["status"] == "rejected"
    assert len(_history(door, comment)) == 1


def test_the_history_has_every_decision_oldest_first(door: Door) -> None:
    comment = make_comment(door.database, door.site)
    statuses = ["spam", "approved", "approved", "pending", "rejected"]
    for version, status in enumerate(statuses, 1):
        _decide(door, comment, status=status, seen_version=version, reason=f"No. {version}")

    history = _history(door, comment)

    assert [entry["status"] for entry in history] == statuses
    assert [entry["old_status"] for entry in history] == ["pending", *statuses[:-1]]
    assert [entry["reason"] for entry in history] == [f"No. {n}" for n in range(1, 6)]


def test_pending_puts_a_comment_back_into_the_queue_for_people_alone(
    door: Door, scorer: Scorer, settings: Settings
) -> None:
    site = make_site(door.database, "back")
    key = make_key(door.database, site)
    comment = make_comment(door.database, site)
    _decide(door, comment, key=key, status="approved")
    _decide(door, comment, key=key, status="pending", seen_version=2)

    classification.drain(door.database, scorer, settings)

    queue = _list(door, slug="back", key=key, status="pending")["comments"]
    assert [entry["id"] for entry in queue] == [comment]
    assert queue[0]["decision"]["actor"].startswith("key:")
    assert queue[0]["version"] == 3


def test_a_machine_that_comes_after_a_person_changes_nothing(door: Door) -> None:
    comment = make_comment(door.database, door.site)
    _decide(door, comment, status="rejected")

    for seen_version in (1, 2):
        ballot = Ballot(comment, seen_version, Status.APPROVED, POLICY_ACTOR, "", "otherwise")
        with door.database.transaction() as session:
            (outcome,) = moderation.record(session, [ballot])
        assert type(outcome).__name__ == "Stale"

    assert _show(door, comment)["status"] == "rejected"
    assert len(_history(door, comment)) == 1


def test_of_many_who_decide_at_once_one_is_heard(door: Door) -> None:
    comment = make_comment(door.database, door.site)
    answers: list[TestResponse] = []

    def decide(status: str) -> None:
        answers.append(_decide(door, comment, status=status))

    threads = [
        threading.Thread(target=decide, args=[status])
        for status in ["approved", "rejected", "spam"] * 4
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 11
    (decision,) = _history(door, comment)
    assert _show(door, comment)["status"] == decision["status"]


def test_people_and_machine_at_once_leave_one_history(
    door: Door, scorer: Scorer, settings: Settings
) -> None:
    site = make_site(door.database, "race")
    key = make_key(door.database, site)
    comments = [make_comment(door.database, site) for _ in range(10)]
    worker = threading.Thread(target=classification.drain, args=(door.database, scorer, settings))
    worker.start()
    answers = {comment: _decide(door, comment, key=key, status="rejected") for comment in comments}
    worker.join()

    for comment, answer in answers.items():
        history = _history(door, comment, key=key)
        if answer.status_code == 201:
            assert [entry["status"] for entry in history] == ["rejected"]
        else:
            assert answer.status_code == 409
            assert [entry["actor"] for entry in history] == [POLICY_ACTOR]


def test_the_author_sees_the_reason_but_not_whose_it_was(door: Door) -> None:
    mine = json_of(post(door.client, make_body()))
    _decide(door, mine["id"], status="rejected", reason="Please stay on topic.")

    seen = door.client.get(f"/api/v1/comments/{mine['id']}", query_string=mine)

    decision = json_of(seen)["decision"]
    assert (decision["actor"], decision["reason"]) == ("key", "Please stay on topic.")
    assert decision.keys() == {"status", "actor", "rule", "reason", "decided_at"}


def test_a_machines_decision_is_shown_to_keys_with_score_and_model(
    door: Door, scorer: Scorer, settings: Settings
) -> None:
    comment = make_comment(door.database, door.site)
    classification.drain(door.database, scorer, settings)

    decision = _show(door, comment)["decision"]

    assert decision["actor"] == "policy"
    if scorer.model is not None:
        assert 0 <= decision["score"] <= 1
        assert decision["model_version"] == scorer.model.version
        assert all(clue.keys() == {"label", "weight", "kind"} for clue in decision["clues"])


def test_of_500_decisions_each_is_answered_by_itself(door: Door) -> None:
    site = make_site(door.database, "bulk")
    key = make_key(door.database, site)
    good = [make_comment(door.database, site) for _ in range(3)]
    stale = make_comment(door.database, site)
    _decide(door, stale, key=key, status="spam")
    foreign = make_comment(door.database, door.site)
    sent = [
        *({"comment_id": comment, "status": "approved", "seen_version": 1} for comment in good),
        {"comment_id": stale, "status": "approved", "seen_version": 1},
        {"comment_id": foreign, "status": "approved", "seen_version": 1},
        {"comment_id": good[0], "status": "spam", "seen_version": 1, "reason": "twice"},
        {"comment_id": good[0], "status": "spam", "seen_version": 2, "reason": "twice"},
    ]
    sent += [
        {"comment_id": f"cmt_none{number}", "status": "spam", "seen_version": 1}
        for number in range(500 - len(sent))
    ]

    answer = door.client.post(
        "/api/v1/sites/bulk/decisions", json={"decisions": sent}, headers=bearer(key)
    )

    assert answer.status_code == 200
    results = json_of(answer)["results"]
    assert [entry["comment_id"] for entry in results] == [entry["comment_id"] for entry in sent]
    assert [_outcome(entry) for entry in results[:7]] == [
        "approved", "approved", "approved", "stale", "not-found", "stale", "spam",
    ]  # fmt: skip
    assert {_outcome(entry) for entry in results[7:]} == {"not-found"}
    assert results[3]["problem"]["version"] == 2
    assert status_of(door.database, foreign) is Status.PENDING
    assert [entry["status"] for entry in _history(door, good[0], key=key)] == ["approved", "spam"]
    assert _show(door, good[0], key=key)["version"] == 3


@pytest.mark.parametrize(
    ("decisions", "message"),
    [([], "at least 1"), (["{}"] * 501, "at most 500"), ({}, "list"), (None, "list")],
    ids=["none", "501", "object", "null"],
)
def test_none_and_more_than_500_decisions_are_refused(
    door: Door, decisions: Any, message: str
) -> None:
    if decisions:
        entry = {"comment_id": "cmt_none", "status": "spam", "seen_version": 1}
        decisions = [entry] * len(decisions)
    answer = door.client.post(
        "/api/v1/sites/blog/decisions", json={"decisions": decisions}, headers=bearer(door.key)
    )

    assert message in faults(answer)["/decisions"]


def test_a_bad_field_of_one_decision_refuses_them_all(door: Door) -> None:
    comment = make_comment(door.database, door.site)
    sent = [
        {"comment_id": comment, "status": "spam", "seen_version": 1},
        {"comment_id": "x" * 31, "status": "maybe"},
    ]

    answer = door.client.post(
        "/api/v1/sites/blog/decisions", json={"decisions": sent}, headers=bearer(door.key)
    )

    assert set(faults(answer)) == {
        "/decisions/1/comment_id", "/decisions/1/status", "/decisions/1/seen_version",
    }  # fmt: skip
    assert status_of(door.database, comment) is Status.PENDING


def test_a_list_has_the_newest_first_and_only_what_was_asked_for(door: Door) -> None:
    site = make_site(door.database, "list")
    key = make_key(door.database, site)
    page, other_page = f"{ORIGIN}/a", f"{ORIGIN}/b"
    # Sorted, since ids that are made within a millisecond are in no order.
    here = sorted(make_comment(door.database, site, page_url=page) for _ in range(3))
    there = sorted(make_comment(door.database, site, page_url=other_page) for _ in range(3))
    newest_first = sorted(here + there, reverse=True)
    make_comment(door.database, door.site, page_url=page)
    _decide(door, here[0], key=key, status="spam")

    def ids(**query: str) -> list[str]:
        found = _list(door, slug="list", key=key, **query)
        assert found["next_cursor"] is None
        return [entry["id"] for entry in found["comments"]]

    assert ids() == newest_first
    assert ids(status="", page_url="", cursor="") == newest_first
    assert ids(status="spam") == here[:1]
    assert ids(page_url=page) == here[::-1]
    assert ids(page_url=f"{page}?utm_source=x#top") == here[::-1]
    assert ids(page_url=page, status="pending") == [here[2], here[1]]
    assert ids(page_url=f"{ORIGIN}/none") == []


def test_pages_have_neither_gaps_nor_repeats_while_comments_arrive(door: Door) -> None:
    site = make_site(door.database, "pages")
    key = make_key(door.database, site)
    made = sorted(make_comment(door.database, site) for _ in range(23))
    walked: list[str] = []
    cursor = ""
    while True:
        page = _list(door, slug="pages", key=key, limit="4", cursor=cursor, status="pending")
        walked += [entry["id"] for entry in page["comments"]]
        make_comment(door.database, site)
        _decide(door, walked[-1], key=key, status="spam")
        if page["next_cursor"] is None:
            break
        cursor = page["next_cursor"]

    assert walked == made[::-1]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("status=ham", "status"), ("status=Spam", "status"), ("limit=0", "limit"),
        ("limit=101", "limit"), ("limit=x", "limit"), ("limit=", "limit"), ("cursor=%00", "cursor"),
        (f"cursor={'x' * 31}", "cursor"), ("page_url=x", "page_url"), ("sort=id", "sort"),
        ("status=spam&status=spam", "status"), ("page=%ED%A0%80", "page"),
    ],
)  # fmt: skip
def test_a_query_that_is_none_is_refused(door: Door, query: str, field: str) -> None:
    answer = door.client.get(f"/api/v1/sites/blog/comments?{query}", headers=bearer(door.key))

    assert set(faults(answer)) == {f"/{field}"}


@pytest.mark.parametrize("cursor", ["zzz", "cmt_none", "'", "%FF", "-"])
def test_a_cursor_of_ones_own_making_does_no_harm(door: Door, cursor: str) -> None:
    path = f"/api/v1/sites/blog/comments?cursor={cursor}"

    assert door.client.get(path, headers=bearer(door.key)).status_code == 200


@pytest.mark.parametrize(
    "part", ["%00", "cmt_%00", "cmt_x%00y", "%ED%A0%80", "%FF", "'", "x" * 999]
)
def test_an_id_that_can_be_none_is_not_found(door: Door, part: str) -> None:
    headers = bearer(door.key)
    decision = {"status": "spam", "seen_version": 1}

    assert door.client.get(f"/api/v1/comments/{part}", headers=headers).status_code == 404
    assert door.client.get(f"/api/v1/comments/{part}/decisions", headers=headers).status_code == 404
    answer = door.client.post(f"/api/v1/comments/{part}/decisions", json=decision, headers=headers)
    assert answer.status_code == 404
    assert door.client.get(f"/api/v1/sites/{part}/comments", headers=headers).status_code == 404
    assert post(door.client, make_body(), part).status_code == 404


def _decide(door: Door, comment_id: str, *, key: str = "", **changes: Any) -> TestResponse:
    sent = {"status": "approved", "seen_version": 1, **changes}
    return door.app.test_client().post(
        f"/api/v1/comments/{comment_id}/decisions", json=sent, headers=bearer(key or door.key)
    )


def _show(door: Door, comment_id: str, *, key: str = "") -> dict[str, Any]:
    return json_of(
        door.client.get(f"/api/v1/comments/{comment_id}", headers=bearer(key or door.key))
    )


def _history(door: Door, comment_id: str, *, key: str = "") -> list[dict[str, Any]]:
    answer = door.client.get(
        f"/api/v1/comments/{comment_id}/decisions", headers=bearer(key or door.key)
    )
    found: list[dict[str, Any]] = json_of(answer)["decisions"]
    return found


def _list(door: Door, *, slug: str, key: str, **query: str) -> dict[str, Any]:
    answer = door.client.get(
        f"/api/v1/sites/{slug}/comments", query_string=query, headers=bearer(key)
    )
    assert answer.status_code == 200, answer.text
    return json_of(answer)


def _outcome(result: dict[str, Any]) -> str:
    assert (result["decision"] is None) != (result["problem"] is None)
    if result["problem"] is not None:
        return str(result["problem"]["type"]).removeprefix("/problems/")
    return str(result["decision"]["status"])
