"""Load: requests over keep-alive connections from a process of its own."""

import http.client
from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.bench.child import Child

# More than any of the servers answers in a second: so many comments are prepared for each, and
# so many times one page is asked for.
_MOST_A_SECOND = {"POST": 8_000, "GET": 100_000}
_UNLIMITED = 10**9


@dataclass(frozen=True, slots=True)
class Load:
    """What came back.

    Attributes:
        statuses: how many answers with each status; 0 stands for a connection that was closed.
        elapsed_seconds: from the first request sent to the last answer received.
        cpu_seconds: what the generator itself used.
        p50_ms: latency of the accepted, median.
        p99_ms: latency of the accepted, 99th percentile.
    """

    statuses: Mapping[int, int]
    elapsed_seconds: float
    cpu_seconds: float
    p50_ms: float
    p99_ms: float

    @property
    def accepted(self) -> int:
        """Answers with 2xx or 304; only these count."""
        return sum(
            count for status, count in self.statuses.items() if 200 <= status < 300 or status == 304
        )

    @property
    def refused(self) -> int:
        """All other answers."""
        return sum(self.statuses.values()) - self.accepted


@dataclass(frozen=True, slots=True)
class Target:
    """What to send where.

    Attributes:
        port: on 127.0.0.1.
        path: to send to.
        origin: of the page that submits.
        connections: how many, each with one request on its way at a time.
        headers: sent with each request.
        keyed: whether each request has its own Idempotency-Key.
        method: `POST` with a comment, or `GET` with nothing.
        fields: what a comment's fields are called there, by our names; those that are not named
            are not sent. Empty for ours.
    """

    port: int
    path: str
    origin: str
    connections: int = 64
    headers: Mapping[str, str] = field(default_factory=dict)
    keyed: bool = False
    method: str = "POST"
    fields: Mapping[str, str] = field(default_factory=dict)

    def fetch(self) -> tuple[http.client.HTTPMessage, bytes]:
        """Ask once, and give the fields and the content of the answer.

        Raises:
            RuntimeError: it was not answered with 200.
        """
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request(self.method, self.path, headers=dict(self.headers))
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        if answer.status != 200:
            raise RuntimeError(f"{self.path} was answered {answer.status}")
        return answer.headers, content


class Generator:
    """A running load generator, connected, with its requests ready."""

    def __init__(self, target: Target, *, seconds: float = 0.0, count: int = 0) -> None:
        """Start it.

        Args:
            target: what to send where.
            seconds: how long it will be sending in all; or
            count: how many it will send in all.
        """
        self._child = Child("tests.bench.client")
        self._target = target
        self._count = count or int(seconds * _MOST_A_SECOND[target.method]) + target.connections

    def __enter__(self) -> "Generator":
        target = self._target
        try:
            self._child.ask(
                {
                    "prepare": {
                        "port": target.port,
                        "method": target.method,
                        "path": target.path,
                        "origin": target.origin,
                        "connections": target.connections,
                        "headers": dict(target.headers),
                        "keyed": target.keyed,
                        "fields": dict(target.fields),
                        "count": self._count,
                    }
                }
            )
        except BaseException:
            self._child.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._child.__exit__()

    def run(self, *, seconds: float = 60.0, most: int = _UNLIMITED, patient: bool = False) -> Load:
        """Keep all connections busy for so long or for so many requests; nothing is left behind.

        It ends earlier when all prepared requests have been sent. If `patient`, a connection that
        is told 503 comes again when that said.
        """
        answer = self._child.ask({"seconds": seconds, "most": most, "patient": patient})
        statuses = {int(status): count for status, count in answer.pop("statuses").items()}
        return Load(statuses=statuses, **answer)
