"""The moderators' queue: a page of it over a large ledger, and a decision by key in a browser.

Of 100,000 comments on SQLite and 1,000,000 on PostgreSQL every 25th waits for a person; a tenth
of those say nearly the same. One moderator pages through the queue over one connection, then
decides with keys in a real Chromium.
"""

import re
import shutil
from dataclasses import dataclass

from playwright.sync_api import Page, sync_playwright

from tests.bench import dashboard
from tests.bench.servers import SITE, DatabaseKind, Installation, Stage

_PAGES = 60
_KEYS = 40
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
        count = dashboard.comments_count(self.kind, seconds)
        with stage.parts(self.kind) as here:
            cookie = dashboard.fill(here, count)
            pages = _page_through(here, cookie)
            keys = _decide_by_key(here, cookie)
        figures = {"comments": float(count), **dashboard.percentiles("page", pages)}
        return figures | (dashboard.percentiles("key", keys) if keys else {})


def _page_through(here: Installation, cookie: str) -> list[float]:
    """Give how long each page took, ms; the first request, which fills caches, is not counted."""
    took, path = [], _QUEUE
    with dashboard.reader(here, cookie) as get:
        for _ in range(_PAGES + 1):
            page, ms = get(path)
            took.append(ms)
            found = _NEXT.search(page)
            path = found[1].replace("&amp;", "&") if found else _QUEUE
    return took[1:]


def _decide_by_key(here: Installation, cookie: str) -> list[float]:
    program = shutil.which("chromium")
    if program is None:
        return []
    origin = f"http://127.0.0.1:{here.settings.port}"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        context = browser.new_context()
        context.add_cookies([{"name": dashboard.COOKIE, "value": cookie, "url": origin}])
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
