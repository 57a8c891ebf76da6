"""Pages of another origin that include the widget, and the browsers of their visitors."""

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from playwright.sync_api import BrowserContext, Locator, expect

from service.core import comments
from service.core.sites import SiteView
from service.ledger.db import Database
from service.pure.policy import Status
from tests.browser.accessibility import assert_accessible
from tests.cast import decide, make_comment
from tests.system import System

_HOOK = """
window.fired = [];
for (const name of ["alert", "confirm", "prompt", "print"]) {
  window[name] = (...said) => window.fired.push([name, ...said]);
}
addEventListener("securitypolicyviolation", (event) => window.fired.push(event.blockedURI));
"""


@dataclass
class World:
    """A running system, a site, and the pages of its owner on a server of their own."""

    system: System
    database: Database
    site: SiteView
    origin: str
    pages: dict[str, str] = field(default_factory=dict)

    @property
    def host(self) -> str:
        return f"http://127.0.0.1:{self.system.port}"

    def page(self, path: str, body: str = "", *, script: str = "embed.js") -> str:
        """Publish a page that includes the script, and give its address."""
        self.pages[path] = (
            '<!doctype html><html lang="en"><meta charset="utf-8"><title>A page</title>'
            f'<body><main><h1>A page</h1>{body}<script async src="{self.host}/{script}"'
            ' data-site="blog" data-refresh="1" data-loading="eager"></script></main></body>'
        )
        return self.origin + path

    def publish(self, path: str, name: str = "Bob", **changes: str) -> str:
        """Make an approved comment of somebody else on a page and give its id."""
        made = make_comment(
            self.database, self.site, page_url=self.origin + path, name=name, **changes
        )
        decide(self.database, [made], Status.APPROVED)
        return made

    def on(self, path: str) -> list[str]:
        """Give the bodies of all comments on a page, whatever their status."""
        with self.database.reading() as session:
            found = comments.listing(
                session, self.site.id, page_url=self.origin + path, status=None, before=None, most=9
            )
        return [one.body for one in found]


class Visitor:
    """A browser of a visitor's own, and all that its page's console said."""

    def __init__(self, context: BrowserContext) -> None:
        self.context = context
        self.page = context.new_page()
        self.said: list[str] = []
        self.asked: list[str] = []
        self.page.on("console", self._note)
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.add_init_script(_HOOK)

    @property
    def widget(self) -> Locator:
        return self.page.locator("hamgate-comments").first

    @property
    def form(self) -> Locator:
        return self.widget.get_by_role("form", name="Write a comment")

    def comment(self, name: str) -> Locator:
        return self.widget.get_by_role("article", name=name)

    def write(self, body: str, *, name: str = "Zoe", email: str = "zoe@example.org") -> None:
        self.form.get_by_label("Name").fill(name)
        self.form.get_by_label("E-mail").fill(email)
        self.form.get_by_label("Comment", exact=True).fill(body)

    def post(self, body: str, *, name: str = "Zoe", email: str = "zoe@example.org") -> str:
        """Post a comment and give its id."""
        self.write(body, name=name, email=email)
        self.form.get_by_role("button", name="Post comment").click()
        mine = self.comment(name)
        expect(mine).to_contain_text("Waiting for approval")
        return mine.get_attribute("aria-labelledby") or ""

    def assert_sound(self, *, but: str = "status of 4") -> None:
        """No console error, no CSP report, no script run, nothing that axe-core finds."""
        assert_accessible(self.page)
        # A browser notes each answer of 400 and more by itself, whatever the page does with it.
        assert [line for line in self.said if but not in line] == []
        assert self.page.evaluate("window.fired") == []

    def _note(self, message: object) -> None:
        if getattr(message, "type", "") in ("error", "warning"):
            self.said.append(str(getattr(message, "text", message)))


@contextlib.contextmanager
def serving(pages: dict[str, str], hosts: list[str]) -> Iterator[str]:
    """Serve pages on an origin of their own, under a policy that allows nothing inline."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = pages.get(self.path)
            host = hosts[0] if hosts else "'none'"
            content = (found or "").encode()
            self.send_response(200 if found else 204)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(content)))
            self.send_header(
                "Content-Security-Policy",
                f"default-src 'self'; script-src {host}; connect-src {host}",
            )
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - their name
            """Say nothing: what matters is in the browser."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()
