"""What the public reads: only what is approved, in its place, kept until it changes."""

import gzip
import json
from collections.abc import Callable
from typing import Any

import flask
import pytest
from flask.testing import FlaskClient

from service.base.config import Settings
from service.base.errors import NotFound
from service.core import authoring, comments, moderation, reading
from service.core.reading import Order
from service.core.sites import SiteView
from service.ledger.db import Database
from service.pure.policy import Status
from service.pure.scoring import Scorer
from tests.cast import (
    HAM,
    ORIGIN,
    PAGE,
    decide,
    json_of,
    make_comment,
    make_comments,
    make_site,
    wait_until,
)
from tests.conftest import database_of
from tests.plans import listening, plan_of
from workers import classification

THREAD = f"/api/v1/sites/blog/thread?page_url={PAGE}"


@pytest.fixture
def site(database: Database) -> SiteView:
    return make_site(database)


def approved(database: Database, site: SiteView, **changes: Any) -> str:
    made = make_comment(database, site, **changes)
    decide(database, [made], Status.APPROVED)
    return made


def shown(database: Database, site: SiteView, order: Order = Order.OLDEST) -> list[tuple[str, int]]:
    with database.reading() as session:
        thread = reading.mark(session, site.id, PAGE)
        return [(one.id, one.depth) for one in reading.page(session, thread, order).comments]


def test_only_what_is_approved_is_there(database: Database, site: SiteView) -> None:
    public = approved(database, site)
    for status in (Status.SPAM, Status.REJECTED, Status.DELETED):
        decide(database, [make_comment(database, site)], status)
    make_comment(database, site)
    approved(database, site, page_url=f"{ORIGIN}/another")

    assert shown(database, site) == [(public, 0)]


def test_replies_stand_under_what_they_answer_oldest_first(
    database: Database, site: SiteView
) -> None:
    a = approved(database, site)
    b = approved(database, site)
    a1 = approved(database, site, parent_id=a)
    a2 = approved(database, site, parent_id=a)
    a11 = approved(database, site, parent_id=a1)

    below_a = [(a1, 1), (a11, 2), (a2, 1)]
    assert shown(database, site) == [(a, 0), *below_a, (b, 0)]
    assert shown(database, site, Order.NEWEST) == [(b, 0), (a, 0), *below_a]


def test_a_parent_that_is_not_public_leaves_no_trace(database: Database, site: SiteView) -> None:
    a = approved(database, site)
    hidden = approved(database, site, parent_id=a)
    reply = approved(database, site, parent_id=hidden)
    alone = approved(database, site)
    orphan = approved(database, site, parent_id=alone)
    decide(database, [hidden, alone], Status.SPAM)

    assert shown(database, site) == [(a, 0), (reply, 1), (orphan, 0)]


def test_a_chain_that_is_not_public_leaves_no_trace_either(
    database: Database, site: SiteView
) -> None:
    top = approved(database, site)
    chain = [top]
    for _ in range(4):
        chain.append(approved(database, site, parent_id=chain[-1]))
    decide(database, chain[1:4], Status.DELETED)

    assert shown(database, site) == [(top, 0), (chain[-1], 1)]


def test_a_thread_is_read_past_its_spam(database: Database, site: SiteView) -> None:
    """By an index of what is public: a thread may have a thousand times as much spam."""
    top = approved(database, site)
    reply = approved(database, site, parent_id=top)
    spam = make_comments(database, site, [f"{HAM} {number}" for number in range(200)])
    decide(database, spam, Status.SPAM)
    with listening(database.engine) as asked:
        found = shown(database, site)
        with database.reading() as session:
            feed = reading.newest(session, site.id, PAGE)
            listed = comments.listing(session, site.id, status=Status.APPROVED, page_url=PAGE)

    assert found == [(top, 0), (reply, 1)]
    assert [one.id for one in feed] == [one.id for one in listed] == [reply, top]
    walks = [(statement, values) for statement, values in asked if "ORDER BY" in statement]
    assert len(walks) == 3
    with database.engine.connect() as connection:
        connection.exec_driver_sql("ANALYZE")
        for statement, values in walks:
            plan = plan_of(connection, statement, values)
            assert "ix_comments_public" in plan, (statement, plan)


def test_depth_stops_at_four_in_a_chain_of_any_length(database: Database, site: SiteView) -> None:
    chain = [approved(database, site)]
    for _ in range(7):
        chain.append(approved(database, site, parent_id=chain[-1]))

    assert shown(database, site) == list(zip(chain, [0, 1, 2, 3, 4, 4, 4, 4], strict=True))


def test_pages_follow_each_other(
    database: Database, site: SiteView, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "PAGE", 3)
    made = [approved(database, site) for _ in range(7)]

    found: list[str] = []
    after = None
    with database.reading() as session:
        thread = reading.mark(session, site.id, PAGE)
        for many in (3, 3, 1):
            page = reading.page(session, thread, Order.OLDEST, after=after)
            assert (len(page.comments), page.before) == (many, len(found))
            found += [one.id for one in page.comments]
            after = page.next
        assert after is None
        with pytest.raises(NotFound):
            reading.page(session, thread, Order.OLDEST, after="cmt_none")

    assert found == made


def test_the_page_of_a_comment_is_found_wherever_it_stands(
    database: Database, site: SiteView, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "PAGE", 3)
    made = [approved(database, site) for _ in range(8)]
    hidden = make_comment(database, site)

    with database.reading() as session:
        thread = reading.mark(session, site.id, PAGE)
        for place, one in enumerate(made):
            page = reading.page(session, thread, Order.OLDEST, at=one)
            assert page.before == place // 3 * 3
            assert [shown.id for shown in page.comments] == made[page.before : page.before + 3]
        with pytest.raises(NotFound):
            reading.page(session, thread, Order.OLDEST, at=hidden)
        assert reading.name_of(session, thread, made[0]) == "Ada"
        assert reading.name_of(session, thread, hidden) is None


def test_the_mark_moves_with_what_is_public_and_with_nothing_else(
    database: Database, site: SiteView
) -> None:
    def mark() -> tuple[int, int]:
        with database.reading() as session:
            found = reading.mark(session, site.id, PAGE)
        return found.version, found.count

    assert mark() == (0, 0)
    first, second = make_comment(database, site), make_comment(database, site)
    decide(database, [first, second], Status.APPROVED, act_id="act_1")
    assert mark() == (1, 2)
    decide(database, [make_comment(database, site)], Status.SPAM)
    decide(database, [first], Status.APPROVED)
    assert mark() == (1, 2)
    with database.transaction() as session:
        authoring.edit(session, second, "Another text.", 900)
    assert mark() == (2, 1)
    decide(database, [first], Status.REJECTED, act_id="act_2")
    with database.transaction() as session:
        moderation.undo(session, site.id, "act_2", "key:key_1")
    assert mark() == (4, 1)


def test_the_workers_decisions_move_it_too(
    database: Database, scorer: Scorer, settings: Settings, site: SiteView
) -> None:
    made = [make_comment(database, site, body=f"{HAM} {n}") for n in range(3)]
    classification.drain(database, scorer, settings)

    with database.reading() as session:
        assert reading.mark(session, site.id, PAGE).count == len(made)
        assert reading.counts(session, site.id, [PAGE, f"{ORIGIN}/none"]) == {
            PAGE: 3,
            f"{ORIGIN}/none": 0,
        }


def test_the_answer_has_what_a_page_needs_and_nothing_private(
    client: FlaskClient, database: Database, site: SiteView
) -> None:
    made = approved(
        database,
        site,
        name="Ada",
        url="https://ada.example/",
        body="*So* <b>it</b> is.",
        page_title="First post",
    )

    answer = client.get(THREAD)

    assert answer.json is not None
    (comment,) = answer.json["comments"]
    assert comment.pop("created_at")
    assert comment == {
        "id": made, "parent_id": None, "depth": 0, "name": "Ada", "url": "https://ada.example/",
        "html": "<p><em>So</em> &lt;b&gt;it&lt;/b&gt; is.</p>\n", "edited_at": None,
    }  # fmt: skip
    assert "ada@example.org" not in answer.text
    told = {key: value for key, value in (answer.json or {}).items() if key != "comments"}
    assert told == {
        "page_url": PAGE, "title": "First post", "closed": False, "version": 1,
        "count": 1, "before": 0, "next": None, "edit_seconds": 900,
    }  # fmt: skip


@pytest.mark.parametrize(
    "url", ["javascript:alert(1)", "//elsewhere.example", "data:text/html,x", "<b>", "ftp://a.b/"]
)
def test_an_address_that_leads_elsewhere_than_the_web_is_not_told(
    client: FlaskClient, database: Database, site: SiteView, url: str
) -> None:
    approved(database, site, url=url)

    (comment,) = json_of(client.get(THREAD))["comments"]

    assert comment["url"] is None


def test_what_did_not_change_is_not_sent_again(
    client: FlaskClient, database: Database, site: SiteView
) -> None:
    approved(database, site)
    first = client.get(THREAD, headers={"Origin": ORIGIN})
    seen = {"If-None-Match": first.headers["ETag"], "Origin": ORIGIN}

    again = client.get(THREAD, headers=seen)
    assert (again.status_code, again.data) == (304, b"")
    for answer in (first, again):
        assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN
        assert set(answer.headers["Vary"].split(", ")) == {"Origin", "Accept-Encoding"}
        assert answer.headers["Cache-Control"] == "no-cache"

    approved(database, site, body="New.")
    changed = client.get(THREAD, headers=seen)
    assert (changed.status_code, len((changed.json or {})["comments"])) == (200, 2)


def test_readers_may_be_shown_a_thread_as_it_was_a_second_ago(
    make_app: Callable[..., flask.Flask],
) -> None:
    app = make_app(HAMGATE_READER_SECONDS="1")
    database = database_of(app)
    site = make_site(database)
    client = app.test_client()
    assert json_of(client.get(THREAD))["count"] == 0
    approved(database, site)

    wait_until(lambda: json_of(client.get(THREAD))["count"] == 1)


def test_it_comes_packed_where_that_is_understood(
    client: FlaskClient, database: Database, site: SiteView
) -> None:
    approved(database, site)

    packed = client.get(THREAD, headers={"Accept-Encoding": "gzip"})

    assert packed.headers["Content-Encoding"] == "gzip"
    assert json.loads(gzip.decompress(packed.data)) == client.get(THREAD).json
    assert packed.headers["ETag"] != client.get(THREAD).headers["ETag"]


def test_a_stranger_page_may_not_read_it_by_script(client: FlaskClient, site: SiteView) -> None:
    answer = client.get(THREAD, headers={"Origin": "https://elsewhere.example"})

    assert answer.status_code == 200
    assert "Access-Control-Allow-Origin" not in answer.headers


def test_counts_are_told_by_the_address_that_was_asked_for(
    client: FlaskClient, database: Database, site: SiteView
) -> None:
    approved(database, site)
    asked = [f"{PAGE}?utm_source=x", f"{ORIGIN}/none", "nonsense"]
    path = "/api/v1/sites/blog/counts?page_url="

    good = client.get(path + "&page_url=".join(asked[:2]))
    assert good.json == {"counts": {asked[0]: 1, asked[1]: 0}}
    bad = client.get(path + "&page_url=".join(asked))
    assert bad.status_code == 422
    many = client.get(path + "&page_url=".join([PAGE] * 101))
    assert many.status_code == 422


def test_a_preview_is_what_will_be_shown(client: FlaskClient, site: SiteView) -> None:
    answer = client.post(
        "/api/v1/sites/blog/markdown",
        json={"body": "see https://a.example/ and `code`"},
        headers={"Origin": ORIGIN},
    )

    assert answer.json == {
        "html": '<p>see <a href="https://a.example/" rel="nofollow ugc noopener">'
        "https://a.example/</a> and <code>code</code></p>\n"
    }
