"""One comment's way through web, worker and courier: in the log, in traces; what is counted."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from service.base import config
from tests.cast import HAM, ORIGIN, make_body, make_endpoint, make_site, open_ledger, wait_until
from tests.collector import Collector, collecting
from tests.conftest import Valkey, ledgers
from tests.receivers import Receiver, answering, receiving
from tests.system import Answer, System

pytestmark = pytest.mark.process

_COMMENTS = "/api/v1/sites/blog/comments"


@dataclass
class Traced:
    """A running system that was sent a comment, what it logged, and whom it told."""

    system: System
    answer: Answer
    log: Path
    receiver: Receiver
    collector: Collector

    @property
    def comment(self) -> str:
        return str(self.answer.json["id"])

    def lines(self, word: str) -> list[dict[str, Any]]:
        """What `grep` finds."""
        return [json.loads(line) for line in self.log.read_text().splitlines() if word in line]

    def attempts(self) -> list[dict[str, Any]]:
        return [line for line in self.lines(self.comment) if "attempt" in line]


@pytest.fixture(scope="module")
def traced(
    database_kind: str,
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    shared_valkey: Valkey,
) -> Iterator[Traced]:
    """One comment for all tests here: each looks at another of its tracks."""
    home = tmp_path_factory.mktemp("traced")
    shared_valkey.flush()
    with (
        ledgers(database_kind, request, home) as new_ledger,
        receiving(answering("204 No Content")) as receiver,
        collecting() as collector,
        (home / "log").open("wb") as log,
    ):
        environ = {
            "HAMGATE_HOME": str(home / "home"),
            "DATABASE_URL": new_ledger(),
            "REDIS_URL": shared_valkey.url,
            "HAMGATE_LOG_FORMAT": "json",
            "HAMGATE_WEBHOOK_NETWORKS": "127.0.0.0/8",
            "HAMGATE_WEBHOOK_PORTS": str(receiver.port),
            "HAMGATE_WEBHOOK_HTTP": "true",
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint,
        }
        database = open_ledger(config.from_environ(environ))
        make_endpoint(database, make_site(database), url=receiver.url())
        database.close()
        system = System(environ, output=log)
        try:
            system.start("web")
            system.start("worker")
            answer = system.request("POST", _COMMENTS, make_body(body=HAM), {"Origin": ORIGIN})
            yield Traced(system, answer, home / "log", receiver, collector)
        finally:
            system.stop()


def test_one_grep_finds_a_comments_way_from_its_request_to_its_webhooks(traced: Traced) -> None:
    answer, comment = traced.answer, traced.comment
    wait_until(lambda: len(traced.attempts()) == 2)  # submitted, approved

    found = traced.lines(comment)

    request, *rest = [line for line in found if "request" in line]
    assert request["request"] == answer.headers["x-request-id"]
    assert (request["comment"], request["status"]) == (comment, answer.status)
    assert rest == []
    (decision,) = [line for line in found if "decided" in line]
    assert decision["decided"][0]["comment"] == comment
    assert decision["decided"][0]["status"] == "approved"
    told = {request.headers["webhook-id"] for request in traced.receiver.requests}
    attempts = traced.attempts()
    assert {line["event"] for line in attempts} == told
    assert all(line["outcome"] == "answered 204" for line in attempts)
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", traced.log.read_text())
    assert "ada@example.org" not in traced.log.read_text()


def test_a_collector_is_told_of_a_comments_way_as_one_trace(traced: Traced) -> None:
    answer, comment, collector = traced.answer, traced.comment, traced.collector
    wait_until(lambda: len(collector.told("deliver")) == 2 and collector.told("decide"))
    wait_until(lambda: collector.told(f"POST {_COMMENTS.replace('blog', '<site>')}"))

    way = [one for one in collector.told() if one.attributes.get("hamgate.comment") == comment]
    request, *rest = sorted(way, key=lambda one: one.name.islower())
    assert (request.process, request.attributes["hamgate.request"]) == (
        "web",
        answer.headers["x-request-id"],
    )
    assert request.ids[0].hex() == f"{comment.removeprefix('cmt_')}000000"
    assert {(one.name, one.process) for one in rest} == {
        ("decide", "worker"), ("deliver", "courier")
    }  # fmt: skip
    (wait,) = collector.told("wait")
    for one in (*rest, wait):
        assert (one.span.trace_id, one.span.parent_span_id) == request.ids
    (batch,) = collector.told("classify")
    (scoring,) = collector.told("score")
    (decide,) = collector.told("decide")
    assert batch.links == [request.ids]
    assert (scoring.span.trace_id, scoring.span.parent_span_id) == batch.ids
    assert decide.links == [batch.ids]
    assert decide.attributes["hamgate.status"] == "approved"
    assert [one.attributes["http.response.status_code"] for one in collector.told("deliver")] == [
        204, 204
    ]  # fmt: skip
    for private in (b"ada@example.org", b"Ada", b"127.0.0.1:", HAM.encode()):
        assert private not in collector.raw().replace(b"Host: 127.0.0.1:", b"")


def test_what_workers_did_is_in_the_metrics_of_the_web_server(traced: Traced) -> None:
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
