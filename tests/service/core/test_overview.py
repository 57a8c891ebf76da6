"""The overview: figures of the last days, from the decisions themselves."""

from datetime import timedelta

import flask
from sqlalchemy import update

from service.base.config import Settings
from service.core import moderation, overview, queue
from service.ledger.db import Database, first_id, utc_now
from service.ledger.models import Comment
from service.pure.policy import Status
from service.pure.scoring import Scorer
from tests.browsing import Browser, make_moderator
from tests.cast import HAM, SPAM, decide, make_comment, make_comments, make_site, odd_talk
from workers import classification


def test_a_site_without_comments_has_nothing_to_show(database: Database) -> None:
    site = make_site(database)

    with database.reading() as session:
        found = overview.of_site(session, site.id)

    assert (found.comments, found.waiting, found.oldest_seconds) == (0, 0, None)
    assert len(found.days) == overview.DAYS
    assert found.precision(Status.SPAM) is None


def test_what_people_change_counts_against_the_rules(
    app: flask.Flask, database: Database, scorer: Scorer, settings: Settings
) -> None:
    site = make_site(database)
    good = make_comments(database, site, odd_talk(4, spam=False))
    spam = make_comments(database, site, [SPAM])
    classification.drain(database, scorer, settings)
    decide(database, good[:1], Status.SPAM)
    decide(database, good[1:2], Status.APPROVED)

    with database.reading() as session:
        found = overview.of_site(session, site.id)

    assert found.comments == 5
    assert found.decided == {Status.APPROVED: 4, Status.SPAM: 1}
    assert found.precision(Status.APPROVED) == 3 / 4
    assert found.precision(Status.SPAM) == 1.0
    assert list(found.days.values())[-1] == {Status.APPROVED: 3, Status.SPAM: 2}
    assert len(spam) == 1
    make_moderator(database, site)
    browser = Browser(app)
    browser.sign_in()
    page = " ".join(browser.get("/dashboard/sites/blog/").text.split())
    assert "Of 4 approved by the rules, never corrected</dt><dd>75.0 %</dd>" in page
    assert "Of 1 marked as spam by the rules, never corrected</dt><dd>100.0 %</dd>" in page


def test_waiting_is_told_with_its_age(
    database: Database, scorer: Scorer, settings: Settings
) -> None:
    site = make_site(database)
    held = make_comment(database, site, body=HAM, honeypot_filled=True)
    done = make_comment(database, site, body=HAM, honeypot_filled=True)
    classification.drain(database, scorer, settings)
    decide(database, [done], Status.APPROVED)
    with database.transaction() as session:
        old = utc_now() - timedelta(hours=3)
        session.execute(update(Comment).where(Comment.id == held).values(created_at=old))

    with database.reading() as session:
        found = overview.of_site(session, site.id)

    assert found.waiting == 1
    assert found.oldest_seconds is not None
    assert 3 * 3600 <= found.oldest_seconds < 3 * 3600 + 60
    assert found.median_seconds is not None


def test_what_was_undone_was_not_decided_and_the_oldest_is_not_the_most_useful(
    database: Database, scorer: Scorer, settings: Settings
) -> None:
    site = make_site(database)
    certain, uncertain = (
        make_comment(database, site, body=body, honeypot_filled=True) for body in (SPAM, HAM)
    )
    classification.drain(database, scorer, settings)
    decide(database, [uncertain], Status.APPROVED, act_id="act_1")
    with database.transaction() as session:
        moderation.undo(session, site.id, "act_1", "moderator:m1")
        old = utc_now() - timedelta(hours=3)
        session.execute(
            update(Comment)
            .where(Comment.id == certain)
            .values(created_at=old, queue_at=utc_now() + timedelta(days=1))
        )

    with database.reading() as session:
        found = overview.of_site(session, site.id)
        first = queue.page(session, site.id)[0].id

    assert found.median_seconds is None
    assert first == uncertain
    assert found.oldest_seconds is not None
    assert found.oldest_seconds >= 3 * 3600


def test_older_comments_are_not_looked_at(database: Database) -> None:
    site = make_site(database)
    make_comment(database, site)
    early = f"{first_id('cmt', utc_now() - timedelta(days=15))}{'0' * 14}"
    with database.transaction() as session:
        session.execute(update(Comment).values(id=early))

    with database.reading() as session:
        assert overview.of_site(session, site.id).comments == 0
