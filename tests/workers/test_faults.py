"""Workers that are killed, hang, or lose Redis: every comment is decided once, or held.

The scorers here are the faults: real workers in real processes, with a classifier that one
comment can kill or stop. The invariants are those of the promises: nothing accepted is lost,
nothing is decided twice by a machine.
"""

import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from sqlalchemy import update

from service.base import jobs
from service.base.config import Settings
from service.base.jobs import Job
from service.core import comments, moderation
from service.ledger.db import Database, db_now
from service.ledger.models import COMMENTS
from service.pure.policy import Status
from service.pure.scoring import Content, Folded, Scorer, Tuning, Verdict
from tests.cast import (
    HAM,
    decisions_by_comment,
    make_comment,
    make_site,
    make_submission,
    open_ledger,
    status_of,
    wait_until,
)
from tests.conftest import Valkey
from workers import classification, clock, context, sweeper

pytestmark = pytest.mark.process

_DEADLINE_SECONDS = 30


class Killed(Scorer):
    """A classifier that a comment can kill the process of."""

    def score(
        self,
        batch: Sequence[Content],
        tuning: Tuning | None = None,
        folded: Sequence[Folded | None] | None = None,
    ) -> list[Verdict | None]:
        if any("kill" in content.body for content in batch):
            os.kill(os.getpid(), signal.SIGKILL)
        return super().score(batch, tuning, folded)


class Stopped(Scorer):
    """A classifier that a comment can stop for ever, in a way Python code cannot end."""

    def score(
        self,
        batch: Sequence[Content],
        tuning: Tuning | None = None,
        folded: Sequence[Folded | None] | None = None,
    ) -> list[Verdict | None]:
        if any("stop" in content.body for content in batch):
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
            while True:
                time.sleep(60)
        return super().score(batch, tuning, folded)


class Tells(Scorer):
    """A classifier that tells when it is asked, and takes its time."""

    def __init__(self, told: int) -> None:
        super().__init__()
        self._told = told

    def score(
        self,
        batch: Sequence[Content],
        tuning: Tuning | None = None,
        folded: Sequence[Folded | None] | None = None,
    ) -> list[Verdict | None]:
        os.write(self._told, b"!")
        time.sleep(0.3)
        return super().score(batch, tuning, folded)


@pytest.fixture
def quick(make_settings: Callable[..., Settings]) -> Settings:
    return make_settings(HAMGATE_CLASSIFY_LEASE_SECONDS="2")


@pytest.fixture
def ledger(quick: Settings) -> Iterator[Database]:
    opened = open_ledger(quick)
    yield opened
    opened.close()


def test_a_comment_that_kills_its_worker_is_held_and_harms_no_other(
    quick: Settings, ledger: Database
) -> None:
    site = make_site(ledger)
    good = [make_comment(ledger, site, body=HAM) for _ in range(5)]
    poison = make_comment(ledger, site, body="this will kill it")

    deaths = work_until_decided(ledger, quick, Killed(), [*good, poison])

    assert deaths == [-signal.SIGKILL] * classification.STRIKES
    assert {status_of(ledger, comment) for comment in good} == {Status.APPROVED}
    assert status_of(ledger, poison) is Status.PENDING
    assert [d.rule for d in decisions_by_comment(ledger)[poison]] == ["classifier_error"]


def test_a_comment_that_stops_its_worker_is_cut_short_and_held(
    quick: Settings, ledger: Database
) -> None:
    site = make_site(ledger)
    good = make_comment(ledger, site, body=HAM)
    poison = make_comment(ledger, site, body="this will stop it")

    deaths = work_until_decided(ledger, quick, Stopped(), [good, poison])

    assert deaths == [-signal.SIGALRM] * classification.STRIKES
    assert status_of(ledger, good) is Status.APPROVED
    assert [d.rule for d in decisions_by_comment(ledger)[poison]] == ["classifier_error"]


def test_two_workers_at_once_decide_everything_once(settings: Settings, database: Database) -> None:
    site = make_site(database)
    wanted = {make_comment(database, site, body=f"{HAM} {number}") for number in range(300)}
    workers = [start_worker(settings, Scorer()) for _ in range(2)]

    codes = [os.waitpid(worker, 0)[1] for worker in workers]

    assert codes == [0, 0]
    decided = decisions_by_comment(database)
    assert decided.keys() == wanted
    assert {len(decisions) for decisions in decided.values()} == {1}


def test_kill_9_in_mid_batch_again_and_again_loses_nothing(
    make_settings: Callable[..., Settings],
) -> None:
    settings = make_settings(HAMGATE_CLASSIFY_LEASE_SECONDS="2", HAMGATE_CLASSIFY_BATCH="20")
    database = open_ledger(settings)
    site = make_site(database)
    wanted = {make_comment(database, site, body=f"{HAM} {number}") for number in range(200)}
    scorer = Scorer()

    for pause_ms in (5, 10, 20, 30, 40, 60):
        worker = start_worker(settings, scorer)
        time.sleep(pause_ms / 1000)
        os.kill(worker, signal.SIGKILL)
        os.waitpid(worker, 0)
    work_until_decided(database, settings, scorer, wanted)

    decided = decisions_by_comment(database)
    assert decided.keys() == wanted
    assert {len(decisions) for decisions in decided.values()} == {1}
    database.close()


def test_a_worker_that_was_stopped_for_longer_than_its_lease_changes_nothing(
    quick: Settings, ledger: Database
) -> None:
    site = make_site(ledger)
    wanted = {make_comment(ledger, site, body=f"{HAM} {number}") for number in range(40)}
    scoring, told = os.pipe()
    late = start_worker(quick, Tells(told))
    assert os.read(scoring, 1)  # it has claimed its batch, and no transaction is open
    os.kill(late, signal.SIGSTOP)

    work_until_decided(ledger, quick, Scorer(), wanted)
    os.kill(late, signal.SIGCONT)
    os.waitpid(late, 0)
    os.close(scoring)
    os.close(told)

    assert {len(decisions) for decisions in decisions_by_comment(ledger).values()} == {1}


def test_a_flood_of_comments_rings_once(database: Database, valkey: Valkey) -> None:
    site = make_site(database)
    for _ in range(50):
        make_comment(database, site)

    assert database.doorbell.backlog(Job.CLASSIFY) == 1


def test_a_comment_after_the_bell_was_answered_rings_anew(database: Database) -> None:
    site = make_site(database)
    make_comment(database, site)
    database.doorbell.answer(Job.CLASSIFY)
    make_comment(database, site)

    assert database.doorbell.backlog(Job.CLASSIFY) == 2


def test_a_rolled_back_comment_does_not_ring(database: Database) -> None:
    site = make_site(database)

    def submit_and_fail() -> None:
        with database.transaction() as session:
            comments.submit(session.connection(), [make_submission(site)])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        submit_and_fail()

    assert database.doorbell.backlog(Job.CLASSIFY) == 0


def test_the_sweeper_rings_for_what_nobody_rang_for(
    settings: Settings, database: Database, valkey: Valkey
) -> None:
    make_comment(database, make_site(database))
    valkey.flush()  # the bell and the job are gone
    wait_until_overdue(database, 0.6)

    sweeper.sweep(database)

    assert database.doorbell.backlog(Job.CLASSIFY) == 1


def test_the_sweeper_drains_by_itself_while_redis_is_down(
    make_settings: Callable[..., Settings], own_valkey: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = make_settings(REDIS_URL=own_valkey.url)
    database = open_ledger(settings)
    own_valkey.kill()
    comment = make_comment(database, make_site(database))
    wait_until_overdue(database, 0.6)
    enter(settings, monkeypatch)

    sweeper.sweep(database)

    assert status_of(database, comment) is Status.APPROVED
    database.close()


def test_the_sweeper_says_when_a_comment_killed_its_child(
    make_settings: Callable[..., Settings], own_valkey: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = make_settings(REDIS_URL=own_valkey.url)
    database = open_ledger(settings)
    own_valkey.kill()
    make_comment(database, make_site(database), body="this will kill it")
    wait_until_overdue(database, 0.6)
    enter(settings, monkeypatch, Killed())

    assert not sweeper.sweep(database)
    assert sweeper.sweep(database)  # nothing is due until the lease ends
    database.close()


def test_what_a_clock_that_was_ahead_put_off_is_due_at_once(
    settings: Settings, database: Database
) -> None:
    site = make_site(database)
    put_off, leased = make_comment(database, site), make_comment(database, site)
    with database.transaction() as session:
        for comment, seconds in ((put_off, 8 * 3600), (leased, settings.classify_lease_seconds)):
            session.execute(
                update(COMMENTS).where(COMMENTS.c.id == comment).values(classify_at=db_now(seconds))
            )

    assert clock.put_right(database, settings) == 1
    with database.transaction() as session:
        due = classification.claim(session, 10, lease_seconds=10)
    assert [row.id for row in due] == [put_off]


@pytest.mark.parametrize("serializer", ["json", "pickle"])
def test_a_pickle_in_the_job_queue_runs_only_where_pickles_are_read(
    settings: Settings, tmp_path: Path, serializer: str
) -> None:
    marker = tmp_path / "ran"
    connection = jobs.connect(settings)
    queue = jobs.queue(Job.CLASSIFY, connection)
    job = queue.enqueue_call("workers.classification.classify")
    connection.hset(job.key, "data", pickle.dumps(("pathlib.Path.touch", None, [marker], {})))

    subprocess.run(
        [
            sys.executable, "-m", "rq.cli", "worker", queue.name, "--burst", "--quiet",
            "--serializer", serializer, "--url", settings.redis_address,
        ],
        check=False, timeout=30, env={**os.environ, **environ_of(settings)},
    )  # fmt: skip

    assert queue.count == 0
    assert marker.exists() == (serializer == "pickle")  # ours is json


def environ_of(settings: Settings) -> dict[str, str]:
    """Give the environment that makes these settings."""
    return {
        "HAMGATE_HOME": str(settings.home),
        "DATABASE_URL": settings.database_url,
        "REDIS_URL": settings.redis_url,
        "HAMGATE_CLASSIFY_LEASE_SECONDS": str(settings.classify_lease_seconds),
        "HAMGATE_CLASSIFY_BATCH": str(settings.classify_batch),
    }


def enter(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, scorer: Scorer | None = None
) -> None:
    """Make these settings, and this scorer, those a job of this process or its children finds."""
    for name, value in environ_of(settings).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(context, "_context", None)
    if scorer is not None:
        monkeypatch.setattr(context, "_scorer", scorer)


def start_worker(settings: Settings, scorer: Scorer) -> int:
    """Fork a process that runs the job once, as RQ's work-horse does, and give its id."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.environ.update(environ_of(settings))
            context._scorer = scorer
            context._context = None
            classification.classify()
            code = 0
        finally:
            os._exit(code)
    return pid


def work_until_decided(
    database: Database, settings: Settings, scorer: Scorer, wanted: Sequence[str] | set[str]
) -> list[int]:
    """Run worker after worker until all are decided; give how those ended that did not finish."""
    deaths = []
    deadline = time.monotonic() + _DEADLINE_SECONDS
    while not set(wanted) <= decisions_by_comment(database).keys():
        assert time.monotonic() < deadline, "not decided in time"
        code = os.waitstatus_to_exitcode(os.waitpid(start_worker(settings, scorer), 0)[1])
        if code:
            deaths.append(code)
        time.sleep(0.05)
    return deaths


def wait_until_overdue(database: Database, seconds: float) -> None:
    def overdue() -> bool:
        with database.reading() as session:
            return (moderation.overdue_seconds(session) or 0) >= seconds

    wait_until(overdue, otherwise="nothing became overdue")
