"""The courier: from an event in the ledger to a receiver that has it."""

import json
import threading
from collections.abc import Callable

import pytest
from sqlalchemy import select, update
from standardwebhooks import Webhook

from service.base.config import Settings
from service.core import sites
from service.core.sites import SiteView
from service.core.webhooks import deliveries, endpoints
from service.ledger.db import Database, utc_now
from service.ledger.models import ATTEMPTS, DELIVERIES
from service.pure.policy import Policy, Status
from tests.cast import decide, make_comment, make_endpoint, make_site, open_ledger, wait_until
from tests.couriers import OPEN, courier
from tests.receivers import Peer, answering, receiving
from workers.delivery import AT_ONCE_EACH


@pytest.fixture
def settings(make_settings: Callable[..., Settings]) -> Settings:
    return make_settings(**OPEN)


@pytest.fixture
def site(database: Database) -> SiteView:
    made = make_site(database)
    with database.transaction() as session:
        sites.set_policy(session, made.id, Policy(undo_seconds=0))
    return made


def statuses(database: Database) -> list[str]:
    with database.reading() as session:
        return list(session.scalars(select(DELIVERIES.c.status).order_by(DELIVERIES.c.id)))


def test_what_happens_reaches_the_receiver_signed(
    database: Database, settings: Settings, site: SiteView
) -> None:
    with receiving(answering("204 No Content")) as receiver, courier(settings):
        _, secret = make_endpoint(database, site, url=receiver.url())
        comment_id = make_comment(database, site)
        decide(database, [comment_id], Status.APPROVED, "policy")
        wait_until(lambda: statuses(database) == ["delivered", "delivered"])

        told = [
            Webhook(secret).verify(request.body, request.headers) for request in receiver.requests
        ]

    assert [(one["type"], one["data"]["comment"]["id"]) for one in told] == [
        ("comment.submitted", comment_id),
        ("comment.approved", comment_id),
    ]
    assert told[0]["sequence"] < told[1]["sequence"]


def test_a_failure_is_tried_again_with_the_same_id_and_body(
    database: Database, settings: Settings, site: SiteView
) -> None:
    def first_no(peer: Peer) -> None:
        status = "500 Oops" if not peer.receiver.requests else "200 OK"
        peer.answer(status, body=b"said so")

    with receiving(first_no) as receiver, courier(settings):
        _, secret = make_endpoint(database, site, url=receiver.url())
        make_comment(database, site)
        wait_until(lambda: len(receiver.requests) == 1)
        wait_until(lambda: _failed_once(database))
        with database.transaction() as session:  # five seconds later
            session.execute(update(DELIVERIES).values(due_at=utc_now()))
        wait_until(lambda: statuses(database) == ["delivered"])
        first, second = receiver.requests

    assert first.body == second.body
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    Webhook(secret).verify(second.body, second.headers)
    with database.reading() as session:
        attempts = session.execute(
            select(ATTEMPTS.c.status, ATTEMPTS.c.excerpt).order_by(ATTEMPTS.c.id)
        ).all()
    assert [tuple(one) for one in attempts] == [(500, "said so"), (200, "said so")]


def _failed_once(database: Database) -> bool:
    with database.reading() as session:
        return session.scalar(select(DELIVERIES.c.reason)) == "answered 500"


def test_a_receiver_that_hangs_holds_up_nobody_else(
    database: Database, settings: Settings, site: SiteView
) -> None:
    with (
        receiving(Peer.hang) as stuck,
        receiving(answering("200 OK")) as healthy,
        courier(settings),
    ):
        stuck_id, _ = make_endpoint(database, site, url=stuck.url())
        healthy_id, _ = make_endpoint(database, site, url=healthy.url())
        for _ in range(3 * AT_ONCE_EACH):
            make_comment(database, site)
        wait_until(lambda: len(healthy.requests) == 3 * AT_ONCE_EACH, within_seconds=8)
        with database.reading() as session:
            left = session.scalars(
                select(DELIVERIES.c.status).where(
                    DELIVERIES.c.endpoint_id == stuck_id, DELIVERIES.c.claimed_at.is_not(None)
                )
            ).all()

        assert stuck.accepted <= AT_ONCE_EACH
        assert len(left) <= AT_ONCE_EACH
        assert healthy_id != stuck_id


def test_an_address_that_became_private_is_not_called(
    make_settings: Callable[..., Settings],
) -> None:
    strict = make_settings()
    database = open_ledger(strict)
    site = make_site(database)
    with receiving(answering("200 OK")) as receiver, courier(strict):
        make_endpoint(database, site, url=receiver.url())
        make_comment(database, site)
        wait_until(lambda: _ended_attempts(database) == 1)

        assert receiver.accepted == 0
    with database.reading() as session:
        assert session.scalar(select(ATTEMPTS.c.failure)) == "address"
    database.close()


def _ended_attempts(database: Database) -> int:
    with database.reading() as session:
        ended = session.scalars(select(ATTEMPTS.c.id).where(ATTEMPTS.c.ended_at.is_not(None)))
        return len(ended.all())


def test_told_to_stop_it_ends_what_is_under_way(
    database: Database, settings: Settings, site: SiteView
) -> None:
    asked, may_answer = threading.Event(), threading.Event()

    def slow(peer: Peer) -> None:
        peer.read()
        asked.set()
        may_answer.wait(10)
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    with receiving(slow) as receiver, courier(settings) as at_work:
        make_endpoint(database, site, url=receiver.url())
        make_comment(database, site)
        assert asked.wait(10)
        at_work.stop()
        make_comment(database, site)
        may_answer.set()

    assert statuses(database) == ["delivered", "waiting"]


def test_one_that_died_leaves_its_delivery_to_the_next(
    database: Database, settings: Settings, site: SiteView
) -> None:
    with receiving(answering("200 OK")) as receiver:
        endpoint_id, _ = make_endpoint(database, site, url=receiver.url())
        make_comment(database, site)
        with database.transaction() as session:
            claim = deliveries.claim(session, endpoint_id, 0.5)
        assert claim is not None
        with courier(settings):
            wait_until(lambda: statuses(database) == ["delivered"])

    (request,) = receiver.requests
    assert request.headers["webhook-id"] == claim.event_id
    assert json.loads(request.body) == json.loads(claim.body)


def test_a_disabled_endpoint_hears_nothing(
    database: Database, settings: Settings, site: SiteView
) -> None:
    with receiving(answering("200 OK")) as receiver, courier(settings):
        endpoint_id, _ = make_endpoint(database, site, url=receiver.url())
        other_id, _ = make_endpoint(database, site, url=receiver.url(path="/other"))
        with database.transaction() as session:
            endpoints.change(session, site.id, endpoint_id, check=str, actor="op", enabled=False)
        make_comment(database, site)
        wait_until(lambda: len(receiver.requests) == 2)  # that the other is disabled, and a comment

    assert {request.head.split(" ")[1] for request in receiver.requests} == {"/other"}
    assert other_id != endpoint_id
