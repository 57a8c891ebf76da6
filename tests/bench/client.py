"""The load generator's own process: keep-alive connections, prepared bytes, one epoll loop.

It is a process by itself so that its CPU time can be told from the servers'. All requests are
made before the clock starts; on the way back only the status and the length are looked at.
"""

import gc
import heapq
import select
import socket
import statistics
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import repeat
from typing import Any

from tests.bench import texts
from tests.bench.child import answer

_STUCK_SECONDS = 120.0


@dataclass
class _Connection:
    """A keep-alive connection with at most one request on its way."""

    port: int
    wire: socket.socket = field(init=False)
    received: bytes = b""
    sent_at: float = 0.0

    def __post_init__(self) -> None:
        self.open()

    def open(self) -> None:
        self.wire = socket.create_connection(("127.0.0.1", self.port), timeout=_STUCK_SECONDS)
        self.wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, request: bytes) -> None:
        self.received = b""
        self.sent_at = time.perf_counter()
        self.wire.sendall(request)

    def receive(self) -> int | None:
        """Read what has come; give the status once the answer is whole, 0 if it never will be."""
        data = self.wire.recv(65536)
        if not data:
            return 0
        data = self.received = self.received + data
        head, found, body = data.partition(b"\r\n\r\n")
        if not found:
            return None
        status = int(data[9:12])
        # RFC 9110 section 15.4.5: a 304 has no content, whatever it says of its length.
        return status if status == 304 or len(body) >= _length(head) else None


def _length(head: bytes) -> int:
    before, found, after = head.lower().partition(b"\r\ncontent-length:")
    if not found:
        raise ValueError(f"an answer without a length: {before!r}")
    return int(after.partition(b"\r\n")[0])


class _Client:
    """Holds the connections and the requests that are left."""

    def __init__(self) -> None:
        self._requests: Iterator[bytes] = iter(())
        self._connections: dict[int, _Connection] = {}
        self._poll = select.epoll()

    def handle(self, order: dict[str, Any]) -> Mapping[str, Any]:
        """Prepare or send, as ordered; see `load.Generator`."""
        if "prepare" in order:
            self._prepare(**order["prepare"])
            return {}
        return self._send(order["seconds"], order["most"], patient=order["patient"])

    def _prepare(
        self,
        port: int,
        method: str,
        path: str,
        headers: dict[str, str],
        origin: str,
        keyed: bool,
        fields: dict[str, str],
        count: int,
        connections: int,
    ) -> None:
        host = f"127.0.0.1:{port}"
        if method == "GET":
            self._requests = repeat(texts.get_request(path, host, headers), count)
        else:
            made = texts.http_requests(
                path, host, headers, texts.generate(0, count), origin, keyed=keyed, fields=fields
            )
            self._requests = iter(made)
        for _ in range(connections):
            connection = _Connection(port)
            self._connections[connection.wire.fileno()] = connection
            self._poll.register(connection.wire, select.EPOLLIN)
            time.sleep(0.002)  # one after the other, so that the server's processes share them
        gc.collect()
        gc.freeze()
        gc.disable()

    def _send(self, seconds: float, most: int, *, patient: bool) -> dict[str, Any]:
        """Keep every connection busy for so long or for so many requests, and wait for the last.

        A patient connection that is told to come again later is idle until then.
        """
        for descriptor, _ in self._poll.poll(0):
            self._reopen(descriptor)  # the server has closed it meanwhile, as it may
        statuses: Counter[int] = Counter()
        latencies: list[float] = []
        cpu = time.process_time()
        begin = end = time.perf_counter()
        left = most
        busy = 0
        later: list[tuple[float, int]] = []
        for connection in self._connections.values():
            if left and self._send_next(connection):
                left -= 1
                busy += 1
        while busy or (left and later and later[0][0] - begin < seconds):
            ready = self._poll.poll(_until(later))
            woken = self._wake(later, left)
            left -= woken
            busy += woken
            if not ready and not later and busy:
                raise TimeoutError(f"{busy} requests without an answer for {_STUCK_SECONDS} s")
            for descriptor, _ in ready:
                connection = self._connections[descriptor]
                status = connection.receive()
                if status is None:
                    continue
                end = time.perf_counter()
                statuses[status] += 1
                if 200 <= status < 300 or status == 304:
                    latencies.append(end - connection.sent_at)
                if status == 0:
                    connection = self._reopen(descriptor)
                if patient and status == 503:
                    heapq.heappush(later, (end + _retry_after(connection.received), descriptor))
                    busy -= 1
                elif left and end - begin < seconds and self._send_next(connection):
                    left -= 1
                else:
                    busy -= 1
        return {
            "statuses": {str(status): count for status, count in statuses.items()},
            "elapsed_seconds": end - begin,
            "cpu_seconds": time.process_time() - cpu,
            **_percentiles(latencies),
        }

    def _wake(self, later: list[tuple[float, int]], most: int) -> int:
        """Have those come again whose time it is; give how many did."""
        woken = 0
        while woken < most and later and later[0][0] <= time.perf_counter():
            _, descriptor = heapq.heappop(later)
            woken += self._send_next(self._connections[descriptor])
        return woken

    def _send_next(self, connection: _Connection) -> bool:
        request = next(self._requests, None)
        if request is None:
            return False
        connection.send(request)
        return True

    def _reopen(self, descriptor: int) -> _Connection:
        connection = self._connections.pop(descriptor)
        self._poll.unregister(descriptor)
        connection.wire.close()
        connection.open()
        self._connections[connection.wire.fileno()] = connection
        self._poll.register(connection.wire, select.EPOLLIN)
        return connection


def _until(later: list[tuple[float, int]]) -> float:
    """Give how long to wait for answers before the next connection comes again."""
    return max(0.0, later[0][0] - time.perf_counter()) if later else _STUCK_SECONDS


def _retry_after(answer: bytes) -> float:
    _, found, after = answer.lower().partition(b"\r\nretry-after:")
    if not found:
        raise ValueError("a 503 that does not say when to come again")
    return float(after.partition(b"\r\n")[0])


def _percentiles(latencies: list[float]) -> dict[str, float]:
    if len(latencies) < 2:
        only = latencies[0] * 1e3 if latencies else 0.0
        return {"p50_ms": only, "p99_ms": only}
    cuts = statistics.quantiles(latencies, n=100, method="inclusive")
    return {"p50_ms": cuts[49] * 1e3, "p99_ms": cuts[98] * 1e3}


if __name__ == "__main__":
    answer(_Client().handle)
