"""A large ledger for the rows about the dashboard, and a moderator who reads its pages."""

import contextlib
import http.client
import statistics
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

from sqlalchemy import insert, text

from service.base.jobs import Doorbell
from service.core import moderators, sites
from service.core.moderators import Role
from service.ledger.db import Database
from service.ledger.models import CAMPAIGNS, COMMENTS, THREADS
from service.pure.policy import Status
from tests.bench import texts
from tests.bench.servers import SITE, DatabaseKind, Installation

COOKIE = "hamgate-over-plain-http"
_COMMENTS = {"sqlite": 100_000, "postgresql": 1_000_000}
# Under this many seconds of load a row tries itself out with a smaller ledger.
_WHOLE_SECONDS = 3.0
# So that a page of the queue is full.
_FEWEST = 3_000
_WAITS_EVERY = 25
_THREADS = 500
_AT_ONCE = 5_000
_PASSWORD = "a long and quiet sentence about lanterns"


def comments_count(kind: DatabaseKind, seconds: float) -> int:
    """Give how many comments a row is measured with."""
    return max(_FEWEST, int(_COMMENTS[kind] * min(1.0, seconds / _WHOLE_SECONDS)))


def fill(here: Installation, count: int) -> str:
    """Put comments into the ledger and give the cookie of a moderator who is signed in."""
    database = Database(here.settings, Doorbell(here.settings))
    with database.reading() as session:
        site_id = sites.find(session, SITE).id
    with database.transaction() as session:
        session.execute(insert(THREADS), [_thread(site_id, number) for number in range(_THREADS)])
        campaign = {"id": "cmp_1", "mins": b"", "sources": 1, "first_at": datetime.now(UTC)}
        session.execute(insert(CAMPAIGNS), [campaign])
        made = moderators.create(session, "ann@example.org", site_id=site_id, role=Role.OWNER)
        token = moderators.first_link(session, made)
    rows = _comments(site_id, count)
    while group := list(islice(rows, _AT_ONCE)):
        with database.transaction() as session:
            session.execute(insert(COMMENTS), group)
    settle(database)
    assert token is not None
    cookie = moderators.accept(database, token, password=_PASSWORD, name="Ann")
    database.close()
    return cookie


def settle(database: Database) -> None:
    """Have the ledger as it is when it grew by and by, and autovacuum has been through."""
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        analyze = "ANALYZE" if connection.dialect.name == "sqlite" else "VACUUM ANALYZE"
        connection.execute(text(analyze))


def _thread(site_id: str, number: int) -> dict[str, Any]:
    return {
        "id": f"thr_{number}",
        "site_id": site_id,
        "page_url": f"https://blog.example.org/posts/{number}",
        "closed": False,
        "created_at": datetime.now(UTC),
    }


def _comments(site_id: str, count: int) -> Iterator[dict[str, Any]]:
    began = datetime.now(UTC) - timedelta(seconds=count)
    bodies = [one.body for one in texts.generate(0, 2_000)]
    for number in range(count):
        created_at = began + timedelta(seconds=number)
        waits = number % _WAITS_EVERY == 0
        yield {
            "id": f"cmt_{number:010}",
            "site_id": site_id,
            "thread_id": f"thr_{number % _THREADS}",
            "request_digest": "",
            "status": Status.PENDING if waits else Status.APPROVED,
            "version": 2,
            "revision": 1,
            "name": f"Author {number % 9_973}",
            "email": f"author{number % 9_973}@example.org",
            "email_normalised": f"author{number % 9_973}@example.org",
            "body": bodies[number % len(bodies)],
            "honeypot_filled": False,
            "disposable_email": False,
            "submitted_at": created_at,
            "created_at": created_at,
            "classify_attempts": 1,
            "campaign_id": "cmp_1" if waits and number < count // 10 else None,
            "echoes": 0,
            "queue_at": created_at if waits else None,
        }


@contextlib.contextmanager
def reader(here: Installation, cookie: str) -> Iterator[Callable[[str], tuple[str, float]]]:
    """Give what reads a page over one connection: the page, and how long it took in ms."""
    connection = http.client.HTTPConnection("127.0.0.1", here.settings.port)

    def get(path: str) -> tuple[str, float]:
        began = time.perf_counter()
        connection.request("GET", path, headers={"Cookie": f"{COOKIE}={cookie}"})
        answer = connection.getresponse()
        page = answer.read().decode()
        took = (time.perf_counter() - began) * 1e3
        if answer.status != 200:
            raise RuntimeError(f"{path} answered {answer.status}")
        return page, took

    yield get
    connection.close()


def percentiles(name: str, values: list[float]) -> dict[str, float]:
    """Give the median and the 95th percentile as figures of a row."""
    cuts = statistics.quantiles(values, n=100, method="inclusive")
    return {f"{name}_p50_ms": cuts[49], f"{name}_p95_ms": cuts[94]}
