"""Webhooks in a real browser, told by the real courier to a receiver of ours."""

import re

import pytest
from playwright.sync_api import expect
from standardwebhooks import Webhook

from tests.browser.conftest import Dashboard, Watched
from tests.receivers import answering, receiving

pytestmark = pytest.mark.process

PAGE = "/dashboard/sites/blog/webhooks"


def test_an_endpoint_is_made_tried_replayed_and_disabled(
    dashboard: Dashboard, somebody: Watched
) -> None:
    with receiving(answering("200 OK", body=b"<b>taken</b>")) as receiver:
        page = somebody.go(PAGE)
        page.get_by_label("Address", exact=True).fill(receiver.url())
        page.get_by_label("Name, for people").fill("The shop")
        page.get_by_label("storm.ended").check()
        page.get_by_role("button", name="Make the endpoint").click()
        secret = page.get_by_label("Secret", exact=True).input_value()
        assert secret.startswith("whsec_")
        somebody.assert_sound()

        page.get_by_role("button", name="Send a test").click()
        state = page.get_by_role("cell", name="delivered")
        for _ in range(20):  # it is sent within a second; nothing tells the page
            if state.count():
                break
            page.wait_for_timeout(500)
            page.reload()
        expect(state).to_be_visible()
        expect(page.locator("main")).to_contain_text("works")
        assert secret not in page.content()
        (first,) = receiver.requests
        assert Webhook(secret).verify(first.body, first.headers)["type"] == "endpoint.tested"

        page.get_by_role("region", name="Sent last").get_by_role("link").click()
        expect(page.get_by_role("region", name="Attempts")).to_contain_text("<b>taken</b>")
        expect(page.locator("main > pre")).to_have_text(first.body.decode())
        somebody.assert_sound()
        page.get_by_role("button", name="Send it again").click()
        expect(page.get_by_text("1 on the way again.")).to_be_visible()
        for _ in range(20):
            if len(receiver.requests) == 2:
                break
            page.wait_for_timeout(500)
        second = receiver.requests[1]
        assert second.body == first.body
        assert second.headers["webhook-id"] == first.headers["webhook-id"]

    page.get_by_role("link", name=re.compile("127.0.0.1")).click()
    page.get_by_role("button", name="Disable").click()
    expect(page.locator("main header")).to_contain_text("disabled since")
    page.get_by_text("Delete this endpoint…").click()
    page.get_by_role("button", name="Yes, delete it and its log").click()
    expect(page.get_by_text("Nobody is told yet.")).to_be_visible()
    somebody.assert_sound()
