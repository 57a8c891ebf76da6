"""Search: each filter alone, pages that follow each other, bad filters beside their fields."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import bindparam, select, text, update

from service.base.config import Settings
from service.core import comments, indexing, search
from service.core.search import Filters
from service.core.sites import SiteView
from service.ledger.db import Database, db_now
from service.ledger.models import COMMENTS, ENTRIES
from service.operations import schema
from service.pure import terms
from service.pure.policy import Status
from service.pure.scoring import Scorer
from tests.cast import HAM, SPAM, decide, make_comment, make_comments, make_site, odd_talk
from tests.plans import listening, plan_of
from workers import classification, sweeper

TODAY = datetime.now(UTC).date()
_BEFORE_SEARCH = 9  # the revision before the one that made the index of words


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
        ({"words": "STE"}, ["Than"]),
        ({"words": "tep"}, []),
        ({"words": "lovelace"}, ["Than"]),
        ({"words": "x.org"}, ["CHEC"]),
        ({"words": "spam.exa"}, ["CHEC"]),
        ({"words": "exa.spam"}, []),
        ({"words": "???"}, []),
        ({"words": "CAFÉ?"}, ["Ärge"]),
        ({"author": "eve", "words": "money"}, ["CHEC"]),
        ({"author": "money"}, []),
        ({"email": "x.or"}, ["CHEC"]),
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
    monkeypatch.setattr(search, "_FIRST", 1)
    monkeypatch.setattr(search, "WINDOW", 1)
    with database.reading() as session:
        first = search.find(session, site.id, Filters(address="192.0.2.1"))
        assert first.cursor is not None
        second = search.find(session, site.id, Filters(address="192.0.2.1"), before=first.cursor)

    assert first.hits == ()
    assert [hit.name for hit in second.hits] == ["Ada Lovelace"]


def test_what_a_person_decided_is_found_by_the_rule_that_decided_first(
    database: Database, site: SiteView
) -> None:
    with database.reading() as session:
        (spam,) = comments.listing(session, site.id, status=Status.SPAM)
    decide(database, [spam.id], Status.APPROVED)

    assert names(database, site, rule="spam_score", status=Status.APPROVED) == ["CHEC"]


LANGUAGES = {
    "Chinese": ("我昨天在北京吃了烤鸭，味道很好。", ["北京", "烤鸭", "好", "北"], ["京北", "上海"]),
    "Japanese": ("東京タワーに行きました", ["東京タワー", "行き", "に"], ["大阪"]),
    "Korean": ("오늘은 날씨가 좋네요", ["날씨", "오늘은"], ["내일"]),
    "Thai": ("วันนี้อากาศดีมาก", ["อากาศ", "ดี"], ["ฝน"]),
    "Hindi": ("मुझे हिन्दी बहुत पसंद है", ["हिन्दी", "पसं"], ["अंग्रेज़ी"]),
    "Arabic": ("شكرا جزيلا على المقال", ["جزيلا", "المق"], ["كتاب"]),
    "Greek": ("Καλημέρα κόσμε", ["ΚΑΛΗΜ", "κόσμε"], ["νύχτα"]),
    "Turkish": ("ISPARTA'da güzel bir gün", ["isparta", "GÜZEL"], ["kötü"]),
    "emoji": ("so good👍👍 thanks", ["👍", "good", "thanks"], ["👎"]),
    "disguised": ("ch\u200beap \uff30\uff29\uff2c\uff2c\uff33", ["cheap", "pills"], ["eap"]),
}


@pytest.mark.parametrize("wait", [False, True], ids=["in the index", "not yet decided"])
def test_a_text_is_found_in_every_language(
    database: Database,
    scorer: Scorer,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    *,
    wait: bool,
) -> None:
    monkeypatch.setattr(search, "_FIRST", 1)
    made = make_site(database)
    ids = dict(
        zip(LANGUAGES, make_comments(database, made, [text for text, _, _ in LANGUAGES.values()]),
            strict=True)
    )  # fmt: skip
    if not wait:
        classification.drain(database, scorer, settings)

    for language, (_, there, absent) in LANGUAGES.items():
        for word in there:
            assert ids[language] in found_ids(database, made, words=word), word
        for word in absent:
            assert ids[language] not in found_ids(database, made, words=word), word


def found_ids(database: Database, site: SiteView, **filters: Any) -> list[str]:
    with database.reading() as session:
        return [hit.id for hit in search.find(session, site.id, Filters(**filters)).hits]


def test_what_is_rare_is_found_behind_what_is_new_and_not_on_another_site(
    database: Database,
    scorer: Scorer,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(search, "_FIRST", 1)
    monkeypatch.setattr(search, "WINDOW", 1)
    made, other = make_site(database), make_site(database, "other")
    rare = make_comments(database, made, ["a zebra here", "another zebra there"])
    make_comments(database, other, ["a zebra elsewhere"])
    make_comments(database, made, odd_talk(5, spam=False))
    classification.drain(database, scorer, settings)
    waiting = make_comments(database, made, ["a zebra that waits", *odd_talk(2, spam=False)])[0]

    with database.reading() as session:
        first = search.find(session, made.id, Filters(words="zebra"), most=1)
        second = search.find(session, made.id, Filters(words="zebra"), before=first.cursor, most=1)
        last = search.find(session, made.id, Filters(words="zebra"), before=second.cursor, most=1)

    assert [hit.id for page in (first, second, last) for hit in page.hits] == [
        waiting,
        *sorted(rare, reverse=True),
    ]
    assert last.cursor is None


def test_a_word_too_common_to_be_listed_is_looked_for_window_by_window(
    database: Database, site: SiteView, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "_FIRST", 1)
    monkeypatch.setattr(search, "WINDOW", 1)
    monkeypatch.setattr(search, "_LISTED", 0)
    with database.reading() as session:
        first = search.find(session, site.id, Filters(words="step"))
        assert first.cursor is not None
        second = search.find(session, site.id, Filters(words="step"), before=first.cursor)

    assert first.hits == ()
    assert [hit.name for hit in second.hits] == ["Ada Lovelace"]


def test_an_entry_has_each_term_of_all_its_texts_once_in_order_and_cut_at_forty_letters() -> None:
    found = terms.entry("Ada", "ada@example.org", f"Ada's {'ab' * 30}, \n example")

    assert found == f" {'ab' * 20} ada example org s "


def test_nothing_is_entered_by_the_intake(database: Database, site: SiteView) -> None:
    before = entries(database)
    make_comment(database, site, body="a giraffe")

    assert entries(database) == before
    assert names(database, site, words="giraffe") == ["a gi"]


def entries(database: Database) -> dict[str, str]:
    with database.reading() as session:
        return {row.comment_id: row.words for row in session.execute(select(ENTRIES))}


def indexed(database: Database, site: SiteView, word: str) -> list[str]:
    """Ask the index of words alone, without looking at any comment."""
    with database.reading() as session:
        found = search._listed(session, site.id, terms.seek(word))
    assert found is not None
    return list(found)


CHANGES = {
    "edited": "UPDATE comments SET body = 'something else' WHERE id = :id",
    "renamed": "UPDATE comments SET name = 'somebody' WHERE id = :id",
    "erased": "UPDATE comments SET body = '', name = '', email = '' WHERE id = :id",
    "deleted": "DELETE FROM comments WHERE id = :id",
    "gone with its page": "DELETE FROM threads WHERE id IN (SELECT thread_id FROM comments)",
    "gone with its site": "DELETE FROM sites WHERE slug = 'blog'",
}


@pytest.mark.parametrize("change", CHANGES)
def test_no_text_outlives_its_comment_in_the_index(
    database: Database, site: SiteView, change: str
) -> None:
    (comment,) = found_ids(database, site, words="lovelace")
    assert indexed(database, site, "lovelace") == [comment]
    with database.transaction() as session:
        session.execute(text("UPDATE comments SET decision_id = NULL"))
        session.execute(text(CHANGES[change]).bindparams(*bind(CHANGES[change], comment)))

    assert comment not in entries(database)
    assert indexed(database, site, "lovelace") == indexed(database, site, "second") == []
    if database.engine.dialect.name == "sqlite":
        with database.transaction() as session:  # fails where index and entries differ
            session.execute(
                text("INSERT INTO search_words (search_words) VALUES ('integrity-check')")
            )


def bind(statement: str, comment: str) -> list[Any]:
    return [bindparam("id", comment)] if ":id" in statement else []


def test_an_edited_text_is_found_by_its_new_words(
    database: Database, scorer: Scorer, settings: Settings, site: SiteView
) -> None:
    (comment,) = found_ids(database, site, words="lovelace")
    with database.transaction() as session:
        session.execute(
            update(COMMENTS)
            .where(COMMENTS.c.id == comment)
            .values(body="a giraffe", revision=2, version=3, classify_at=db_now())
        )

    assert found_ids(database, site, words="giraffe") == [comment]
    classification.drain(database, scorer, settings)
    assert indexed(database, site, "giraffe") == [comment]
    assert found_ids(database, site, words="step") == []


def test_what_a_person_decides_before_any_machine_is_entered_too(
    database: Database, site: SiteView
) -> None:
    (comment,) = make_comments(database, site, ["a giraffe"])
    decide(database, [comment], Status.APPROVED)

    assert indexed(database, site, "giraffe") == [comment]


def test_an_upgrade_enters_what_was_there_piece_by_piece(
    database: Database, site: SiteView, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(indexing, "_FILL_MOST", 1)
    monkeypatch.setattr(search, "_FIRST", 1)
    (waiting,) = make_comments(database, site, ["a giraffe that nobody has decided"])
    before = entries(database)
    _, head = schema.migrate(settings)
    schema.migrate(settings, f"-{int(head or 0) - _BEFORE_SEARCH}")
    schema.migrate(settings)

    assert entries(database) == {}
    with database.reading() as session:
        assert search.gaps(session).before is not None
    with database.transaction() as session:
        indexing.fill(session)
    assert len(entries(database)) == 0  # the newest waits for its decision
    sweeper.fill_index(database, most_seconds=60)
    assert entries(database) == before
    assert waiting not in before
    with database.reading() as session:
        assert search.gaps(session) == search.Gaps(None, waiting=False)
    sweeper.fill_index(database)  # nothing is left to do


def test_every_search_is_read_by_an_index(
    database: Database, site: SiteView, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "_FIRST", 1)
    make_comments(database, site, odd_talk(3, spam=False))
    with listening(database.engine) as asked:
        for filters in (
            {},
            {"words": "step"},
            {"words": "step", "status": Status.APPROVED},
            {"words": "step", "email": "ada@example.org", "rule": "spam_score"},
            {"author": "lovelace", "page_url": "https://blog.example.org/two"},
            {"email": "x.org", "since": TODAY, "until": TODAY},
            {"words": "step", "campaign_id": "cmp_1"},
        ):
            found_ids(database, site, **filters)
    with database.engine.connect() as connection:
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql("SET enable_seqscan = off")  # three rows are read at once
        plans = {statement: plan_of(connection, statement, values) for statement, values in asked}

    assert any("search_words" in plan or "ix_search_entries_words" in plan
               for plan in plans.values())  # fmt: skip
    for statement, plan in plans.items():
        # What is due, and the virtual table, which is the index, are all that is read whole.
        scans = re.findall(
            r"SCAN \w+(?! VIRTUAL| USING INDEX ix_comments_classify_at)\b|Seq Scan on \w+", plan
        )
        assert not scans, (statement, plan)
