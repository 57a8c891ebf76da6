"""Open pages: what readers cost who have a page open and do nothing.

Each page asks whether there is anything new, with the `ETag` that it has, over a connection of
its own that stays open. The widget asks each 15 seconds while something happens and ever more
seldom down to each 120; here all of them ask each 15 seconds, the most that they ever do.
"""

import http.client
import statistics
import time
from dataclasses import dataclass

from tests.bench import accounting
from tests.bench.reading import publish, tag, thread
from tests.bench.servers import DatabaseKind, Stage

_PAGES = 1_000
# Under this many seconds of load the row tries itself out with fewer pages.
_WHOLE_SECONDS = 3.0
_EVERY_SECONDS = 15.0
_COMMENTS = 50


@dataclass(frozen=True, slots=True)
class OpenPages:
    """A thousand readers who look at one thread in which nothing happens."""

    kind: DatabaseKind
    table: str = "pages"

    @property
    def name(self) -> str:
        """The row's name."""
        return f"pages-{self.kind}"

    def measure(self, stage: Stage, seconds: float) -> dict[str, float]:
        """Open all pages, then let them ask for so many seconds."""
        count = max(20, int(_PAGES * min(1.0, seconds / _WHOLE_SECONDS)))
        with stage.parts(self.kind) as here:
            publish(here, _COMMENTS)
            target = thread(here)
            headers = {**target.headers, "If-None-Match": tag(target)}
            before = accounting.proportional_mb(here.roots)["web"]
            pages = [_open(target.port) for _ in range(count)]
            try:
                for page in pages:
                    _ask(page, target.path, headers)
                opened = accounting.proportional_mb(here.roots)["web"]
                used = accounting.cpu_seconds(here.roots)
                began = time.perf_counter()
                took = []
                for number in range(max(2, int(seconds * count / _EVERY_SECONDS))):
                    due = began + number * _EVERY_SECONDS / count
                    time.sleep(max(0.0, due - time.perf_counter()))
                    took.append(_ask(pages[number % count], target.path, headers))
                elapsed = time.perf_counter() - began
                spent = sum(accounting.cpu_seconds(here.roots).values()) - sum(used.values())
            finally:
                for page in pages:
                    page.close()
        cuts = statistics.quantiles(took, n=100, method="inclusive")
        return {
            "pages": float(count),
            "requests_per_second": len(took) / elapsed,
            "core_percent": 100 * spent / elapsed,
            "memory_mb": max(0.0, opened - before),
            "p50_ms": cuts[49] * 1e3,
            "p99_ms": cuts[98] * 1e3,
        }


def _open(port: int) -> http.client.HTTPConnection:
    page = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    page.connect()
    return page


def _ask(page: http.client.HTTPConnection, path: str, headers: dict[str, str]) -> float:
    """Ask once, as browsers do over a new connection if the server has closed the old one."""
    began = time.perf_counter()
    try:
        page.request("GET", path, headers=headers)
        answer = page.getresponse()
    except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError):
        page.close()
        page.request("GET", path, headers=headers)
        answer = page.getresponse()
    answer.read()
    if answer.status != 304:
        raise RuntimeError(f"a page that has it all was answered {answer.status}")
    return time.perf_counter() - began
