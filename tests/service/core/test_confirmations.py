"""Confirming an address: who may ask for a mail, how many there are, and what its link leads to."""

import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import flask
import pytest
from flask.testing import FlaskClient
from sqlalchemy import func, select, update
from werkzeug.test import TestResponse

from service.base.config import Settings
from service.base.errors import Forbidden
from service.core import authors, comments, confirmations, forgetting, sites
from service.core.confirmations import rows
from service.core.sites import SiteView
from service.ledger.db import Database, utc_now
from service.ledger.models import COMMENTS, CONFIRMATIONS, SILENCED_MAILBOXES, VERIFIED_AUTHORS
from service.pure.policy import Policy, Status
from service.pure.scoring import Scorer
from service.pure.seals import CONFIRM, SILENCE, Seals
from tests.cast import (
    HAM,
    ORIGIN,
    PAGE,
    SPAM,
    decide,
    decisions_by_comment,
    faults,
    json_of,
    make_body,
    make_comment,
    make_site,
    post,
)
from workers import classification

EMAIL = "ada@example.org"
MAIL = {
    "HAMGATE_SMTP_URL": "smtp://localhost:1",
    "HAMGATE_MAIL_FROM": "comments@example.net",
    "HAMGATE_URL": "http://localhost:8000",
}


@pytest.fixture
def settings(make_settings: Callable[..., Settings]) -> Settings:
    return make_settings(**MAIL, HAMGATE_LIMIT_CONFIRM="1000/day")


@pytest.fixture
def site(database: Database) -> SiteView:
    return make_site(database)


@dataclass
class Author:
    """Somebody who has submitted a comment that was approved, and kept the receipt."""

    client: FlaskClient
    id: str
    receipt: str

    def ask(self, language: str | None = None) -> TestResponse:
        return self.client.post(
            f"/api/v1/comments/{self.id}/confirmations",
            json={"language": language},
            headers={"Authorization": f"Receipt {self.receipt}", "Origin": ORIGIN},
        )

    def look(self) -> dict[str, Any]:
        headers = {"Authorization": f"Receipt {self.receipt}"}
        return json_of(self.client.get(f"/api/v1/comments/{self.id}", headers=headers))


MakeAuthor = Callable[..., Author]


@pytest.fixture
def make_author(client: FlaskClient, database: Database, site: SiteView) -> MakeAuthor:
    def make(status: Status | None = Status.APPROVED, slug: str = "blog", **body: Any) -> Author:
        sent = json_of(post(client, make_body(**body), slug))
        if status is not None:
            decide(database, [sent["id"]], status)
        return Author(client, sent["id"], sent["receipt"])

    return make


@pytest.fixture
def seals(settings: Settings) -> Seals:
    return Seals(settings.signing_key())


@pytest.fixture
def link(make_author: MakeAuthor, database: Database, seals: Seals) -> str:
    """The link in the mail that Ada asked for."""
    assert make_author().ask().status_code == 200
    return link_to("confirmation", seals.seal(CONFIRM, mails(database)[0].id))


def link_to(page: str, token: str, slug: str = "blog") -> str:
    return f"/sites/{slug}/{page}?token={token}&lang=en"


def press(client: FlaskClient, link: str, **headers: str) -> TestResponse:
    """Press the button of a page, as a browser does."""
    return client.post(link, headers={"Origin": "http://localhost:8000"} | headers)


def mails(database: Database) -> list[Any]:
    with database.reading() as session:
        return list(session.execute(select(CONFIRMATIONS).order_by(CONFIRMATIONS.c.number)))


def age(database: Database, days: float) -> None:
    """Let all mails be older."""
    with database.transaction() as session:
        for row in mails(database):
            session.execute(
                update(CONFIRMATIONS)
                .where(CONFIRMATIONS.c.id == row.id)
                .values(created_at=row.created_at - timedelta(days=days))
            )


def count(database: Database, table: Any) -> int:
    with database.reading() as session:
        return session.scalar(select(func.count()).select_from(table)) or 0


def test_an_author_asks_once_and_the_mail_is_a_row_that_is_due(
    make_author: MakeAuthor, database: Database
) -> None:
    author = make_author()
    assert author.look()["confirmable"] is True

    answer = author.ask("de-AT")

    assert (answer.status_code, json_of(answer)["confirmable"]) == (200, False)
    assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN
    (row,) = mails(database)
    assert (row.comment_id, row.language, row.attempts) == (author.id, "de", 0)
    assert row.send_at is not None
    assert EMAIL not in str(row)
    assert author.ask().status_code == 403
    assert len(mails(database)) == 1


def test_without_a_mail_server_nothing_changes(
    make_app: Callable[..., flask.Flask],
) -> None:
    app = make_app()
    database = app.extensions["hamgate"].database
    make_site(database)
    client = app.test_client()
    sent = json_of(post(client, make_body()))
    decide(database, [sent["id"]], Status.APPROVED)
    author = Author(client, sent["id"], sent["receipt"])

    assert author.look()["confirmable"] is False
    assert author.ask().status_code == 403
    assert mails(database) == []


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (Status.SPAM, {}),
        (Status.REJECTED, {}),
        (None, {}),  # not decided yet
        (Status.APPROVED, {"honeypot": "filled"}),
        (Status.APPROVED, {"page_url": "https://elsewhere.example/"}),
    ],
)
def test_for_such_a_comment_no_mail_is_offered(
    make_author: MakeAuthor, database: Database, status: Status | None, body: dict[str, str]
) -> None:
    author = make_author(status, **body)

    assert author.look()["confirmable"] is False
    assert author.ask().status_code == 403
    assert mails(database) == []


def test_where_trust_counts_for_nothing_no_mail_is_offered(
    make_author: MakeAuthor, database: Database, site: SiteView
) -> None:
    with database.transaction() as session:
        sites.set_policy(session, site.id, Policy(trust_approved_authors=False))

    assert make_author().ask().status_code == 403


def test_a_comment_that_is_refused_at_that_moment_gets_no_mail(
    make_author: MakeAuthor, database: Database
) -> None:
    author = make_author()
    with database.reading() as session:
        seen = comments.get(session, author.id)
    decide(database, [author.id], Status.SPAM)

    with pytest.raises(Forbidden), database.transaction() as session:
        confirmations.ask(session, seen, "en")

    assert mails(database) == []


def test_only_with_the_receipt_one_may_ask(make_author: MakeAuthor) -> None:
    author = make_author()
    author.receipt = make_author().receipt

    assert author.ask().status_code == 401


@pytest.mark.parametrize(
    "variant", [EMAIL, "Ada@EXAMPLE.org", "ada+more@example.org", "ada+@example.org"]
)
def test_a_mailbox_gets_one_mail_a_day_however_it_is_spelt_and_nobody_is_told(
    make_author: MakeAuthor, database: Database, variant: str
) -> None:
    make_site(database, "other")
    make_author().ask()

    answer = make_author(slug="other", email=variant).ask()

    assert (answer.status_code, json_of(answer)["confirmable"]) == (200, False)
    assert len(mails(database)) == 1


def test_dots_count_for_nothing_where_they_lead_to_one_mailbox() -> None:
    of = confirmations.mailbox_of

    assert of("a.d.a+x@gmail.com") == of("ADA@gmail.com")
    assert of("a.da@example.org") != of("ada@example.org")
    assert of("ada@example.org") != of("ada@example.com")


def test_a_day_later_there_is_another_but_five_unanswered_are_enough(
    make_author: MakeAuthor, database: Database
) -> None:
    for number in range(1, confirmations.UNANSWERED_MOST + 3):
        make_author().ask()
        assert len(mails(database)) == min(number, confirmations.UNANSWERED_MOST)
        age(database, 1.01)


def test_who_answered_may_be_written_to_again(
    make_author: MakeAuthor, database: Database, client: FlaskClient, seals: Seals
) -> None:
    for _ in range(confirmations.UNANSWERED_MOST):
        make_author().ask()
        age(database, 1.01)
    with database.transaction() as session:
        session.execute(
            update(CONFIRMATIONS)
            .where(CONFIRMATIONS.c.number == confirmations.UNANSWERED_MOST)
            .values(confirmed_at=utc_now())
        )

    make_author().ask()

    assert len(mails(database)) == confirmations.UNANSWERED_MOST + 1


def test_of_many_who_ask_at_the_same_moment_one_mail_comes(
    database: Database, site: SiteView
) -> None:
    seen = []
    for _ in range(8):
        made = make_comment(database, site)
        decide(database, [made], Status.APPROVED)
        with database.reading() as session:
            seen.append(comments.get(session, made))
    start = threading.Barrier(len(seen))

    def ask(view: comments.CommentView) -> None:
        start.wait()
        with database.transaction() as session:
            confirmations.ask(session, view, "en")

    threads = [threading.Thread(target=ask, args=(view,)) for view in seen]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(mails(database)) == 1


def test_a_site_sends_so_many_a_day(
    make_author: MakeAuthor, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(confirmations, "SITE_MOST_A_DAY", 2)
    make_site(database, "other")

    for number in range(4):
        make_author(email=f"r{number}@example.org").ask()
    make_author(slug="other", email="s@example.org").ask()

    assert len(mails(database)) == 3


def test_from_one_network_address_so_many_are_asked_for(
    make_app: Callable[..., flask.Flask],
) -> None:
    app = make_app(**MAIL, HAMGATE_LIMIT_CONFIRM="2/hour")
    database = app.extensions["hamgate"].database
    make_site(database)
    client = app.test_client()
    answers = []
    for number in range(3):
        sent = json_of(post(client, make_body(email=f"r{number}@example.org")))
        decide(database, [sent["id"]], Status.APPROVED)
        answers.append(Author(client, sent["id"], sent["receipt"]).ask())

    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert "Retry-After" in answers[2].headers
    assert len(mails(database)) == 2


def test_whom_moderators_distrust_is_not_written_to(
    make_author: MakeAuthor, database: Database, site: SiteView
) -> None:
    with database.transaction() as session:
        authors.verify(session, site.id, EMAIL, utc_now())
        authors.distrust(session, site.id, EMAIL, comment_id="cmt_1", actor="moderator:1")

    assert make_author().ask().status_code == 200
    assert mails(database) == []


@pytest.mark.parametrize("field", ["name", "email"])
@pytest.mark.parametrize("end", ["\r\n", "\n", "\r", "\x0b", "\u2028", "\x85"])
def test_a_header_cannot_be_smuggled_in(
    client: FlaskClient, site: SiteView, field: str, end: str
) -> None:
    given = make_body()[field]

    answer = post(client, make_body(**{field: f"{given}{end}Bcc: eve@example.org"}))

    assert f"/{field}" in faults(answer)


def test_a_look_at_the_link_asks_and_changes_nothing(
    client: FlaskClient, database: Database, link: str
) -> None:
    before = mails(database)

    for _ in range(3):
        page = client.get(link)

    assert page.status_code == 200
    assert "Is the e-mail address to which this link was sent yours" in page.text
    assert page.text.count("<form") == 1
    assert "script" not in page.text
    assert EMAIL not in page.text
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    assert page.headers["Cache-Control"] == "no-store"
    assert page.headers["Referrer-Policy"] == "same-origin"
    assert client.head(link).status_code == 200
    assert mails(database) == before
    assert count(database, VERIFIED_AUTHORS) == 0


def test_a_press_of_the_button_makes_the_next_comment_known(
    client: FlaskClient, database: Database, scorer: Scorer, settings: Settings,
    site: SiteView, link: str,
) -> None:  # fmt: skip
    page = press(client, link)

    assert page.status_code == 200
    assert EMAIL not in page.text
    back = re.search(r'href="([^"#]+)#hamgate-author-blog=([^"]+)"', page.text)
    assert back is not None
    assert back[1] == PAGE
    with database.reading() as session:
        assert authors.standing(session, site.id, EMAIL) is not None
    known = exchange(client, back[2])
    assert known.headers["Access-Control-Allow-Origin"] == ORIGIN
    rules = []
    for token in (json_of(known)["author_token"], None):
        made = json_of(post(client, make_body(body=SPAM, author_token=token)))["id"]
        classification.drain(database, scorer, settings)
        rules.append(decisions_by_comment(database)[made][-1].rule)
    assert rules == ["known_author", "spam_score"]


def exchange(client: FlaskClient, code: str, slug: str = "blog") -> TestResponse:
    """Do what the widget does with the code in a page's address."""
    return client.post(
        f"/api/v1/sites/{slug}/authors", json={"code": code}, headers={"Origin": ORIGIN}
    )


def test_a_code_is_good_for_an_hour_on_its_site_after_the_button_and_while_there_is_trust(
    client: FlaskClient, database: Database, site: SiteView, link: str, seals: Seals
) -> None:
    make_site(database, "other")
    confirmation = mails(database)[0].id
    code = seals.code(confirmation, utc_now())
    old = seals.code(confirmation, utc_now() - timedelta(hours=1, seconds=1))
    assert exchange(client, code).status_code == 404
    press(client, link)

    assert exchange(client, code).status_code == 200
    assert exchange(client, code, "other").status_code == 404
    for bad in (old, code[:-1], "x", ".", seals.seal(CONFIRM, confirmation), confirmation):
        assert exchange(client, bad).status_code == 404
    with database.transaction() as session:
        authors.distrust(session, site.id, EMAIL, comment_id="cmt_1", actor="moderator:1")
    assert exchange(client, code).status_code == 404


def test_the_button_may_be_pressed_in_each_of_ones_browsers(
    client: FlaskClient, database: Database, link: str
) -> None:
    first, second = press(client, link), press(client, link)

    assert (first.status_code, second.status_code) == (200, 200)
    assert count(database, VERIFIED_AUTHORS) == 1


def test_whatever_a_link_is_not_good_for_looks_the_same(
    client: FlaskClient, database: Database, link: str, seals: Seals
) -> None:
    make_site(database, "other")
    token = link.partition("token=")[2].partition("&")[0]
    confirmation = mails(database)[0].id
    bad = [
        link_to("confirmation", "x"),
        link_to("confirmation", ""),
        link_to("confirmation", token[:-1]),
        link_to("confirmation", seals.seal(SILENCE, confirmation)),
        link_to("confirmation", seals.seal(CONFIRM, "cnf_none")),
        link_to("confirmation", token, "other"),
    ]
    pages = [answer for one in bad for answer in (client.get(one), press(client, one))]
    age(database, rows.LASTS.days)
    pages += [client.get(link), press(client, link)]

    assert {page.status_code for page in pages} == {404}
    assert len({page.text for page in pages}) == 1
    assert "not valid, or not any more" in pages[0].text
    assert count(database, VERIFIED_AUTHORS) == 0


def test_no_other_page_can_press_the_button(
    client: FlaskClient, database: Database, link: str
) -> None:
    assert press(client, link, Origin="https://evil.example").status_code == 403
    assert count(database, VERIFIED_AUTHORS) == 0


def test_the_pages_speak_the_language_of_the_mail(client: FlaskClient, link: str) -> None:
    page = client.get(link.replace("lang=en", "lang=ar"))

    assert 'lang="ar" dir="rtl"' in page.text
    assert "هل عنوان البريد" in page.text


def test_whom_moderators_distrust_is_told_and_gets_no_token(
    client: FlaskClient, database: Database, site: SiteView, link: str
) -> None:
    with database.transaction() as session:
        authors.verify(session, site.id, EMAIL, utc_now())
        authors.distrust(session, site.id, EMAIL, comment_id="cmt_1", actor="moderator:1")

    page = press(client, link)

    assert "blog looks at your comments first" in page.text
    assert "aut_" not in page.text


def test_without_scripts_the_link_asks_from_ones_own_page_and_leads_on_to_a_form_that_knows(
    client: FlaskClient, database: Database, make_author: MakeAuthor, seals: Seals
) -> None:
    author = make_author()
    own = f"/sites/blog/comments/{author.id}?receipt={author.receipt}&lang=fr"
    assert 'value="confirm"' in client.get(own).text
    asked = client.post(own, data={"action": "confirm"})
    assert asked.status_code == 303
    assert "un message est en route" in client.get(asked.headers["Location"]).text
    (mail,) = mails(database)
    assert mail.language == "fr"

    page = press(client, link_to("confirmation", seals.seal(CONFIRM, mail.id)))
    plain = re.search(r'<noscript>.*href="([^"]+)"', page.text)
    assert plain is not None
    form = client.get(plain[1].replace("&amp;", "&")).text
    token = re.search(r'name="author_token" value="([^"]+)"', form)
    assert token is not None
    data = {**make_body(body=HAM), "author_token": token[1]}
    sent = client.post("/sites/blog/thread", data=data)

    made = sent.headers["Location"].partition("/comments/")[2].partition("?")[0]
    with database.reading() as session:
        proven = session.scalar(select(COMMENTS.c.proven_at).where(COMMENTS.c.id == made))
    assert proven is not None


@pytest.fixture
def silence(make_author: MakeAuthor, database: Database, seals: Seals) -> str:
    """The link in a mail that says: never again."""
    make_author().ask()
    return link_to("silence", seals.seal(SILENCE, mails(database)[0].id))


def test_who_wants_no_more_mail_gets_none_at_any_spelling(
    client: FlaskClient, database: Database, make_author: MakeAuthor, silence: str
) -> None:
    assert "never again write" in client.get(silence).text
    assert count(database, SILENCED_MAILBOXES) == 0

    assert "will not write to you again" in press(client, silence).text
    assert press(client, silence).status_code == 200

    age(database, 2)
    assert make_author(email="ada+new@example.org").ask().status_code == 200
    assert len(mails(database)) == 1
    with database.reading() as session:
        assert EMAIL not in str(session.execute(select(SILENCED_MAILBOXES)).all())


def test_a_mail_program_says_so_by_itself(
    client: FlaskClient, database: Database, silence: str
) -> None:
    answer = client.post(silence, data={"List-Unsubscribe": "One-Click"})

    assert answer.status_code == 200
    assert count(database, SILENCED_MAILBOXES) == 1


def test_that_link_does_not_end(client: FlaskClient, database: Database, silence: str) -> None:
    age(database, 400)

    assert press(client, silence).status_code == 200
    assert count(database, SILENCED_MAILBOXES) == 1


def test_no_other_link_says_so(client: FlaskClient, database: Database, link: str) -> None:
    token = link.partition("token=")[2].partition("&")[0]

    assert client.get(link_to("silence", token)).status_code == 404
    assert press(client, link_to("silence", token)).status_code == 404
    assert count(database, SILENCED_MAILBOXES) == 0


def test_a_comment_whose_text_was_forgotten_has_no_address_to_confirm(
    client: FlaskClient, database: Database, link: str
) -> None:
    with database.transaction() as session:
        forgetting.blank(session.connection(), [mails(database)[0].comment_id])

    assert client.get(link).status_code == 404
    assert press(client, link).status_code == 404
    assert count(database, VERIFIED_AUTHORS) == 0


def test_what_shows_who_reads_stands_on_no_page_of_anybody_else(
    client: FlaskClient, database: Database, make_author: MakeAuthor
) -> None:
    make_author()
    page = f"/sites/blog/thread?page_url={PAGE}"
    packs = {"Accept-Encoding": "gzip"}

    mine = client.get(f"{page}&author=aut_1.mine", headers=packs)
    others = client.get(page)

    assert mine.text.count("aut_1.mine") > 3  # the form, and each way on
    assert "Content-Encoding" not in mine.headers  # BREACH
    assert "aut_1.mine" not in others.text


def test_an_erased_comment_takes_the_address_along_and_the_count_stays(
    client: FlaskClient, database: Database, link: str, site: SiteView
) -> None:
    with database.transaction() as session:
        session.execute(COMMENTS.delete().where(COMMENTS.c.site_id == site.id))

    assert press(client, link).status_code == 404
    assert [row.comment_id for row in mails(database)] == [None]
