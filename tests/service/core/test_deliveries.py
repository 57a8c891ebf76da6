"""Deliveries: due, claimed, tried, and ended as one of three things."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from service.base.errors import Forbidden, Invalid, NotFound
from service.core import audit, moderation, sites
from service.core.sites import SiteView
from service.core.webhooks import deliveries, endpoints, log, signing
from service.core.webhooks.deliveries import Claim, Outcome
from service.core.webhooks.schedule import ATTEMPTS_MOST, PAUSES_SECONDS
from service.ledger.db import Database, new_id, utc_now
from service.ledger.models import ATTEMPTS, DELIVERIES, ENDPOINTS, DeliveryStatus
from service.pure.events import EventType
from service.pure.policy import Policy, Status
from tests.cast import decide, make_comment, make_endpoint, make_site
from tests.plans import listening

SUBMITTED = [EventType.COMMENT_SUBMITTED]


@pytest.fixture
def site(database: Database) -> SiteView:
    made = make_site(database)
    with database.transaction() as session:
        sites.set_policy(session, made.id, Policy(undo_seconds=0))
    return made


def _claim(database: Database, endpoint_id: str, lease_seconds: float = 30) -> Claim | None:
    with database.transaction() as session:
        return deliveries.claim(session, endpoint_id, lease_seconds)


def _must_claim(database: Database, endpoint_id: str, lease_seconds: float = 30) -> Claim:
    claim = _claim(database, endpoint_id, lease_seconds)
    assert claim is not None
    return claim


def _note(database: Database, claim: Claim, outcome: Outcome) -> DeliveryStatus | None:
    with database.transaction() as session:
        return deliveries.note(session, claim, outcome, pick=lambda low, high: (low + high) / 2)


def _row(database: Database, delivery_id: str) -> Any:
    with database.reading() as session:
        return session.execute(select(DELIVERIES).where(DELIVERIES.c.id == delivery_id)).one()


def _make_due(database: Database) -> None:
    with database.transaction() as session:
        session.execute(
            update(DELIVERIES)
            .where(DELIVERIES.c.due_at.is_not(None))
            .values(due_at=utc_now() - timedelta(seconds=1))
        )


def _until_it_ends(database: Database, endpoint_id: str, outcome: Outcome) -> list[timedelta]:
    """Have every attempt end the same way; give the pauses between them."""
    pauses = []
    while (claim := _claim(database, endpoint_id)) is not None:
        _note(database, claim, outcome)
        row = _row(database, claim.delivery_id)
        if row.due_at is None:
            break
        with database.reading() as session:
            ended = session.scalar(
                select(ATTEMPTS.c.ended_at).where(ATTEMPTS.c.id == claim.attempt_id)
            )
        assert ended is not None
        pauses.append(row.due_at - ended)
        _make_due(database)
    return pauses


def test_a_delivery_goes_out_signed_and_ends_with_a_2xx(database: Database, site: SiteView) -> None:
    endpoint_id, secret = make_endpoint(database, site, events=SUBMITTED)
    make_comment(database, site)
    with database.reading() as session:
        assert deliveries.busy(session) == [endpoint_id]

    claim = _must_claim(database, endpoint_id)
    assert (claim.url, claim.secrets, claim.number) == (
        "https://hooks.example.org/in",
        (secret,),
        1,
    )
    assert _claim(database, endpoint_id) is None
    assert _note(database, claim, Outcome(200, excerpt="ok", duration_ms=12)) == "delivered"

    row = _row(database, claim.delivery_id)
    assert (row.status, row.due_at, row.claimed_at) == ("delivered", None, None)
    with database.reading() as session:
        assert deliveries.busy(session) == []
        (attempt,) = log.attempts(session, [claim.delivery_id])[claim.delivery_id]
    assert (attempt.status, attempt.failure, attempt.excerpt, attempt.duration_ms) == (
        200,
        None,
        "ok",
        12,
    )


@pytest.mark.parametrize("status", [100, 199, 300, 301, 302, 307, 308, 400, 404, 500, 503])
def test_nothing_but_2xx_is_delivered(database: Database, site: SiteView, status: int) -> None:
    endpoint_id, _ = make_endpoint(database, site, events=SUBMITTED)
    make_comment(database, site)
    claim = _must_claim(database, endpoint_id)

    assert _note(database, claim, Outcome(status)) == "waiting"
    assert _row(database, claim.delivery_id).reason == f"answered {status}"


def test_failures_are_tried_again_by_the_schedule_and_then_dead(
    database: Database, site: SiteView
) -> None:
    endpoint_id, _ = make_endpoint(database, site, events=SUBMITTED)
    make_comment(database, site)

    pauses = _until_it_ends(database, endpoint_id, Outcome(None, failure="timeout"))

    assert pauses == [timedelta(seconds=pause) for pause in PAUSES_SECONDS]
    with database.reading() as session:
        (one,) = log.listing(session, site.id)
        attempts = log.attempts(session, [one.id])[one.id]
    assert (one.status, one.reason) == ("dead", f"timeout, attempt {ATTEMPTS_MOST}")
    assert [attempt.number for attempt in attempts] == list(range(1, 11))


def test_attempts_that_were_cut_off_are_not_the_receivers_failures(
    database: Database, site: SiteView
) -> None:
    endpoint_id, _ = make_endpoint(database, site, events=SUBMITTED)
    make_comment(database, site)
    for _ in range(3):
        _must_claim(database, endpoint_id, lease_seconds=-1)

    pauses = _until_it_ends(database, endpoint_id, Outcome(500))

    assert pauses == [timedelta(seconds=pause) for pause in PAUSES_SECONDS]


def test_what_is_cut_off_again_and_again_is_given_up(database: Database, site: SiteView) -> None:
    endpoint_id, _ = make_endpoint(database, site, events=SUBMITTED)
    make_comment(database, site)
    for _ in range(2 * ATTEMPTS_MOST - 1):
        _must_claim(database, endpoint_id, lease_seconds=-1)

    assert _until_it_ends(database, endpoint_id, Outcome(500)) == []
    with database.reading() as session:
        (one,) = log.listing(session, site.id)
    assert one.status == "dead"


def test_the_jitter_is_a_tenth_and_no_more(database: Database, site: SiteView) -> None:
    endpoint_id, _ = make_endpoint(database, site, events=SUBMITTED)
    make_comment(database, site)
    asked: list[tuple[float, float]] = []

    def longest(low: float, high: float) -> float:
        asked.append((low, high))
        return high

    claim = _must_claim(database, endpoint_id)
    with database.transaction() as session:
        deliveries.note(session, claim, Outcome(500), pick=longest)
        moment = session.scalar(select(ATTEMPTS.c.ended_at))
        due = session.scalar(select(DELIVERIES.c.due_at))

    assert asked == [(0.9, 1.1)]
    assert moment is not None
    assert due is not None
    assert due - moment == timedelta(seconds=5.5)


@pytest.mark.parametrize(
    ("status", "asked", "pause"),
    [
        (429, 60.0, 60.0),
        (503, 1.0, 5.0),  # never sooner than the schedule has it
        (429, 10.0**9, 86_400.0),
        (500, 60.0, 5.0),
    ],
)
def test_a_receiver_that_asks_for_time_gets_it(
    database: Database, site: SiteView, status: int, asked: float, pause: float
) -> None:
    endpoint_id, _ = make_endpoint(database, site, events=SUBMITTED)
    make_comment(database, site)
    claim = _must_claim(database, endpoint_id)

    _note(database, claim, Outcome(status, retry_after_seconds=asked))

    with database.reading() as session:
        ended = session.scalar(select(ATTEMPTS.c.ended_at))
    assert ended is not None
    assert _row(database, claim.delivery_id).due_at - ended == timedelta(seconds=pause)


def test_every_attempt_has_the_same_id_and_body(database: Database, site: SiteView) -> None:
    endpoint_id, _ = make_endpoint(database, site, events=SUBMITTED)
    comment_id = make_comment(database, site)
    first = _must_claim(database, endpoint_id)
    _note(database, first, Outcome(500))
    decide(database, [comment_id], Status.SPAM)  # what is told is how it was
    _make_due(database)

    second = _must_claim(database, endpoint_id)

    assert (second.event_id, second.body) == (first.event_id, first.body)
    assert second.number == 2


def test_what_was_claimed_by_a_process_that_died_is_due_again(
    database: Database, site: SiteView
) -> None:
    endpoint_id, _ = make_endpoint(database, site, events=SUBMITTED)
    make_comment(database, site)
    dead = _must_claim(database, endpoint_id, lease_seconds=-1)

    again = _must_claim(database, endpoint_id)

    assert (again.delivery_id, again.number) == (dead.delivery_id, 2)
    with database.reading() as session:
        cut_off, _ = log.attempts(session, [dead.delivery_id])[dead.delivery_id]
    assert (cut_off.ended_at, cut_off.status) == (None, None)


@pytest.mark.parametrize(
    ("late", "then", "ends_as"),
    [(Outcome(200), Outcome(500), "delivered"), (Outcome(500), Outcome(200), "delivered")],
)
def test_what_a_lease_outlived_counts_if_it_was_a_success(
    database: Database, site: SiteView, late: Outcome, then: Outcome, ends_as: str
) -> None:
    endpoint_id, _ = make_endpoint(database, site, events=SUBMITTED)
    make_comment(database, site)
    slow = _must_claim(database, endpoint_id, lease_seconds=-1)
    quick = _must_claim(database, endpoint_id)

    _note(database, slow, late)
    _note(database, quick, then)

    assert _row(database, slow.delivery_id).status == ends_as


def test_what_is_told_of_a_comment_keeps_its_order_until_something_fails(
    database: Database, site: SiteView
) -> None:
    endpoint_id, _ = make_endpoint(database, site)
    comment_id, other_id = make_comment(database, site), make_comment(database, site)
    decide(database, [comment_id], Status.APPROVED, "policy")

    came = _must_claim(database, endpoint_id)
    other = _must_claim(database, endpoint_id)
    assert b'"comment.submitted"' in came.body
    assert other_id.encode() in other.body
    assert _claim(database, endpoint_id) is None  # its submission is on the way

    _note(database, came, Outcome(500))
    approved = _must_claim(database, endpoint_id)  # which failed holds up nothing

    assert b'"comment.approved"' in approved.body


def test_410_disables_an_endpoint_and_buries_what_waits(database: Database, site: SiteView) -> None:
    gone, _ = make_endpoint(database, site)
    witness, _ = make_endpoint(database, site, events=[EventType.ENDPOINT_DISABLED])
    for _ in range(3):
        make_comment(database, site)
    under_way = _must_claim(database, gone)
    _note(database, _must_claim(database, gone), Outcome(410))
    make_comment(database, site)

    with database.reading() as session:
        found = log.listing(session, site.id, endpoint_id=gone)
        (told,) = log.listing(session, site.id, endpoint_id=witness)
        entries = audit.settings(session, site.id)
        view = endpoints.get(session, site.id, gone)
    assert sorted(one.status for one in found) == ["dead", "dead", "waiting"]
    assert view.disabled_reason == "it answered 410, gone"
    assert told.event_type == "endpoint.disabled"
    assert any(gone in str(entry) for entry in entries)

    assert _note(database, under_way, Outcome(200)) == "delivered"


def test_five_days_of_failures_disable_an_endpoint_one_success_between_does_not(
    database: Database, site: SiteView
) -> None:
    endpoint_id, _ = make_endpoint(database, site, events=SUBMITTED)
    for _ in range(4):
        make_comment(database, site)

    def pass_days(days: float) -> None:
        with database.transaction() as session:
            session.execute(
                update(ENDPOINTS)
                .where(ENDPOINTS.c.failing_since.is_not(None))
                .values(failing_since=utc_now() - timedelta(days=days))
            )

    _note(database, _must_claim(database, endpoint_id), Outcome(500))
    pass_days(4.9)
    _note(database, _must_claim(database, endpoint_id), Outcome(200))
    pass_days(5.1)
    _note(database, _must_claim(database, endpoint_id), Outcome(500))
    with database.reading() as session:
        assert endpoints.get(session, site.id, endpoint_id).disabled_at is None

    pass_days(5.1)
    last = _must_claim(database, endpoint_id)
    _note(database, last, Outcome(None, failure="connect"))

    with database.reading() as session:
        view = endpoints.get(session, site.id, endpoint_id)
        found = log.listing(session, site.id, endpoint_id=endpoint_id)
    assert view.disabled_reason == "nothing but failures for 5 days, at last: connect"
    assert sorted(one.status for one in found) == ["dead", "dead", "dead", "delivered"]


def test_what_was_under_way_to_a_disabled_endpoint_does_not_wait_for_ever(
    database: Database, site: SiteView
) -> None:
    endpoint_id, _ = make_endpoint(database, site, events=SUBMITTED)
    make_comment(database, site)
    claim = _must_claim(database, endpoint_id, lease_seconds=-1)  # its process dies
    with database.transaction() as session:
        endpoints.change(session, site.id, endpoint_id, check=str, actor="op", enabled=False)

    with database.reading() as session:
        assert deliveries.busy(session) == []
    _tidy(database)
    assert _row(database, claim.delivery_id).status == "dead"


def test_an_endpoint_with_too_much_waiting_takes_no_more_until_it_has_room(
    database: Database, site: SiteView, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliveries, "BACKLOG_MOST", 2)
    endpoint_id, _ = make_endpoint(database, site, events=SUBMITTED)
    roomy, _ = make_endpoint(database, site, events=SUBMITTED)
    for _ in range(2):
        make_comment(database, site)
    while (claim := _claim(database, roomy)) is not None:
        _note(database, claim, Outcome(200))
    _tidy(database)
    make_comment(database, site)

    with database.reading() as session:
        full = log.listing(session, site.id, endpoint_id=endpoint_id)
        other = log.listing(session, site.id, endpoint_id=roomy)
    assert [one.status for one in full] == ["dead", "waiting", "waiting"]
    assert full[0].reason == "too much was waiting for this endpoint"
    assert [one.status for one in other] == ["waiting", "delivered", "delivered"]

    _note(database, _must_claim(database, endpoint_id), Outcome(200))
    _tidy(database)
    make_comment(database, site)
    with database.reading() as session:
        newest = log.listing(session, site.id, endpoint_id=endpoint_id)[0]
    assert newest.status == "waiting"


@pytest.mark.parametrize("tried", ["never", "cut off", "failed", "failed ahead"])
def test_what_was_put_off_by_a_clock_that_was_ahead_is_due_at_once(
    database: Database, site: SiteView, tried: str
) -> None:
    endpoint_id, _ = make_endpoint(database, site, events=SUBMITTED)
    make_comment(database, site)
    if tried != "never":
        claim = _must_claim(database, endpoint_id)
    if tried == "failed ahead":  # it began before the clock went wrong
        _put_clock_back(database, -timedelta(hours=8))
    if tried.startswith("failed"):
        _note(database, claim, Outcome(500))
    _put_clock_back(database, timedelta(hours=8))
    assert _claim(database, endpoint_id) is None

    _tidy(database)

    assert _must_claim(database, endpoint_id).number == (1 if tried == "never" else 2)


def test_what_waits_by_the_right_clock_goes_on_waiting(database: Database, site: SiteView) -> None:
    endpoint_id, _ = make_endpoint(database, site, events=SUBMITTED)
    make_comment(database, site)
    claim = _must_claim(database, endpoint_id)
    _put_clock_back(database, timedelta(hours=8))
    _tidy(database)
    again = _must_claim(database, endpoint_id)
    assert again.delivery_id == claim.delivery_id
    _note(
        database, again, Outcome(500)
    )  # by a clock that is right now, whatever the first one says
    due_at = _row(database, claim.delivery_id).due_at

    _tidy(database)

    assert _row(database, claim.delivery_id).due_at == due_at


def _put_clock_back(database: Database, by: timedelta) -> None:
    """Have all that stands in the outbox been written by a clock so much ahead."""
    with database.transaction() as session:
        for table in (DELIVERIES, ATTEMPTS):
            for row in session.execute(select(table)).all():
                moved = {
                    name: value + by
                    for name, value in row._mapping.items()
                    if isinstance(value, datetime)
                }
                session.execute(update(table).where(table.c.id == row.id).values(**moved))


def _tidy(database: Database) -> None:
    with database.transaction() as session:
        deliveries.tidy(session)


def test_a_replay_sends_the_same_again_and_keeps_what_was_noted(
    database: Database, site: SiteView
) -> None:
    endpoint_id, _ = make_endpoint(database, site, events=SUBMITTED)
    make_comment(database, site)
    first = _must_claim(database, endpoint_id)
    _note(database, first, Outcome(200))

    with database.transaction() as session:
        assert log.replay(session, site.id, [first.delivery_id, "dlv_none"]) == 1
    again = _must_claim(database, endpoint_id)
    _note(database, again, Outcome(500))

    assert (again.event_id, again.body, again.number) == (first.event_id, first.body, 1)
    assert _row(database, first.delivery_id).status == "waiting"
    with database.reading() as session:
        attempts = log.attempts(session, [first.delivery_id])[first.delivery_id]
    assert [attempt.status for attempt in attempts] == [200, 500]


def test_what_is_replayed_is_chosen(database: Database, site: SiteView) -> None:
    endpoint_id, _ = make_endpoint(database, site, events=SUBMITTED)
    other_site = make_site(database, "other")
    foreign, _ = make_endpoint(database, other_site, events=SUBMITTED)
    make_comment(database, other_site)
    for status in (200, 410):
        make_comment(database, site)
        _note(database, _must_claim(database, endpoint_id), Outcome(status))
    long_ago = utc_now() - timedelta(days=1)

    with database.transaction() as session:
        disabled = log.replay_since(session, site.id, endpoint_id, long_ago)
        endpoints.change(session, site.id, endpoint_id, check=str, actor="op", enabled=True)
    with database.transaction() as session:
        later = log.replay_since(session, site.id, endpoint_id, utc_now() + timedelta(days=1))
        dead = log.replay_since(session, site.id, endpoint_id, long_ago, dead_only=True)
        every = log.replay_since(session, site.id, endpoint_id, long_ago)
        not_ours = log.replay_since(session, site.id, foreign, long_ago)

    # The dead one is on its way again by then.
    assert (disabled, later, dead, every, not_ours) == (0, 0, 1, 1, 0)


def test_neither_what_is_tried_nor_what_was_recalled_nor_what_waits_is_replayed(
    database: Database, site: SiteView
) -> None:
    endpoint_id, _ = make_endpoint(database, site)
    with database.transaction() as session:
        sites.set_policy(session, site.id, Policy(undo_seconds=60))
    comment_id, act_id = make_comment(database, site), new_id("act")
    _must_claim(database, endpoint_id)
    decide(database, [comment_id], Status.APPROVED, "key:key_1", act_id=act_id)
    with database.transaction() as session:
        moderation.undo(session, site.id, act_id, "key:key_1")
    decide(database, [comment_id], Status.SPAM, "key:key_1", act_id=new_id("act"))

    with database.transaction() as session:
        every = log.replay_since(session, site.id, endpoint_id, utc_now() - timedelta(days=1))
    with database.reading() as session:
        statuses = [one.status for one in log.listing(session, site.id)]

    assert every == 0
    assert statuses == ["waiting", "recalled", "waiting"]


def test_the_log_is_searched(database: Database, site: SiteView) -> None:
    endpoint_id, _ = make_endpoint(database, site)
    first, second = make_comment(database, site), make_comment(database, site)
    _note(database, _must_claim(database, endpoint_id), Outcome(200))
    now = utc_now()

    def found(**filters: Any) -> list[tuple[str | None, str]]:
        with database.reading() as session:
            entries = log.listing(session, site.id, **filters)
        return [(one.comment_id, one.status) for one in entries]

    assert found() == [(second, "waiting"), (first, "delivered")]
    assert found(status=DeliveryStatus.DELIVERED) == [(first, "delivered")]
    assert found(comment_id=second) == [(second, "waiting")]
    assert found(event_type="comment.approved") == []
    assert found(until=now - timedelta(hours=1)) == []
    assert len(found(since=now - timedelta(hours=1))) == 2
    (newest,) = found(most=1)
    with database.reading() as session:
        cursor = log.listing(session, site.id, most=1)[0].id
    assert found(before=cursor) == [(first, "delivered")]
    assert newest == (second, "waiting")


def test_two_secrets_sign_during_the_overlap(database: Database, site: SiteView) -> None:
    endpoint_id, old = make_endpoint(database, site, events=SUBMITTED)
    make_comment(database, site)
    with database.transaction() as session:
        new = endpoints.rotate(session, site.id, endpoint_id, actor="operator")
    claim = _must_claim(database, endpoint_id)
    assert claim.secrets == (new, old)
    _note(database, claim, Outcome(500))

    def again() -> None:
        with database.transaction() as session:
            endpoints.rotate(session, site.id, endpoint_id, actor="operator")

    with pytest.raises(Forbidden, match="two secrets"):
        again()
    with database.transaction() as session:
        session.execute(update(ENDPOINTS).values(old_secret_until=utc_now()))
    _make_due(database)

    assert _must_claim(database, endpoint_id).secrets == (new,)
    again()


def test_a_test_reaches_an_endpoint_whatever_it_wants(database: Database, site: SiteView) -> None:
    endpoint_id, _ = make_endpoint(database, site, events=SUBMITTED)
    make_endpoint(database, site)
    with database.transaction() as session:
        endpoints.test(session, site.id, endpoint_id)

    with database.reading() as session:
        (one,) = log.listing(session, site.id)
    assert (one.endpoint_id, one.event_type) == (endpoint_id, "endpoint.tested")


def test_endpoints_are_of_their_site_alone_bounded_and_in_the_history(
    database: Database, site: SiteView
) -> None:
    endpoint_id, secret = make_endpoint(database, site)
    other = make_site(database, "other")

    def of_other(act: Callable[..., object], *more: Any, **named: Any) -> None:
        with database.transaction() as session, pytest.raises(NotFound):
            act(session, other.id, endpoint_id, *more, **named)

    of_other(endpoints.get)
    of_other(endpoints.change, check=str, actor="op", description="mine")
    of_other(endpoints.delete, actor="op")
    of_other(endpoints.rotate, actor="op")
    of_other(endpoints.test)
    for _ in range(endpoints.ENDPOINTS_MOST - 1):
        make_endpoint(database, site)
    with pytest.raises(Invalid):
        make_endpoint(database, site)

    with database.transaction() as session:
        endpoints.delete(session, site.id, endpoint_id, actor="operator")
    with database.reading() as session:
        entries = str(audit.settings(session, site.id))
        assert len(endpoints.listing(session, site.id)) == endpoints.ENDPOINTS_MOST - 1
    assert endpoint_id in entries
    assert secret not in entries


def test_signatures_are_those_of_the_standard() -> None:
    # The example of Standard Webhooks' own libraries.
    headers = signing.headers(
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        1614265330,
        b'{"test": 2432232314}',
        ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"],
    )

    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_looking_for_work_reads_indexes_alone(database: Database, site: SiteView) -> None:
    if database.engine.dialect.name != "sqlite":
        return  # PostgreSQL reads tables of a few rows whole, whatever indexes there are
    endpoint_id, _ = make_endpoint(database, site)
    make_comment(database, site)
    with listening(database.engine) as statements, database.transaction() as session:
        deliveries.busy(session)
        deliveries.tidy(session)
        claim = deliveries.claim(session, endpoint_id, 30)
        assert claim is not None
        deliveries.note(session, claim, Outcome(200))
        deliveries.overdue_seconds(session)

    with database.reading() as session:
        for statement, values in statements:
            raw = session.connection().connection.cursor()
            raw.execute("EXPLAIN QUERY PLAN " + statement, values)
            plan = [row[3] for row in raw.fetchall()]
            scans = [step for step in plan if step.startswith("SCAN") and "INDEX" not in step]
            scans = [step for step in scans if step != "SCAN CONSTANT ROW"]
            # There are few endpoints, and each is asked about; what was counted came by an index.
            assert all("endpoints" in step or "anon" in step for step in scans), (statement, plan)
