"""The page of the search: what was found is marked, faults are told, views are kept."""

import re
from urllib.parse import parse_qsl, urlencode

import flask
import pytest
from sqlalchemy import insert, select
from sqlalchemy.exc import IntegrityError

from service.base.config import Settings
from service.core import sites
from service.core.moderators import Role
from service.core.sites import SiteView
from service.ledger.db import Database, utc_now
from service.ledger.models import FILTERS, FILTERS_MOST, Site
from service.pure.scoring import Scorer
from tests.browsing import Browser, make_moderator
from tests.cast import make_comment, make_site
from workers import classification

COMMENTS = "/dashboard/sites/blog/comments"
FILTERS_AT = "/dashboard/sites/blog/filters"


@pytest.fixture
def site(database: Database) -> SiteView:
    return make_site(database)


def browser_of(app: flask.Flask, database: Database, site: SiteView, role: Role) -> Browser:
    email = f"{role}@example.org"
    make_moderator(database, site, role, email=email)
    browser = Browser(app)
    browser.sign_in(email)
    return browser


@pytest.fixture
def mo(app: flask.Flask, database: Database, site: SiteView) -> Browser:
    """A browser in which a moderator of the site has signed in."""
    return browser_of(app, database, site, Role.MODERATOR)


def look(browser: Browser, **asked: str) -> str:
    answer = browser.get(f"{COMMENTS}?{urlencode(asked)}")
    assert answer.status_code == 200
    return answer.text


_MARKED = (
    '<mark class="found">p<mark class="alike" title="Cyrillic small letter a">'
    "\u0430</mark>ypal</mark> account"
)


@pytest.mark.parametrize(
    ("body", "words", "shown"),
    [
        ("My lanterns glow", "lant", 'My <mark class="found">lanterns</mark> glow'),
        ("<i>lantern</i>", "LANTERN", '&lt;i&gt;<mark class="found">lantern</mark>&lt;/i&gt;'),
        ("北京烤鸭", "烤鸭", '北京<mark class="found">烤鸭</mark>'),
        (
            "at https://lantern.example/x",
            "lantern.ex",
            'at <span class="url">https://<b><mark class="found">lantern.example</mark></b>/x',
        ),
        (
            "a p\u0430ypal account",
            "p\u0430y",
            _MARKED,
        ),
        ("word " * 300 + "lantern " + "word " * 300, "lantern", '<mark class="found">lantern'),
    ],
)
def test_what_was_looked_for_is_marked_and_nothing_else_changes(
    database: Database, site: SiteView, mo: Browser, body: str, words: str, shown: str
) -> None:
    make_comment(database, site, body=body)

    assert shown in look(mo, words=words)


def test_a_name_and_an_address_are_marked_too(
    database: Database, site: SiteView, mo: Browser
) -> None:
    make_comment(database, site, name="Eve <3", email="eve@x.example", body="hello there")

    page = look(mo, author="eve", email="x.ex")

    assert '<mark class="found">Eve</mark> &lt;3' in page
    assert 'eve@<mark class="found">x.example</mark>' in page


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("since", "31.1.2026", "write a day as 2026-01-31"),
        ("until", "9999-12-31", "write a day as 2026-01-31"),
        ("score_from", "much", "write a number from 0 to 100"),
        ("score_to", "nan", "write a number from 0 to 100"),
        ("status", "ham", "is no status"),
        ("words", "x" * 201, "write at most 200 characters"),
        ("author", "a\x00b", "must not contain a NUL character"),
    ],
)
def test_a_bad_filter_is_told_beside_its_field(
    mo: Browser, field: str, value: str, message: str
) -> None:
    answer = mo.get(f"{COMMENTS}?{urlencode({field: value})}")

    assert answer.status_code == 422
    fault = re.search(r'<span class="fault" id="fault-(\w+)">([^<]+)', answer.text)
    assert fault is not None, answer.text
    assert (fault[1], fault[2]) == (field, message)


@pytest.mark.parametrize("before", ["%00", "cmt_", "zzz", "'"])
def test_no_cursor_is_too_odd(mo: Browser, before: str) -> None:
    assert mo.get(f"{COMMENTS}?before={before}").status_code in (200, 404)


def test_an_empty_result_says_where_the_text_may_be(
    database: Database, site: SiteView, settings: Settings, scorer: Scorer, mo: Browser
) -> None:
    make_comment(database, site, body="a lantern")
    classification.drain(database, scorer, settings)

    page = look(mo, words="lantern", status="deleted")

    assert "Nothing was found" in page
    assert f'<a href="{COMMENTS}?words=lantern">look in all comments</a>' in page
    assert "upgrade" not in page
    assert "Nothing was found" not in look(mo, words="lantern")


def test_a_view_is_kept_under_a_name_and_opened_again_by_all(
    app: flask.Flask, database: Database, site: SiteView, mo: Browser
) -> None:
    view = {"status": "spam", "words": "lantern & “more”"}
    look(mo, **view)

    mo.post(FILTERS_AT, name="  Lamps <b> ", query=urlencode({**view, "before": "x", "odd": "1"}))

    found = re.search(r'href="[^"]*comments\?([^"]+)" aria-current="page">Lamps &lt;b&gt;<',
                      mo.page.text)  # fmt: skip
    assert found is not None
    assert dict(parse_qsl(found[1].replace("&amp;", "&"))) == view
    viewer = browser_of(app, database, site, Role.VIEWER)
    page = look(viewer)
    assert "Lamps &lt;b&gt;</a>" in page
    assert f'action="{FILTERS_AT}' not in look(viewer, **view)


def test_saving_again_under_the_same_name_replaces_the_view(
    database: Database, mo: Browser
) -> None:
    look(mo)
    mo.post(FILTERS_AT, name="Lamps", query="words=lantern")
    mo.post(FILTERS_AT, name="Lamps", query="words=candle")

    assert queries(database) == {"Lamps": "words=candle"}


def queries(database: Database) -> dict[str, str]:
    with database.reading() as session:
        return {row.name: row.query for row in session.execute(select(FILTERS))}


def test_a_view_is_changed_and_removed_by_who_made_it_or_an_owner(
    app: flask.Flask, database: Database, site: SiteView, mo: Browser
) -> None:
    owner = browser_of(app, database, site, Role.OWNER)
    look(owner)
    owner.post(FILTERS_AT, name="Ours", query="words=lantern")
    look(mo)
    mo.post(FILTERS_AT, name="Mine", query="words=candle")

    refused = mo.post(FILTERS_AT, name="Ours", query="words=candle")
    forbidden = mo.send(f"{FILTERS_AT}/remove", name="Ours")

    assert refused.status_code == 422
    assert "A colleague&#39;s filter has this name" in refused.text
    assert forbidden.status_code == 403
    assert queries(database) == {"Ours": "words=lantern", "Mine": "words=candle"}
    look(owner)
    owner.post(FILTERS_AT, name="Mine", query="words=more")
    look(mo)
    mo.post(f"{FILTERS_AT}/remove", name="Mine")
    assert queries(database) == {"Ours": "words=lantern"}
    assert mo.send(f"{FILTERS_AT}/remove", name="Mine").status_code == 404


@pytest.mark.parametrize(
    ("name", "query", "message"),
    [
        ("", "words=a", "1 to 60 characters"),
        (" \u200b ", "words=a", "1 to 60 characters"),
        ("x" * 61, "words=a", "1 to 60 characters"),
        ("a\u2028b", "words=a", ""),
        ("fine", "since=yesterday", "write a day as 2026-01-31"),
    ],
)
def test_a_view_that_cannot_be_kept_is_told(
    database: Database, mo: Browser, name: str, query: str, message: str
) -> None:
    look(mo)

    answer = mo.send(FILTERS_AT, name=name, query=query)

    if message:
        assert answer.status_code == 422
        assert message in answer.text
        assert queries(database) == {}
    else:
        assert queries(database) == {"a b": query}


def test_a_site_has_fifty_views_and_no_more(
    database: Database, site: SiteView, mo: Browser
) -> None:
    rows = [
        {"site_id": site.id, "place": place, "name": f"view {place}", "query": "words=a",
         "made_by": "moderator:m1", "made_at": utc_now()}
        for place in range(1, FILTERS_MOST + 1)
    ]  # fmt: skip
    with database.transaction() as session:
        session.execute(insert(FILTERS), rows)
    look(mo)

    answer = mo.send(FILTERS_AT, name="one more", query="words=a")

    assert answer.status_code == 422
    assert "There are 50 already" in answer.text
    with pytest.raises(IntegrityError), database.transaction() as session:
        session.execute(insert(FILTERS).values(**{**rows[0], "place": 51, "name": "new"}))


def test_views_are_their_sites_own_and_go_with_it(
    app: flask.Flask, database: Database, site: SiteView, mo: Browser
) -> None:
    look(mo)
    mo.post(FILTERS_AT, name="Lamps", query="words=lantern")
    other = make_site(database, "other")
    stranger = browser_of(app, database, other, Role.OWNER)

    assert "Lamps" not in stranger.get("/dashboard/sites/other/comments").text
    assert stranger.send(f"{FILTERS_AT}/remove", name="Lamps").status_code == 404
    with database.transaction() as session:
        session.delete(session.get_one(Site, site.id))
    assert queries(database) == {}
    with database.reading() as session:
        assert sites.find(session, "other").id == other.id
