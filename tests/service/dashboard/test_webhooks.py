"""The pages of webhooks, in a browser without JavaScript."""

import html
import re
from datetime import timedelta

import flask
import pytest
from sqlalchemy import update

from service.core import sites
from service.core.moderators import Role
from service.core.sites import SiteView
from service.core.webhooks import endpoints
from service.core.webhooks.deliveries import Outcome
from service.core.webhooks.endpoints import EndpointView
from service.ledger.db import Database, utc_now
from service.ledger.models import ENDPOINTS
from service.pure.events import EventType
from service.pure.policy import Policy
from tests.browsing import Browser, make_moderator
from tests.cast import attempt, make_comment, make_endpoint, make_site

URL = "https://hooks.example.org/in"
PAGE = "/dashboard/sites/blog/webhooks"
LOG = "/dashboard/sites/blog/deliveries"


@pytest.fixture
def site(database: Database) -> SiteView:
    return make_site(database)


@pytest.fixture
def owner(app: flask.Flask, database: Database, site: SiteView) -> Browser:
    make_moderator(database, site, Role.OWNER)
    browser = Browser(app)
    browser.sign_in()
    return browser


@pytest.fixture
def viewer(app: flask.Flask, database: Database, site: SiteView) -> Browser:
    make_moderator(database, site, Role.VIEWER, email="vera@example.org")
    browser = Browser(app)
    browser.sign_in("vera@example.org")
    return browser


def the_endpoint(database: Database, site: SiteView) -> EndpointView:
    with database.reading() as session:
        (only,) = endpoints.listing(session, site.id)
    return only


def test_an_owner_makes_an_endpoint_and_sees_its_secret_once(
    owner: Browser, database: Database, site: SiteView
) -> None:
    owner.get(PAGE)
    owner.post(PAGE, url=URL, description="The shop", events="comment.approved")

    assert owner.page.status_code == 201
    found = re.search(r'value="(whsec_[^"]+)"', owner.page.text)
    assert found is not None
    made = the_endpoint(database, site)
    assert (made.url, made.description, made.events) == (URL, "The shop", ("comment.approved",))
    assert not made.wants_personal
    for page in (PAGE, f"{PAGE}/{made.id}", LOG):
        assert html.unescape(found[1]) not in html.unescape(owner.get(page).text)
    assert "nothing sent yet" in owner.get(PAGE).text


def test_what_is_wrong_stands_beside_its_field_and_nothing_typed_is_lost(
    owner: Browser, database: Database, site: SiteView
) -> None:
    owner.get(PAGE)
    owner.post(PAGE, url="http://10.0.0.1/", description="The <shop>", events="storm.started")

    assert owner.page.status_code == 422
    assert re.search(r'id="fault-url">[^<]+<', owner.page.text)
    assert "The &lt;shop&gt;" in owner.page.text
    assert re.search(r'value="storm.started" checked', owner.page.text)
    with database.reading() as session:
        assert endpoints.listing(session, site.id) == []


def test_an_endpoint_is_changed_and_keeps_what_is_wrong_out(
    owner: Browser, database: Database, site: SiteView
) -> None:
    endpoint_id, _ = make_endpoint(database, site)
    path = f"{PAGE}/{endpoint_id}"
    owner.get(path)

    owner.post(path, url="ftp://hooks.example.org/")
    assert owner.page.status_code == 422
    owner.post(path, url=f"{URL}2", events="storm.ended", wants_personal="on")

    assert "Saved" in owner.page.text
    changed = the_endpoint(database, site)
    assert (changed.url, changed.events, changed.wants_personal) == (
        f"{URL}2", (EventType.STORM_ENDED,), True,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("share_personal", "words"), [(False, "does not allow it now"), (True, "allows it.")]
)
def test_the_switch_for_personal_data_says_whether_the_policy_allows_it(
    owner: Browser, database: Database, site: SiteView, share_personal: bool, words: str
) -> None:
    with database.transaction() as session:
        sites.set_policy(session, site.id, Policy(share_personal=share_personal))

    assert words in owner.get(PAGE).text


def test_a_test_is_sent_and_its_outcome_told(
    owner: Browser, database: Database, site: SiteView
) -> None:
    endpoint_id, _ = make_endpoint(database, site, events=[EventType.STORM_STARTED])
    path = f"{PAGE}/{endpoint_id}"
    owner.get(path)
    owner.post(f"{path}/test")
    assert "waits for its first attempt" in owner.page.text

    attempt(database, endpoint_id, Outcome(status=503, excerpt="<script>x</script>"))

    page = owner.get(path).text
    assert "failing" in page
    assert "failed: answered 503; is tried again" in page
    link = re.search(rf'href="({LOG}/dlv_[^"]+)"', page)
    assert link is not None
    shown = owner.get(link[1]).text
    assert "&lt;script&gt;x&lt;/script&gt;" in shown
    assert "endpoint.tested" in shown


def test_a_new_secret_is_shown_once_and_a_third_is_refused(
    owner: Browser, database: Database, site: SiteView
) -> None:
    endpoint_id, secret = make_endpoint(database, site)
    path = f"{PAGE}/{endpoint_id}"
    owner.get(path)

    owner.post(f"{path}/rotate")
    found = re.search(r'value="(whsec_[^"]+)"', owner.page.text)
    assert found is not None
    assert html.unescape(found[1]) != secret
    assert "signed with the one before as well" in owner.page.text
    owner.post(f"{path}/rotate")

    assert owner.page.status_code == 403
    assert "two secrets are in use" in owner.page.text


def test_an_endpoint_is_disabled_enabled_and_deleted(
    owner: Browser, database: Database, site: SiteView
) -> None:
    endpoint_id, _ = make_endpoint(database, site)
    path = f"{PAGE}/{endpoint_id}"
    owner.get(path)

    owner.post(f"{path}/disable")
    assert "disabled</b> since" in owner.page.text
    assert "by a person" in owner.page.text
    owner.post(f"{path}/test")
    assert owner.page.status_code == 403
    owner.get(path)
    owner.post(f"{path}/enable")
    assert the_endpoint(database, site).disabled_at is None
    owner.post(f"{path}/delete")

    assert "Deleted" in owner.page.text
    assert owner.get(path).status_code == 404


def test_owners_are_told_on_every_page_what_failures_have_disabled(
    owner: Browser, viewer: Browser, database: Database, site: SiteView
) -> None:
    endpoint_id, _ = make_endpoint(database, site, events=[EventType.COMMENT_SUBMITTED])
    make_comment(database, site)
    with database.transaction() as session:
        since = utc_now() - timedelta(days=6)
        session.execute(update(ENDPOINTS).values(failing_since=since))
    attempt(database, endpoint_id, Outcome(status=None, failure="time-out"))

    for page in ("/", "/queue", "/history", "/webhooks"):
        assert "A webhook was disabled" in owner.get(f"/dashboard/sites/blog{page}").text
        assert "A webhook was disabled" not in viewer.get(f"/dashboard/sites/blog{page}").text
    owner.post(f"{PAGE}/{endpoint_id}/disable")  # leave it so

    assert "A webhook was disabled" not in owner.get(PAGE).text
    assert the_endpoint(database, site).disabled_at is not None


def test_the_log_is_filtered_and_what_is_no_filter_said(
    owner: Browser, database: Database, site: SiteView
) -> None:
    endpoint_id, _ = make_endpoint(database, site, description="The shop")
    other_id, _ = make_endpoint(database, site, description="The mill")
    comment_id = make_comment(database, site)
    attempt(database, endpoint_id, Outcome(status=204))

    def count(query: str) -> int:
        return owner.get(f"{LOG}?{query}").text.count('name="delivery_id"')

    assert count("") == 2
    assert count(f"endpoint_id={other_id}&status=&type=&comment_id=&since=&until=") == 1
    assert count("status=delivered") == 1
    assert count(f"comment_id={comment_id}") == 2
    assert count("type=storm.started") == 0
    today = f"{utc_now():%Y-%m-%d}"
    assert count(f"since={today}&until={today}") == 2
    assert count("until=2020-01-01") == 0
    for query in ("status=lost", "since=yesterday", "until=9999-12-31", "x=1", "before=%00"):
        assert owner.get(f"{LOG}?{query}").status_code == 422, query


def test_what_died_is_sent_again_one_those_picked_or_all_since(
    owner: Browser, database: Database, site: SiteView
) -> None:
    endpoint_id, _ = make_endpoint(database, site, events=[EventType.COMMENT_SUBMITTED])
    for _ in range(4):
        make_comment(database, site)
    attempt(database, endpoint_id, Outcome(status=410))
    with database.transaction() as session:
        endpoints.change(session, site.id, endpoint_id, check=str, actor="operator", enabled=True)
    ids = re.findall(r'name="delivery_id" value="([^"]+)"', owner.get(LOG).text)
    assert len(ids) == 4

    owner.get(f"{LOG}/{ids[0]}")
    owner.post(f"{LOG}/{ids[0]}/replay")
    assert "1 on the way again" in owner.page.text
    owner.post(f"{LOG}/{ids[0]}/replay")
    assert "Nothing is sent again" in owner.page.text
    owner.get(LOG)
    owner.post(f"{LOG}/replay", delivery_id=ids[1])
    assert "1 on the way again" in owner.page.text
    for moment, status in (("yesterday", 422), ("2026-01-01T00:00", 200)):
        owner.post(f"{LOG}/replay-since", endpoint_id=endpoint_id, dead_only="on", moment=moment)
        assert owner.page.status_code == status
    assert "2 on the way again" in owner.page.text


def test_a_viewer_looks_and_has_no_buttons(
    viewer: Browser, database: Database, site: SiteView
) -> None:
    endpoint_id, _ = make_endpoint(database, site)
    make_comment(database, site)
    claim = attempt(database, endpoint_id, Outcome(status=204))

    for page in (PAGE, f"{PAGE}/{endpoint_id}", LOG, f"{LOG}/{claim.delivery_id}"):
        shown = viewer.get(page)
        assert shown.status_code == 200
        main = shown.text.partition("<main")[2]
        assert 'action="/dashboard/sites/blog/webhooks' not in main
        assert "Send it again" not in main
        assert 'name="delivery_id"' not in main


def test_another_sites_endpoint_and_delivery_are_not_there(
    owner: Browser, database: Database
) -> None:
    other = make_site(database, "other")
    theirs, _ = make_endpoint(database, other)
    make_comment(database, other)
    claim = attempt(database, theirs, Outcome(status=500))

    assert owner.get(f"{PAGE}/{theirs}").status_code == 404
    assert owner.get(f"{LOG}/{claim.delivery_id}").status_code == 404
    owner.get(PAGE)
    for action in ("test", "rotate", "enable", "disable", "delete"):
        assert owner.send(f"{PAGE}/{theirs}/{action}").status_code == 404
    assert owner.send(f"{LOG}/{claim.delivery_id}/replay").status_code == 404
    asked = owner.send(f"{LOG}/replay-since", endpoint_id=theirs, moment="2026-01-01T00:00")
    assert asked.status_code == 404
