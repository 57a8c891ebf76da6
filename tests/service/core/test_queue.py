"""The queue: uncertain and old first, a campaign as one, pages that do not drift; and undoing."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import update

from service.base.config import Settings
from service.base.errors import NotFound, Stale
from service.core import moderation, queue, sites
from service.core.moderation import Ballot, DecisionView, queue_time
from service.core.queue import Waiting
from service.core.sites import SiteView
from service.judgement import labels
from service.ledger.db import Database
from service.ledger.models import Comment
from service.pure.policy import Policy, Status
from service.pure.scoring import Scorer
from tests.cast import (
    HAM,
    SPAM,
    bearer,
    decide,
    json_of,
    make_comment,
    make_comments,
    make_key,
    make_site,
    odd_talk,
    status_of,
)
from tests.plans import listening, plan_of
from workers import classification

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
PRAISE = "what a wonderful article about gardens, I will come back and read more of your posts"


@pytest.fixture
def site(database: Database) -> SiteView:
    """A site that looks at everything first."""
    made = make_site(database)
    with database.transaction() as session:
        sites.set_policy(session, made.id, Policy(premoderation=True))
    return made


def page(database: Database, site: SiteView, **options: Any) -> list[Waiting]:
    with database.reading() as session:
        return queue.page(session, site.id, **options)


def act(database: Database, ids: list[str], status: Status, act_id: str) -> None:
    """Decide on comments in one go."""
    with database.transaction() as session:
        ballots = [Ballot(one, 2, status, "moderator:m1", "", act_id=act_id) for one in ids]
        assert all(isinstance(one, DecisionView) for one in moderation.record(session, ballots))


def undo(database: Database, site: SiteView, act_id: str) -> list[Any]:
    with database.transaction() as session:
        return list(moderation.undo(session, site.id, act_id, "moderator:m1").values())


def test_the_uncertain_comes_before_the_certain_and_the_old_before_the_new() -> None:
    def place(hours: float, score: float | None) -> datetime:
        return queue_time(NOON + timedelta(hours=hours), score)

    assert place(0, 0.5) < place(0, 0.7) < place(0, 0.9)
    assert place(0, 0.1) == place(0, 0.9)
    assert place(0, None) == place(0, 0.5)
    assert place(0, 0.99) < place(13, 0.5)


def test_what_waits_is_shown_with_all_that_helps_to_decide(
    database: Database, scorer: Scorer, settings: Settings, site: SiteView
) -> None:
    (before,) = make_comments(database, site, ["An earlier word on it."])
    decide(database, [before], Status.APPROVED)
    comment = make_comment(
        database,
        site,
        body="Did the second step work for you as well?",
        page_title="First post",
        email="r0@example.org",
        email_normalised="r0@example.org",
    )
    classification.drain(database, scorer, settings)

    (waiting,) = page(database, site)

    assert (waiting.id, waiting.version, waiting.alike) == (comment, 2, 1)
    assert waiting.rule == "premoderation"
    assert waiting.score is not None
    assert waiting.clues
    assert waiting.history == {Status.APPROVED: 1, Status.PENDING: 1}


def test_what_is_not_classified_yet_does_not_wait_for_a_person(
    database: Database, site: SiteView
) -> None:
    make_comment(database, site)

    assert page(database, site) == []


def test_pages_follow_each_other_without_a_gap_or_a_repetition(
    database: Database, scorer: Scorer, settings: Settings, site: SiteView
) -> None:
    ids = make_comments(database, site, odd_talk(7, spam=False))
    classification.drain(database, scorer, settings)

    seen: list[str] = []
    after = None
    while rows := page(database, site, after=after, most=3):
        seen += [row.id for row in rows]
        after = (rows[-1].queue_at, rows[-1].id)

    assert sorted(seen) == sorted(ids)
    with database.reading() as session:
        assert queue.count(session, site.id) == 7


def test_what_waits_on_several_sites_is_counted_at_once(
    database: Database,
    scorer: Scorer,
    settings: Settings,
    site: SiteView,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    empty, other = make_site(database, "empty"), make_site(database, "other")
    with database.transaction() as session:
        sites.set_policy(session, other.id, Policy(premoderation=True))
    ids = make_comments(database, site, odd_talk(4, spam=False))
    make_comments(database, other, odd_talk(2, spam=False, seed=1))
    classification.drain(database, scorer, settings)
    decide(database, ids[:1], Status.APPROVED, "moderator:m1")

    with database.reading() as session:
        assert queue.counts(session, [site.id, empty.id]) == {site.id: 3, empty.id: 0}
        assert queue.counts(session, []) == {}
        monkeypatch.setattr(queue, "COUNT_MOST", 2)
        assert queue.counts(session, [site.id, other.id]) == {site.id: 2, other.id: 2}


def test_a_campaign_is_one_row_with_its_members(
    database: Database, scorer: Scorer, settings: Settings, site: SiteView
) -> None:
    ids = make_comments(database, site, [f"{PRAISE} {n}" for n in range(4)])
    other = make_comments(database, site, odd_talk(1, spam=False))
    classification.drain(database, scorer, settings)

    rows = page(database, site)
    (row,) = [row for row in rows if row.alike > 1]

    assert len(rows) == 2
    assert row.alike == 4
    assert row.campaign_id is not None
    with database.reading() as session:
        assert {one.id for one in queue.members(session, site.id, row.campaign_id)} == set(ids)
    decide(database, [row.id], Status.SPAM)
    assert {one.alike for one in page(database, site)} == {1, 3}
    assert other[0] in {one.id for one in page(database, site)}


def test_another_sites_comments_do_not_wait_here(
    database: Database, scorer: Scorer, settings: Settings, site: SiteView
) -> None:
    make_comments(database, site, [PRAISE])
    classification.drain(database, scorer, settings)

    assert page(database, make_site(database, "other")) == []


def test_the_queue_is_read_by_its_index(
    database: Database, scorer: Scorer, settings: Settings, site: SiteView
) -> None:
    make_comments(database, site, odd_talk(5, spam=False))
    classification.drain(database, scorer, settings)
    with listening(database.engine) as asked:
        page(database, site, after=(NOON, "cmt_0"))
    first = next(one for one in asked if "queue_at" in one[0])
    with database.engine.connect() as connection:
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql("SET enable_seqscan = off")
        plan = plan_of(connection, *first)

    assert "ix_comments_queue" in plan
    assert "TEMP B-TREE FOR ORDER BY" not in plan
    assert "Sort" not in plan


def test_a_bulk_decision_is_undone_in_one_go(
    database: Database, scorer: Scorer, settings: Settings, site: SiteView
) -> None:
    ids = make_comments(database, site, odd_talk(3, spam=False))
    classification.drain(database, scorer, settings)
    act(database, ids, Status.SPAM, "act_1")

    outcomes = undo(database, site, "act_1")

    assert [one.status for one in outcomes] == [Status.PENDING] * 3
    assert {one.undoes is not None for one in outcomes} == {True}
    assert {status_of(database, one) for one in ids} == {Status.PENDING}
    assert {row.id for row in page(database, site)} == set(ids)


def test_what_was_decided_since_is_not_undone(
    database: Database, scorer: Scorer, settings: Settings, site: SiteView
) -> None:
    first, second = make_comments(database, site, odd_talk(2, spam=False))
    classification.drain(database, scorer, settings)
    act(database, [first, second], Status.SPAM, "act_1")
    decide(database, [first], Status.APPROVED)

    outcomes = undo(database, site, "act_1")

    assert sorted(type(one).__name__ for one in outcomes) == ["DecisionView", "Stale"]
    assert status_of(database, first) is Status.APPROVED
    assert status_of(database, second) is Status.PENDING


def test_nothing_is_undone_twice(
    database: Database, scorer: Scorer, settings: Settings, site: SiteView
) -> None:
    ids = make_comments(database, site, [SPAM])
    classification.drain(database, scorer, settings)
    act(database, ids, Status.SPAM, "act_1")
    undo(database, site, "act_1")

    (again,) = undo(database, site, "act_1")

    assert isinstance(again, Stale)
    with pytest.raises(NotFound):
        undo(database, site, "act_none")
    with pytest.raises(NotFound):
        undo(database, make_site(database, "other"), "act_1")


def test_what_is_undone_teaches_nothing_and_the_label_before_stands_again(
    database: Database, scorer: Scorer, settings: Settings, site: SiteView
) -> None:
    (comment,) = make_comments(database, site, [SPAM])
    classification.drain(database, scorer, settings)
    decide(database, [comment], Status.APPROVED, "moderator:m2")
    with database.transaction() as session:
        moderation.record(
            session, [Ballot(comment, 3, Status.SPAM, "moderator:m1", "", act_id="act_1")]
        )

    undo(database, site, "act_1")

    with database.reading() as session:
        (label,) = labels.of_site(session, site.id, 100).trusted
    assert (label.is_spam, label.actor) == (False, "moderator:m2")
    assert status_of(database, comment) is Status.APPROVED


def test_programs_can_undo_their_decisions(
    client: FlaskClient, database: Database, scorer: Scorer, settings: Settings, site: SiteView
) -> None:
    key = make_key(database, site)
    ids = make_comments(database, site, odd_talk(2, spam=False))
    classification.drain(database, scorer, settings)
    wanted = [{"comment_id": one, "status": "spam", "seen_version": 2} for one in ids]
    made = json_of(
        client.post("/api/v1/sites/blog/decisions", json={"decisions": wanted}, headers=bearer(key))
    )
    (act_id,) = {one["decision"]["act_id"] for one in made["results"]}

    answer = client.post(f"/api/v1/sites/blog/acts/{act_id}/undo", headers=bearer(key))

    assert answer.status_code == 200
    results = json_of(answer)["results"]
    assert {one["comment_id"] for one in results} == set(ids)
    assert {one["decision"]["status"] for one in results} == {"pending"}
    gone = client.post("/api/v1/sites/blog/acts/act_none/undo", headers=bearer(key))
    assert gone.status_code == 404


def test_a_comment_keeps_its_place_through_decisions_and_undoing(
    database: Database, scorer: Scorer, settings: Settings, site: SiteView
) -> None:
    (comment,) = make_comments(database, site, [HAM])
    classification.drain(database, scorer, settings)
    (before,) = page(database, site)
    act(database, [comment], Status.SPAM, "act_1")
    undo(database, site, "act_1")

    (after,) = page(database, site)

    assert after.queue_at == before.queue_at
    assert after.version == 4


def test_comments_from_before_the_queue_have_a_place(database: Database, site: SiteView) -> None:
    comment = make_comment(database, site)
    with database.transaction() as session:
        session.execute(update(Comment).values(classify_at=None, queue_at=Comment.created_at))

    (row,) = page(database, site)

    assert (row.id, row.rule, row.score, row.clues) == (comment, None, None, ())
