"""One comment's way through the logs of web, worker and courier; and what is counted on it."""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from service.config import Settings
from service.db import Database
from tests.cast import HAM, ORIGIN, make_body, make_endpoint, make_site, open_ledger, wait_until
from tests.receivers import Receiver, answering, receiving
from tests.system import Answer, System

pytestmark = pytest.mark.process

_COMMENTS = "/api/v1/sites/blog/comments"


@dataclass
class Traced:
    """A running system, what it logged, and who is told by webhook."""

    system: System
    log: Path
    receiver: Receiver

    def lines(self, word: str) -> list[dict[str, Any]]:
        """What `grep` finds."""
        return [json.loads(line) for line in self.log.read_text().splitlines() if word in line]


@pytest.fixture
def traced(make_settings: Callable[..., Settings], tmp_path: Path) -> Iterator[Traced]:
    settings = make_settings()
    database = open_ledger(settings)
    with receiving(answering("204 No Content")) as receiver, (tmp_path / "log").open("wb") as log:
        _listen(database, receiver)
        system = System(
            {
                "HAMGATE_HOME": str(tmp_path / "home"),
                "DATABASE_URL": settings.database_url,
                "REDIS_URL": settings.redis_url,
                "HAMGATE_LOG_FORMAT": "json",
                "HAMGATE_WEBHOOK_NETWORKS": "127.0.0.0/8",
                "HAMGATE_WEBHOOK_PORTS": str(receiver.port),
                "HAMGATE_WEBHOOK_HTTP": "true",
            },
            output=log,
        )
        try:
            system.start("web")
            system.start("worker")
            yield Traced(system, tmp_path / "log", receiver)
        finally:
            system.stop()
            database.close()


def test_one_grep_finds_a_comments_way_from_its_request_to_its_webhooks(traced: Traced) -> None:
    answer = _submit(traced)
    comment = answer.json["id"]
    wait_until(lambda: len(_attempts(traced, comment)) == 2)  # submitted, approved

    found = traced.lines(comment)

    request, *rest = [line for line in found if "request" in line]
    assert request["request"] == answer.headers["x-request-id"]
    assert (request["comment"], request["status"]) == (comment, answer.status)
    assert rest == []
    (decision,) = [line for line in found if "decided" in line]
    assert decision["decided"][0]["comment"] == comment
    assert decision["decided"][0]["status"] == "approved"
    told = {request.headers["webhook-id"] for request in traced.receiver.requests}
    attempts = _attempts(traced, comment)
    assert {line["event"] for line in attempts} == told
    assert all(line["outcome"] == "answered 204" for line in attempts)
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", traced.log.read_text())
    assert "ada@example.org" not in traced.log.read_text()


def test_what_workers_did_is_in_the_metrics_of_the_web_server(traced: Traced) -> None:
    _submit(traced)

    def counted() -> bool:
        metrics = traced.system.request("GET", "/metrics").json
        return all(
            line in metrics
            for line in (
                'hamgate_decisions_total{actor="policy",rule="otherwise",status="approved"} 1.0',
                'hamgate_decided_seconds_bucket{le="60.0"} 1.0',
                "hamgate_scoring_seconds_count 1.0",
                'hamgate_batch_comments_bucket{le="1.0"} 1.0',
                'hamgate_attempts_total{outcome="delivered"} 2.0',
                "hamgate_attempt_seconds_count 2.0",
                'hamgate_workers{job="classify"} 1.0',
                "hamgate_claims_lost_total 0.0",
                "hamgate_redis_up 1.0",
            )
        ) and bool(re.search(r'hamgate_scored_total\{model="\d{8}-\w+"\} 1.0', metrics))

    wait_until(counted)


def _submit(traced: Traced) -> Answer:
    return traced.system.request("POST", _COMMENTS, make_body(body=HAM), {"Origin": ORIGIN})


def _listen(database: Database, receiver: Receiver) -> None:
    make_endpoint(database, make_site(database), url=receiver.url())


def _attempts(traced: Traced, comment: str) -> list[dict[str, Any]]:
    return [line for line in traced.lines(comment) if "attempt" in line]
