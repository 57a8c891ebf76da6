"""Storms: what begins one and what does not, what it does, how it ends."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import flask
import pytest
from sqlalchemy import insert

from service.base.config import Settings
from service.core import audit, queue, sites, storms
from service.core.moderators import Role
from service.core.sites import SiteView
from service.core.storms import Evidence, StormView
from service.ledger.db import Database, first_id, utc_now
from service.ledger.models import CAMPAIGNS, COMMENTS, THREADS
from service.pure.policy import Policy, Status
from service.pure.scoring import Scorer
from tests.browsing import Browser, make_moderator
from tests.cast import HAM, SPAM, decisions_by_comment, make_comment, make_site, status_of
from workers import classification, sweeper

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


@pytest.fixture
def site(database: Database) -> SiteView:
    return make_site(database)


class Past:
    """Puts comments into the ledger as if they had come at a time."""

    def __init__(self, database: Database, site: SiteView) -> None:
        self._database = database
        self._site = site
        self._numbers: Iterator[int] = iter(range(10**9))
        with database.transaction() as session:
            thread = {
                "id": "thr_1", "site_id": site.id, "page_url": "https://blog.example.org/",
                "closed": False, "created_at": NOW,
            }  # fmt: skip
            session.execute(insert(THREADS), [thread])

    def came(
        self,
        count: int,
        since: datetime,
        lasting: timedelta = timedelta(minutes=9),
        *,
        authors: int = 10**9,
        campaign: str | None = None,
        status: Status = Status.APPROVED,
        kind: str = "reader",
    ) -> None:
        rows = []
        for place in range(count):
            number = next(self._numbers)
            moment = since + lasting * place / max(1, count)
            email = f"{kind}{(place if authors < 10**9 else number) % authors}@example.org"
            rows.append({
                "id": f"{first_id('cmt', moment)}{number:014x}", "site_id": self._site.id,
                "thread_id": "thr_1", "request_digest": "", "status": status, "version": 2,
                "revision": 1, "name": "Ada", "email": email, "email_normalised": email,
                "body": HAM, "honeypot_filled": False, "disposable_email": False,
                "submitted_at": moment, "created_at": moment, "classify_attempts": 1,
                "campaign_id": campaign, "echoes": 0,
            })  # fmt: skip
        with self._database.transaction() as session:
            session.execute(insert(COMMENTS), rows)


@pytest.fixture
def past(database: Database, site: SiteView) -> Past:
    return Past(database, site)


def watched(database: Database, now: datetime = NOW) -> list[StormView]:
    return [storm for _, storm in storms.watch(database, now)]


def usual_week(past: Past, *, every: timedelta, many: int) -> None:
    """Have the same forty readers write all week long."""
    moment = NOW - timedelta(days=7, hours=1)
    while moment < NOW - timedelta(minutes=20):
        past.came(many, moment, timedelta(minutes=1), authors=40)
        moment += every


def test_a_quiet_site_and_an_ordinary_busy_day_are_no_storm(database: Database, past: Past) -> None:
    usual_week(past, every=timedelta(hours=1), many=3)
    assert watched(database) == []

    past.came(29, NOW - timedelta(minutes=9), kind="stranger")  # many for it, and still a few

    assert watched(database) == []


def test_a_flood_of_strangers_is_one(database: Database, past: Past) -> None:
    usual_week(past, every=timedelta(hours=1), many=3)
    past.came(60, NOW - timedelta(minutes=9), kind="stranger")

    (storm,) = watched(database)

    assert (storm.evidence.comments, storm.evidence.strangers) == (60, 1.0)
    assert 1 <= storm.evidence.usual <= 3  # three within a minute may fall into two windows
    assert storm.told.startswith("60 comments in 10 minutes, usually")


def test_the_same_words_from_many_are_one_long_before_a_flood(
    database: Database, past: Past
) -> None:
    usual_week(past, every=timedelta(hours=1), many=3)
    with database.transaction() as session:
        row = {"id": "cmp_1", "mins": b"", "sources": 9, "first_at": NOW}
        session.execute(insert(CAMPAIGNS), [row])
    past.came(5, NOW - timedelta(minutes=9), authors=40)
    past.came(9, NOW - timedelta(minutes=8), kind="stranger", campaign="cmp_1")

    (storm,) = watched(database)

    assert storm.evidence.alike == pytest.approx(9 / 14, abs=0.05)


def test_a_busy_site_needs_more_than_a_quiet_one(database: Database, past: Past) -> None:
    for back in range(170):
        past.came(40, NOW - timedelta(hours=back, minutes=9), authors=40)
    past.came(100, NOW - timedelta(minutes=9), kind="stranger")
    assert watched(database) == []

    past.came(150, NOW - timedelta(minutes=9), kind="stranger")

    assert len(watched(database)) == 1


def test_a_page_that_goes_viral_among_known_readers_is_none(database: Database, past: Past) -> None:
    usual_week(past, every=timedelta(minutes=30), many=40)
    past.came(250, NOW - timedelta(minutes=9), authors=40)

    assert watched(database) == []


def test_slow_growth_is_none(database: Database, past: Past) -> None:
    for back in range(168, 0, -1):
        past.came(60 - back // 4, NOW - timedelta(hours=back, minutes=9), kind="new")
    past.came(75, NOW - timedelta(minutes=9), kind="new")

    assert watched(database) == []


def test_spam_that_is_marked_anyway_is_none(database: Database, past: Past) -> None:
    past.came(400, NOW - timedelta(minutes=9), kind="stranger", status=Status.SPAM)

    assert watched(database) == []


def test_a_site_may_do_without(database: Database, site: SiteView, past: Past) -> None:
    with database.transaction() as session:
        sites.set_policy(session, site.id, Policy(storm_mode=False))
    past.came(60, NOW - timedelta(minutes=9), kind="stranger")

    assert watched(database) == []


def test_it_ends_by_itself_when_it_is_calm_and_not_before(database: Database, past: Past) -> None:
    past.came(60, NOW - timedelta(minutes=9), kind="stranger")
    watched(database)
    past.came(40, NOW + timedelta(minutes=2), kind="more")

    assert watched(database, NOW + timedelta(minutes=11)) == []
    (storm,) = watched(database, NOW + timedelta(minutes=30))

    assert (storm.ended_by, storm.ended_at) == (storms.WATCH, NOW + timedelta(minutes=30))


def test_one_that_a_person_declared_goes_on_until_a_person_ends_it(
    database: Database, site: SiteView
) -> None:
    with database.transaction() as session:
        storms.begin(session, site.id, Evidence(0), actor="moderator:m1", now=NOW)

    assert watched(database, NOW + timedelta(hours=9)) == []
    with database.reading() as session:
        assert storms.current(session, site.id) is not None


def test_once_a_person_has_ended_it_none_begins_for_an_hour(
    database: Database, site: SiteView, past: Past
) -> None:
    past.came(60, NOW - timedelta(minutes=9), kind="stranger")
    watched(database)
    with database.transaction() as session:
        storms.end(session, site.id, actor="moderator:m1", now=NOW)

    past.came(60, NOW + timedelta(minutes=41), kind="third")
    assert watched(database, NOW + timedelta(minutes=50)) == []
    past.came(60, NOW + timedelta(minutes=62), kind="fourth")
    assert len(watched(database, NOW + timedelta(minutes=71))) == 1


def test_an_operator_who_posts_many_can_hush_it(
    database: Database, site: SiteView, past: Past
) -> None:
    with database.transaction() as session:
        storms.hush(session, site.id, actor="operator", now=NOW - timedelta(minutes=10))
    past.came(60, NOW - timedelta(minutes=9), kind="stranger")

    assert watched(database) == []
    with database.reading() as session:
        assert storms.listing(session, site.id, NOW - timedelta(days=1)) == []


def test_two_that_watch_at_once_begin_one(database: Database, site: SiteView, past: Past) -> None:
    past.came(60, utc_now() - timedelta(minutes=5), kind="stranger", lasting=timedelta(minutes=4))

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: watched(database, utc_now()), range(4)))

    assert len({storm.id for some in found for storm in some}) == 1
    with database.reading() as session:
        assert storms.count_open(session) == 1
        assert [one.subject for one in audit.settings(session, site.id)] == ["storm"]


def test_in_a_storm_every_comment_waits_and_spam_is_still_spam(
    database: Database, scorer: Scorer, settings: Settings, site: SiteView
) -> None:
    with database.transaction() as session:
        storms.begin(session, site.id, Evidence(0), actor="moderator:m1")
    good, spam = make_comment(database, site), make_comment(database, site, body=SPAM)
    classification.drain(database, scorer, settings)

    assert status_of(database, good) is Status.PENDING
    assert decisions_by_comment(database)[good][0].rule == "storm"
    assert status_of(database, spam) is Status.SPAM
    with database.transaction() as session:
        storm = storms.end(session, site.id, actor="moderator:m1")
        since = storm.started_at - storms.WINDOW
        held = queue.held_by(session, site.id, "storm", since, utc_now())
    assert [one.id for one in held] == [good]  # what was held still waits for a person

    later = make_comment(database, site)
    classification.drain(database, scorer, settings)
    assert status_of(database, later) is Status.APPROVED


def test_the_sweeper_watches(
    database: Database, past: Past, caplog: pytest.LogCaptureFixture
) -> None:
    since = utc_now() - timedelta(minutes=4)
    past.came(50, since, timedelta(minutes=2), kind="stranger")

    sweeper.watch_for_storms(database)

    assert "every comment waits: 50 comments in 10 minutes" in caplog.text


def test_people_see_it_everywhere_end_it_and_begin_one(
    app: flask.Flask, database: Database, site: SiteView
) -> None:
    browser = Browser(app)
    make_moderator(database, site, Role.MODERATOR)
    with database.transaction() as session:
        storms.begin(session, site.id, Evidence(60, 3, 1.0, 0.0), actor=storms.WATCH)
    browser.sign_in()
    told = "60 comments in 10 minutes, usually 3 at most"
    for page in ("", "queue", "policy", "model"):
        assert told in browser.get(f"/dashboard/sites/blog/{page}").text

    browser.post("/dashboard/sites/blog/storm/end", back="/dashboard/sites/blog/queue")
    assert browser.page.request.path == "/dashboard/sites/blog/queue"
    assert told not in browser.page.text
    browser.post("/dashboard/sites/blog/storm/end")
    assert (browser.page.status_code, "no storm" in browser.page.text) == (404, True)

    browser.get("/dashboard/sites/blog/")
    browser.post("/dashboard/sites/blog/storm/begin")
    assert "declared by a person" in browser.page.text
    history = browser.get("/dashboard/sites/blog/history").text
    assert history.count("storm") >= 3
