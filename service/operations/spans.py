"""Spans: what a comment went through, told to the operator's collector in OpenTelemetry's terms.

A comment's trace has the digits of its id and six zeros, and the span of its request the last
sixteen of them: so workers find both by the comment alone, and whoever has the id finds the trace.
The one rule: spans hold ids, routes, outcomes and times, and nothing of what somebody wrote or of
who they are.

What else the SDK is to do (how much is sampled, headers for the collector, certificates), it reads
from the standard's own variables, `OTEL_…`.
"""

import contextlib
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    get_current_span,
    set_span_in_context,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from service.base.loopback import PROBES
from service.core.moderation import DecisionView
from service.core.webhooks.deliveries import Claim, Outcome
from service.ledger.db import made_at

_SEND_EVERY_MS = 1000
_LAST_SECONDS = 1.0
_BATCH_MOST = 1024
_NS = 1_000_000_000
_NEW_TRACE = Context()


class Spans:
    """Tells a collector of what one process does, in a thread of its own."""

    def __init__(self, endpoint: str, process: str) -> None:
        """Set up; asks nobody yet.

        Args:
            endpoint: the collector's, without the path of traces.
            process: which of ours this is.
        """
        ours = Resource(
            {
                "service.name": "hamgate",
                "service.version": version("hamgate"),
                "hamgate.process": process,
            }
        )
        self._ids = _Ids()
        self._provider = TracerProvider(
            resource=ours.merge(OTELResourceDetector().detect()),
            id_generator=self._ids,
            span_limits=SpanLimits(max_links=_BATCH_MOST),
            shutdown_on_exit=False,  # it would wait for half a minute
        )
        exporter = OTLPSpanExporter(endpoint=f"{endpoint}/v1/traces")
        self._provider.add_span_processor(
            BatchSpanProcessor(exporter, schedule_delay_millis=_SEND_EVERY_MS)
        )
        self._tracer = self._provider.get_tracer("hamgate", version("hamgate"))

    def request(
        self,
        *,
        method: str,
        route: str,
        status: int,
        seconds: float,
        request_id: str,
        comment_id: str | None,
        traceparent: str | None,
    ) -> None:
        """Tell of a request that was just answered.

        If it stored a comment, the comment's trace begins with it; else it has one to itself.

        Args:
            method: its method.
            route: as it was declared.
            status: of the answer.
            seconds: from its beginning until now.
            request_id: its id.
            comment_id: of the comment that it is about.
            traceparent: whose trace the caller says it belongs to (W3C Trace Context). Whoever
                asks is a stranger, so that is linked to, and not believed.
        """
        if route in PROBES:
            return
        links = _callers(traceparent)
        root = request_id
        if comment_id is not None:
            if made_at(comment_id) >= made_at(request_id):
                root = comment_id
            else:
                links.append(Link(self._context_of(comment_id)))
        with self._ids.of(root):
            span = self._tracer.start_span(
                f"{method} {route}",
                _NEW_TRACE,
                SpanKind.SERVER,
                _told(
                    {
                        "http.request.method": method,
                        "http.route": route,
                        "http.response.status_code": status,
                        "hamgate.request": request_id,
                        "hamgate.comment": comment_id,
                    }
                ),
                links,
                start_time=time.time_ns() - int(seconds * _NS),
            )
        if status >= 500:
            span.set_status(Status(StatusCode.ERROR))
        span.end()

    def batch(
        self,
        comment_ids: Sequence[str],
        decided: Sequence[tuple[str, DecisionView]],
        *,
        claimed_at: int,
        scored_at: int,
        scoring_seconds: float,
        recorded_at: int,
    ) -> None:
        """Tell of a batch: once of all of it, and of each comment in the comment's own trace.

        Args:
            comment_ids: of the comments that were claimed.
            decided: what became of those that nobody else decided meanwhile.
            claimed_at: when they were claimed, in nanoseconds since 1970, as all of these.
            scored_at: when the classifier was done with them.
            scoring_seconds: how long it took.
            recorded_at: when the decisions were committed.
        """
        span = self._tracer.start_span(
            "classify",
            _NEW_TRACE,
            SpanKind.CONSUMER,
            {"hamgate.comments": len(comment_ids)},
            [Link(self._context_of(one)) for one in comment_ids],
            start_time=claimed_at,
        )
        scoring = self._tracer.start_span(
            "score",
            set_span_in_context(span),
            start_time=scored_at - int(scoring_seconds * _NS),
        )
        scoring.end(scored_at)
        span.end(recorded_at)
        link = Link(span.get_span_context())
        for comment_id, decision in decided:
            parent = self._parent(comment_id)
            waiting = self._tracer.start_span("wait", parent, start_time=_made_ns(comment_id))
            waiting.end(claimed_at)
            deciding = self._tracer.start_span(
                "decide",
                parent,
                SpanKind.INTERNAL,
                _told(
                    {
                        "hamgate.comment": comment_id,
                        "hamgate.decision": decision.id,
                        "hamgate.status": decision.status,
                        "hamgate.rule": decision.rule,
                    }
                ),
                [link],
                start_time=claimed_at,
            )
            deciding.end(recorded_at)

    def attempt(self, claim: Claim, outcome: Outcome) -> None:
        """Tell of an attempt that was just noted, in the trace of the comment that it is about."""
        now = time.time_ns()
        span = self._tracer.start_span(
            "deliver",
            _NEW_TRACE if claim.comment_id is None else self._parent(claim.comment_id),
            SpanKind.CLIENT,
            _told(
                {
                    "http.request.method": "POST",
                    "http.response.status_code": outcome.status,
                    "hamgate.comment": claim.comment_id,
                    "hamgate.event": claim.event_id,
                    "hamgate.endpoint": claim.endpoint_id,
                    "hamgate.delivery": claim.delivery_id,
                    "hamgate.attempt": claim.number,
                }
            ),
            start_time=now - outcome.duration_ms * 1_000_000,
        )
        if not outcome.is_success:
            span.set_status(Status(StatusCode.ERROR, outcome.told))
        span.end(now)

    def close(self) -> None:
        """Send what is left, within a second; a collector that is away holds nobody up."""
        closing = threading.Thread(target=self._provider.shutdown, daemon=True)
        closing.start()
        closing.join(_LAST_SECONDS)

    def _parent(self, comment_id: str) -> Context:
        """Give the span of the request that brought a comment, as what others are part of."""
        return set_span_in_context(NonRecordingSpan(self._context_of(comment_id)), _NEW_TRACE)

    def _context_of(self, row_id: str) -> SpanContext:
        # Whether a trace is sampled follows from its id, so each process finds the same.
        trace_id = _trace_id(row_id)
        decision = self._provider.sampler.should_sample(_NEW_TRACE, trace_id, "").decision
        sampled = decision is Decision.RECORD_AND_SAMPLE
        flags = TraceFlags(TraceFlags.SAMPLED if sampled else TraceFlags.DEFAULT)
        return SpanContext(trace_id, _span_id(row_id), is_remote=True, trace_flags=flags)


def warm_up() -> None:
    """Import what the exporter imports only when it is made; each job's child would take 0.1 s."""
    OTLPSpanExporter(endpoint="http://localhost/")


class _Ids(RandomIdGenerator):
    """Ids of traces and spans: by chance, or those of a row."""

    def __init__(self) -> None:
        self._row = threading.local()

    @contextlib.contextmanager
    def of(self, row_id: str) -> Iterator[None]:
        """Give this row's ids to what begins in this thread."""
        self._row.id = row_id
        try:
            yield
        finally:
            self._row.id = None

    def generate_trace_id(self) -> int:
        """Give the id of a new trace."""
        row_id = getattr(self._row, "id", None)
        return super().generate_trace_id() if row_id is None else _trace_id(row_id)

    def generate_span_id(self) -> int:
        """Give the id of a new span."""
        row_id = getattr(self._row, "id", None)
        return super().generate_span_id() if row_id is None else _span_id(row_id)


def _trace_id(row_id: str) -> int:
    """Give the 104 bits of our ids and 24 zeros.

    Behind and not before them: samplers go by the lower half, and its first bits are then random.
    """
    return int(f"{row_id.partition('_')[2]}000000", 16)


def _span_id(row_id: str) -> int:
    return int(row_id[-16:], 16)


def _made_ns(row_id: str) -> int:
    return int(made_at(row_id).timestamp() * 1000) * 1_000_000


def _callers(traceparent: str | None) -> list[Link]:
    if traceparent is None:
        return []
    carried = TraceContextTextMapPropagator().extract({"traceparent": traceparent}, _NEW_TRACE)
    found = get_current_span(carried).get_span_context()
    return [Link(found)] if found.is_valid else []


def _told(attributes: Mapping[str, str | int | None]) -> dict[str, str | int]:
    return {name: value for name, value in attributes.items() if value is not None}
