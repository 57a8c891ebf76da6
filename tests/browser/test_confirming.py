"""An author confirms an address, and the browser in which they did is known from then on."""

import re
from collections.abc import Callable, Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, expect

from service.base.config import Settings
from service.core import sites
from service.operations import schema
from service.pure.policy import Policy, Status
from tests.browser.visiting import Visitor, World, serving
from tests.cast import decide, decisions_by_comment, make_site, open_ledger, wait_until
from tests.conftest import Valkey
from tests.mailserver import MailServer, serving_mail
from tests.system import running

pytestmark = pytest.mark.process

_PUBLIC = "http://comments.example.net"
_PATIENCE_MS = 20_000  # for what a worker has to do first


@pytest.fixture(scope="module")
def mail_server() -> Iterator[MailServer]:
    with serving_mail() as server:
        yield server


@pytest.fixture(scope="module")
def world(
    tmp_path_factory: pytest.TempPathFactory,
    shared_valkey: Valkey,
    chromium: Browser,
    mail_server: MailServer,
) -> Iterator[World]:
    home = tmp_path_factory.mktemp("confirming")
    settings = Settings(home=home, redis_url=shared_valkey.url)
    schema.migrate(settings)
    database = open_ledger(settings)
    pages: dict[str, str] = {}
    hosts: list[str] = []
    with serving(pages, hosts) as origin:
        site = make_site(database, origins=[origin])
        with database.transaction() as session:
            sites.set_policy(session, site.id, Policy(premoderation=True, write_seconds=0))
        environ = {
            "HAMGATE_HOME": str(home),
            "REDIS_URL": shared_valkey.url,
            "HAMGATE_LOG_LEVEL": "warning",
            "HAMGATE_SMTP_URL": f"smtp://localhost:{mail_server.port}?starttls=no",
            "HAMGATE_MAIL_FROM": "Comments <comments@example.net>",
            "HAMGATE_URL": _PUBLIC,
        }
        with running(environ) as system:
            made = World(system, database, site, origin, pages)
            hosts.append(made.host)
            yield made
    database.close()


def link_in_mail(server: MailServer) -> str:
    """Wait for the mail and give the link in it that confirms."""
    wait_until(lambda: server.taken, otherwise="no mail came")
    found = re.search(rf"{_PUBLIC}\S*/confirmation\?\S+", server.taken[-1].get_content())
    assert found is not None
    return found[0]


def test_who_confirms_an_address_is_known_in_that_browser_and_nobody_else_is(
    world: World, new_visitor: Callable[[], Visitor], mail_server: MailServer
) -> None:
    zoe, eve = new_visitor(), new_visitor()
    address = world.page("/confirm")
    zoe.page.goto(address)
    first = zoe.post("A first comment.")
    zoe.comment("Zoe").get_by_role("button", name="Confirm e-mail").click()
    zoe.assert_sound()
    zoe.comment("Zoe").get_by_role("button", name="Send").click()
    expect(zoe.widget.get_by_role("status")).to_contain_text("a message is on its way")
    expect(zoe.comment("Zoe").get_by_role("button", name="Confirm e-mail")).to_have_count(0)
    decide(world.database, [first], Status.APPROVED)
    link = link_in_mail(mail_server).replace(_PUBLIC, world.host)

    zoe.page.goto(link)
    assert Axe().run(zoe.page).violations_count == 0
    zoe.page.get_by_role("button", name="Yes, it is mine").click()
    expect(zoe.page.get_by_role("heading", name="Your address is confirmed.")).to_be_visible()
    assert Axe().run(zoe.page).violations_count == 0
    zoe.page.get_by_role("link", name="Back to the comments").click()

    expect(zoe.comment("Zoe")).to_contain_text("Your comment is published.", timeout=_PATIENCE_MS)
    assert zoe.page.url == address  # what makes the browser known does not stay in the address
    # Not the page's own waiting: that evaluates a string, which the page's policy forbids.
    wait_until(lambda: zoe.page.evaluate("localStorage.getItem('hamgate:author:blog')"))
    zoe.write("A second comment.")
    zoe.form.get_by_role("button", name="Post comment").click()
    second = zoe.comment("Zoe").filter(has_text="A second comment.")
    expect(second).to_contain_text("Your comment is published.", timeout=_PATIENCE_MS)
    expect(second.get_by_role("button", name="Confirm e-mail")).to_have_count(0)
    made = second.get_attribute("aria-labelledby") or ""
    assert decisions_by_comment(world.database)[made][-1].rule == "known_author"
    zoe.assert_sound()

    eve.page.goto(address)
    eve.write("A comment in Zoe's name.", name="Zoë")
    eve.form.get_by_role("button", name="Post comment").click()
    expect(eve.comment("Zoë")).to_contain_text("Waiting for approval")
    eve.assert_sound()
