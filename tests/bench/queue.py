"""The moderators' queue: a page of it over a large ledger, and a decision by key in a browser.

Of 100,000 comments on SQLite and 1,000,000 on PostgreSQL every 25th waits for a person; a tenth
of those say nearly the same. One moderator pages through the queue over one connection, then
decides with keys in a real Chromium.
"""

import http.client
import re
import shutil
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

from playwright.sync_api import Page, sync_playwright
from sqlalchemy import insert, text

from service import moderators, sites
from service.db import Database
from service.jobs import Doorbell
from service.models import CAMPAIGNS, COMMENTS, THREADS
from service.moderators import Role
from service.policy import Status
from tests.bench import texts
from tests.bench.servers import SITE, DatabaseKind, Installation, Stage

_COMMENTS = {"sqlite": 100_000, "postgresql": 1_000_000}
# Under this many seconds of load a row tries itself out with a smaller ledger.
_WHOLE_SECONDS = 3.0
_WAITS_EVERY = 25
_THREADS = 500
_AT_ONCE = 5_000
_PAGES = 60
_KEYS = 40
_PASSWORD = "a long and quiet sentence about lanterns"
_QUEUE = f"/dashboard/sites/{SITE}/queue"
_NEXT = re.compile(r'rel="next" href="([^"]+)"')
# From the key's own time to the frame after the one in which the next comment is marked.
_WATCH = """() => {
  window.tookMs = [];
  addEventListener("keydown", (event) => {
    const before = document.querySelector("article[aria-current]")?.id;
    const look = () => {
      const now = document.querySelector("article[aria-current]")?.id;
      if (now === before) return requestAnimationFrame(look);
      requestAnimationFrame(() => tookMs.push(performance.now() - event.timeStamp));
    };
    requestAnimationFrame(look);
  }, { capture: true });
}"""


@dataclass(frozen=True, slots=True)
class Queue:
    """A large ledger, one moderator."""

    kind: DatabaseKind
    table: str = "queue"

    @property
    def name(self) -> str:
        """The row's name."""
        return f"queue-{self.kind}"

    def measure(self, stage: Stage, seconds: float) -> dict[str, float]:
        """Page through the queue 60 times, and decide 40 comments by key.

        Returns:
            `page_…`: from the request to the whole answer; `key_…`: from the press of a key to
            the next comment on screen, left out where there is no Chromium.
        """
        count = int(_COMMENTS[self.kind] * min(1.0, seconds / _WHOLE_SECONDS))
        with stage.parts(self.kind) as here:
            cookie = _fill(here, count)
            pages = _page_through(here, cookie)
            keys = _decide_by_key(here, cookie)
        figures = {"comments": float(count), **_percentiles("page", pages)}
        return figures | (_percentiles("key", keys) if keys else {})


def _fill(here: Installation, count: int) -> str:
    """Put comments into the ledger and give the cookie of a moderator who is signed in."""
    database = Database(here.settings, Doorbell(here.settings))
    with database.reading() as session:
        site_id = sites.find(session, SITE).id
    with database.transaction() as session:
        session.execute(insert(THREADS), [_thread(site_id, number) for number in range(_THREADS)])
        campaign = {"id": "cmp_1", "mins": b"", "sources": 1, "first_at": datetime.now(UTC)}
        session.execute(insert(CAMPAIGNS), [campaign])
        made = moderators.create(session, "ann@example.org", site_id=site_id, role=Role.OWNER)
        token = moderators.first_link(session, made)
    rows = _comments(site_id, count)
    while group := list(islice(rows, _AT_ONCE)):
        with database.transaction() as session:
            session.execute(insert(COMMENTS), group)
    with database.transaction() as session:
        session.execute(text("ANALYZE"))
    assert token is not None
    cookie = moderators.accept(database, token, password=_PASSWORD, name="Ann")
    database.close()
    return cookie


def _thread(site_id: str, number: int) -> dict[str, Any]:
    return {
        "id": f"thr_{number}",
        "site_id": site_id,
        "page_url": f"https://blog.example.org/posts/{number}",
        "closed": False,
        "created_at": datetime.now(UTC),
    }


def _comments(site_id: str, count: int) -> Iterator[dict[str, Any]]:
    began = datetime.now(UTC) - timedelta(seconds=count)
    bodies = [one.body for one in texts.generate(0, 2_000)]
    for number in range(count):
        created_at = began + timedelta(seconds=number)
        waits = number % _WAITS_EVERY == 0
        yield {
            "id": f"cmt_{number:010}",
            "site_id": site_id,
            "thread_id": f"thr_{number % _THREADS}",
            "request_digest": "",
            "status": Status.PENDING if waits else Status.APPROVED,
            "version": 2,
            "revision": 1,
            "name": f"Author {number % 9_973}",
            "email": f"author{number % 9_973}@example.org",
            "email_normalised": f"author{number % 9_973}@example.org",
            "body": bodies[number % len(bodies)],
            "honeypot_filled": False,
            "disposable_email": False,
            "submitted_at": created_at,
            "created_at": created_at,
            "classify_attempts": 1,
            "campaign_id": "cmp_1" if waits and number < count // 10 else None,
            "echoes": 0,
            "queue_at": created_at if waits else None,
        }


def _page_through(here: Installation, cookie: str) -> list[float]:
    """Give how long each page took, ms; the first request, which fills caches, is not counted."""
    connection = http.client.HTTPConnection("127.0.0.1", here.settings.port)
    took, path = [], _QUEUE
    for _ in range(_PAGES + 1):
        began = time.perf_counter()
        connection.request("GET", path, headers={"Cookie": f"{_cookie_name()}={cookie}"})
        answer = connection.getresponse()
        page = answer.read().decode()
        took.append((time.perf_counter() - began) * 1e3)
        if answer.status != 200:
            raise RuntimeError(f"{path} answered {answer.status}")
        found = _NEXT.search(page)
        path = found[1].replace("&amp;", "&") if found else _QUEUE
    connection.close()
    return took[1:]


def _decide_by_key(here: Installation, cookie: str) -> list[float]:
    program = shutil.which("chromium")
    if program is None:
        return []
    origin = f"http://127.0.0.1:{here.settings.port}"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        context = browser.new_context()
        context.add_cookies([{"name": _cookie_name(), "value": cookie, "url": origin}])
        took: list[float] = []
        while len(took) < _KEYS:
            page = context.new_page()
            page.goto(origin + _QUEUE)
            took += _press(page)
            page.close()
        browser.close()
    return took[:_KEYS]


def _press(page: Page) -> list[float]:
    """Decide one comment after another, but for the last of the page."""
    page.evaluate(_WATCH)
    for number in range(page.locator("article").count() - 1):
        page.keyboard.press("as"[number % 2])
        page.wait_for_function("many => tookMs.length === many", arg=number + 1)
    found: list[float] = page.evaluate("tookMs")
    if not found:
        raise RuntimeError("no comment was decided by key")
    return found


def _cookie_name() -> str:
    return "hamgate-over-plain-http"


def _percentiles(name: str, values: list[float]) -> dict[str, float]:
    cuts = statistics.quantiles(values, n=100, method="inclusive")
    return {f"{name}_p50_ms": cuts[49], f"{name}_p95_ms": cuts[94]}
