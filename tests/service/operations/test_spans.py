"""What a collector is told, and that nobody pays for it who has none."""

import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

from service.base.config import from_environ
from service.base.errors import ConfigError
from service.ledger.db import new_id
from service.operations import spans
from tests.collector import Collector, collecting
from tests.system import free_port

ROUTE = "/api/v1/sites/<site>/comments"


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as found:
        yield found


def tell(collector: Collector, **changes: Any) -> None:
    """Tell of a request, and wait until it was told."""
    telling = spans.Spans(collector.endpoint, "web")
    values: dict[str, Any] = {
        "method": "POST",
        "route": ROUTE,
        "status": 202,
        "seconds": 0.25,
        "request_id": new_id("req"),
        "comment_id": None,
        "traceparent": None,
    }
    telling.request(**values | changes)
    telling.close()


def ids_of(row_id: str) -> tuple[bytes, bytes]:
    digits = row_id.partition("_")[2]
    return bytes.fromhex(f"{digits}000000"), bytes.fromhex(digits[-16:])


def test_a_comments_trace_has_its_ids_digits(collector: Collector) -> None:
    request_id, comment_id = new_id("req"), new_id("cmt")

    tell(collector, request_id=request_id, comment_id=comment_id)

    (told,) = collector.told()
    assert told.name == f"POST {ROUTE}"
    assert told.ids == ids_of(comment_id)
    assert told.span.parent_span_id == b""
    assert told.span.end_time_unix_nano - told.span.start_time_unix_nano >= 250_000_000
    assert told.attributes == {
        "http.request.method": "POST",
        "http.route": ROUTE,
        "http.response.status_code": 202,
        "hamgate.request": request_id,
        "hamgate.comment": comment_id,
    }


def test_a_comment_that_was_there_is_linked_to_and_begins_once(collector: Collector) -> None:
    comment_id = new_id("cmt")
    time.sleep(0.002)  # ids hold milliseconds
    request_id = new_id("req")

    tell(collector, request_id=request_id, comment_id=comment_id)

    (told,) = collector.told()
    assert told.ids == ids_of(request_id)
    assert told.links == [ids_of(comment_id)]


def test_a_callers_trace_is_linked_to_and_not_believed(collector: Collector) -> None:
    request_id = new_id("req")
    trace, span = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"

    tell(collector, request_id=request_id, traceparent=f"00-{trace}-{span}-01")

    (told,) = collector.told()
    assert told.ids == ids_of(request_id)
    assert told.links == [(bytes.fromhex(trace), bytes.fromhex(span))]


@pytest.mark.parametrize("written", ["", "00-x-y-01", "00-" + "0" * 32 + "-" + "0" * 16 + "-01"])
def test_what_is_no_traceparent_is_none(collector: Collector, written: str) -> None:
    tell(collector, traceparent=written)

    (told,) = collector.told()
    assert told.links == []


def test_a_fault_of_ours_is_one_and_a_probe_is_not_told(collector: Collector) -> None:
    tell(collector, status=503)
    tell(collector, route="/readyz", status=503)

    (told,) = collector.told()
    assert told.span.status.code == told.span.status.STATUS_CODE_ERROR


@pytest.mark.parametrize("sampler", ["traceidratio", "parentbased_traceidratio"])
def test_processes_agree_on_which_traces_are_sampled(
    collector: Collector, monkeypatch: pytest.MonkeyPatch, sampler: str
) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", sampler)
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0.5")
    web, worker = (spans.Spans(collector.endpoint, name) for name in ("web", "worker"))
    earlier, comments = new_id("req"), [new_id("cmt") for _ in range(100)]

    for one in comments:
        web.request(
            method="POST",
            route=ROUTE,
            status=202,
            seconds=0.0,
            request_id=earlier,
            comment_id=one,
            traceparent=None,
        )
    sampled = [one for one in comments if worker._context_of(one).trace_flags.sampled]
    web.close()
    worker.close()

    assert 20 < len(sampled) < 80
    assert {told.attributes["hamgate.comment"] for told in collector.told()} == set(sampled)


def test_a_collector_that_is_away_holds_nobody_up_for_long() -> None:
    telling = spans.Spans(f"http://127.0.0.1:{free_port()}", "worker")
    telling.request(
        method="GET",
        route="/",
        status=200,
        seconds=0.0,
        request_id=new_id("req"),
        comment_id=None,
        traceparent=None,
    )

    began = time.monotonic()
    telling.close()

    assert time.monotonic() - began < 5  # left to itself, it would try for ten


def test_without_a_collector_nothing_that_tells_it_is_imported() -> None:
    """redis-py imports OpenTelemetry by itself where it is installed, but nothing that sends."""
    program = (
        "import sys\n"
        "from service import app, web\n"
        "from service.base import config\n"
        "from service.operations import traces\n"
        "from workers import classification, context, delivery\n"
        "settings = config.from_environ({'HAMGATE_HOME': sys.argv[1]})\n"
        "traces.prepare(settings); traces.begin(settings, 'web')\n"
        "assert traces.current() is None\n"
        "traces.end()\n"
        "told = {'service.operations.spans', 'opentelemetry.exporter.otlp'}\n"
        "sys.exit(told & sys.modules.keys() != set())"
    )

    assert subprocess.run([sys.executable, "-c", program, "/nowhere"], check=False).returncode == 0


@pytest.mark.parametrize("written", ["collector:4318", "grpc://collector:4317", "http://a b"])
def test_where_the_collector_is_has_to_be_a_url(written: str) -> None:
    with pytest.raises(ConfigError, match="OTEL_EXPORTER_OTLP_ENDPOINT: write it as"):
        from_environ({"OTEL_EXPORTER_OTLP_ENDPOINT": written})
