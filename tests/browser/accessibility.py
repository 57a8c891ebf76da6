"""What axe-core finds fault with on a page, by the rules of WCAG 2.2 up to level AA."""

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

_OPTIONS = {
    "runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]},
    # To write down every element that is sound as well takes longer than to look at them all.
    "resultTypes": ["violations"],
}


def assert_accessible(page: Page) -> None:
    found = Axe().run(page, options=_OPTIONS)
    assert found.violations_count == 0, found.generate_report()
