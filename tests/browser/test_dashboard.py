"""The dashboard in a real browser: a queue cleared by keys, undo, conflicts, campaigns, pages."""

import re
from datetime import timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Page, Response, expect
from sqlalchemy import update

from service.base.jobs import Job
from service.core import comments, queue, sites
from service.ledger.db import new_id, utc_now
from service.ledger.models import Decision
from service.pure.policy import Policy, Status
from tests.browser.conftest import Dashboard, Watched
from tests.cast import SPAM, decide, make_comments, odd_talk, status_of, wait_until

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
    wait_until(lambda: all(is_classified(dashboard, one) for one in ids))
    return ids


def is_classified(dashboard: Dashboard, comment_id: str) -> bool:
    with dashboard.database.reading() as session:
        return comments.get(session, comment_id).decision_id is not None


def statuses(dashboard: Dashboard, ids: list[str]) -> set[Status]:
    return {status_of(dashboard.database, one) for one in ids}


def said(page: Page) -> str:
    expect(page.locator("#said")).to_be_visible()
    return page.locator("#said span").inner_text()


def without_javascript(watched: Watched) -> Page:
    """Give a page of the same person in a browser that runs no scripts."""
    browser = watched.page.context.browser
    assert browser is not None
    context = browser.new_context(java_script_enabled=False)
    context.add_cookies(watched.page.context.cookies())  # type: ignore[arg-type]  # as they were given
    return context.new_page()


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

    expect(mine.locator("#said span")).to_have_text(
        "0 marked as spam; 1 left alone: colleague@example.org made it approved meanwhile"
    )
    expect(mine.locator("article.changed .meanwhile")).to_be_visible()
    expect(mine.locator("article.changed").get_by_role("button", name="Spam")).to_have_count(0)
    somebody.assert_sound()
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
    page = without_javascript(somebody)
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
    page.context.close()


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
    page.get_by_label("Good comments that may wait for a person, in per cent").fill("5")
    expect(page.locator("[data-slides=hold_at_most]")).to_have_value("5")
    page.evaluate("window.neverLeft = true")
    page.get_by_role("button", name="See what it does").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("What it would do")
    somebody.assert_sound()  # while a worker is at it, too

    expect(page.get_by_role("heading", level=2)).to_have_text(
        re.compile(r"\d+ of \d+ comments of the last 7 days would fare otherwise"), timeout=30_000
    )
    expect(page.locator("main")).to_contain_text("pending → approved")
    assert page.evaluate("window.neverLeft")
    expect(page.locator("main li").first).to_contain_text("Ada: ")  # an example of them
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


def decided_before(dashboard: Dashboard, bodies: list[str], status: Status) -> list[str]:
    """Have somebody who is not here decide on comments, two hours ago."""
    ids = waiting(dashboard, bodies)
    decide(dashboard.database, ids, status, "moderator:mod_away")
    with dashboard.database.transaction() as session:
        session.execute(
            update(Decision)
            .where(Decision.comment_id.in_(ids), Decision.actor != "policy")
            .values(decided_at=utc_now() - timedelta(hours=2))
        )
    return ids


def looks_at_all(dashboard: Dashboard) -> None:
    with dashboard.database.transaction() as session:
        policy = Policy(premoderation=True, storm_mode=False, second_looks=1.0)
        sites.set_policy(session, dashboard.site.id, policy)


def test_second_looks_are_taken_by_keyboard_without_a_reload(
    dashboard: Dashboard, somebody: Watched, pictures: Path
) -> None:
    looks_at_all(dashboard)
    ids = decided_before(dashboard, odd_talk(3, spam=False, seed=11), Status.APPROVED)
    page = somebody.go(QUEUE)
    page.get_by_role("link", name="Second looks: 3").click()
    page.evaluate("window.neverLeft = true")
    expect(page.locator(".bar")).to_contain_text("3 to look at")
    first = page.locator("article").get_attribute("id")
    somebody.assert_sound()

    page.keyboard.press("s")
    expect(page.locator(".bar")).to_contain_text("2 to look at")
    somebody.assert_sound()
    page.keyboard.press("u")
    expect(page.locator(".bar")).to_contain_text("3 to look at")
    expect(page.locator("article")).to_have_attribute("id", str(first))
    page.keyboard.press("w")
    expect(page.locator("details[open] .clues")).to_be_visible()
    for left in (2, 1, 0):
        page.keyboard.press("a")
        expect(page.locator(".bar")).to_contain_text(f"{left} to look at")

    assert page.evaluate("window.neverLeft")
    assert statuses(dashboard, ids) == {Status.APPROVED}
    page.get_by_role("link", name="How far moderators agree").click()
    expect(page.locator("main")).to_contain_text("Of 3 comments that a second moderator looked at")
    somebody.assert_sound()


def test_second_looks_work_without_javascript(dashboard: Dashboard, somebody: Watched) -> None:
    looks_at_all(dashboard)
    ids = decided_before(dashboard, odd_talk(2, spam=False, seed=12), Status.SPAM)
    page = without_javascript(somebody)
    page.goto(f"{dashboard.origin}/dashboard/sites/blog/second-looks")
    first = page.locator("article").get_attribute("id")

    page.get_by_role("link", name="Skip", exact=True).click()
    assert page.locator("article").get_attribute("id") != first
    page.get_by_role("button", name="Reject").click()

    expect(page.locator(".said")).to_contain_text("Nothing has changed for the comment.")
    expect(page.locator("main")).to_contain_text("You have skipped the rest.")
    page.get_by_role("button", name="Take it back").click()
    expect(page.locator(".bar")).to_contain_text("2 to look at")
    assert statuses(dashboard, ids) == {Status.SPAM}
    page.context.close()


def test_a_comment_is_decided_on_its_own_page_by_a_key(
    dashboard: Dashboard, somebody: Watched
) -> None:
    (comment,) = waiting(dashboard, odd_talk(1, spam=False, seed=13))
    page = somebody.go(f"/dashboard/sites/blog/comments/{comment}")
    page.evaluate("window.neverLeft = true")

    page.keyboard.press("a")
    expect(page.locator("#said span")).to_have_text("1 approved")
    somebody.assert_sound()
    page.keyboard.press("u")
    expect(page.locator("#said span")).to_have_text("1 put back")

    assert page.evaluate("window.neverLeft")
    assert status_of(dashboard.database, comment) is Status.PENDING


def test_a_bulk_decision_is_undone_from_the_history(
    dashboard: Dashboard, somebody: Watched
) -> None:
    ids = waiting(dashboard, odd_talk(3, spam=False, seed=15))
    decide(dashboard.database, ids, Status.SPAM, "moderator:mod_away", act_id=new_id("act"))
    page = somebody.go("/dashboard/sites/blog/history")
    page.evaluate("window.neverLeft = true")

    page.get_by_role("button", name="Undo").first.click()

    expect(page.locator("#said span")).to_have_text("3 put back")
    expect(page.get_by_role("heading", level=1)).to_have_text("History")
    assert page.evaluate("window.neverLeft")
    assert statuses(dashboard, ids) == {Status.PENDING}
    somebody.assert_sound()


def test_a_page_weighs_little(dashboard: Dashboard, somebody: Watched) -> None:
    waiting(dashboard, odd_talk(26, spam=False, seed=14))
    answers: list[Response] = []

    def note(answer: Response) -> None:
        answers.append(answer)

    somebody.page.on("response", note)

    page = somebody.go(QUEUE)
    page.wait_for_load_state("networkidle")

    assert {answer.url.rpartition("/")[2].partition("?")[0] for answer in answers} >= {
        "queue",
        "queue.js",
        "dashboard.css",
    }
    assert page.locator("article").count() == 25
    # What came over the wire, as the server itself compresses it.
    assert sum(answer.request.sizes()["responseBodySize"] for answer in answers) <= 100_000
