"""Search: each filter alone, pages that follow each other, bad filters beside their fields."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from service import comments, search
from service.config import Settings
from service.db import Database
from service.policy import Status
from service.scoring import Scorer
from service.search import Filters
from service.sites import SiteView
from tests.cast import HAM, SPAM, decide, make_comment, make_comments, make_site, odd_talk
from workers import classification

TODAY = datetime.now(UTC).date()


@pytest.fixture
def site(database: Database, scorer: Scorer, settings: Settings) -> SiteView:
    """A site with three comments of a kind each."""
    made = make_site(database)
    make_comment(database, made, body=HAM, name="Ada Lovelace", address="192.0.2.1")
    make_comment(
        database, made, body=SPAM, name="Eve 100%", email="Eve@x.org", email_normalised="Eve@x.org"
    )
    make_comment(database, made, body="Ärger im Café?", page_url="https://blog.example.org/two")
    classification.drain(database, scorer, settings)
    return made


def names(database: Database, site: SiteView, **filters: Any) -> list[str]:
    with database.reading() as session:
        found = search.find(session, site.id, Filters(**filters))
    assert found.cursor is None
    return [hit.body[:4] for hit in found.hits]


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({}, ["Ärge", "CHEC", "Than"]),
        ({"status": Status.SPAM}, ["CHEC"]),
        ({"email": "Eve@x.org"}, ["CHEC"]),
        ({"page_url": "https://blog.example.org/two"}, ["Ärge"]),
        ({"page_url": "https://blog.example.org/three"}, []),
        ({"address": "192.0.2.1"}, ["Than"]),
        ({"author": "lovelace"}, ["Than"]),
        ({"author": "100%"}, ["CHEC"]),
        ({"author": "1_0"}, []),
        ({"words": "second STEP"}, ["Than"]),
        ({"words": "ärger"}, ["Ärge"]),
        ({"words": "step channel"}, []),
        ({"rule": "spam_score"}, ["CHEC"]),
        ({"score_from": 0.9}, ["CHEC"]),
        ({"score_to": 0.9}, ["Ärge", "Than"]),
        ({"since": TODAY, "until": TODAY}, ["Ärge", "CHEC", "Than"]),
        ({"until": TODAY - timedelta(days=1)}, []),
        ({"since": TODAY + timedelta(days=1)}, []),
        ({"status": Status.APPROVED, "words": "step"}, ["Than"]),
    ],
    ids=str,
)
def test_a_filter_keeps_what_it_names(
    database: Database, site: SiteView, filters: dict[str, Any], found: list[str]
) -> None:
    if datetime.now(UTC).date() != TODAY:
        pytest.skip("it has just turned midnight")
    assert names(database, site, **filters) == found


def test_another_sites_comments_are_not_found(database: Database, site: SiteView) -> None:
    other = make_site(database, "other")

    assert names(database, other) == []


def test_pages_follow_each_other(database: Database, site: SiteView) -> None:
    ids = make_comments(database, site, odd_talk(7, spam=False))
    seen: list[str] = []
    before = None
    while True:
        with database.reading() as session:
            found = search.find(
                session, site.id, Filters(status=Status.PENDING), before=before, most=3
            )
        seen += [hit.id for hit in found.hits]
        before = found.cursor
        if before is None:
            break

    assert seen == sorted(ids, reverse=True)


def test_a_page_looks_no_further_than_its_window(
    database: Database, site: SiteView, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "WINDOW", 2)
    with database.reading() as session:
        first = search.find(session, site.id, Filters(author="lovelace"))
        assert first.cursor is not None
        second = search.find(session, site.id, Filters(author="lovelace"), before=first.cursor)

    assert first.hits == ()
    assert [hit.name for hit in second.hits] == ["Ada Lovelace"]


def test_what_a_person_decided_is_found_by_the_rule_that_decided_first(
    database: Database, site: SiteView
) -> None:
    with database.reading() as session:
        (spam,) = comments.listing(session, site.id, status=Status.SPAM)
    decide(database, [spam.id], Status.APPROVED)

    assert names(database, site, rule="spam_score", status=Status.APPROVED) == ["CHEC"]
