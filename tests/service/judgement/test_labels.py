"""Labels: the last human decision, on the text as it stands, unless it came in a burst."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import update

from service.base.config import Settings
from service.base.errors import NotFound
from service.core.sites import SiteView
from service.judgement import labels
from service.judgement.labels import Labelled, Labels
from service.ledger.db import Database
from service.ledger.models import Comment
from service.pure.policy import Status
from service.pure.scoring import Scorer
from tests.cast import HAM, SPAM, decide, make_comment, make_comments, make_site, odd_talk
from workers import classification

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.fixture
def site(database: Database) -> SiteView:
    return make_site(database)


def of(database: Database, site: SiteView, burst: int = 1000) -> Labels:
    with database.reading() as session:
        return labels.of_site(session, site.id, burst)


def label(minute: float, *, actor: str = "key:1", against: bool = True, **more: object) -> Labelled:
    values: dict[str, object] = {
        "comment_id": f"cmt_{minute}_{actor}",
        "is_spam": True,
        "actor": actor,
        "decided_at": NOON + timedelta(minutes=minute),
        "score": 0.1 if against else 0.9,
        "campaign_id": None,
        "name": "Ada",
        "email_normalised": "ada@example.org",
        "url": None,
        "body": HAM,
        "page_title": None,
        "echoes": 0,
        **more,
    }
    return Labelled(**values)  # type: ignore[arg-type]  # as a test gives it


def test_only_people_label(
    database: Database, scorer: Scorer, settings: Settings, site: SiteView
) -> None:
    comment = make_comment(database, site)
    make_comment(database, site, body=SPAM)
    classification.drain(database, scorer, settings)
    assert of(database, site).trusted == ()

    decide(database, [comment], Status.SPAM)

    (only,) = of(database, site).trusted
    assert (only.comment_id, only.is_spam, only.actor) == (comment, True, "key:key_1")
    assert only.score is not None
    assert only.contradicts


def test_the_last_decision_is_the_label_and_a_rejection_is_none(
    database: Database, site: SiteView
) -> None:
    comment, other = make_comments(database, site, [HAM, SPAM])
    decide(database, [comment, other], Status.SPAM)
    decide(database, [comment], Status.APPROVED, "moderator:m1")
    assert [(one.is_spam, one.actor) for one in of(database, site).trusted] == [
        (True, "key:key_1"),
        (False, "moderator:m1"),
    ]

    decide(database, [comment], Status.REJECTED)
    assert [one.comment_id for one in of(database, site).trusted] == [other]


def test_a_changed_text_has_lost_its_label(database: Database, site: SiteView) -> None:
    comment = make_comment(database, site)
    decide(database, [comment], Status.APPROVED)
    with database.transaction() as session:
        session.execute(update(Comment).values(revision=2, body=SPAM))

    assert of(database, site).trusted == ()


def test_another_sites_decisions_teach_nothing(database: Database, site: SiteView) -> None:
    decide(database, [make_comment(database, make_site(database, "other"))], Status.SPAM)

    assert of(database, site).trusted == ()


def test_of_near_duplicates_only_the_newest_few_teach(
    database: Database, scorer: Scorer, settings: Settings, site: SiteView
) -> None:
    ids = make_comments(database, site, [f"{SPAM} {place}" for place in range(30)])
    classification.drain(database, scorer, settings)
    decide(database, ids, Status.SPAM)

    found = of(database, site).trusted

    assert [one.comment_id for one in found] == ids[-20:]


def test_a_burst_against_the_classifier_is_quarantined_whole(
    database: Database, scorer: Scorer, settings: Settings, site: SiteView
) -> None:
    ids = make_comments(database, site, odd_talk(12, spam=False))
    classification.drain(database, scorer, settings)
    decide(database, ids[:8], Status.SPAM, "key:stolen")
    decide(database, ids[8:], Status.SPAM, "moderator:calm")

    found = of(database, site, burst=5)

    assert found.suspects == {"key:stolen": 8}
    assert {one.comment_id for one in found.trusted} == set(ids[8:])


def test_a_second_person_brings_labels_out_of_quarantine(
    database: Database, scorer: Scorer, settings: Settings, site: SiteView
) -> None:
    ids = make_comments(database, site, odd_talk(8, spam=False))
    classification.drain(database, scorer, settings)
    decide(database, ids, Status.SPAM, "key:one")
    assert len(of(database, site, burst=4).quarantined) == 8

    decide(database, ids[:3], Status.SPAM, "moderator:two")

    found = of(database, site, burst=4)
    assert {one.comment_id for one in found.trusted} == set(ids[:3])


def test_a_released_actor_is_believed_up_to_then(
    database: Database, scorer: Scorer, settings: Settings, site: SiteView
) -> None:
    ids = make_comments(database, site, odd_talk(16, spam=False))
    classification.drain(database, scorer, settings)
    decide(database, ids[:8], Status.SPAM)
    with database.transaction() as session:
        assert labels.release(session, site.id, "key:key_1") == 8
    assert len(of(database, site, burst=5).trusted) == 8

    decide(database, ids[8:], Status.SPAM)

    found = of(database, site, burst=5)
    assert {one.comment_id for one in found.trusted} == set(ids[:8])


def test_nobody_is_released_who_has_decided_nothing(database: Database, site: SiteView) -> None:
    with pytest.raises(NotFound, match="key:nobody"), database.transaction() as session:
        labels.release(session, site.id, "key:nobody")


@pytest.mark.parametrize(
    ("found", "held"),
    [
        ([label(n) for n in range(5)], 0),
        ([label(n) for n in range(6)], 6),
        ([label(n, against=False) for n in range(60)], 0),
        ([label(n * 15) for n in range(40)], 0),
        ([label(n, actor=f"key:{n % 2}") for n in range(10)], 0),
        ([label(n, score=None) for n in range(6)], 6),
        ([label(n, confirmed=n < 2) for n in range(6)], 4),
    ],
    ids=["few", "burst", "agreeing", "slow", "two people", "no opinion", "partly confirmed"],
)
def test_a_burst_is_many_of_one_actor_against_the_classifier_in_an_hour(
    found: list[Labelled], held: int
) -> None:
    assert len(labels.quarantined(found, 5)) == held


def test_a_site_with_a_long_history_stands_larger_bursts() -> None:
    history = [label(-100_000 + n * 60, against=False, actor="key:old") for n in range(500)]

    assert not labels.quarantined([*history, *[label(n / 10) for n in range(100)]], 5)
    assert labels.quarantined([*history, *[label(n / 10) for n in range(101)]], 5)


def test_labels_of_the_same_hour_do_not_make_a_burst_look_small() -> None:
    flood = [label(n / 100, against=False) for n in range(500)]

    assert len(labels.quarantined([*flood, *[label(10 + n / 10) for n in range(6)]], 5)) == 6
