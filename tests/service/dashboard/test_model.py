"""The model's pages: what scores, the candidate, reports and pictures, and what can be done."""

import re
from typing import Any

import flask
import pytest

from service.core import sites
from service.core.changes import OPERATOR
from service.core.moderators import Role
from service.core.sites import SiteView
from service.judgement import previews, versions
from service.ledger.db import Database, utc_now
from service.ledger.models import SHADOW_RULINGS
from tests.browsing import Browser, make_moderator
from tests.cast import make_comment, make_site
from tests.service.judgement.test_versions import tuning

MODEL = "/dashboard/sites/blog/model"
CURVE = [
    {"labels": 0, "right": 0.75, "loss": 0.61},
    {"labels": 25, "right": 0.85, "loss": 0.4},
    {"labels": 50, "right": 0.9, "loss": 0.3},
    {"labels": 80, "right": 0.95, "loss": 0.2},
]


def report(**changes: Any) -> dict[str, Any]:
    """Give the report of a version that learnt from 60 good comments and 40 spam."""
    return {
        "labels": {"ham": 60, "spam": 40, "quarantined": 0},
        "unseen": 100,
        "against": 0,
        "comparison": {
            "is_better": True, "reason": "better in 99% of resamples", "confidence": 0.99,
            "loss_current": 0.61, "loss_candidate": 0.2,
            "accuracy_current": 0.75, "accuracy_candidate": 0.95,
        },
        "thresholds": {"hold": 0.4, "spam": 0.99},
        "expected": {
            "held": 0.1, "marked": 0.3, "good_held": 0.02, "good_lost": 0.001, "spam_passed": 0.0,
            "comments": 100,
        },
        "appraisal": {
            "curve": CURVE,
            "ham": [58, *[0] * 18, 2],
            "spam": [1, *[0] * 18, 39],
            "calibration": [
                {"predicted": 0.02, "spam": 0.0169, "count": 59},
                {"predicted": 0.98, "spam": 0.9512, "count": 41},
            ],
        },
    } | changes  # fmt: skip


@pytest.fixture
def site(database: Database) -> SiteView:
    return make_site(database)


@pytest.fixture
def owner(app: flask.Flask, database: Database, site: SiteView) -> Browser:
    make_moderator(database, site, Role.OWNER)
    browser = Browser(app)
    browser.sign_in()
    return browser


def add(database: Database, site: SiteView, **changes: Any) -> int:
    with database.transaction() as session:
        return versions.add(session, site.id, tuning(), report(**changes), utc_now())


def promote(database: Database, site: SiteView, number: int) -> None:
    with database.transaction() as session:
        versions.promote(session, site.id, number, actor=OPERATOR, reason="better")


def words(page: str) -> str:
    """Give what a page says, without its markup."""
    return " ".join(re.sub(r"<[^>]+>", " ", page).split())


def test_a_site_that_taught_nothing_is_told_what_scores(owner: Browser) -> None:
    page = words(owner.get(MODEL).text)

    assert "The shipped model alone scores" in page
    assert "Learning curve" not in page
    assert "Nobody has taken a second look yet." in page


def test_current_and_candidate_stand_side_by_side_with_their_pictures(
    database: Database, site: SiteView, owner: Browser
) -> None:
    add(database, site)
    promote(database, site, 1)
    add(database, site, against=1)

    page = owner.get(MODEL).text
    told = words(page)

    assert "Version 1 scores" in told
    assert "Version 2, the newest, is a candidate" in told
    assert "95.0 % of 100 unseen decisions; version 1, which scored then, 75.0 %" in told
    assert "<title>0% to 5%: 58 good</title>" in page
    assert "<title>25 labels: 85.0% right</title>" in page
    assert "none, the shipped model alone 75.0 % 0.610" in told
    assert "From the report of version 2." in told


def test_a_report_is_shown_whole_and_an_old_one_as_far_as_it_goes(
    database: Database, site: SiteView, owner: Browser
) -> None:
    add(database, site)
    old = report()
    del old["appraisal"]
    with database.transaction() as session:
        versions.add(session, site.id, tuning(), old, utc_now())

    whole, part = (owner.get(f"{MODEL}/versions/{number}").text for number in (1, 2))

    assert "98.0 % 95.1 % 41" in words(whole)
    assert whole.count("<polyline") == 4
    assert "before pictures were kept" in part
    assert owner.get(MODEL).status_code == 200
    for number in ("3", "99999999999"):
        assert owner.get(f"{MODEL}/versions/{number}").status_code == 404


def test_an_owner_promotes_rolls_back_and_shadows(
    database: Database, site: SiteView, owner: Browser
) -> None:
    add(database, site)
    owner.get(MODEL)

    owner.post(f"{MODEL}/promote", number="1")
    assert "Version 1 scores" in words(owner.page.text)
    owner.post(f"{MODEL}/rollback")
    assert "The shipped model alone scores" in words(owner.page.text)
    owner.post(f"{MODEL}/shadow", number="1")
    comment = make_comment(database, site)
    with database.transaction() as session:
        values = {"comment_id": comment, "site_id": site.id, "number": 1, "score": 0.5}
        session.execute(SHADOW_RULINGS.insert().values(status="spam", rule="x", **values))

    assert "Shadow: version 1" in words(owner.get(MODEL).text)


def test_a_version_is_tried_on_the_last_days(
    database: Database, site: SiteView, owner: Browser
) -> None:
    add(database, site)
    owner.get(MODEL)

    owner.post(f"{MODEL}/preview", number="1")

    assert "A worker judges the comments of the last days again." in owner.page.text
    with database.reading() as session:
        asked = previews.get(session, site.id, owner.page.request.path.rpartition("/")[2])
        assert asked.policy == sites.find(session, "blog").policy
    assert asked.number == 1
    assert "Save this policy" not in owner.page.text
    assert owner.send(f"{MODEL}/preview", number="7").status_code == 404
