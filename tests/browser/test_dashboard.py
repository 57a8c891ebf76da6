"""The dashboard in a real browser: a queue cleared by keys, undo, conflicts, campaigns, pages."""

import re
import time
from pathlib import Path

import pytest
from playwright.sync_api import Page, Response, expect

from service import comments, queue
from service.jobs import Job
from service.policy import Status
from tests.browser.conftest import Dashboard, Watched
from tests.cast import SPAM, decide, make_comments, odd_talk, status_of

pytestmark = pytest.mark.process

QUEUE = "/dashboard/sites/blog/queue"
PRAISE = "what a wonderful article about gardens, I will come back and read more of your posts"


@pytest.fixture(autouse=True)
def _empty_queue(dashboard: Dashboard) -> None:
    """Decide what an earlier test has left waiting."""
    with dashboard.database.reading() as session:
        left = [row.id for row in queue.page(session, dashboard.site.id, most=50)]
        for row in queue.page(session, dashboard.site.id, most=50):
            if row.campaign_id:
                members = queue.members(session, dashboard.site.id, row.campaign_id)
                left += [one.id for one in members]
    decide(dashboard.database, dict.fromkeys(left), Status.REJECTED)


def waiting(dashboard: Dashboard, bodies: list[str]) -> list[str]:
    """Have comments wait in the queue, and give their ids."""
    ids = make_comments(dashboard.database, dashboard.site, bodies)
    dashboard.database.doorbell.ring(Job.CLASSIFY)
    deadline = time.monotonic() + 15
    while not all(is_classified(dashboard, one) for one in ids):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return ids


def is_classified(dashboard: Dashboard, comment_id: str) -> bool:
    with dashboard.database.reading() as session:
        return comments.get(session, comment_id).decision_id is not None


def statuses(dashboard: Dashboard, ids: list[str]) -> set[Status]:
    return {status_of(dashboard.database, one) for one in ids}


def said(page: Page) -> str:
    expect(page.locator("#said")).to_be_visible()
    return page.locator("#said span").inner_text()


def test_fifty_comments_are_cleared_by_keyboard_alone(
    dashboard: Dashboard, somebody: Watched
) -> None:
    ids = waiting(dashboard, odd_talk(50, spam=False, seed=1))
    page = somebody.go(QUEUE)
    page.evaluate("window.neverLeft = true")
    expect(page.locator("article")).to_have_count(25)

    for number in range(50):
        card = page.locator("article[aria-current]")
        comment = card.get_attribute("id")
        page.keyboard.press("as"[number % 2])
        expect(page.locator(f"#{comment}")).to_have_count(0)
        expect(page.locator("#waiting")).to_have_text(f"{49 - number} waiting")

    expect(page.locator("#empty")).to_be_visible()
    assert page.evaluate("window.neverLeft")  # the second page came without a reload
    assert statuses(dashboard, ids) == {Status.APPROVED, Status.SPAM}
    page.keyboard.press("u")  # and the last decision can still be taken back
    expect(page.locator("article")).to_have_count(1)
    somebody.assert_sound()


def test_a_bulk_decision_is_undone_with_one_key(dashboard: Dashboard, somebody: Watched) -> None:
    ids = waiting(dashboard, odd_talk(4, spam=False, seed=2))
    page = somebody.go(QUEUE)
    for key in ("x", "j", "x", "j", "x", "s"):
        page.keyboard.press(key)
    expect(page.locator("#said span")).to_have_text("3 marked as spam")
    assert sorted(status_of(dashboard.database, one) for one in ids).count(Status.SPAM) == 3

    page.keyboard.press("u")

    expect(page.locator("#said span")).to_have_text("3 put back")
    expect(page.locator("article")).to_have_count(4)
    assert statuses(dashboard, ids) == {Status.PENDING}
    page.keyboard.press("a")  # what was put back can be decided again
    expect(page.locator("#said span")).to_have_text("1 approved")
    somebody.assert_sound()


def test_what_a_colleague_decided_meanwhile_is_not_overwritten(
    dashboard: Dashboard, somebody: Watched, colleague: Watched
) -> None:
    (comment,) = waiting(dashboard, odd_talk(1, spam=False, seed=3))
    mine, theirs = somebody.go(QUEUE), colleague.go(QUEUE)
    theirs.keyboard.press("a")
    expect(theirs.locator("#said span")).to_have_text("1 approved")

    mine.keyboard.press("s")

    expect(mine.locator("#said span")).to_contain_text("1 left alone: the comment is at version 3")
    expect(mine.locator("article.changed")).to_have_count(1)
    assert status_of(dashboard.database, comment) is Status.APPROVED


def test_a_colleague_who_looks_is_named(
    dashboard: Dashboard, somebody: Watched, colleague: Watched
) -> None:
    waiting(dashboard, odd_talk(2, spam=False, seed=8))
    theirs = colleague.go(QUEUE)
    theirs.keyboard.press("j")
    second = theirs.locator("article[aria-current]").get_attribute("id")

    mine = somebody.go(QUEUE)

    mark = mine.locator(f"#{second} .looking")
    expect(mark).to_have_text("colleague@example.org looking", timeout=15_000)
    somebody.assert_sound()


def test_a_campaign_is_decided_as_one(dashboard: Dashboard, somebody: Watched) -> None:
    ids = waiting(dashboard, [f"{PRAISE} {number}" for number in range(5)])
    page = somebody.go(QUEUE)
    expect(page.locator("article")).to_have_count(1)
    expect(page.locator(".campaign")).to_have_text("5 comments say nearly the same")

    page.keyboard.press("c")
    page.keyboard.press("s")

    expect(page.locator("#said span")).to_have_text("5 marked as spam")
    assert statuses(dashboard, ids) == {Status.SPAM}
    page.keyboard.press("u")
    expect(page.locator("#said span")).to_have_text("5 put back")
    assert statuses(dashboard, ids) == {Status.PENDING}
    page.get_by_role("link", name="5 comments say nearly the same").click()
    expect(page.locator("article")).to_have_count(5)
    somebody.assert_sound()


def test_no_key_works_while_typing_and_the_list_of_keys_opens(
    dashboard: Dashboard, somebody: Watched
) -> None:
    waiting(dashboard, odd_talk(1, spam=False, seed=4))
    page = somebody.go(QUEUE)

    page.keyboard.press("?")
    expect(page.locator("#keys")).to_be_visible()
    page.keyboard.press("s")
    expect(page.locator("article")).to_have_count(1)
    somebody.assert_sound()
    page.keyboard.press("Escape")
    page.keyboard.press("w")
    expect(page.locator("details[open] .clues")).to_be_visible()


def test_everything_works_without_javascript(dashboard: Dashboard, somebody: Watched) -> None:
    ids = waiting(dashboard, odd_talk(2, spam=False, seed=5))
    browser = somebody.page.context.browser
    assert browser is not None
    context = browser.new_context(java_script_enabled=False)
    context.add_cookies(somebody.page.context.cookies())  # type: ignore[arg-type]
    page = context.new_page()
    page.goto(f"{dashboard.origin}{QUEUE}")

    page.locator("article form.one .spam").first.click()

    assert said(page) == "1 spam"
    assert statuses(dashboard, ids) == {Status.SPAM, Status.PENDING}
    page.get_by_role("button", name="Undo").click()
    assert said(page) == "1 put back"
    assert statuses(dashboard, ids) == {Status.PENDING}
    for box in page.locator("article input[type=checkbox]").all():
        box.check()
    page.locator("#bulk .approve").click()
    assert said(page) == "2 approved"
    context.close()


def test_a_strangers_markup_is_text_and_its_links_lead_nowhere(
    dashboard: Dashboard, somebody: Watched
) -> None:
    waiting(dashboard, ["<script>alert(1)</script> see https://p\u0430ypal.example/x <b>now</b>"])
    page = somebody.go(QUEUE)

    body = page.locator("article .body")

    expect(body).to_contain_text("<script>alert(1)</script>")
    assert body.locator("a, script").count() == 0
    expect(body.locator("mark.alike")).to_have_attribute("title", "Cyrillic small letter a")
    somebody.assert_sound()


def test_a_policy_is_tried_and_saved(
    dashboard: Dashboard, somebody: Watched, pictures: Path
) -> None:
    waiting(dashboard, [*odd_talk(2, spam=False, seed=6), SPAM])
    page = somebody.go("/dashboard/sites/blog/policy")
    somebody.assert_sound()
    page.get_by_label("Every comment waits for a person", exact=True).uncheck()
    page.get_by_label("Good comments that may wait").fill("5")
    page.get_by_role("button", name="See what it does").click()

    expect(page.get_by_role("heading", level=2)).to_have_text(
        re.compile(r"\d+ of \d+ comments of the last 7 days would fare otherwise"), timeout=30_000
    )
    expect(page.locator("main")).to_contain_text("pending → approved")
    somebody.assert_sound()
    page.screenshot(path=pictures / "preview.png", full_page=True)
    page.get_by_role("link", name="Back without saving").click()
    expect(page.get_by_label("Every comment waits for a person", exact=True)).to_be_checked()


def test_a_bad_policy_says_what_is_wrong_beside_the_field(somebody: Watched) -> None:
    page = somebody.go("/dashboard/sites/blog/policy")
    page.get_by_label("Networks (CIDR)").fill("10.0.0.0/8\nnonsense")
    page.get_by_role("button", name="See what it does").click()

    expect(page.locator("#fault-banned_networks")).to_contain_text("line 2:")
    expect(page.get_by_label("Networks (CIDR)")).to_have_value("10.0.0.0/8\nnonsense")


def test_a_storm_is_told_on_every_page_and_ended_there(
    dashboard: Dashboard, somebody: Watched
) -> None:
    page = somebody.go("/dashboard/sites/blog/")
    page.get_by_role("button", name="Have every comment wait").click()
    expect(page.locator(".storm")).to_contain_text("declared by a person")
    (comment,) = waiting(dashboard, odd_talk(1, spam=False, seed=9))

    page.locator(".storm").get_by_role("link", name="What it holds").click()

    expect(page.locator("article")).to_have_attribute("id", comment)
    somebody.assert_sound()
    page.get_by_role("button", name="End it").click()
    expect(page.locator(".storm")).to_have_count(0)


def test_a_page_weighs_little(somebody: Watched) -> None:
    answers: list[Response] = []

    def note(answer: Response) -> None:
        answers.append(answer)

    somebody.page.on("response", note)

    page = somebody.go(QUEUE)
    page.wait_for_load_state("networkidle")

    assert {answer.url.rpartition("/")[2].partition("?")[0] for answer in answers} >= {
        "queue",
        "queue.js",
        "review.css",
        "dashboard.css",
    }
    assert sum(len(answer.body()) for answer in answers) <= 100_000
