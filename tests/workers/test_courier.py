"""The courier among receivers that torture, faults of ours, and SIGKILL: the promises hold."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import standardwebhooks
import svix
from sqlalchemy import select, update

from service.base.config import Settings
from service.core import sites
from service.core.sites import SiteView
from service.core.webhooks import endpoints
from service.ledger.db import Database, utc_now
from service.ledger.models import ATTEMPTS, DELIVERIES, ENDPOINTS, DeliveryStatus
from service.pure.events import EventType
from service.pure.policy import Policy, Status
from tests.cast import (
    HAM,
    decide,
    make_comment,
    make_comments,
    make_endpoint,
    make_site,
    wait_until,
)
from tests.couriers import OPEN, Forsaken, courier
from tests.receivers import WAYS, Peer, Request, Torture, answering, receiving

pytestmark = pytest.mark.process

SUBMITTED = [EventType.COMMENT_SUBMITTED]
_KILLS = 50  # a hundred on both databases together


@pytest.fixture
def settings(make_settings: Callable[..., Settings]) -> Settings:
    return make_settings(**OPEN)


@pytest.fixture
def site(database: Database) -> SiteView:
    return make_patient_site(database, "blog")


def make_patient_site(database: Database, slug: str) -> SiteView:
    """Make a site whose decisions are told at once."""
    made = make_site(database, slug)
    with database.transaction() as session:
        sites.set_policy(session, made.id, Policy(undo_seconds=0))
    return made


def rows(database: Database) -> list[Any]:
    with database.reading() as session:
        return list(session.execute(select(DELIVERIES).order_by(DELIVERIES.c.event_number)))


def attempts(database: Database) -> list[Any]:
    with database.reading() as session:
        return list(session.execute(select(ATTEMPTS).order_by(ATTEMPTS.c.id)))


def make_due(database: Database) -> None:
    """Let the time pass until everything is due again."""
    with database.transaction() as session:
        session.execute(
            update(DELIVERIES)
            .where(DELIVERIES.c.due_at.is_not(None), DELIVERIES.c.claimed_at.is_(None))
            .values(due_at=utc_now() - timedelta(seconds=1))
        )


def all_tried(database: Database, times: int = 1) -> Callable[[], bool]:
    """Whether every delivery has been tried so often, and none is being tried."""
    return lambda: all(row.attempts >= times and row.claimed_at is None for row in rows(database))


def test_what_happened_arrives_signed_and_is_noted(
    database: Database, settings: Settings, site: SiteView
) -> None:
    with receiving(answering("200 OK", "", b"thanks")) as receiver:
        _, secret = make_endpoint(database, site, url=receiver.url(), events=SUBMITTED)
        comment_id = make_comment(database, site)
        with courier(settings):
            wait_until(all_tried(database))

    (request,) = receiver.requests
    told = json.loads(request.body)
    assert (told["type"], told["data"]["comment"]["id"]) == ("comment.submitted", comment_id)
    assert_verified(request, secret)
    (row,), (attempt,) = rows(database), attempts(database)
    assert (row.status, row.attempts, row.due_at) == (DeliveryStatus.DELIVERED, 1, None)
    assert (attempt.status, attempt.failure, attempt.excerpt) == (200, None, "thanks")


def assert_verified(request: Request, secret: str) -> None:
    """See that receivers' libraries verify it, and refuse it with any part changed."""
    headers = request.headers
    names = ("webhook-id", "webhook-timestamp", "webhook-signature")
    verifiers = [standardwebhooks.Webhook(secret).verify, svix.Webhook(secret).verify]
    for verify in verifiers:
        verify(request.body, headers)
        for place in range(0, len(request.body), 37):
            flipped = bytearray(request.body)
            flipped[place] ^= 1
            with pytest.raises(Exception, match=r"No matching signature|utf-8"):
                verify(bytes(flipped), headers)
        for name in names:
            changed = headers[name][:-3] + ("AAA" if headers[name][-3:] != "AAA" else "BBB")
            with pytest.raises(Exception, match=r"ignature|imestamp|too (old|new)"):
                verify(request.body, {**headers, name: changed})


def test_a_receiver_that_is_busy_is_left_alone_for_as_long_as_it_asks(
    database: Database, settings: Settings, site: SiteView
) -> None:
    with receiving(answering("429 Too Many Requests", "Retry-After: 3000\r\n")) as receiver:
        make_endpoint(database, site, url=receiver.url(), events=SUBMITTED)
        make_comment(database, site)
        with courier(settings):
            wait_until(all_tried(database))

    (row,) = rows(database)
    assert 2900 < (row.due_at - utc_now()).total_seconds() <= 3000


def test_a_receiver_that_is_gone_is_not_asked_again(
    database: Database, settings: Settings, site: SiteView
) -> None:
    with receiving(answering("410 Gone")) as receiver:
        make_endpoint(database, site, url=receiver.url(), events=SUBMITTED)
        make_comment(database, site)
        with courier(settings):
            wait_until(lambda: rows(database)[0].status != DeliveryStatus.WAITING)
            make_comment(database, site, body="another")
            time.sleep(0.5)

    assert [row.status for row in rows(database)] == [DeliveryStatus.DEAD]
    assert len(receiver.requests) == 1
    with database.reading() as session:
        assert session.scalar(select(ENDPOINTS.c.disabled_reason)) == "it answered 410, gone"


def test_what_is_told_of_one_comment_arrives_in_its_order(
    database: Database, settings: Settings, site: SiteView
) -> None:
    with receiving(answering("204 No Content")) as receiver:
        make_endpoint(database, site, url=receiver.url())
        ids = make_comments(database, site, [f"{HAM} {n}" for n in range(10)])
        for status in (Status.APPROVED, Status.SPAM, Status.REJECTED, Status.APPROVED):
            decide(database, ids, status)
        with courier(settings):
            wait_until(all_tried(database))

    told = [json.loads(request.body) for request in sorted(receiver.requests, key=lambda r: r.at)]
    assert len(told) == 50
    for comment_id in ids:
        numbers = [one["sequence"] for one in told if one["data"]["comment"]["id"] == comment_id]
        assert numbers == sorted(numbers)
        assert len(numbers) == 5


def test_a_fault_of_ours_ends_like_any_other_failure_and_stops_nobody(
    database: Database, settings: Settings, site: SiteView
) -> None:
    with receiving(answering("200 OK")) as receiver:
        broken, _ = make_endpoint(database, site, url=receiver.url(path="/a"), events=SUBMITTED)
        make_endpoint(database, site, url=receiver.url(path="/b"), events=SUBMITTED)
        with database.transaction() as session:
            session.execute(
                update(ENDPOINTS).where(ENDPOINTS.c.id == broken).values(secret="whsec_!")
            )
        make_comment(database, site)
        with courier(settings):
            wait_until(all_tried(database))

    found = {row.endpoint_id == broken: (row.status, row.reason) for row in rows(database)}
    assert found[False][0] != DeliveryStatus.WAITING
    assert found[True] == (DeliveryStatus.WAITING, "internal")
    assert [request.head.split()[1] for request in receiver.requests] == ["/b"]


def test_who_fails_is_served_one_at_a_time_and_who_succeeds_eight(
    database: Database, settings: Settings, site: SiteView
) -> None:
    most: Counter[str] = Counter()
    now: Counter[str] = Counter()

    def way(status: str) -> Callable[[Peer], None]:
        def taking(peer: Peer) -> None:
            now[status] += 1
            most[status] = max(most[status], now[status])
            time.sleep(0.03)
            now[status] -= 1
            peer.answer(status)

        return taking

    with receiving(way("200 OK")) as good, receiving(way("500 No")) as bad:
        make_endpoint(database, site, url=good.url(), events=SUBMITTED)
        make_endpoint(database, site, url=bad.url(), events=SUBMITTED)
        make_comments(database, site, [f"{HAM} {n}" for n in range(60)])
        with courier(settings):
            wait_until(all_tried(database))

    assert most["500 No"] == 1
    assert 2 <= most["200 OK"] <= 8
    assert len(good.requests) == 60


def test_a_ledger_that_is_away_for_moments_loses_nothing(
    database: Database, settings: Settings, site: SiteView
) -> None:
    """What was claimed and not told to us is due again when its lease ends."""
    with receiving(answering("200 OK")) as receiver:
        make_endpoint(database, site, url=receiver.url(), events=SUBMITTED)
        wanted = make_comments(database, site, [f"{HAM} {n}" for n in range(6)])
        with courier(settings, lease=1, kind=Forsaken):
            wait_until(
                lambda: all(row.status == DeliveryStatus.DELIVERED for row in rows(database))
            )

    told = {json.loads(request.body)["data"]["comment"]["id"] for request in receiver.requests}
    assert told == set(wanted)
    assert all(row.claimed_at is None for row in rows(database))


def test_torture_is_noted_as_it_was_and_holds_up_nobody(
    database: Database, settings: Settings
) -> None:
    """Every way of torture at once, several deliveries each, and one receiver that behaves."""
    with contextlib.ExitStack() as stack:
        tortures = tortured_sites(database, stack)
        good = stack.enter_context(receiving(answering("200 OK")))
        well = make_patient_site(database, "well")
        make_endpoint(database, well, url=good.url(), events=SUBMITTED)
        sent: dict[str, float] = {}
        with courier(settings, seconds=2):
            for site_id in {site.id: site for _, _, site in tortures}.values():
                make_comments(database, site_id, [f"{HAM} {n}" for n in range(3)])
            for number in range(100):
                comment_id = make_comment(database, well, body=f"{HAM} {number}")
                sent[comment_id] = time.monotonic()
                time.sleep(0.02)
            wait_until(lambda: len(good.requests) == 100)
            wait_until(
                lambda: all(row.attempts > 1 or _is_noted(row) for row in rows(database)), 60
            )

    took = sorted(
        request.at - sent[json.loads(request.body)["data"]["comment"]["id"]]
        for request in good.requests
    )
    # Two seconds when nothing else runs; far less than it takes to wait for torture, in any case.
    assert took[-2] < 8
    by_endpoint = {endpoint_id: torture for endpoint_id, torture, _ in tortures}
    with database.reading() as session:
        noted = session.execute(
            select(DELIVERIES.c.endpoint_id, DELIVERIES.c.status, ATTEMPTS)
            .join(ATTEMPTS, ATTEMPTS.c.delivery_id == DELIVERIES.c.id)
            .where(DELIVERIES.c.endpoint_id.in_(by_endpoint))
        ).all()
    assert {row.endpoint_id for row in noted} == set(by_endpoint)
    for row in noted:
        torture = by_endpoint[row.endpoint_id]
        assert (row.status_1, row.failure) == (torture.status, torture.failure)
        delivered = torture.status is not None and 200 <= torture.status < 300
        assert (row.status == DeliveryStatus.DELIVERED) == delivered


def _is_noted(row: Any) -> bool:
    return row.status != DeliveryStatus.WAITING or (row.attempts > 0 and row.claimed_at is None)


def tortured_sites(
    database: Database, stack: contextlib.ExitStack
) -> list[tuple[str, Torture, SiteView]]:
    """Make sites with an endpoint for each way of torture."""
    made = []
    for index, torture in enumerate(WAYS.values()):
        if index % endpoints.ENDPOINTS_MOST == 0:
            site = make_patient_site(database, f"torture{index}")
        receiver = stack.enter_context(receiving(torture.way))
        endpoint_id, _ = make_endpoint(database, site, url=receiver.url(), events=SUBMITTED)
        made.append((endpoint_id, torture, site))
    return made


def test_a_courier_that_is_killed_again_and_again_loses_nothing(
    database: Database, settings: Settings, site: SiteView
) -> None:
    """At each step and at any moment; what arrives twice is the same, and has the same id."""
    environ = {
        "HAMGATE_HOME": str(settings.home),
        "DATABASE_URL": settings.database_url,
        "REDIS_URL": settings.redis_url,
        **OPEN,
    }
    with receiving(answering("200 OK")) as receiver, receiving(answering("500 No")) as failing:
        make_endpoint(database, site, url=receiver.url(), events=SUBMITTED)
        other = make_patient_site(database, "other")
        dead, _ = make_endpoint(database, other, url=failing.url(), events=SUBMITTED)
        make_comments(database, other, [f"{HAM} {n}" for n in range(8)])
        killer = subprocess.Popen(
            [sys.executable, "-m", "tests.couriers", "7"],
            env={**os.environ, **environ},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert killer.stdin is not None
        assert killer.stdout is not None
        wanted, ends = set(), []
        for number in range(_KILLS):
            wanted.update(make_comments(database, site, [f"{HAM} {number} {n}" for n in range(4)]))
            make_due(database)
            killer.stdin.write("\n")
            killer.stdin.flush()
            ends.append(killer.stdout.readline().split())
        killer.stdin.close()
        killer.wait(10)

        def ended() -> bool:
            make_due(database)
            return all(row.status != DeliveryStatus.WAITING for row in rows(database))

        with courier(settings):
            wait_until(ended, 60)

    assert Counter(code for _, code in ends) == {str(-signal.SIGKILL): _KILLS}
    assert len({step for step, _ in ends}) == 5
    arrived: dict[str, set[bytes]] = {}
    for request in receiver.requests:
        arrived.setdefault(request.headers["webhook-id"], set()).add(request.body)
    assert {len(bodies) for bodies in arrived.values()} == {1}
    told = [json.loads(*bodies)["data"]["comment"]["id"] for bodies in arrived.values()]
    assert sorted(told) == sorted(wanted)
    assert {row.status for row in rows(database) if row.endpoint_id == dead} == {"dead"}
    assert {row.status for row in rows(database) if row.endpoint_id != dead} == {"delivered"}
