"""Counters of processes that end: kept in Redis, once their transaction is committed."""

import pytest
from prometheus_client import generate_latest
from prometheus_client.core import Metric
from prometheus_client.registry import Collector, CollectorRegistry

from service.base.config import Settings
from service.base.jobs import Doorbell
from service.core import moderation
from service.core.moderation import Ballot
from service.ledger import tallies
from service.ledger.db import Database, tally_of
from service.ledger.tallies import Tally
from service.pure.policy import Status
from tests.cast import make_comment, make_site
from tests.conftest import Valkey


class _Read(Collector):
    def __init__(self, doorbell: Doorbell) -> None:
        self._doorbell = doorbell

    def collect(self) -> list[Metric]:
        return list(tallies.read(self._doorbell.tallies()))


def exposed(doorbell: Doorbell) -> list[str]:
    registry = CollectorRegistry()
    registry.register(_Read(doorbell))
    return generate_latest(registry).decode().splitlines()


def test_what_several_processes_counted_is_one_counter_and_one_histogram(
    settings: Settings,
) -> None:
    doorbell = Doorbell(settings)
    for seconds in (0.01, 0.3, 99.0):
        tally = Tally()
        tally.count(tallies.RESCUES, "rang", by=2)
        tally.observe(tallies.SCORING_SECONDS, seconds)
        doorbell.tally(tally.take())
        assert not tally.take()

    lines = exposed(doorbell)

    assert 'hamgate_rescues_total{how="rang"} 6.0' in lines
    assert 'hamgate_scoring_seconds_bucket{le="0.05"} 1.0' in lines
    assert 'hamgate_scoring_seconds_bucket{le="0.5"} 2.0' in lines
    assert 'hamgate_scoring_seconds_bucket{le="+Inf"} 3.0' in lines
    assert "hamgate_scoring_seconds_sum 99.31" in lines


def test_every_family_is_there_before_anything_was_counted(settings: Settings) -> None:
    text = "\n".join(exposed(Doorbell(settings)))

    for family in tallies.FAMILIES:
        assert f"# HELP {family.name}" in text
    assert "hamgate_claims_lost_total 0.0" in text


def test_what_an_older_version_counted_is_passed_over(settings: Settings) -> None:
    doorbell = Doorbell(settings)
    doorbell.tally({"approved otherwise": 3, "hamgate_decisions approved otherwise": 4})

    assert not [line for line in exposed(doorbell) if "otherwise" in line]


def test_a_decision_is_counted_once_it_is_committed_and_not_before(
    database: Database,
) -> None:
    comment = make_comment(database, make_site(database))
    ballot = Ballot(comment, 1, Status.SPAM, "moderator:mod_1", "advertising")

    def fail_half_way() -> None:
        with database.transaction() as session:
            moderation.record(session, [ballot])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_half_way()
    undone = exposed(database.doorbell)
    with database.transaction() as session:
        moderation.record(session, [ballot])

    wanted = 'hamgate_decisions_total{actor="moderator",rule="none",status="spam"} 1.0'
    assert wanted not in undone
    assert wanted in exposed(database.doorbell)


def test_without_redis_counting_costs_one_time_out_and_no_error(
    settings: Settings, own_valkey: Valkey
) -> None:
    doorbell = Doorbell(settings.model_copy(update={"redis_url": own_valkey.url}))
    own_valkey.kill()

    doorbell.tally({"hamgate_claims_lost": 1})
    assert doorbell.tallies() == {}
    own_valkey.start()
    doorbell.tally({"hamgate_claims_lost": 1})  # it is left alone for two seconds

    assert doorbell.tallies() == {}


def test_what_was_counted_on_one_connection_is_told_once(database: Database) -> None:
    with database.transaction() as session:
        tally_of(session.connection()).count(tallies.LOST)
    with database.transaction() as session:
        session.connection()

    assert "hamgate_claims_lost_total 1.0" in exposed(database.doorbell)
