"""A real server that is asked too much: probes and pages are answered, the rest is told at once."""

import contextlib
import socket
import sqlite3
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import func, select

from service.base.config import Settings
from service.ledger.db import Database
from service.ledger.models import COMMENTS
from service.serving.bodies import _LARGE_AT_ONCE
from tests.cast import HAM, ORIGIN, make_body, make_site, open_ledger, wait_until
from tests.system import Answer, System

pytestmark = pytest.mark.process

_COMMENTS = "/api/v1/sites/blog/comments"
_PLACES = 4
_IDLE = 300
_LONG_SECONDS = 20.0


@dataclass
class Crowd:
    """Clients that all submit at once, and what they were told."""

    system: System
    answers: list[Answer] = field(default_factory=list)
    _threads: list[threading.Thread] = field(default_factory=list)

    def submit(self, count: int) -> None:
        for number in range(count):
            thread = threading.Thread(target=self._submit, args=(number,))
            thread.start()
            self._threads.append(thread)

    def end(self) -> None:
        for thread in self._threads:
            thread.join(_LONG_SECONDS)

    @property
    def refused(self) -> list[Answer]:
        return [answer for answer in self.answers if answer.status == 503]

    def _submit(self, number: int) -> None:
        self.answers.append(submit(self.system, f"a{number}@example.org"))


@pytest.fixture
def web(
    make_settings: Callable[..., Settings], tmp_path: Path
) -> Iterator[tuple[System, Settings, Database]]:
    settings = make_settings()
    database = open_ledger(settings)
    make_site(database)
    system = System(
        {
            "HAMGATE_HOME": str(tmp_path / "home"),
            "DATABASE_URL": settings.database_url,
            "REDIS_URL": settings.redis_url,
            "HAMGATE_LOG_LEVEL": "error",
            "HAMGATE_LIMIT_ADDRESS": "100000/second",
            "HAMGATE_WEB_PROCESSES": "1",
            "HAMGATE_WEB_THREADS": str(_PLACES),
            "HAMGATE_WEB_WAIT_SECONDS": "0.3",
        }
    )
    try:
        system.start("web")
        yield system, settings, database
    finally:
        system.stop()
        database.close()


def submit(system: System, email: str = "ada@example.org") -> Answer:
    body = make_body(body=f"{HAM} {email}", email=email)
    return system.request("POST", _COMMENTS, body, {"Origin": ORIGIN})


def test_with_a_stuck_ledger_the_excess_is_told_at_once_and_nothing_accepted_is_lost(
    web: tuple[System, Settings, Database],
) -> None:
    system, settings, database = web
    assert submit(system).status == 202
    crowd = Crowd(system)
    with stuck(settings):
        crowd.submit(10 * _PLACES)
        wait_until(lambda: crowd.refused)

        assert system.request("GET", "/livez").status == 200
        assert system.request("GET", "/readyz").status == 200
        signed_in = {"Cookie": "hamgate=whoever"}
        assert system.request("GET", "/dashboard/sign-in", headers=signed_in).status == 200
        assert system.request("GET", "/embed.js").status == 200
        wait_until(lambda: len(crowd.answers) >= 9 * _PLACES)
    crowd.end()

    for answer in crowd.refused:
        assert int(answer.headers["retry-after"]) > 0
        assert answer.headers["access-control-allow-origin"] == "*"
        assert answer.json["type"] == "/problems/unavailable"
        assert answer.json["instance"] == f"urn:request:{answer.headers['x-request-id']}"
    accepted = [answer.json["id"] for answer in crowd.answers if answer.status == 202]
    assert len(accepted) + len(crowd.refused) == 10 * _PLACES
    assert submit(system, "afterwards@example.org").status == 202
    with database.reading() as session:
        assert session.scalar(select(func.count()).select_from(COMMENTS)) == len(accepted) + 2
    sheds = system.request("GET", "/metrics").json
    assert 'hamgate_sheds_total{rank="submit",why="waited"}' in sheds


def test_clients_that_send_nothing_or_drip_hold_up_nobody(
    web: tuple[System, Settings, Database],
) -> None:
    system, _, _ = web
    with contextlib.ExitStack() as clients:
        for number in range(_IDLE):
            client = clients.enter_context(connected(system))
            if number % 3 == 0:
                client.sendall(
                    f"POST {_COMMENTS} HTTP/1.1\r\nHost: x\r\nOrigin: {ORIGIN}\r\n"
                    "Content-Type: application/json\r\nContent-Length: 500\r\n\r\n{".encode()
                )
        for number in range(2 * _PLACES):
            assert submit(system, f"a{number}@example.org").status == 202

        assert system.request("GET", "/livez").status == 200
        assert system.request("GET", "/readyz").status == 200
        assert system.request("GET", "/embed.js").status == 200


def test_large_bodies_that_drip_hold_up_none_but_large_ones(
    web: tuple[System, Settings, Database],
) -> None:
    system, _, _ = web
    large = make_body(page_title="x" * 200, url=f"{ORIGIN}/{'y' * 1800}", body="word " * 1999)
    assert system.request("POST", _COMMENTS, large, {"Origin": ORIGIN}).status == 202
    with contextlib.ExitStack() as clients:
        for _ in range(_LARGE_AT_ONCE):
            client = clients.enter_context(connected(system))
            client.sendall(
                f"POST {_COMMENTS} HTTP/1.1\r\nHost: x\r\nOrigin: {ORIGIN}\r\n"
                "Content-Type: application/json\r\nContent-Length: 20000\r\n\r\n{".encode()
            )
        wait_until(
            lambda: system.request("POST", _COMMENTS, large, {"Origin": ORIGIN}).status == 503
        )

        assert submit(system).status == 202

    wait_until(lambda: system.request("POST", _COMMENTS, large, {"Origin": ORIGIN}).status == 202)
    assert (
        'hamgate_sheds_total{rank="submit",why="bodies"}' in system.request("GET", "/metrics").json
    )


@contextlib.contextmanager
def connected(system: System) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", system.port), timeout=_LONG_SECONDS) as client:
        yield client


@contextlib.contextmanager
def stuck(settings: Settings) -> Iterator[None]:
    """Have another program hold what every comment needs to be stored."""
    url = settings.sqlalchemy_url
    if url.startswith("sqlite"):
        path = url.removeprefix("sqlite:///")
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as held:
            held.execute("BEGIN IMMEDIATE")
            yield
            held.execute("ROLLBACK")
    else:
        with psycopg.connect(url.replace("+psycopg", "")) as connection:
            connection.execute("LOCK TABLE comments IN EXCLUSIVE MODE")
            yield
            connection.rollback()
