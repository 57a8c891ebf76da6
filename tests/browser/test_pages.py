"""Every page of the dashboard, of a site that is in use: sound at every width, light and dark.

Its picture is kept in build/screenshots; `make pictures` puts those of the README in its place.
"""

from pathlib import Path

import pytest

from service.core import queue, search
from service.core.search import Filters
from service.core.sites import SiteView
from service.core.webhooks import endpoints, log
from tests.browser.conftest import SCHEMES, Dashboard, Watched

pytestmark = pytest.mark.process

PAGES = {
    "overview": "/dashboard/sites/allotment/",
    "queue": "/dashboard/sites/allotment/queue",
    "objections": "/dashboard/sites/allotment/queue/objections",
    "campaign": "/dashboard/sites/allotment/queue/campaigns/{campaign}",
    "comments": "/dashboard/sites/allotment/comments?author=a&score_from=0",
    "comment": "/dashboard/sites/allotment/comments/{comment}",
    "history": "/dashboard/sites/allotment/history",
    "policy": "/dashboard/sites/allotment/policy",
    "model": "/dashboard/sites/allotment/model",
    "version": "/dashboard/sites/allotment/model/versions/1",
    "second-looks": "/dashboard/sites/allotment/second-looks",
    "webhooks": "/dashboard/sites/allotment/webhooks",
    "webhook": "/dashboard/sites/allotment/webhooks/{endpoint}",
    "deliveries": "/dashboard/sites/allotment/deliveries",
    "delivery": "/dashboard/sites/allotment/deliveries/{delivery}",
    "people": "/dashboard/sites/allotment/people",
    "account": "/dashboard/account",
    "sites": "/dashboard/",
}


def path_of(name: str, dashboard: Dashboard, site: SiteView) -> str:
    with dashboard.database.reading() as session:
        waiting = queue.page(session, site.id)
        oldest = search.find(session, site.id, Filters(author="Ada")).hits[-1]
        (endpoint, *_) = endpoints.listing(session, site.id)
        (delivery, *_) = log.listing(session, site.id, most=1)
    (campaign,) = {row.campaign_id for row in waiting if row.alike > 1}
    return PAGES[name].format(
        campaign=campaign, comment=oldest.id, endpoint=endpoint.id, delivery=delivery.id
    )


@pytest.mark.parametrize("name", PAGES)
def test_every_page_is_sound_at_every_width(
    dashboard: Dashboard, allotment: SiteView, nora: Watched, pictures: Path, name: str
) -> None:
    page = nora.go(path_of(name, dashboard, allotment))
    for width, height, suffix in ((1100, 800, ""), (320, 640, "-narrow")):
        page.set_viewport_size({"width": width, "height": height})
        for scheme in SCHEMES:
            # Without motion, or a colour would be looked at on its way to the other.
            page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            nora.assert_sound()
            page.screenshot(path=pictures / f"{name}-{scheme}{suffix}.png")


def test_a_refusal_is_a_page_too(nora: Watched) -> None:
    page = nora.go("/dashboard/sites/nowhere/queue")
    # Chromium itself notes the status on the console; nothing else may be there.
    assert [one for one in nora.said if "404" not in one] == []
    nora.said.clear()

    assert page.get_by_role("heading", level=1).inner_text()
    nora.assert_sound()
