"""Servers are restarted in turn, and nobody behind one retry notices."""

import itertools
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import select

from service.base.config import Settings
from service.ledger.models import COMMENTS
from tests.cast import HAM, bearer, make_body, make_key, make_site, open_ledger
from tests.conftest import Valkey
from tests.system import System

pytestmark = pytest.mark.process

_COMMENTS = "/api/v1/sites/blog/comments"
_CLIENTS = 4
_BETWEEN = 20  # answers by each server before the next is touched


class Clients:
    """Programs behind a proxy that tries another server once when one does not answer."""

    def __init__(self, servers: list[System], key: str) -> None:
        self.accepted: set[str] = set()
        self.failed: list[str] = []
        self.retried = 0
        self._servers = servers
        self._key = key
        self._numbers = itertools.count()
        self._changed = threading.Condition()
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(_CLIENTS)]

    def __enter__(self) -> "Clients":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def wait(self, count: int) -> None:
        """Wait until so many more were accepted."""
        with self._changed:
            wanted = len(self.accepted) + count
            assert self._changed.wait_for(lambda: len(self.accepted) >= wanted, timeout=60)

    def _run(self) -> None:
        while not self._stop.is_set():
            number = next(self._numbers)
            first = number % len(self._servers)
            said = self._submit(self._servers[first], number)
            if said is not None:
                self.retried += 1
                said = self._submit(self._servers[first - 1], number)
            if said is not None:
                self.failed.append(said)

    def _submit(self, server: System, number: int) -> str | None:
        """Submit, and give what went wrong."""
        body = make_body(body=f"{HAM} {number}", email=f"a{number}@example.org")
        headers = {**bearer(self._key), "Idempotency-Key": f"{number}"}
        try:
            answer = server.request("POST", _COMMENTS, body, headers)
        except OSError as error:
            return repr(error)
        if answer.status != 202:
            return str(answer)
        with self._changed:
            self.accepted.add(answer.json["id"])
            self._changed.notify_all()
        return None


def test_servers_restarted_in_turn_fail_nobody_behind_one_retry(
    make_settings: Callable[..., Settings], own_valkey: Valkey, tmp_path: Path
) -> None:
    settings = make_settings(REDIS_URL=own_valkey.url)
    database = open_ledger(settings)
    key = make_key(database, make_site(database))
    servers = [
        System(
            {
                "HAMGATE_HOME": str(tmp_path / name),
                "DATABASE_URL": settings.database_url,
                "REDIS_URL": own_valkey.url,
                "HAMGATE_SECRET": "the same for all of them, as an operator sets it",
                "HAMGATE_WEB_PROCESSES": "1",
            }
        )
        for name in ("first", "second")
    ]
    try:
        for server in servers:
            server.start("web")
        with Clients(servers, key) as clients:
            clients.wait(_BETWEEN)
            for server in servers:
                server.processes["web"].terminate()
                assert server.processes.pop("web").wait(30) == 0
                clients.wait(_BETWEEN)
                server.start("web")
                clients.wait(_BETWEEN)
    finally:
        for server in servers:
            server.stop()

    assert clients.failed == []
    assert clients.retried > 0  # or it showed nothing
    with database.reading() as session:
        assert clients.accepted <= set(session.scalars(select(COMMENTS.c.id)))
    database.close()
