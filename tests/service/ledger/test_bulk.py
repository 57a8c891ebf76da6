"""Bulk: what is stored is the same as by any other statement, on both databases."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from sqlalchemy import insert, select
from sqlalchemy.exc import DBAPIError

from service.ledger.bulk import any_of, inserting, updating
from service.ledger.db import Database
from service.ledger.models import BANDS, CAMPAIGNS, DECISIONS, ENTRIES, Decision
from tests.cast import make_comment, make_site

NOW = datetime(2026, 1, 31, 12, 0, 0, 123456, tzinfo=UTC)
_APPEND = inserting(DECISIONS)
_BEGIN = inserting(CAMPAIGNS)
_FIND = inserting(BANDS, where_missing=True)
_GROW = updating(
    CAMPAIGNS, ("sources",), lambda given: {"sources": CAMPAIGNS.c.sources + given["sources"] + 1}
)
_WORDS = "a “quoted” \\ 'word', {braces}, [1, 2]\n\tand \x7f 😀 \u2028"


def campaign(name: str, sources: int = 1) -> dict[str, object]:
    return {"id": name, "mins": bytes(range(256)), "sources": sources, "first_at": NOW}


def decision(comment_id: str, version: int) -> dict[str, object]:
    return {
        "id": f"dec_{version}",
        "site_id": "sit_1",
        "comment_id": comment_id,
        "comment_version": version,
        "comment_revision": version,
        "old_status": "pending",
        "status": "approved",
        "actor": "policy",
        "rule": None,
        "reason": _WORDS,
        "score": 0.1 + version,
        "model_version": "",
        "clues": [{"label": _WORDS, "weight": -1.5e-7, "kind": "words"}, {"label": "null"}],
        "decided_at": NOW.astimezone(timezone(timedelta(hours=5))),
        "act_id": None,
        "undoes": None,
    }


def test_what_is_inserted_in_bulk_is_what_the_orm_would_have_stored(database: Database) -> None:
    comment = make_comment(database, make_site(database))
    with database.writing() as connection:
        _APPEND(connection, [decision(comment, 1), decision(comment, 2)])
        connection.execute(insert(DECISIONS), [decision(comment, 3)])

    with database.reading() as session:
        rows = session.scalars(select(Decision).order_by(Decision.id)).all()
        found = [
            {column.name: getattr(row, column.name) for column in DECISIONS.columns} for row in rows
        ]

    assert found == [{**decision(comment, n), "decided_at": NOW} for n in (1, 2, 3)]
    assert [type(one["score"]) for one in found] == [float] * 3


def test_bytes_are_kept_and_each_row_gets_its_own_change(database: Database) -> None:
    with database.writing() as connection:
        _BEGIN(connection, [campaign("cpn_1"), campaign("cpn_2", 5), campaign("cpn_3", 7)])
        _GROW(connection, [{"id": "cpn_1", "sources": 10}, {"id": "cpn_3", "sources": 20}])

    with database.reading() as session:
        rows = session.execute(select(CAMPAIGNS).order_by(CAMPAIGNS.c.id)).all()
    assert [(row.id, row.sources) for row in rows] == [("cpn_1", 12), ("cpn_2", 5), ("cpn_3", 28)]
    assert {(bytes(row.mins), row.first_at) for row in rows} == {(bytes(range(256)), NOW)}


def test_what_is_there_stays_where_only_what_is_missing_is_inserted(database: Database) -> None:
    with database.writing() as connection:
        _FIND(connection, [{"band": -(2**63), "campaign_id": "cpn_1"}])
        _FIND(
            connection,
            [{"band": band, "campaign_id": "cpn_2"} for band in (2**63 - 1, -(2**63), 0)],
        )

    with database.reading() as session:
        found = {row.band: row.campaign_id for row in session.execute(select(BANDS))}
    assert found == {-(2**63): "cpn_1", 0: "cpn_2", 2**63 - 1: "cpn_2"}


def test_a_row_that_may_not_be_there_undoes_all(database: Database) -> None:
    comment = make_comment(database, make_site(database))

    with pytest.raises(DBAPIError), database.writing() as connection:
        _APPEND(connection, [decision(comment, 1), {**decision(comment, 1), "id": "dec_2"}])

    with database.reading() as session:
        assert session.scalars(select(DECISIONS.c.id)).all() == []


def test_a_time_without_a_zone_is_refused(database: Database) -> None:
    naive = {**campaign("cpn_1"), "first_at": datetime(2026, 1, 31)}  # noqa: DTZ001 - the point

    with pytest.raises(ValueError, match="without a time zone"), database.writing() as connection:
        _BEGIN(connection, [naive])


def test_nothing_is_done_for_no_rows(database: Database) -> None:
    with database.writing() as connection:
        _BEGIN(connection, [])
        _GROW(connection, [])


@pytest.mark.parametrize("names", [(), ("cpn_1",), ("cpn_1", "cpn_3", "no'ne")])
def test_any_of_many_is_one_parameter(database: Database, names: tuple[str, ...]) -> None:
    with database.writing() as connection:
        _BEGIN(connection, [campaign(f"cpn_{number}") for number in range(4)])
        condition = any_of(connection, CAMPAIGNS.c.id, names)
        found = connection.scalars(select(CAMPAIGNS.c.id).where(condition)).all()

    assert set(found) == set(names) - {"no'ne"}


@pytest.mark.parametrize("at_once", [False, True])
def test_at_once_or_one_by_one_the_same_is_stored(database: Database, at_once: bool) -> None:
    enter = inserting(ENTRIES, "comment_id", "words", where_missing=True, at_once=at_once)
    site = make_site(database)
    ids = [make_comment(database, site) for _ in range(3)]
    with database.writing() as connection:
        enter(connection, [{"comment_id": ids[0], "words": _WORDS}])
        enter(connection, [{"comment_id": one, "words": f"{one} {_WORDS}"} for one in ids])
        enter(connection, [])

    with database.reading() as session:
        rows = session.execute(
            select(ENTRIES.c.comment_id, ENTRIES.c.words).order_by(ENTRIES.c.number)
        ).all()
    assert [tuple(row) for row in rows] == [
        (ids[0], _WORDS),
        *((one, f"{one} {_WORDS}") for one in ids[1:]),
    ]
