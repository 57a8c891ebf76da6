"""The outbox: what is told of what happens, to whom, and that it is told if and only if it did."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from sqlalchemy import select

from service.core import authoring, comments, confirmations, moderation, objections, sites, storms
from service.core.moderation import Ballot
from service.core.sites import SiteView
from service.core.webhooks import deliveries, endpoints, log
from service.judgement import versions
from service.ledger.db import Database, new_id, utc_now
from service.ledger.models import CONFIRMATIONS, DELIVERIES, EVENTS, ModelVersion
from service.pure import events
from service.pure.events import BODY_MOST_BYTES, EventType
from service.pure.policy import Policy, Status
from tests.cast import decide, make_comment, make_endpoint, make_site

PERSON = "moderator:mod_1"


@pytest.fixture
def site(database: Database) -> SiteView:
    return make_site(database)


@pytest.fixture
def told(database: Database, site: SiteView) -> Callable[[], list[dict[str, Any]]]:
    """Gives the bodies to the site's first endpoint, in order; each has to fit its schema."""
    endpoint_id, _ = make_endpoint(database, site)

    def read() -> list[dict[str, Any]]:
        return bodies(database, site, endpoint_id)

    return read


def bodies(database: Database, site: SiteView, endpoint_id: str) -> list[dict[str, Any]]:
    with database.reading() as session:
        entries = log.listing(session, site.id, endpoint_id=endpoint_id, most=100)
        written = [log.body(session, site.id, one.id) for one in entries]
    found = sorted((json.loads(one) for one in written), key=lambda one: one["sequence"])
    for one in found:
        schema = events.schema(EventType(one["type"]), "https://h.example/schemas")
        Draft202012Validator(schema).validate(one)
    return found


def types(found: list[dict[str, Any]]) -> list[str]:
    return [one["type"] for one in found]


def test_a_comment_is_told_of_from_its_submission_on(
    database: Database, site: SiteView, told: Callable[[], list[dict[str, Any]]]
) -> None:
    comment_id = make_comment(database, site, body="Good *day*", url="https://ada.example.org")
    with database.transaction() as session:
        moderation.record(
            session,
            [
                Ballot(
                    comment_id,
                    1,
                    Status.APPROVED,
                    "policy",
                    "no rule objected",
                    rule="otherwise",
                    score=0.25,
                    model_version="m1",
                    clues=({"label": "day", "weight": -1.5, "kind": "word"},),
                )
            ],
        )

    came, approved = told()

    assert came["type"] == "comment.submitted"
    assert came["data"]["comment"]["status"] == "pending"
    assert approved["type"] == "comment.approved"
    assert approved["data"]["site"] == {"id": site.id, "slug": "blog"}
    comment, decision = approved["data"]["comment"], approved["data"]["decision"]
    assert (comment["id"], comment["status"], comment["version"]) == (comment_id, "approved", 2)
    assert (comment["body"], comment["author"]) == (
        "Good *day*",
        {"name": "Ada", "url": "https://ada.example.org"},
    )
    assert (decision["actor"], decision["rule"], decision["score"]) == ("policy", "otherwise", 0.25)
    assert decision["clues"] == [{"label": "day", "weight": -1.5, "kind": "word"}]
    assert "ada@example.org" not in json.dumps([came, approved])


def test_an_author_is_verified_once_and_nobody_is_told_the_address(
    database: Database, site: SiteView, told: Callable[[], list[dict[str, Any]]]
) -> None:
    comment_id = make_comment(database, site)
    decide(database, [comment_id], Status.APPROVED)
    with database.transaction() as session:
        confirmations.ask(session, comments.get(session, comment_id), "en")
        confirmation_id = session.scalar(select(CONFIRMATIONS.c.id)) or ""
    for _ in range(2):
        with database.transaction() as session:
            confirmations.confirm(session, confirmation_id, site.id)

    *_, verified = told()

    assert types(told()).count("author.verified") == 1
    assert verified["data"]["comment_ids"] == [comment_id]
    assert "ada@example.org" not in json.dumps(verified)


@pytest.mark.parametrize(
    ("status", "name"),
    [
        (Status.APPROVED, "comment.approved"),
        (Status.PENDING, "comment.held"),
        (Status.SPAM, "comment.marked_spam"),
        (Status.REJECTED, "comment.rejected"),
        (Status.DELETED, "comment.deleted"),
    ],
)
def test_each_decision_has_its_event(
    database: Database,
    site: SiteView,
    told: Callable[[], list[dict[str, Any]]],
    status: Status,
    name: str,
) -> None:
    decide(database, [make_comment(database, site)], status, PERSON)

    assert types(told()) == ["comment.submitted", name]


def test_an_edit_is_told_with_the_new_text_and_a_withdrawal_as_one(
    database: Database, site: SiteView, told: Callable[[], list[dict[str, Any]]]
) -> None:
    comment_id = make_comment(database, site)
    with database.transaction() as session:
        authoring.edit(session, comment_id, "another text", 900)
    with database.transaction() as session:
        authoring.withdraw(session, comment_id)

    _, edited, withdrawn = told()

    assert (edited["type"], edited["data"]["comment"]["body"]) == ("comment.edited", "another text")
    assert edited["data"]["comment"]["edited_at"] is not None
    assert edited["data"]["decision"]["actor"] == "author"
    assert (withdrawn["type"], withdrawn["data"]["comment"]["status"]) == (
        "comment.withdrawn",
        "deleted",
    )


def test_reports_and_appeals_are_told_once(
    database: Database, site: SiteView, told: Callable[[], list[dict[str, Any]]]
) -> None:
    public, refused = make_comment(database, site), make_comment(database, site)
    decide(database, [public], Status.APPROVED)
    decide(database, [refused], Status.SPAM)
    for _ in range(2):
        with database.transaction() as session:
            objections.report(session, public, "rude", "reader-1")
            objections.appeal(session, refused, "it is not")

    found = [one for one in told() if "objection" in one["data"]]

    assert [(one["type"], one["data"]["objection"]["reason"]) for one in found] == [
        ("comment.reported", "rude"),
        ("comment.appealed", "it is not"),
    ]


def test_storms_and_models_are_told_of_but_not_what_was_only_hushed(
    database: Database, site: SiteView, told: Callable[[], list[dict[str, Any]]]
) -> None:
    with database.transaction() as session:
        storms.hush(session, site.id, actor="operator")
    with database.transaction() as session:
        storms.begin(session, site.id, storms.Evidence(90, 3, 0.9, 0.1), actor="watch")
        storms.end(session, site.id, actor=PERSON)
        session.add(
            ModelVersion(
                site_id=site.id,
                number=1,
                base="m",
                tuning=b"weights",
                report={},
                taught_until=utc_now(),
                created_at=utc_now(),
            )
        )
        session.flush()
        versions.promote(session, site.id, 1, actor=versions.TRAINING, reason="better")
        versions.roll_back(session, site.id, actor=PERSON)

    found = told()

    assert types(found) == ["storm.started", "storm.ended", "model.promoted", "model.rolled_back"]
    assert "90 comments in 10 minutes" in found[0]["data"]["told"]
    assert [(one["data"]["old_version"], one["data"]["version"]) for one in found[2:]] == [
        (0, 1),
        (1, 0),
    ]


def test_what_is_not_committed_is_not_told(database: Database, site: SiteView) -> None:
    make_endpoint(database, site)
    comment_id = make_comment(database, site)

    def fail() -> None:
        with database.transaction() as session:
            moderation.record(session, [Ballot(comment_id, 1, Status.SPAM, PERSON, "no")])
            raise KeyError

    with pytest.raises(KeyError):
        fail()

    with database.reading() as session:
        assert session.scalars(select(EVENTS.c.type)).all() == ["comment.submitted"]


def test_a_stale_decision_is_not_told(database: Database, site: SiteView) -> None:
    make_endpoint(database, site)
    comment_id = make_comment(database, site)
    with database.transaction() as session:
        moderation.record(session, [Ballot(comment_id, 7, Status.SPAM, PERSON, "no")])

    with database.reading() as session:
        assert session.scalars(select(EVENTS.c.type)).all() == ["comment.submitted"]


def test_nothing_is_kept_where_nobody_listens(database: Database, site: SiteView) -> None:
    other = make_site(database, "other")
    make_endpoint(database, other)
    narrow, _ = make_endpoint(database, site, events=[EventType.COMMENT_REJECTED])
    off, _ = make_endpoint(database, site)
    with database.transaction() as session:
        endpoints.change(session, site.id, off, check=str, actor="operator", enabled=False)
    first, second = make_comment(database, site), make_comment(database, site)
    decide(database, [first], Status.SPAM)
    decide(database, [second], Status.REJECTED)

    with database.reading() as session:
        assert session.scalars(select(EVENTS.c.type)).all() == ["comment.rejected"]
        assert session.scalars(select(DELIVERIES.c.endpoint_id)).all() == [narrow]


def test_a_persons_decision_waits_out_the_undo_window_a_machines_does_not(
    database: Database, site: SiteView
) -> None:
    make_endpoint(database, site, events=[EventType.COMMENT_APPROVED, EventType.COMMENT_HELD])
    with database.transaction() as session:
        sites.set_policy(session, site.id, Policy(undo_seconds=60))
    mine, its = make_comment(database, site), make_comment(database, site)
    decide(database, [mine], Status.APPROVED, PERSON, act_id=new_id("act"))
    decide(database, [its], Status.PENDING, "policy")

    with database.reading() as session:
        due = {
            row.comment_id: row.due_at - row.created_at
            for row in session.execute(select(DELIVERIES))
        }
    assert due == {mine: timedelta(seconds=60), its: timedelta(0)}


def test_what_is_undone_in_time_is_recalled_and_nothing_restored(
    database: Database, site: SiteView, told: Callable[[], list[dict[str, Any]]]
) -> None:
    comment_id, act_id = make_comment(database, site), new_id("act")
    decide(database, [comment_id], Status.APPROVED, PERSON, act_id=act_id)
    with database.transaction() as session:
        moderation.undo(session, site.id, act_id, PERSON)

    assert types(told()) == ["comment.submitted", "comment.approved"]
    with database.reading() as session:
        newest, _ = log.listing(session, site.id)
    assert (newest.status, newest.due_at) == ("recalled", None)


def test_what_is_undone_too_late_is_restored_for_those_who_were_told(
    database: Database, site: SiteView
) -> None:
    early, _ = make_endpoint(database, site)
    with database.transaction() as session:
        sites.set_policy(session, site.id, Policy(undo_seconds=0))
    comment_id, act_id = make_comment(database, site), new_id("act")
    decide(database, [comment_id], Status.SPAM, PERSON, act_id=act_id)
    for _ in range(2):  # its submission, and the decision
        with database.transaction() as session:
            claim = deliveries.claim(session, early, 30)
            assert claim is not None
            deliveries.note(session, claim, deliveries.Outcome(204))
    late, _ = make_endpoint(database, site)
    with database.transaction() as session:
        moderation.undo(session, site.id, act_id, PERSON)

    restored = bodies(database, site, early)[-1]
    assert (restored["type"], restored["data"]["comment"]["status"]) == (
        "comment.restored",
        "pending",
    )
    assert restored["data"]["decision"]["undoes"].startswith("dec_")
    assert types(bodies(database, site, late)) == ["comment.restored"]


@pytest.mark.parametrize("asked", [True, False])
@pytest.mark.parametrize("allowed", [True, False])
def test_personal_data_is_told_only_where_asked_for_and_allowed(
    database: Database, site: SiteView, asked: bool, allowed: bool
) -> None:
    endpoint_id, _ = make_endpoint(database, site, wants_personal=asked)
    with database.transaction() as session:
        sites.set_policy(session, site.id, Policy(share_personal=allowed))
    make_comment(database, site, address="203.0.113.7")

    (came,) = bodies(database, site, endpoint_id)

    expected = {"email": "ada@example.org", "address": "203.0.113.7"} if asked and allowed else None
    assert came["data"].get("personal") == expected


def test_a_change_of_mind_about_personal_data_changes_no_body(
    database: Database, site: SiteView
) -> None:
    endpoint_id, _ = make_endpoint(database, site, wants_personal=True)
    with database.transaction() as session:
        sites.set_policy(session, site.id, Policy(share_personal=True))
    make_comment(database, site)
    before = bodies(database, site, endpoint_id)
    with database.transaction() as session:
        sites.set_policy(session, site.id, Policy(share_personal=False))
        endpoints.change(
            session, site.id, endpoint_id, check=str, actor="operator", wants_personal=False
        )

    assert bodies(database, site, endpoint_id) == before


@pytest.mark.parametrize("letter", ["a", "é", "漢", "😀", '"', "\\"])
def test_the_longest_comment_fits_into_20_kb_and_says_that_it_was_cut(
    database: Database, site: SiteView, letter: str
) -> None:
    endpoint_id, _ = make_endpoint(database, site)
    make_comment(
        database,
        site,
        body=letter * 10_000,
        name=letter * 320,
        url="https://" + "u" * 1_990,
        page_title=letter * 300,
        page_url="https://blog.example.org/" + "p" * 1_900,
    )

    with database.reading() as session:
        (one,) = log.listing(session, site.id, endpoint_id=endpoint_id)
        body = log.body(session, site.id, one.id)

    assert len(body) <= BODY_MOST_BYTES
    comment = json.loads(body)["data"]["comment"]
    is_short = len(json.dumps(letter, ensure_ascii=False).encode()) == 3  # with its quotes
    assert comment["body_truncated"] is not is_short
    assert (letter * 10_000).startswith(comment["body"])
    assert len(comment["body"].encode()) > 5_000


@given(st.text(max_size=400), st.integers(1, 10**12), st.booleans())
def test_a_body_is_json_whatever_a_comment_says(said: str, sequence: int, personal: bool) -> None:
    data = events.AuthorTold(site=events.Site(id="s", slug=said), comment_ids=[])
    extra = events.personal_of(said, None) if personal else None

    body = events.body("author.verified", utc_now(), sequence, events.data_of(data), extra)

    read = json.loads(body)
    assert read["sequence"] == sequence
    assert read["data"]["site"]["slug"] == said
    assert read["data"].get("personal", {"email": said})["email"] == said


def test_every_type_has_a_shape_and_a_schema_that_is_one() -> None:
    assert set(events.SHAPES) == set(EventType)
    for event_type in EventType:
        schema = events.schema(event_type, "https://h.example/schemas")
        Draft202012Validator.check_schema(schema)
        assert schema["properties"]["type"] == {"const": str(event_type)}
        assert schema["$id"] == f"https://h.example/schemas/v1/{event_type}.json"
