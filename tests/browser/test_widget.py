"""The widget on pages of another origin, as strict as pages get: what visitors see and do.

Every page here is served by a small server of its own, with a Content-Security-Policy that allows
nothing inline. Each test ends with no word in the console and nothing that axe-core finds.
"""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urljoin

import pytest
from playwright.sync_api import Browser, Route, expect
from sqlalchemy import update

from service.base.config import Settings
from service.core import comments, moderators, objections, sites
from service.core.comments import Accepted
from service.core.moderators import Role
from service.core.search import PAGE as SEARCH_PAGE
from service.ledger.models import COMMENTS, THREADS
from service.operations import schema
from service.pure.policy import Policy, ProofOfWork, Status
from tests.browser.hostile import CORPUS
from tests.browser.visiting import Visitor, World, serving
from tests.cast import HAM, decide, make_site, make_submission, open_ledger
from tests.conftest import Valkey
from tests.system import running

pytestmark = pytest.mark.process

PAGE = 100  # comments that the server gives at once
POSTS_PER_EMAIL = 12
_OTHERS = {
    "hard": Policy(proof_of_work=ProofOfWork.ALWAYS, write_seconds=0, storm_mode=False),
    "slow": Policy(write_seconds=60, storm_mode=False),
}
_MESSAGES = Path(__file__).parent.parent.parent / "service" / "embed" / "messages"


@pytest.fixture(scope="module")
def world(
    tmp_path_factory: pytest.TempPathFactory, shared_valkey: Valkey, chromium: Browser
) -> Iterator[World]:
    home = tmp_path_factory.mktemp("widget")
    settings = Settings(home=home, redis_url=shared_valkey.url)
    schema.migrate(settings)
    database = open_ledger(settings)
    pages: dict[str, str] = {}
    hosts: list[str] = []
    with serving(pages, hosts) as origin:
        site = make_site(database, origins=[origin])
        with database.transaction() as session:
            # Nobody here writes as slowly as people do.
            sites.set_policy(session, site.id, Policy(premoderation=True, write_seconds=0))
            for slug, policy in _OTHERS.items():
                other = sites.create(session, slug, origins=[origin])
                sites.set_policy(session, other.id, policy)
        environ = {
            "HAMGATE_HOME": str(home),
            "REDIS_URL": shared_valkey.url,
            "HAMGATE_LOG_LEVEL": "warning",
            "HAMGATE_LIMIT_EMAIL": f"{POSTS_PER_EMAIL}/minute",
            **{
                f"HAMGATE_LIMIT_{name}": "100000/second"
                for name in ("ADDRESS", "THREAD", "SITE", "OTHER")
            },
        }
        with running(environ) as system:
            made = World(system, database, site, origin, pages)
            hosts.append(made.host)
            yield made
    database.close()


@pytest.fixture
def visitor(new_visitor: Callable[[], Visitor]) -> Visitor:
    return new_visitor()


def test_a_comment_waits_where_its_author_sees_it_and_appears_to_all_once_approved(
    world: World, visitor: Visitor, new_visitor: Callable[[], Visitor]
) -> None:
    reader = new_visitor()
    for one in (visitor, reader):
        one.page.goto(world.page("/approved"))
    expect(reader.widget.get_by_role("heading", name="Comments")).to_be_visible()

    made = visitor.post("A *fine* page.")
    visitor.assert_sound()
    expect(reader.comment("Zoe")).to_have_count(0)
    decide(world.database, [made], Status.APPROVED)

    expect(reader.comment("Zoe").locator("em")).to_have_text("fine")
    expect(reader.widget.get_by_role("status")).to_have_text("1 new comment")
    expect(visitor.comment("Zoe")).to_contain_text("Your comment is published.")
    for one in (visitor, reader):
        one.assert_sound()
    assert visitor.context.cookies() == []
    assert {re.sub(r"(://[^/]+).*", r"\1", url) for url in visitor.asked} == {
        world.origin,
        world.host,
    }


def test_a_reply_is_written_by_keyboard_and_stands_under_what_it_answers(
    world: World, visitor: Visitor
) -> None:
    parent = world.publish("/reply")
    visitor.page.goto(world.page("/reply"))

    visitor.comment("Bob").get_by_role("button", name="Reply").focus()
    keyboard = visitor.page.keyboard
    keyboard.press("Enter")
    for text in ("Zoe", "zoe@example.org", "", "I think so too."):
        keyboard.type(text)
        keyboard.press("Tab")
    keyboard.press("Enter")

    mine = visitor.comment("Zoe")
    expect(mine).to_contain_text("Waiting for approval")
    expect(mine).to_be_focused()
    under = visitor.widget.locator("li", has=visitor.page.get_by_role("article", name="Bob"))
    expect(under.get_by_role("article", name="Zoe")).to_be_visible()
    made = mine.get_attribute("aria-labelledby") or ""
    with world.database.reading() as session:
        assert comments.get(session, made).parent_id == parent
    visitor.assert_sound()


def test_an_author_edits_and_then_withdraws(world: World, visitor: Visitor) -> None:
    visitor.page.goto(world.page("/edit"))
    made = visitor.post("With a tpyo.")
    mine = visitor.comment("Zoe")

    mine.get_by_role("button", name="Edit").click()
    expect(mine.get_by_role("textbox")).to_have_value("With a tpyo.")
    mine.get_by_role("textbox").fill("Without a typo.")
    mine.get_by_role("button", name="Save").click()
    expect(mine).to_contain_text("Without a typo.")
    visitor.assert_sound()

    visitor.page.reload()
    expect(mine).to_contain_text("Without a typo.")
    mine.get_by_role("button", name="Withdraw").click()
    mine.get_by_role("form").get_by_role("button", name="Withdraw").click()

    expect(mine).to_have_count(0)
    expect(visitor.widget.get_by_role("status")).to_have_text("Withdrawn.")
    with world.database.reading() as session:
        assert comments.get(session, made).status is Status.DELETED
    visitor.assert_sound()


def test_an_author_is_told_why(world: World, visitor: Visitor) -> None:
    visitor.page.goto(world.page("/why"))
    made = visitor.post("Buy less.")
    expect(visitor.comment("Zoe")).to_contain_text("A person looks at every comment first.")

    decide(world.database, [made], Status.REJECTED)

    expect(visitor.comment("Zoe")).to_contain_text("Not published. Only you can see this. said so")
    visitor.assert_sound()


def test_an_author_appeals_and_a_person_decides(world: World, visitor: Visitor) -> None:
    visitor.page.goto(world.page("/appeal"))
    made = visitor.post("Buy nothing.")
    decide(world.database, [made], Status.SPAM)
    mine = visitor.comment("Zoe")
    mine.get_by_role("button", name="Appeal").click()
    visitor.assert_sound()

    mine.get_by_role("textbox").fill("I advise against buying.")
    mine.get_by_role("button", name="Send").click()

    expect(mine).to_contain_text("Your appeal has been sent.")
    expect(mine.get_by_role("button", name="Appeal")).to_have_count(0)
    with world.database.reading() as session:
        (found,) = objections.waiting(session, world.site.id)[made]
    assert (found.appeal, found.reason) == (True, "I advise against buying.")
    decide(world.database, [made], Status.APPROVED)
    expect(mine).to_contain_text("Your comment is published.")
    visitor.assert_sound()


def test_a_reader_reports_what_somebody_else_wrote(world: World, visitor: Visitor) -> None:
    made = world.publish("/report")
    visitor.page.goto(world.page("/report"))
    theirs = visitor.comment("Bob")
    theirs.get_by_role("button", name="Report").click()
    theirs.get_by_role("button", name="Send").click()
    expect(theirs.get_by_role("textbox")).to_have_accessible_description("This is needed.")

    theirs.get_by_role("textbox").fill("That is my address.")
    theirs.get_by_role("button", name="Send").click()

    expect(visitor.widget.get_by_role("status")).to_have_text(re.compile("Thank you"))
    with world.database.reading() as session:
        (found,) = objections.waiting(session, world.site.id)[made]
    assert (found.appeal, found.reason) == (False, "That is my address.")
    visitor.assert_sound()


def test_without_javascript_a_page_of_ours_does_the_same(world: World, chromium: Browser) -> None:
    parent = world.publish("/plain")
    context = chromium.new_context(
        java_script_enabled=False, viewport={"width": 320, "height": 800}
    )
    page = context.new_page()
    page.goto(f"{world.host}/sites/blog/thread?page_url={world.origin}/plain")
    page.get_by_role("link", name="Reply").click()
    page.get_by_label("Name").fill("Zoe")
    page.get_by_label("E-mail").fill("zoe@example.org")
    page.get_by_label("Comment", exact=True).fill("Written *by hand*.")
    page.get_by_role("button", name="Post comment").click()
    expect(page.get_by_text("Waiting for approval")).to_be_visible()
    expect(page.locator("em").first).to_have_text("by hand")
    mine = page.url

    page.get_by_label("Comment", exact=True).fill("Written anew.")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("status")).to_have_text("Saved.")
    made = mine.partition("?")[0].rpartition("/")[2]
    decide(world.database, [made], Status.APPROVED)
    page.get_by_role("link", name="Comments", exact=True).click()

    expect(page.locator(f"#hamgate-{made}")).to_contain_text("Written anew.")
    expect(page.locator("li.d1")).to_have_count(1)
    with world.database.reading() as session:
        assert comments.get(session, made).parent_id == parent
    context.close()


@pytest.mark.parametrize("lang", ["en", "ar"])
def test_pages_without_javascript_are_sound(world: World, visitor: Visitor, lang: str) -> None:
    made = world.publish("/plain-sound", body="A [link](https://example.org) and `code`.")
    thread = f"{world.host}/sites/blog/thread?page_url={world.origin}/plain-sound&lang={lang}"
    visitor.page.set_viewport_size({"width": 320, "height": 640})
    for address in (thread, f"{thread}&report={made}", f"{thread}&reply_to={made}"):
        visitor.page.goto(address)
        assert visitor.page.evaluate("document.documentElement.scrollWidth") <= 320
        visitor.assert_sound()
    form = visitor.page.locator("#write")
    form.locator("[name=name]").fill("Zoe")
    form.locator("[name=email]").fill("zoe@example.org")
    form.locator("[name=body]").fill("A comment.")
    form.get_by_role("button").click()
    expect(visitor.page.locator(".state")).to_be_visible()
    visitor.assert_sound()


def test_a_draft_outlives_a_reload_and_ends_with_success(world: World, visitor: Visitor) -> None:
    visitor.page.goto(world.page("/draft"))
    visitor.write("Half a thought")
    visitor.page.reload()
    body = visitor.form.get_by_label("Comment", exact=True)
    expect(body).to_have_value("Half a thought")

    visitor.form.get_by_role("button", name="Preview").click()
    expect(visitor.form.get_by_role("region", name="Preview")).to_have_text("Half a thought")
    visitor.form.get_by_role("button", name="Post comment").click()
    expect(visitor.comment("Zoe")).to_be_focused()

    expect(body).to_have_value("")
    visitor.page.reload()
    expect(visitor.comment("Zoe")).to_be_visible()
    expect(body).to_have_value("")


def test_what_is_wrong_stands_beside_its_field_in_the_readers_language(
    world: World, visitor: Visitor
) -> None:
    visitor.page.goto(world.page("/wrong", '<hamgate-comments lang="de"></hamgate-comments>'))
    form = visitor.widget.get_by_role("form", name="Kommentar schreiben")
    form.get_by_role("button", name="Absenden").click()
    expect(form.get_by_label("Name")).to_be_focused()
    expect(form.get_by_label("Name")).to_have_accessible_description("Das wird gebraucht.")

    form.get_by_label("Name").fill("Zoe")
    form.get_by_label("E-Mail").fill("nobody")
    form.get_by_label("Kommentar", exact=True).fill("Hallo")
    form.get_by_role("button", name="Absenden").click()

    expect(form.get_by_label("E-Mail")).to_be_focused()
    expect(form.get_by_label("E-Mail")).to_have_accessible_description(
        re.compile("erreichbaren E-Mail-Adresse")
    )
    expect(form.get_by_label("Name")).to_have_accessible_description("")
    visitor.assert_sound()


def test_offline_the_text_is_kept_and_sent_later(world: World, visitor: Visitor) -> None:
    visitor.page.goto(world.page("/offline"))
    visitor.write("Written in a tunnel.")
    visitor.context.set_offline(True)
    visitor.form.get_by_role("button", name="Post comment").click()
    expect(visitor.form.get_by_role("alert")).to_contain_text("Your text is kept")

    visitor.context.set_offline(False)
    visitor.form.get_by_role("button", name="Try again").click()

    expect(visitor.comment("Zoe")).to_contain_text("Written in a tunnel.")
    expect(visitor.form.get_by_role("button", name="Post comment")).to_be_visible()
    visitor.assert_sound(but="ERR_INTERNET_DISCONNECTED")


def test_an_answer_that_got_lost_does_not_make_two_comments(world: World, visitor: Visitor) -> None:
    visitor.page.goto(world.page("/once"))
    visitor.write("Said once.")

    def lose(route: Route) -> None:
        if route.request.method != "POST":
            return route.continue_()
        route.fetch()
        return route.abort()

    visitor.page.route("**/comments", lose)
    visitor.form.get_by_role("button", name="Post comment").click()
    expect(visitor.form.get_by_role("alert")).to_contain_text("Your text is kept")
    visitor.page.unroute_all()
    visitor.form.get_by_role("button", name="Try again").click()

    expect(visitor.comment("Zoe")).to_contain_text("Said once.")
    assert world.on("/once") == ["Said once."]


def test_who_posts_too_much_is_told_when_to_go_on(world: World, visitor: Visitor) -> None:
    visitor.page.goto(world.page("/limited"))
    body = {"page_url": f"{world.origin}/x", "name": "Mo", "email": "mo@example.org", "body": "x"}
    for _ in range(POSTS_PER_EMAIL):
        world.system.request(
            "POST", "/api/v1/sites/blog/comments", body, headers={"Origin": world.origin}
        )
    visitor.write("One more.", name="Mo", email="mo@example.org")
    visitor.form.get_by_role("button", name="Post comment").click()

    alert = visitor.form.get_by_role("alert")
    expect(alert).to_have_text(re.compile(r"Please try again in \d+ seconds?\."))
    expect(visitor.form.get_by_label("Comment", exact=True)).to_have_value("One more.")
    visitor.assert_sound()


def test_a_busy_server_is_told_kindly_and_the_text_kept(world: World, visitor: Visitor) -> None:
    visitor.page.goto(world.page("/busy"))
    visitor.write("Still here.", email="busy@example.org")
    keys: list[str] = []

    def refuse(route: Route) -> None:
        if route.request.method != "POST":
            return route.continue_()
        keys.append(route.request.headers["idempotency-key"])
        if len(keys) > 1:
            return route.continue_()
        problem = {"type": "/problems/unavailable", "title": "Try again later", "status": 503}
        return route.fulfill(
            status=503,
            json=problem,
            headers={"Retry-After": "1", "Access-Control-Allow-Origin": world.origin},
        )

    visitor.page.route("**/comments", refuse)
    visitor.form.get_by_role("button", name="Post comment").click()
    expect(visitor.form.get_by_role("alert")).to_contain_text("The server is busy")
    visitor.assert_sound(but="status of 503")
    visitor.page.reload()
    expect(visitor.form.get_by_label("Comment", exact=True)).to_have_value("Still here.")
    visitor.form.get_by_role("button", name="Post comment").click()

    expect(visitor.comment("Zoe")).to_contain_text("Still here.")
    assert keys[0] == keys[1]
    assert world.on("/busy") == ["Still here."]


def test_a_proof_of_work_is_found_on_a_strict_page_while_somebody_writes(
    world: World, visitor: Visitor
) -> None:
    visitor.page.goto(world.page("/hard", '<hamgate-comments site="hard"></hamgate-comments>'))
    expect(visitor.form).to_be_visible()
    assert not [url for url in visitor.asked if "challenge" in url or "proof.js" in url]

    visitor.write(HAM, email="hard@example.org")
    visitor.form.get_by_role("button", name="Post comment").click()

    expect(visitor.comment("Zoe")).to_contain_text("Your comment is published.")
    assert len([url for url in visitor.asked if "proof.js" in url]) == 1
    visitor.assert_sound()


def test_without_the_proof_a_comment_is_held_and_its_author_told(
    world: World, visitor: Visitor
) -> None:
    visitor.page.route("**/proof.js", lambda route: route.abort())
    visitor.page.goto(world.page("/lazy", '<hamgate-comments site="hard"></hamgate-comments>'))
    visitor.write(HAM, email="lazy@example.org")
    visitor.form.get_by_role("button", name="Post comment").click()

    expect(visitor.comment("Zoe")).to_contain_text("Your browser showed no proof of work")
    visitor.assert_sound(but="ERR_FAILED")


def test_who_writes_faster_than_people_is_held_and_told(world: World, visitor: Visitor) -> None:
    visitor.page.goto(world.page("/swift", '<hamgate-comments site="slow"></hamgate-comments>'))
    visitor.write(HAM, email="swift@example.org")
    visitor.form.get_by_role("button", name="Post comment").click()

    expect(visitor.comment("Zoe")).to_contain_text("It was written faster than people write")
    visitor.assert_sound()


def test_two_on_a_page_keep_apart_and_what_is_removed_asks_no_more(
    world: World, visitor: Visitor
) -> None:
    world.publish("/one", "Una")
    world.publish("/two", "Duo")
    address = world.page(
        "/both",
        '<hamgate-comments page-url="/one"></hamgate-comments>'
        '<hamgate-comments page-url="/two" order="newest" theme="dark" refresh="1" lang="en"'
        ' text-submit="Shout"></hamgate-comments>',
    )
    visitor.page.goto(address)
    visitor.page.locator("hamgate-comments").nth(1).scroll_into_view_if_needed()
    first, second = (visitor.page.locator("hamgate-comments").nth(place) for place in (0, 1))

    expect(first.get_by_role("article")).to_have_accessible_name("Una")
    expect(second.get_by_role("article")).to_have_accessible_name("Duo")
    expect(second.get_by_role("button", name="Shout")).to_be_visible()
    visitor.assert_sound()
    first.evaluate("element => element.remove()")
    visitor.asked.clear()
    with visitor.page.expect_response(lambda answer: "%2Ftwo" in answer.url):
        pass

    assert [url for url in visitor.asked if "%2Fone" in url] == []


def test_a_single_page_app_changes_the_page_without_loading_it(
    world: World, visitor: Visitor
) -> None:
    world.publish("/spa-1", "Una")
    world.publish("/spa-2", "Duo")
    visitor.page.goto(world.page("/spa-1"))
    expect(visitor.comment("Una")).to_be_visible()

    visitor.page.evaluate("history.pushState(null, '', '/spa-2')")
    expect(visitor.comment("Duo")).to_be_visible()
    expect(visitor.comment("Una")).to_have_count(0)

    visitor.widget.evaluate("element => element.setAttribute('page-url', '/spa-1')")
    expect(visitor.comment("Una")).to_be_visible()
    expect(visitor.comment("Duo")).to_have_count(0)
    visitor.assert_sound()


def test_it_waits_for_a_call_or_until_the_reader_comes_near(world: World, visitor: Visitor) -> None:
    world.publish("/late")
    address = world.page(
        "/late",
        '<hamgate-comments loading="manual"></hamgate-comments>'
        + "<p>A long text.</p>" * 200
        + '<hamgate-comments page-url="/late"></hamgate-comments>',
    )
    visitor.page.goto(address)
    called, near = (visitor.page.locator("hamgate-comments").nth(place) for place in (0, 1))
    assert not [url for url in visitor.asked if "app.js" in url]

    called.evaluate("element => element.load()")
    expect(called.get_by_role("article")).to_be_visible()
    expect(near.get_by_role("article")).to_have_count(0)
    visitor.page.evaluate("scrollTo(0, document.body.scrollHeight)")
    expect(near.get_by_role("article")).to_be_visible()


def test_a_permalink_leads_to_its_comment_and_more_are_loaded_by_a_button(
    world: World, visitor: Visitor
) -> None:
    made = [world.publish("/long", f"N{place}") for place in range(PAGE + 10)]
    visitor.page.goto(world.page("/long"))
    expect(visitor.widget.get_by_role("article")).to_have_count(PAGE)

    visitor.widget.get_by_role("button", name="Show more comments").click()
    expect(visitor.comment(f"N{PAGE}")).to_be_focused()
    expect(visitor.widget.get_by_role("button", name="Show more comments")).to_be_hidden()
    expect(visitor.comment("N33").get_by_role("link")).to_have_attribute(
        "href", f"#hamgate-{made[33]}"
    )
    visitor.page.goto("about:blank")
    visitor.page.goto(f"{world.origin}/long#hamgate-{made[PAGE + 5]}")
    expect(visitor.comment(f"N{PAGE + 5}")).to_be_focused()
    expect(visitor.comment(f"N{PAGE + 5}")).to_be_in_viewport()
    expect(visitor.widget.get_by_role("article")).to_have_count(10)
    visitor.assert_sound()
    visitor.widget.get_by_role("button", name="Show all from the beginning").click()
    expect(visitor.comment("N0")).to_be_visible()
    expect(visitor.widget.get_by_role("article")).to_have_count(PAGE)

    visitor.widget.get_by_role("button", name="Newest first").click()
    expect(visitor.widget.get_by_role("article").first).to_have_accessible_name(f"N{PAGE + 9}")
    visitor.assert_sound()


@pytest.mark.parametrize("theme", ["light", "dark", "auto"])
def test_from_right_to_left_at_every_width_and_theme(
    world: World, visitor: Visitor, pictures: Path, theme: str
) -> None:
    world.publish(
        "/rtl",
        "Bob",
        body="A text from left to right, with `code` and [a link](https://example.org/).",
    )
    visitor.page.goto(
        world.page("/rtl", f'<hamgate-comments lang="ar" theme="{theme}"></hamgate-comments>')
    )
    expect(visitor.widget.get_by_role("article").first).to_be_visible()
    assert (
        visitor.widget.get_by_role("article").first.evaluate(
            "element => getComputedStyle(element).direction"
        )
        == "rtl"
    )
    visitor.assert_sound()
    visitor.page.screenshot(path=pictures / f"widget-rtl-{theme}.png", full_page=True)

    visitor.page.set_viewport_size({"width": 320, "height": 640})

    assert visitor.page.evaluate("document.documentElement.scrollWidth") <= 320
    visitor.assert_sound()


def test_each_language_has_every_plural_form_that_its_numbers_take(
    world: World, visitor: Visitor
) -> None:
    visitor.page.goto(world.page("/plurals"))
    for path in sorted(_MESSAGES.glob("*.json")):
        forms = visitor.page.evaluate(
            """language => {
                const rules = new Intl.PluralRules(language);
                return [...new Set(Array.from({length: 1000}, (_, n) => rules.select(n)))];
            }""",
            path.stem,
        )
        for key, message in json.loads(path.read_text()).items():
            if isinstance(message, dict):
                assert message.keys() >= set(forms), (path.stem, key)


def test_numbers_of_comments_are_asked_for_all_pages_at_once(
    world: World, visitor: Visitor
) -> None:
    world.publish("/counted")
    counts = "".join(
        f'<p><hamgate-count page-url="{path}" zero="none yet" one="just #" other="# of them">'
        "</hamgate-count></p>"
        for path in ("/counted", "/uncounted")
    )
    visitor.page.goto(world.page("/counts", counts, script="count.js"))

    expect(visitor.page.locator("hamgate-count")).to_have_text(["just 1", "none yet"])
    assert len([url for url in visitor.asked if "/counts?" in url]) == 1
    visitor.assert_sound()


def test_the_demo_shows_it_all(world: World, visitor: Visitor, pictures: Path) -> None:
    with world.database.transaction() as session:
        sites.create(session, "demo", origins=[world.host])
    visitor.page.goto(f"{world.host}/demo")
    expect(visitor.form).to_be_visible()
    visitor.page.get_by_label("Language").select_option("ja")
    expect(visitor.widget.get_by_role("button", name="投稿する")).to_be_visible()
    visitor.page.get_by_label("Theme").select_option("dark")
    visitor.assert_sound()
    visitor.page.screenshot(path=pictures / "widget-demo.png", full_page=True)


@pytest.fixture(scope="module")
def hostile(world: World) -> str:
    """A page with a comment for each hostile string, which stands in every field of it."""
    assert len(CORPUS) == 1000
    _store(world, CORPUS)
    return "/hostile"


def test_a_thousand_hostile_strings_are_inert_in_every_field(
    world: World, visitor: Visitor, hostile: str
) -> None:
    visitor.page.goto(world.page(hostile))
    more = visitor.widget.get_by_role("button", name="Show more comments")
    shown = visitor.widget.get_by_role("article")
    for count in range(PAGE, 1000, PAGE):
        expect(shown).to_have_count(count)
        more.click()
    expect(shown).to_have_count(1000)

    assert _strange(visitor) == []
    assert visitor.page.evaluate("window.fired") == []
    assert visitor.said == []
    assert [url for url in visitor.asked if not url.startswith((world.origin, world.host))] == []


def test_they_are_inert_on_the_page_without_scripts(
    world: World, visitor: Visitor, hostile: str
) -> None:
    visitor.page.goto(f"{world.host}/sites/blog/thread?page_url={world.origin}{hostile}")
    seen = _turn_over(visitor, "main")

    assert seen == 1000 / PAGE
    assert visitor.said == []
    assert [url for url in visitor.asked if not url.startswith(world.host)] == []


def test_they_are_inert_in_the_dashboard(world: World, visitor: Visitor, hostile: str) -> None:
    with world.database.transaction() as session:
        made = moderators.create(
            session, "judge@example.org", site_id=world.site.id, role=Role.OWNER
        )
        token = moderators.first_link(session, made)
        assert token is not None
        page_url = f"{world.origin}{hostile}"
        found = comments.listing(session, world.site.id, page_url=page_url, most=PAGE)
    cookie = moderators.accept(
        world.database, token, password="a long and quiet sentence about lanterns", name="Judge"
    )
    visitor.context.add_cookies(
        [{"name": "hamgate-over-plain-http", "value": cookie, "url": world.host}]
    )
    visitor.page.goto(f"{world.host}/dashboard/sites/blog/comments?page_url={page_url}")

    assert _turn_over(visitor, "main") >= 1000 / SEARCH_PAGE
    for one in found[::5]:
        visitor.page.goto(f"{world.host}/dashboard/sites/blog/comments/{one.id}")
        assert _loose(visitor, "main") == []
        assert visitor.page.evaluate("window.fired") == []
    assert visitor.said == []
    assert [url for url in visitor.asked if not url.startswith(world.host)] == []


def test_a_thread_of_ten_thousand_comments_is_turned_over_and_linked_into(
    world: World, visitor: Visitor
) -> None:
    made = _crowd(world, "/crowd", 10_000)
    visitor.page.goto(world.page("/crowd"))
    shown = visitor.widget.get_by_role("article")
    expect(visitor.widget.get_by_role("heading", name="10,000 comments")).to_be_visible()
    more = visitor.widget.get_by_role("button", name="Show more comments")
    for count in (100, 200, 300):
        expect(shown).to_have_count(count)
        more.click()

    visitor.page.goto("about:blank")
    visitor.page.goto(f"{world.origin}/crowd#hamgate-{made[7_777]}")

    expect(visitor.comment("N7777")).to_be_focused()
    expect(visitor.comment("N7777")).to_be_in_viewport()
    expect(shown).to_have_count(PAGE)
    visitor.assert_sound()


def test_the_script_trusts_no_html_even_if_the_server_did(world: World, visitor: Visitor) -> None:
    world.publish("/trusting")

    def betray(route: Route) -> None:
        answer = route.fetch()
        thread = answer.json()
        (comment,) = thread["comments"]
        thread["comments"] = [
            {**comment, "id": f"cmt_{place}", "html": html, "url": html, "name": f"N{place}"}
            for place, html in enumerate(CORPUS)
        ]
        route.fulfill(response=answer, json=thread)

    visitor.page.route("**/thread?*", betray)
    visitor.page.goto(world.page("/trusting"))
    expect(visitor.widget.get_by_role("article")).to_have_count(len(CORPUS), timeout=30_000)

    assert _strange(visitor) == []
    # The policy of the page may have to refuse a style before it is taken out; nothing may run.
    assert set(visitor.page.evaluate("window.fired")) <= {"inline"}


def _strange(visitor: Visitor) -> list[str]:
    """Give all that could run, load or lead somewhere among what is shown of the comments."""
    found: list[str] = visitor.widget.evaluate(
        """element => [...element.shadowRoot.querySelectorAll('[part=thread] *')].flatMap(one => [
            ...(/^(SCRIPT|STYLE|IMG|IFRAME|OBJECT|EMBED|SVG|MATH|INPUT|VIDEO|LINK|META|BASE|TEMPLATE)$/i
                .test(one.tagName) ? [one.outerHTML] : []),
            ...[...one.attributes].filter(({name, value}) =>
                /^(on|style|src)/.test(name) ||
                (name === 'href' && !/^(https?:|#hamgate-)/i.test(value))
            ).map(({name, value}) => `${name}=${value}`),
        ])"""
    )
    return found


def _store(world: World, corpus: list[str]) -> None:
    """Store comments with these in every field, past all checks of the API, and approve them."""
    submissions = [
        make_submission(
            world.site, page_url=f"{world.origin}/hostile", name=text, body=text, url=text,
            page_title=text,
        )
        for text in corpus
    ]  # fmt: skip
    with world.database.writing() as connection:
        stored = [
            entry.id
            for entry in comments.submit(connection, submissions)
            if isinstance(entry, Accepted)
        ]
    assert len(stored) == len(corpus)
    decide(world.database, stored[:500], Status.APPROVED)
    decide(world.database, stored[500:], Status.APPROVED)


def _turn_over(visitor: Visitor, within: str) -> int:
    """Follow the links to further pages, see that each is inert, and count them."""
    seen = 1
    while True:
        assert _loose(visitor, within) == []
        assert visitor.page.evaluate("window.fired") == []
        following = visitor.page.locator("a[rel=next]")
        if not following.count():
            return seen
        seen += 1
        visitor.page.goto(urljoin(visitor.page.url, following.get_attribute("href")))


def _loose(visitor: Visitor, within: str) -> list[str]:
    """Give all that could run or load there, and links that lead to anything but pages."""
    found: list[str] = visitor.page.evaluate(
        """within => [...document.querySelectorAll(`${within} *`)].flatMap(one => [
            ...(/^(SCRIPT|STYLE|IMG|IFRAME|OBJECT|EMBED|MATH|VIDEO|LINK|META|BASE|TEMPLATE)$/i
                .test(one.tagName) ? [one.outerHTML] : []),
            ...[...one.attributes].filter(({name, value}) =>
                /^(on|style|src)/.test(name) ||
                (/^(href|action)$/.test(name) && !/^(https?:|[/#?])/i.test(value))
            ).map(({name, value}) => `${name}=${value}`),
        ])""",
        within,
    )
    return found


def _crowd(world: World, path: str, count: int) -> list[str]:
    """Put so many approved comments on a page, past their decisions, which would take long."""
    submissions = [
        make_submission(world.site, page_url=f"{world.origin}{path}", name=f"N{place}")
        for place in range(count)
    ]
    with world.database.writing() as connection:
        stored = [
            entry.id
            for entry in comments.submit(connection, submissions)
            if isinstance(entry, Accepted)
        ]
        thread = comments.thread_id(world.site.id, f"{world.origin}{path}")
        connection.execute(
            update(COMMENTS)
            .where(COMMENTS.c.thread_id == thread)
            .values(status=Status.APPROVED, classify_at=None)
        )
        connection.execute(
            update(THREADS).where(THREADS.c.id == thread).values(version=1, approved=count)
        )
    return stored
