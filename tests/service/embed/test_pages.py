"""Comments without JavaScript: the thread's page and its form, the author's page, the feeds."""

import gzip
import html
import re
from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any
from xml.etree import ElementTree

import flask
import pytest
from flask.testing import FlaskClient
from sqlalchemy import select, update
from werkzeug.test import TestResponse

from service.base.config import Settings
from service.core import objections
from service.core.sites import SiteView
from service.ledger.db import Database
from service.ledger.models import COMMENTS, THREADS
from service.pure.policy import Status
from service.pure.scoring import Scorer
from tests.browser.hostile import CORPUS
from tests.cast import HAM, PAGE, SPAM, decide, make_comment, make_site, status_of
from tests.conftest import database_of
from workers import classification

OWN = "http://localhost:8000"
ATOM = "{http://www.w3.org/2005/Atom}"
GOOD = {
    "page_url": PAGE, "name": "Zoe", "email": "zoe@example.org", "url": "", "body": HAM,
    "honeypot": "", "page_title": "",
}  # fmt: skip


@pytest.fixture
def site(database: Database) -> SiteView:
    return make_site(database)


def look(client: FlaskClient, page_url: str = PAGE, **query: str) -> TestResponse:
    return client.get("/sites/blog/thread", query_string={"page_url": page_url, **query})


def challenge_in(answer: TestResponse) -> str:
    found = re.search(r'name="altcha" value="([^"]+)"', answer.text)
    assert found is not None
    return html.unescape(found[1])


def send(client: FlaskClient, **changes: str) -> TestResponse:
    return client.post(
        "/sites/blog/thread", data={**GOOD, **changes}, headers={"Origin": OWN}, base_url=OWN
    )


def own_page(client: FlaskClient, answer: TestResponse) -> str:
    assert answer.status_code == 303, answer.text
    return answer.headers["Location"]


def act(client: FlaskClient, path: str, action: str, **form: str) -> TestResponse:
    answer = client.post(path, data={"action": action, **form}, headers={"Origin": OWN})
    return client.get(answer.headers["Location"]) if answer.status_code == 303 else answer


def stored(database: Database) -> list[Any]:
    with database.reading() as session:
        return list(session.execute(select(COMMENTS).order_by(COMMENTS.c.id)))


def publish(database: Database, site: SiteView, **changes: Any) -> str:
    made = make_comment(database, site, **changes)
    decide(database, [made], Status.APPROVED)
    return made


def test_the_page_has_the_public_comments_and_a_form(
    client: FlaskClient, database: Database, site: SiteView
) -> None:
    parent = publish(database, site, name="Ada", body="So *it* is.")
    publish(database, site, name="Bob", body="No.", parent_id=parent)
    make_comment(database, site, name="Eve", body="still waiting")

    answer = look(client)

    assert answer.status_code == 200
    assert "<em>it</em>" in answer.text
    assert answer.text.index("Ada") < answer.text.index("Bob")
    assert "Eve" not in answer.text
    assert "@example.org" not in answer.text
    assert f'<link rel="canonical" href="{PAGE}">' in answer.text
    assert "script" not in answer.headers["Content-Security-Policy"]
    assert "noindex" not in answer.text


def test_a_comment_is_taken_and_its_author_led_to_what_became_of_it(
    client: FlaskClient, database: Database, site: SiteView
) -> None:
    page = client.get(own_page(client, send(client, url="https://zoe.example")))

    (row,) = stored(database)
    assert (row.name, row.email, row.url, row.body) == (
        "Zoe", "zoe@example.org", "https://zoe.example", HAM,
    )  # fmt: skip
    assert "Waiting for approval" in page.text
    assert html.escape(HAM) in page.text
    assert "noindex" in page.text


def test_the_form_pressed_twice_is_one_comment(
    client: FlaskClient, database: Database, site: SiteView
) -> None:
    found = re.search(r'name="key" value="([^"]+)"', look(client).text)
    assert found is not None

    first, second = (own_page(client, send(client, key=found[1])) for _ in range(2))

    assert first == second
    assert len(stored(database)) == 1


def test_what_is_wrong_stands_beside_its_field_and_nothing_typed_is_lost(
    client: FlaskClient, database: Database, site: SiteView
) -> None:
    answer = send(client, name=" ", email="nobody", body='A "long" text.')

    assert answer.status_code == 422
    assert 'aria-describedby="fault-email hint-email" aria-invalid="true"' in answer.text
    assert re.search(r'id="fault-name">[^<]+<', answer.text)
    assert "A &#34;long&#34; text." in answer.text
    assert 'value="nobody"' in answer.text
    assert stored(database) == []


def test_a_reply_stands_under_what_it_answers(
    client: FlaskClient, database: Database, site: SiteView
) -> None:
    parent = publish(database, site, name="Ada")
    assert f'name="parent_id" value="{parent}"' in look(client, reply_to=parent).text

    send(client, parent_id=parent)

    assert [row.parent_id for row in stored(database)] == [None, parent]


def test_forms_of_other_sites_are_refused(
    client: FlaskClient, database: Database, site: SiteView
) -> None:
    for headers in (
        {"Origin": "https://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"},
    ):  # fmt: skip
        answer = client.post("/sites/blog/thread", data=GOOD, headers=headers, base_url=OWN)
        assert answer.status_code == 403
    assert stored(database) == []


@pytest.mark.parametrize("page_url", ["https://evil.example/", "javascript:alert(1)", ""])
def test_only_pages_of_the_site_are_shown_and_commented(
    client: FlaskClient, database: Database, site: SiteView, page_url: str
) -> None:
    for answer in (look(client, page_url), send(client, page_url=page_url)):
        assert answer.status_code in (404, 422)
        assert answer.mimetype == "text/html"
        assert f'href="{page_url}"' not in answer.text
    with database.reading() as session:
        assert session.scalars(select(THREADS.c.id)).all() == []


def test_comments_are_rendered_once_for_each_language_and_change(
    client: FlaskClient, database: Database, site: SiteView
) -> None:
    publish(database, site, body="First.")
    look(client, lang="en")
    with database.transaction() as session:  # past everything that tells of changes
        session.execute(update(COMMENTS).values(body="Other."))

    assert "First." in look(client, lang="en").text
    assert "Other." in look(client, lang="de").text
    publish(database, site, body="Second.")
    packed = client.get(
        "/sites/blog/thread",
        query_string={"page_url": PAGE, "lang": "en"},
        headers={"Accept-Encoding": "gzip"},
    )

    page = gzip.decompress(packed.data).decode()
    assert "Other." in page
    assert "Second." in page
    assert "Accept-Encoding" in packed.headers["Vary"]


def test_the_form_shows_when_it_was_given_even_if_something_was_wrong_first(
    client: FlaskClient, database: Database, site: SiteView
) -> None:
    given = challenge_in(look(client))

    wrong = send(client, altcha=given, name="")
    own_page(client, send(client, altcha=challenge_in(wrong)))
    own_page(client, send(client, altcha=given, body="Another."))

    first, second = stored(database)
    assert challenge_in(wrong) == given
    assert (first.challenge, second.challenge) == ("signed", "used")
    assert 0 <= first.written_ms < 120_000


def test_a_filled_trap_is_noted(client: FlaskClient, database: Database, site: SiteView) -> None:
    send(client, honeypot="x")

    assert stored(database)[0].honeypot_filled


def test_the_form_counts_against_the_same_limits(
    make_app: Callable[..., flask.Flask],
) -> None:
    app = make_app(HAMGATE_LIMIT_EMAIL="2/hour")
    make_site(database_of(app))
    client = app.test_client()

    answers = [send(client, body=f"Number {n}, and a text.") for n in range(3)]

    assert [answer.status_code for answer in answers] == [303, 303, 429]
    assert "Number 2, and a text." in answers[2].text
    assert int(answers[2].headers["Retry-After"]) > 0


@pytest.mark.parametrize(
    ("header", "query", "language", "direction"),
    [
        ("de-AT,de;q=0.9,en;q=0.5", {}, "de", "ltr"),
        ("ar", {}, "ar", "rtl"),
        ("tlh", {}, "en", "ltr"),
        ("de", {"lang": "fr"}, "fr", "ltr"),
    ],
)
def test_it_speaks_the_readers_language(
    client: FlaskClient,
    site: SiteView,
    header: str,
    query: dict[str, str],
    language: str,
    direction: str,
) -> None:
    answer = client.get(
        "/sites/blog/thread",
        query_string={"page_url": PAGE, **query},
        headers={"Accept-Language": header},
    )

    assert f'<html lang="{language}" dir="{direction}">' in answer.text
    assert answer.headers["Content-Language"] == language
    assert "Accept-Language" in answer.headers["Vary"]


def test_an_author_reads_the_reason_and_appeals(
    client: FlaskClient, database: Database, site: SiteView, scorer: Scorer, settings: Settings
) -> None:
    path = own_page(client, send(client, body=SPAM))
    classification.drain(database, scorer, settings)
    page = client.get(path).text
    assert "Taken for spam" in page
    assert 'value="edit"' not in page

    again = act(client, path, "appeal", reason="It was meant as an example.")

    assert "Your appeal has been sent." in again.text
    assert 'value="appeal"' not in again.text
    with database.reading() as session:
        ((found,),) = objections.waiting(session, site.id).values()
    assert (found.appeal, found.reason) == (True, "It was meant as an example.")


def test_an_author_edits_and_withdraws(
    client: FlaskClient, database: Database, site: SiteView
) -> None:
    path = own_page(client, send(client))

    assert act(client, path, "edit", body=" ").status_code == 422
    assert "Saved." in act(client, path, "edit", body="Another text.").text
    assert stored(database)[0].body == "Another text."
    gone = act(client, path, "withdraw").text

    assert "Withdrawn." in gone
    assert "Another text." not in gone
    assert status_of(database, stored(database)[0].id) is Status.DELETED


def test_an_authors_page_opens_to_the_receipt_alone(
    client: FlaskClient, database: Database, site: SiteView
) -> None:
    path = own_page(client, send(client))
    other = own_page(client, send(client, body="Another one, by somebody else."))
    wrong = f"{path.partition('?')[0]}?{other.partition('?')[2]}"

    for address in (path.partition("?")[0], wrong, path[:-1]):
        assert client.get(address).status_code == 404
        assert act(client, address, "withdraw").status_code == 404
    assert status_of(database, stored(database)[0].id) is Status.PENDING


def test_a_reader_reports(client: FlaskClient, database: Database, site: SiteView) -> None:
    made = publish(database, site, name="Ada")
    assert "Report: <bdi>Ada</bdi>" in look(client, report=made).text
    path = f"/sites/blog/comments/{made}/reports"

    empty = client.post(path, data={"reason": ""}, headers={"Origin": OWN})
    full = client.post(path, data={"reason": "rude"}, headers={"Origin": OWN})

    assert empty.status_code == 422
    assert 'id="fault-reason"' in empty.text
    assert "A person will look at it." in client.get(full.headers["Location"]).text
    with database.reading() as session:
        assert [one.reason for one in objections.waiting(session, site.id)[made]] == ["rude"]


def test_a_closed_thread_has_no_form(
    client: FlaskClient, database: Database, site: SiteView
) -> None:
    publish(database, site)
    with database.transaction() as session:
        session.execute(THREADS.update().values(closed=True))

    assert "<form" not in look(client).text
    assert send(client).status_code == 403


def test_a_long_thread_goes_on_behind_a_link(
    client: FlaskClient, database: Database, site: SiteView
) -> None:
    for number in range(101):
        publish(database, site, name=f"N{number}.")
    first = look(client).text
    found = re.search(r'rel="next" href="([^"]+)"', first)
    assert found is not None

    second = client.get(html.unescape(found[1])).text

    assert "N100." not in first
    assert "N100." in second
    assert "N99." not in second


class Tags(HTMLParser):
    """Reads a page as a browser would, and keeps what is markup in it."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, list[tuple[str, str | None]]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, attrs))


def feed(client: FlaskClient, **query: str) -> tuple[TestResponse, ElementTree.Element]:
    answer = client.get("/sites/blog/feed.atom", query_string=query)
    assert answer.status_code == 200
    assert answer.mimetype == "application/atom+xml"
    return answer, ElementTree.fromstring(answer.data)


def test_a_feed_has_the_newest_public_comments(
    client: FlaskClient, database: Database, site: SiteView
) -> None:
    made = publish(database, site, name="Ada", body="So *it* is.", page_title="First post")
    publish(database, site, name="Bob", page_url="https://blog.example.org/other")
    make_comment(database, site, name="Eve")

    _, whole = feed(client)
    answer, of_page = feed(client, page_url=PAGE)

    assert [one.findtext(f"{ATOM}author/{ATOM}name") for one in whole.iter(f"{ATOM}entry")] == [
        "Bob", "Ada",
    ]  # fmt: skip
    (entry,) = of_page.iter(f"{ATOM}entry")
    assert of_page.findtext(f"{ATOM}title") == "First post"
    assert entry.findtext(f"{ATOM}content") == "<p>So <em>it</em> is.</p>\n"
    link = entry.find(f"{ATOM}link")
    assert link is not None
    assert link.get("href") == f"{PAGE}#hamgate-{made}"
    assert "@example.org" not in answer.text
    again = client.get(
        "/sites/blog/feed.atom",
        query_string={"page_url": PAGE},
        headers={"If-None-Match": answer.headers["ETag"]},
    )
    assert again.status_code == 304


def test_an_empty_feed_is_one_too(client: FlaskClient, site: SiteView) -> None:
    _, found = feed(client)

    assert list(found.iter(f"{ATOM}entry")) == []
    assert found.findtext(f"{ATOM}updated")


def test_hostile_strings_stay_text_in_page_and_feed(
    client: FlaskClient, database: Database, site: SiteView
) -> None:
    for text in CORPUS[:80]:
        publish(database, site, name=text[:80] or "x", body=text, page_title=text[:300])

    page = look(client).text
    _, found = feed(client, page_url=PAGE)

    assert len(list(found.iter(f"{ATOM}entry"))) == 50
    tags = Tags()
    tags.feed(page)
    assert {"article", "script", "img", "svg", "iframe", "style"} & {
        tag for tag, _ in tags.seen
    } == set()
    attributes = [pair for _, pairs in tags.seen for pair in pairs]
    assert [name for name, _ in attributes if name.startswith("on")] == []
    hrefs = [value or "" for name, value in attributes if name in ("href", "action", "src")]
    assert [one for one in hrefs if not re.match(r"https?://|/|#|mailto:", one)] == []
