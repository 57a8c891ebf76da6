"""A real Chromium at a real server: what people see, press and are told.

Debian's `chromium` is driven by Playwright; where it is not installed these tests are skipped and
say so, and fail where CI is set. Every page that a test leaves behind has to be free of console
errors and CSP reports.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from service.base.config import Settings
from service.core import moderators, sites
from service.core.moderators import Role
from service.core.sites import SiteView
from service.ledger.db import Database
from service.operations import schema
from service.pure.policy import Policy
from tests.browser.accessibility import assert_accessible
from tests.browser.lived_in import move_in
from tests.browser.visiting import Visitor
from tests.cast import make_site, open_ledger
from tests.conftest import Valkey
from tests.system import System, running

CHROMIUM = shutil.which("chromium")
# Of colours, as a reader's system prefers them.
Scheme = Literal["light", "dark"]
SCHEMES: tuple[Scheme, ...] = ("light", "dark")
PASSWORD = "a long and quiet sentence about lanterns"
_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
_COOKIE = "hamgate-over-plain-http"


@dataclass
class Dashboard:
    """A running system over SQLite with a site that looks at every comment first."""

    system: System
    settings: Settings
    database: Database
    site: SiteView

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.system.port}"

    def sign_in(
        self, email: str, role: Role = Role.OWNER, *, site: SiteView | None = None, name: str = ""
    ) -> str:
        """Give the cookie of a moderator of this site, or another, who has a password."""
        with self.database.transaction() as session:
            site_id = (site or self.site).id
            moderator_id = moderators.create(session, email, site_id=site_id, role=role)
            token = moderators.first_link(session, moderator_id) or moderators.reset(session, email)
        return moderators.accept(self.database, token, password=PASSWORD, name=name or email)


# Not for the session: while it runs, no other test could start an event loop of its own.
@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    if CHROMIUM is None:
        missing = pytest.fail if "CI" in os.environ else pytest.skip
        missing("Debian's chromium is not installed: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(_FLAGS))
        yield browser
        browser.close()


@pytest.fixture
def new_visitor(chromium: Browser) -> Iterator[Callable[[], Visitor]]:
    """Makes visitors, each in a browser of their own."""
    contexts = []

    def make() -> Visitor:
        contexts.append(chromium.new_context(viewport={"width": 900, "height": 900}, locale="en"))
        contexts[-1].set_default_timeout(30_000)
        return Visitor(contexts[-1])

    yield make
    for context in contexts:
        context.close()


@pytest.fixture(scope="module")
def dashboard(
    tmp_path_factory: pytest.TempPathFactory, shared_valkey: Valkey, chromium: Browser
) -> Iterator[Dashboard]:
    home = tmp_path_factory.mktemp("dashboard")
    settings = Settings(home=home, redis_url=shared_valkey.url)
    schema.migrate(settings)
    database = open_ledger(settings)
    site = make_site(database)
    with database.transaction() as session:
        sites.set_policy(session, site.id, Policy(premoderation=True, storm_mode=False))
    environ = {
        "HAMGATE_HOME": str(home),
        "REDIS_URL": shared_valkey.url,
        "HAMGATE_LOG_LEVEL": "warning",
        "HAMGATE_LIMIT_OTHER": "100000/second",
        # So that a receiver of a test's own can be told.
        "HAMGATE_WEBHOOK_NETWORKS": "127.0.0.0/8",
        "HAMGATE_WEBHOOK_PORTS": "1024-65535",
        "HAMGATE_WEBHOOK_HTTP": "true",
    }
    with running(environ) as system:
        yield Dashboard(system, settings, database, site)
    database.close()


class Watched:
    """A page with all that its console said."""

    def __init__(self, page: Page, origin: str) -> None:
        self.page = page
        self.origin = origin
        self.said: list[str] = []
        page.on("console", self._note)
        page.on("pageerror", lambda error: self.said.append(str(error)))

    def go(self, path: str) -> Page:
        self.page.goto(f"{self.origin}{path}")
        return self.page

    def assert_sound(self) -> None:
        """No console error, no CSP report, nothing that axe-core finds fault with."""
        assert_accessible(self.page)
        assert self.said == []

    def _note(self, message: object) -> None:
        if getattr(message, "type", "") in ("error", "warning"):
            self.said.append(str(getattr(message, "text", message)))


@pytest.fixture
def somebody(dashboard: Dashboard, chromium: Browser) -> Iterator[Watched]:
    """An owner who is signed in."""
    yield from _watched(dashboard, chromium, dashboard.sign_in("owner@example.org", Role.OWNER))


@pytest.fixture
def colleague(dashboard: Dashboard, chromium: Browser) -> Iterator[Watched]:
    """Another moderator who is signed in, in a browser of their own."""
    cookie = dashboard.sign_in("colleague@example.org", Role.MODERATOR)
    yield from _watched(dashboard, chromium, cookie)


@pytest.fixture(scope="module")
def allotment(dashboard: Dashboard) -> SiteView:
    """A site that has been in use for a week."""
    return move_in(dashboard.database, dashboard.settings)


@pytest.fixture
def nora(dashboard: Dashboard, chromium: Browser, allotment: SiteView) -> Iterator[Watched]:
    """The owner of that site."""
    cookie = dashboard.sign_in("nora@example.org", site=allotment, name="Nora")
    yield from _watched(dashboard, chromium, cookie)


@pytest.fixture
def pictures() -> Path:
    """Where screenshots are kept as build output."""
    folder = Path(__file__).parent.parent.parent / "build" / "screenshots"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _watched(dashboard: Dashboard, chromium: Browser, cookie: str) -> Iterator[Watched]:
    context = chromium.new_context(viewport={"width": 1100, "height": 800})
    context.set_default_timeout(30_000)
    context.add_cookies([{"name": _COOKIE, "value": cookie, "url": dashboard.origin}])
    yield Watched(context.new_page(), dashboard.origin)
    context.close()
