"""The widget on a page with 10,000 comments, in a real Chromium, on a page of another origin."""

import shutil
from dataclasses import dataclass

from playwright.sync_api import Page, sync_playwright

from service.base.jobs import Doorbell
from service.core import sites
from service.ledger.db import Database
from tests.bench import dashboard
from tests.bench.reading import publish
from tests.bench.servers import SITE, DatabaseKind, Stage
from tests.browser.visiting import serving

_COMMENTS = 10_000
# Under this many seconds of load a row tries itself out with fewer comments and visits.
_WHOLE_SECONDS = 3.0
_VISITS = 9
_TRIED_VISITS = 2
_MORE = 10
# From the start of the page's own load, by the browser's clock.
_SHOWN = """() => new Promise((resolve) => {
  const look = () => {
    const root = document.querySelector("hamgate-comments")?.shadowRoot;
    if (!root?.querySelector("article")) return requestAnimationFrame(look);
    requestAnimationFrame(() => resolve(performance.now()));
  };
  look();
})"""
_PAINTED = """() => performance.getEntriesByName("first-contentful-paint")[0].startTime"""
# Chromium's own record of tasks that held the page up for more than 50 ms.
_WATCH = """window.held = [0];
new PerformanceObserver((list) => held.push(...list.getEntries().map(({duration}) => duration)))
  .observe({type: "longtask", buffered: true});"""
# From the press of "Show more comments" to the frame after the one that has them.
_TURN = """() => new Promise((resolve) => {
  const root = document.querySelector("hamgate-comments").shadowRoot;
  const before = root.querySelectorAll("article").length;
  const began = performance.now();
  root.querySelector("[part~=more]").click();
  const look = () => {
    if (root.querySelectorAll("article").length === before) return requestAnimationFrame(look);
    requestAnimationFrame(() => resolve(performance.now() - began));
  };
  look();
})"""


@dataclass(frozen=True, slots=True)
class Widget:
    """A long thread, and readers who open its page one after another."""

    kind: DatabaseKind
    table: str = "widget"

    @property
    def name(self) -> str:
        """The row's name."""
        return f"widget-{self.kind}"

    def measure(self, stage: Stage, seconds: float) -> dict[str, float]:
        """Open the page nine times, and turn ten pages of comments in the last of them.

        Returns:
            `paint_…`: the page's first contentful paint; `shown_…`: its first comment on screen;
            `more_…`: a hundred more comments on screen; `held_ms`: the longest that any of it held
            the page up, 0 if never for 50 ms. Without a Chromium only `comments`.
        """
        count = int(_COMMENTS * min(1.0, seconds / _WHOLE_SECONDS))
        figures = {"comments": float(count)}
        program = shutil.which("chromium")
        pages: dict[str, str] = {}
        hosts: list[str] = []
        with stage.parts(self.kind) as here, serving(pages, hosts) as origin:
            publish(here, count, page_url=f"{origin}/long")
            if program is None:
                return figures
            database = Database(here.settings, Doorbell(here.settings))
            with database.transaction() as session:
                sites.set_origins(session, sites.find(session, SITE).id, [origin])
            database.close()
            host = f"http://127.0.0.1:{here.settings.port}"
            hosts.append(host)
            pages["/long"] = (
                '<!doctype html><html lang="en"><title>Long</title><h1>A long talk</h1>'
                f'<script async src="{host}/embed.js" data-site="{SITE}" data-loading="eager">'
                "</script>"
            )
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
                visits, held = [], []
                for _ in range(_VISITS if seconds >= _WHOLE_SECONDS else _TRIED_VISITS):
                    page = browser.new_context().new_page()
                    page.add_init_script(_WATCH)
                    page.goto(f"{origin}/long")
                    visits.append((page.evaluate(_SHOWN), page.evaluate(_PAINTED)))
                    held.append(page.evaluate("Math.max(...held)"))
                more = _turn(page)
                held.append(page.evaluate("Math.max(...held)"))
                browser.close()
        return {
            **figures,
            **dashboard.percentiles("paint", [painted for _, painted in visits]),
            **dashboard.percentiles("shown", [shown for shown, _ in visits]),
            **(dashboard.percentiles("more", more) if more else {}),
            "held_ms": max(held),
        }


def _turn(page: Page) -> list[float]:
    took: list[float] = []
    more = page.locator("hamgate-comments").get_by_role("button", name="Show more comments")
    while len(took) < _MORE and more.is_visible():
        took.append(float(page.evaluate(_TURN)))
    return took
