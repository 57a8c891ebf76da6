"""The one writer of a status, and what the ledger itself forbids, whoever writes to it."""

from typing import Any

import pytest
from sqlalchemy import insert, select, update
from sqlalchemy.exc import IntegrityError

from service.base.errors import HamgateError, NotFound, Stale
from service.core import moderation
from service.core.moderation import Ballot, DecisionView
from service.ledger.db import db_now, new_id, utc_now
from service.ledger.models import COMMENTS, DECISIONS, POLICY_ACTOR
from service.pure.policy import Status
from tests.cast import make_comment, make_site, status_of
from tests.conftest import Door

PERSON = "moderator:mod_1"


def test_each_ballot_stands_or_falls_by_itself(door: Door) -> None:
    first, second = (make_comment(door.database, door.site) for _ in range(2))

    outcome = _record(
        door,
        _ballot(first, Status.SPAM),
        _ballot("cmt_none", Status.SPAM),
        _ballot(second, Status.SPAM, seen_version=2),
        _ballot(first, Status.APPROVED),
        _ballot(first, Status.APPROVED, seen_version=2),
    )

    assert [type(entry) for entry in outcome] == [
        DecisionView, NotFound, Stale, Stale, DecisionView,
    ]  # fmt: skip
    assert status_of(door.database, first) is Status.APPROVED
    assert status_of(door.database, second) is Status.PENDING


def test_nothing_is_recorded_for_nobody(door: Door) -> None:
    assert _record(door) == []


def test_only_comments_of_the_site_are_found(door: Door) -> None:
    other = make_site(door.database, "only")
    comment = make_comment(door.database, other)

    with door.database.transaction() as session:
        (outcome,) = moderation.record(
            session, [_ballot(comment, Status.SPAM)], site_id=door.site.id
        )

    assert isinstance(outcome, NotFound)
    assert status_of(door.database, comment) is Status.PENDING


def test_a_decision_and_its_status_are_undone_together(door: Door) -> None:
    comment = make_comment(door.database, door.site)

    def record_and_fail() -> None:
        with door.database.transaction() as session:
            moderation.record(session, [_ballot(comment, Status.SPAM)])
            raise RuntimeError

    with pytest.raises(RuntimeError):
        record_and_fail()

    assert status_of(door.database, comment) is Status.PENDING
    assert _history(door, comment) == []


def test_a_machine_decides_once_on_a_text(door: Door) -> None:
    comment = make_comment(door.database, door.site)

    (first,) = _record(door, _ballot(comment, Status.PENDING, actor=POLICY_ACTOR))
    (second,) = _record(door, _ballot(comment, Status.SPAM, actor=POLICY_ACTOR, seen_version=2))

    assert isinstance(first, DecisionView)
    assert isinstance(second, Stale)
    assert status_of(door.database, comment) is Status.PENDING


def test_a_person_may_overrule_a_machine_and_no_machine_a_person(door: Door) -> None:
    comment = make_comment(door.database, door.site)
    _record(door, _ballot(comment, Status.SPAM, actor=POLICY_ACTOR))
    _record(door, _ballot(comment, Status.APPROVED, seen_version=2))

    for seen_version in (1, 2, 3):
        late = _ballot(comment, Status.SPAM, actor=POLICY_ACTOR, seen_version=seen_version)
        assert isinstance(_record(door, late)[0], Stale)
    assert status_of(door.database, comment) is Status.APPROVED


def test_a_decided_comment_is_no_longer_due(door: Door) -> None:
    comment = make_comment(door.database, door.site)
    _record(door, _ballot(comment, Status.PENDING))

    with door.database.reading() as session:
        due = session.scalar(select(COMMENTS.c.classify_at).where(COMMENTS.c.id == comment))
    assert due is None


def test_the_history_of_another_site_is_not_found(door: Door) -> None:
    other = make_site(door.database, "history")
    comment = make_comment(door.database, door.site)

    for site_id, comment_id in ((other.id, comment), (door.site.id, "cmt_none")):
        with pytest.raises(NotFound), door.database.reading() as session:
            moderation.history(session, site_id, comment_id)


def test_what_has_been_due_longest_is_what_counts_as_overdue(door: Door) -> None:
    with door.database.transaction() as session:
        session.execute(update(COMMENTS).values(classify_at=None))
    with door.database.reading() as session:
        assert moderation.overdue_seconds(session) is None

    for seconds in (-5, -60, 60):
        comment = make_comment(door.database, door.site)
        with door.database.transaction() as session:
            session.execute(
                update(COMMENTS).where(COMMENTS.c.id == comment).values(classify_at=db_now(seconds))
            )
    with door.database.reading() as session:
        assert 59 < (moderation.overdue_seconds(session) or 0) < 90


@pytest.mark.parametrize(
    ("first", "second", "allowed"),
    [
        ({}, {"comment_version": 2}, True),
        ({}, {}, False),
        ({}, {"actor": POLICY_ACTOR}, False),
        ({"actor": POLICY_ACTOR}, {"actor": POLICY_ACTOR, "comment_version": 2}, False),
        (
            {"actor": POLICY_ACTOR},
            {"actor": POLICY_ACTOR, "comment_version": 2, "comment_revision": 2},
            True,
        ),
        ({"actor": POLICY_ACTOR}, {"comment_version": 2}, True),
    ],
    ids=[
        "two versions", "one version twice", "one version, person and machine",
        "one text twice by machine", "two texts by machine", "one text, machine and person",
    ],
)  # fmt: skip
def test_the_ledger_forbids_a_second_decision_even_with_raw_sql(
    door: Door, first: dict[str, Any], second: dict[str, Any], allowed: bool
) -> None:
    comment = make_comment(door.database, door.site)
    _write(door, _decision(door, comment, **first))

    if allowed:
        _write(door, _decision(door, comment, **second))
    else:
        with pytest.raises(IntegrityError):
            _write(door, _decision(door, comment, **second))
    assert len(_history(door, comment)) == 1 + allowed


def test_the_ledger_forbids_a_decision_on_a_comment_that_is_not_there(door: Door) -> None:
    with pytest.raises(IntegrityError):
        _write(door, _decision(door, "cmt_none"))


@pytest.mark.parametrize(
    "values",
    [
        {"status": "ham"}, {"status": "Spam"}, {"thread_id": "thr_none"}, {"parent_id": "cmt_none"},
        {"name": None}, {"external_id": "taken"}, {"idempotency_key": "taken"},
    ],
    ids=repr,
)  # fmt: skip
def test_the_ledger_forbids_a_comment_that_cannot_be(door: Door, values: dict[str, Any]) -> None:
    site = make_site(door.database, new_id("s").replace("_", "-"))
    make_comment(door.database, site, external_id="taken", idempotency_key="taken")
    comment = make_comment(door.database, site)

    with pytest.raises(IntegrityError), door.database.engine.begin() as connection:
        connection.execute(update(COMMENTS).where(COMMENTS.c.id == comment).values(**values))


def _ballot(
    comment_id: str, status: Status, *, seen_version: int = 1, actor: str = PERSON
) -> Ballot:
    return Ballot(comment_id, seen_version, status, actor, "because")


def _record(door: Door, *ballots: Ballot) -> list[DecisionView | HamgateError]:
    with door.database.transaction() as session:
        return moderation.record(session, ballots)


def _history(door: Door, comment_id: str) -> list[DecisionView]:
    with door.database.reading() as session:
        return moderation.history(session, door.site.id, comment_id)


def _decision(door: Door, comment_id: str, **changes: Any) -> dict[str, Any]:
    return {
        "id": new_id("dec"),
        "site_id": door.site.id,
        "comment_id": comment_id,
        "comment_version": 1,
        "comment_revision": 1,
        "old_status": "pending",
        "status": "spam",
        "actor": PERSON,
        "reason": "",
        "clues": [],
        "decided_at": utc_now(),
        **changes,
    }


def _write(door: Door, row: dict[str, Any]) -> None:
    with door.database.engine.begin() as connection:
        connection.execute(insert(DECISIONS), [row])
