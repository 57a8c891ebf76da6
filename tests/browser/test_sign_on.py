"""Signing in by an OpenID provider in a real browser: pressed, not sent; scripts or none."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from service.base.config import Settings
from service.core import moderators
from service.core.moderators import Role
from service.core.sites import SiteView
from service.ledger.db import Database
from service.operations import schema
from tests.browser.conftest import SCHEMES, Scheme, Watched
from tests.browsing import PASSWORD, make_moderator
from tests.cast import make_site, open_ledger
from tests.conftest import Valkey
from tests.provider import TestProvider, running_provider
from tests.system import System, free_port

pytestmark = pytest.mark.process


@dataclass
class Parish:
    """A running Hamgate that signs in by a running provider."""

    origin: str
    provider: TestProvider
    database: Database
    site: SiteView


@pytest.fixture(scope="module")
def parish(
    tmp_path_factory: pytest.TempPathFactory, shared_valkey: Valkey, chromium: Browser
) -> Iterator[Parish]:
    home, port = tmp_path_factory.mktemp("parish"), free_port()
    settings = Settings(home=home, redis_url=shared_valkey.url)
    schema.migrate(settings)
    database = open_ledger(settings)
    with running_provider() as provider:
        environ = {
            "HAMGATE_HOME": str(home),
            "HAMGATE_URL": f"http://127.0.0.1:{port}",
            "REDIS_URL": shared_valkey.url,
            "HAMGATE_LOG_LEVEL": "warning",
            **provider.environ(),
        }
        system = System(environ, port=port)
        try:
            system.start("web")
            yield Parish(environ["HAMGATE_URL"], provider, database, make_site(database))
        finally:
            system.stop()
    database.close()


@pytest.fixture(params=[True, False], ids=["with scripts", "without scripts"])
def stranger(
    parish: Parish, chromium: Browser, request: pytest.FixtureRequest
) -> Iterator[Watched]:
    """A browser in which nobody has signed in."""
    context = chromium.new_context(java_script_enabled=request.param)
    context.set_default_timeout(30_000)
    yield Watched(context.new_page(), parish.origin)
    context.close()


def test_a_newcomer_presses_the_button_and_is_where_they_wanted_to_be(
    parish: Parish, stranger: Watched, request: pytest.FixtureRequest
) -> None:
    email = f"{request.node.callspec.id.replace(' ', '-')}@example.org"
    with parish.database.transaction() as session:
        moderators.create(session, email, site_id=parish.site.id, role=Role.MODERATOR)
    parish.provider.person = {"sub": email, "email": email, "email_verified": True}

    page = stranger.go("/dashboard/account")
    page.get_by_role("button", name="Sign in with Parish ID").click()

    expect(page.get_by_role("heading", name="Your account")).to_be_visible()
    expect(page.get_by_text("It opens your account since")).to_be_visible()
    assert stranger.said == []


def test_who_has_a_password_links_their_account(
    parish: Parish, stranger: Watched, request: pytest.FixtureRequest
) -> None:
    email = f"linked-{request.node.callspec.id.replace(' ', '-')}@example.org"
    make_moderator(parish.database, parish.site, email=email)
    parish.provider.person = {"sub": email}

    page = stranger.go("/dashboard/account")
    page.get_by_label("E-mail address").fill(email)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in", exact=True).click()
    page.get_by_label("Your password, once more").fill(PASSWORD)
    page.get_by_role("button", name="Link", exact=True).click()

    expect(page.get_by_text("From now on it opens your account.")).to_be_visible()
    assert stranger.said == []


@pytest.mark.parametrize("stranger", [True], indirect=True, ids=["with scripts"])
@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("name", ["door", "nobody", "account", "linked"])
def test_every_page_with_the_provider_is_sound_at_every_width(
    parish: Parish, stranger: Watched, pictures: Path, name: str, scheme: Scheme
) -> None:
    stranger.page.emulate_media(color_scheme=scheme)
    email = f"{name}-{scheme}@example.org"
    parish.provider.person = {"sub": email, "email": email, "email_verified": True}
    page = stranger.go("/dashboard/sign-in")
    if name == "account":
        make_moderator(parish.database, parish.site, email=email)
        page.get_by_label("E-mail address").fill(email)
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Sign in", exact=True).click()
        expect(page.get_by_role("heading", name="Your sites")).to_be_visible()
        page = stranger.go("/dashboard/account")
        expect(page.get_by_role("button", name="Link", exact=True)).to_be_visible()
    elif name != "door":
        if name == "linked":
            with parish.database.transaction() as session:
                moderators.create(session, email, site_id=parish.site.id, role=Role.MODERATOR)
        page.get_by_role("button", name="Sign in with Parish ID").click()
        if name == "linked":
            expect(page.get_by_role("heading", name="Your sites")).to_be_visible()
            page = stranger.go("/dashboard/account")
        else:
            expect(page.get_by_role("alert")).to_contain_text("Nobody here is linked to you.")
    # A browser notes each answer of 400 and more by itself, whatever the page does with it.
    stranger.said[:] = [line for line in stranger.said if "status of 4" not in line]
    stranger.assert_sound()
    page.screenshot(path=pictures / f"sign-on-{name}-{scheme}.png", full_page=True)

    page.set_viewport_size({"width": 320, "height": 640})

    assert page.evaluate("document.documentElement.scrollWidth") <= 320
    stranger.assert_sound()
