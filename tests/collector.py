"""A collector of traces: OTLP over HTTP, real protobuf, nothing kept but what came."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.receivers import Receiver, answering, receiving


@dataclass(frozen=True)
class Told:
    """A span that arrived, and which process told of it."""

    span: Span
    process: str

    @property
    def name(self) -> str:
        return self.span.name

    @property
    def attributes(self) -> dict[str, str | int]:
        return {
            one.key: one.value.int_value
            if one.value.HasField("int_value")
            else one.value.string_value
            for one in self.span.attributes
        }

    @property
    def ids(self) -> tuple[bytes, bytes]:
        """Its trace and itself."""
        return self.span.trace_id, self.span.span_id

    @property
    def links(self) -> list[tuple[bytes, bytes]]:
        return [(link.trace_id, link.span_id) for link in self.span.links]


@dataclass(frozen=True)
class Collector:
    """Somebody who is told of spans."""

    receiver: Receiver

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.receiver.port}"

    def raw(self) -> bytes:
        """Give every byte that was sent."""
        return b"".join(request.head.encode() + request.body for request in self.receiver.requests)

    def told(self, name: str | None = None) -> list[Told]:
        """Give the spans that came, all or those of a name."""
        found = []
        for request in list(self.receiver.requests):
            for group in ExportTraceServiceRequest.FromString(request.body).resource_spans:
                resource = {one.key: one.value.string_value for one in group.resource.attributes}
                found += [
                    Told(span, resource["hamgate.process"])
                    for scope in group.scope_spans
                    for span in scope.spans
                    if name in (None, span.name)
                ]
        return found


@contextlib.contextmanager
def collecting() -> Iterator[Collector]:
    """Listen on a port of 127.0.0.1."""
    with receiving(answering("200 OK", "Connection: close\r\n")) as receiver:
        yield Collector(receiver)
