"""What is old is forgotten, on time and no earlier, and what stays still makes sense."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, insert, select, update

from service.base.config import Settings
from service.base.errors import Stale
from service.core import comments, forgetting, moderation
from service.core.moderation import Ballot
from service.judgement import labels, previews
from service.ledger.db import Database, first_id, new_id, utc_now
from service.ledger.models import (
    ATTEMPTS,
    CAMPAIGNS,
    COMMENTS,
    DECISIONS,
    DELIVERIES,
    ENTRIES,
    EVENTS,
    RETENTION_MARKS,
    DeliveryStatus,
)
from service.operations import retention
from service.pure.events import personal_of
from service.pure.policy import Policy, Signals, Status, banned
from tests.cast import decide, make_comment, make_endpoint, make_site, make_submission

NOW = utc_now()


def after(**time: float) -> Any:
    return NOW + timedelta(**time)


def addresses(database: Database) -> list[str | None]:
    with database.reading() as session:
        return list(session.scalars(select(COMMENTS.c.address).order_by(COMMENTS.c.id)))


def test_after_a_day_only_the_network_of_an_address_is_kept(
    database: Database, settings: Settings
) -> None:
    site = make_site(database)
    for address in ("192.0.2.77", "2001:db8:1:2:3::4", None):
        make_comment(database, site, address=address)

    retention.forget(database, settings, now=after(hours=23))
    assert addresses(database) == ["192.0.2.77", "2001:db8:1:2:3::4", None]

    retention.forget(database, settings, now=after(hours=25))
    assert addresses(database) == ["192.0.2.0/24", "2001:db8:1::/48", None]
    assert retention.forget(database, settings, now=after(hours=25)) == 0


def test_how_long_an_address_is_kept_is_a_setting(database: Database, settings: Settings) -> None:
    make_comment(database, make_site(database), address="192.0.2.77")
    short = settings.model_copy(update={"keep_address_hours": 2})

    retention.forget(database, short, now=after(hours=3))

    assert addresses(database) == ["192.0.2.0/24"]


def test_many_are_worked_through_in_short_steps_and_none_is_left_out(
    database: Database, settings: Settings
) -> None:
    site = make_site(database)
    submissions = [make_submission(site, address=f"192.0.2.{n % 250}") for n in range(450)]
    with database.writing() as connection:
        comments.submit(connection, submissions)

    steps = 0
    while retention.forget(database, settings, now=after(hours=25), most_seconds=0):
        steps += 1

    assert steps >= 3
    assert set(addresses(database)) == {"192.0.2.0/24"}


def test_what_came_with_a_clock_that_was_behind_is_found_within_a_month(
    database: Database, settings: Settings
) -> None:
    site = make_site(database)
    make_comment(database, site, address="192.0.2.1")
    retention.forget(database, settings, now=after(hours=25))
    late = make_comment(database, site, address="192.0.2.2")
    with database.transaction() as session:
        early = f"{first_id('cmt', after(days=-3))}{'0' * 14}"
        session.execute(update(COMMENTS).where(COMMENTS.c.id == late).values(id=early))

    retention.forget(database, settings, now=after(days=2))
    assert "192.0.2.2" in addresses(database)

    retention.forget(database, settings, now=after(days=40))
    assert set(addresses(database)) == {"192.0.2.0/24"}


def test_a_banned_network_is_known_by_what_is_kept_of_an_address() -> None:
    policy = Policy(banned_networks=("192.0.2.0/24", "198.51.100.7/32"))

    def is_banned(address: str) -> bool:
        return banned(Signals(email="", address=address), policy) is not None

    assert is_banned("192.0.2.9")
    assert is_banned("192.0.2.0/24")
    assert is_banned("198.51.100.7")
    assert not is_banned("198.51.100.0/24")
    assert not is_banned("2001:db8::/48")


@pytest.mark.parametrize(
    ("status", "days"), [(Status.SPAM, 90), (Status.DELETED, 30), (Status.APPROVED, None)]
)
def test_texts_go_when_they_have_been_spam_or_deleted_for_long(
    database: Database, settings: Settings, status: Status, days: int | None
) -> None:
    site = make_site(database)
    made = make_comment(database, site, body="gargantuan bargain", url="https://x.example/")
    decide(database, [made], status)

    if days is not None:
        retention.forget(database, settings, now=after(days=days - 1))
    kept = _row(database, made)
    retention.forget(database, settings, now=after(days=(days or 1000) + 1))
    row = _row(database, made)

    assert (kept.body, kept.url) == ("gargantuan bargain", "https://x.example/")
    if days is None:
        assert row.body == "gargantuan bargain"
        return
    assert (row.body, row.name, row.email, row.email_normalised, row.url) == ("", "", "", "", None)
    assert (row.status, row.thread_id, row.version) == (status, kept.thread_id, kept.version)
    with database.reading() as session:
        assert session.scalar(select(func.count()).select_from(ENTRIES)) == 0
        (decision,) = session.execute(select(DECISIONS)).all()
        assert (decision.status, decision.clues, decision.actor) == (status, [], "key:key_1")


def test_what_somebody_approved_since_is_kept(database: Database, settings: Settings) -> None:
    made = make_comment(database, make_site(database))
    decide(database, [made], Status.SPAM)
    decide(database, [made], Status.APPROVED)

    retention.forget(database, settings, now=after(days=1000))

    assert _row(database, made).body


def test_nobody_decides_on_what_was_forgotten_and_it_teaches_nothing(
    database: Database, settings: Settings
) -> None:
    site = make_site(database)
    made = make_comment(database, site)
    decide(database, [made], Status.SPAM)
    retention.forget(database, settings, now=after(days=91))

    with database.transaction() as session:
        version = _row(database, made).version
        (outcome,) = moderation.record(
            session, [Ballot(made, version, Status.APPROVED, "key:key_1", "")]
        )
        assert isinstance(outcome, Stale)
        assert labels.of_site(session, site.id, 30).trusted == ()
        (outcome,) = moderation.record(
            session, [Ballot(made, version, Status.DELETED, "key:key_1", "")]
        )
        assert not isinstance(outcome, Stale)


def test_campaigns_are_forgotten_once_nothing_joins_them(
    database: Database, settings: Settings
) -> None:
    site = make_site(database)
    old, alive = (f"{first_id('cpn', after(days=-1))}{n:014x}" for n in (1, 2))
    with database.transaction() as session:
        session.execute(
            insert(CAMPAIGNS),
            [{"id": one, "mins": b"", "sources": 1, "first_at": NOW} for one in (old, alive)],
        )
    joined = make_comment(database, site)
    with database.transaction() as session:
        lately = f"{first_id('cmt', after(days=60))}{'0' * 14}"
        session.execute(
            update(COMMENTS).where(COMMENTS.c.id == joined).values(id=lately, campaign_id=alive)
        )

    retention.forget(database, settings, now=after(days=91))

    with database.reading() as session:
        assert session.scalars(select(CAMPAIGNS.c.id)).all() == [alive]


def test_events_go_when_they_were_told_and_the_newest_stays_for_its_number(
    database: Database, settings: Settings
) -> None:
    site = make_site(database)
    make_endpoint(database, site)
    for _ in range(3):
        make_comment(database, site, address="192.0.2.77")
    with database.transaction() as session:
        session.execute(update(EVENTS).values(personal=personal_of("ada@x.example", "192.0.2.77")))
        first, second, third = session.scalars(select(EVENTS.c.number).order_by(EVENTS.c.number))
        for number in (first, third):
            session.execute(
                update(DELIVERIES)
                .where(DELIVERIES.c.event_number == number)
                .values(due_at=None, status=DeliveryStatus.DELIVERED)
            )
        delivery = session.scalar(select(DELIVERIES.c.id).where(DELIVERIES.c.event_number == third))
        for hours, ended in ((0, NOW), (1, None)):
            session.execute(
                insert(ATTEMPTS).values(
                    id=new_id("att"), delivery_id=delivery, number=hours, started_at=NOW,
                    ended_at=ended,
                )
            )  # fmt: skip

    retention.forget(database, settings, now=after(days=2))
    with database.reading() as session:
        rows = session.execute(select(EVENTS.c.number, EVENTS.c.personal)).all()
        told = {row.number: row.personal or "" for row in rows}
    assert '"192.0.2.0/24"' in told[first]
    assert '"192.0.2.77"' in told[second]  # still to be told, to the byte the same

    retention.forget(database, settings, now=after(days=31))
    with database.reading() as session:
        assert session.scalars(select(EVENTS.c.number).order_by(EVENTS.c.number)).all() == [
            second,
            third,
        ]
        assert session.scalar(select(func.count()).select_from(ATTEMPTS)) == 1


def test_old_previews_go_though_nobody_asks_again(database: Database, settings: Settings) -> None:
    site = make_site(database)
    with database.transaction() as session:
        previews.ask(session, site.id, Policy())

    assert retention.forget(database, settings, now=after(hours=25)) == 1


def test_the_doctor_hears_of_addresses_that_should_be_gone(
    database: Database, settings: Settings
) -> None:
    make_comment(database, make_site(database), address="192.0.2.77")

    def overdue(**time: float) -> bool:
        with database.reading() as session:
            return retention.overdue(session, settings, after(**time)) is not None

    assert not overdue(hours=24.5)
    assert overdue(hours=26)
    retention.forget(database, settings, now=after(hours=26))
    assert not overdue(hours=26)


def test_marks_hold_nothing_but_how_far_a_walk_came(database: Database, settings: Settings) -> None:
    make_comment(database, make_site(database), address="192.0.2.77")
    retention.forget(database, settings, now=after(hours=25))

    with database.reading() as session:
        marks = {row.name: row.reached for row in session.execute(select(RETENTION_MARKS))}
        assert marks == {"addresses": session.scalar(select(COMMENTS.c.id))}


def test_networks_are_of_ipv4_and_ipv6() -> None:
    assert forgetting.network("203.0.113.255") == "203.0.113.0/24"
    assert forgetting.network("::1") == "::/48"
    assert not forgetting.is_whole("203.0.113.0/24")
    assert not forgetting.is_whole(None)


def _row(database: Database, comment_id: str) -> Any:
    with database.reading() as session:
        return session.execute(select(COMMENTS).where(COMMENTS.c.id == comment_id)).one()
