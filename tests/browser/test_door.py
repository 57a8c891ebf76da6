"""The dashboard's door in a real browser: links, sign-in and sign-out as people do them."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from service.core import moderators
from service.core.changes import OPERATOR
from service.core.moderators import Role
from tests.browser.conftest import PASSWORD, SCHEMES, Dashboard, Scheme, Watched

pytestmark = pytest.mark.process

SIGN_IN = "/dashboard/sign-in"


@pytest.fixture
def stranger(dashboard: Dashboard, chromium: Browser) -> Iterator[Watched]:
    """A browser in which nobody has signed in."""
    context = chromium.new_context(viewport={"width": 1100, "height": 800})
    context.set_default_timeout(30_000)
    yield Watched(context.new_page(), dashboard.origin)
    context.close()


def invited(dashboard: Dashboard, email: str) -> str:
    with dashboard.database.transaction() as session:
        token = moderators.invite(session, dashboard.site.id, email, Role.MODERATOR, actor=OPERATOR)
    return f"/dashboard/link?token={token}"


def test_an_invited_person_comes_in_goes_out_and_comes_in_again(
    dashboard: Dashboard, stranger: Watched
) -> None:
    page = stranger.go(invited(dashboard, "new@example.org"))
    page.get_by_label("Your name").fill("Newcomer")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Start").click()
    expect(page.get_by_role("heading", name="Your sites")).to_be_visible()

    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()

    page = stranger.go("/dashboard/account")
    assert SIGN_IN in page.url
    page.get_by_label("E-mail address").fill("new@example.org")
    page.get_by_label("Password").fill(PASSWORD)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Your account")).to_be_visible()
    stranger.assert_sound()


def test_an_owner_makes_a_link_to_copy(dashboard: Dashboard, somebody: Watched) -> None:
    page = somebody.go("/dashboard/sites/blog/people")
    page.get_by_label("E-mail address").fill("copied@example.org")
    page.get_by_role("button", name="Make a link").click()

    expect(page.get_by_role("textbox", name="Link")).to_have_value(
        re.compile(r"/dashboard/link\?token=\S+$")
    )
    somebody.assert_sound()


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("name", ["sign-in", "wrong", "link", "too-short", "not-found"])
def test_every_page_of_the_door_is_sound_at_every_width(
    dashboard: Dashboard, stranger: Watched, pictures: Path, name: str, scheme: Scheme
) -> None:
    stranger.page.emulate_media(color_scheme=scheme)
    if name in ("link", "too-short"):
        page = stranger.go(invited(dashboard, f"{name}-{scheme}@example.org"))
        if name == "too-short":
            page.get_by_label("Your name").fill("Ada")
            page.get_by_label("Password").fill("short")
            page.get_by_role("button", name="Start").click()
            expect(page.get_by_text("Use 12 to 256 characters.")).to_be_visible()
    elif name == "not-found":
        page = stranger.go("/dashboard/link?token=none")
    else:
        page = stranger.go(SIGN_IN)
        if name == "wrong":
            page.get_by_label("E-mail address").fill(f"{scheme}@example.org")
            page.get_by_label("Password").fill("not the password")
            page.get_by_role("button", name="Sign in").click()
            expect(page.get_by_role("alert")).to_be_visible()
    # A browser notes each answer of 400 and more by itself, whatever the page does with it.
    stranger.said[:] = [line for line in stranger.said if "status of 4" not in line]
    stranger.assert_sound()
    page.screenshot(path=pictures / f"door-{name}-{scheme}.png", full_page=True)

    page.set_viewport_size({"width": 320, "height": 640})

    assert page.evaluate("document.documentElement.scrollWidth") <= 320
    stranger.assert_sound()
