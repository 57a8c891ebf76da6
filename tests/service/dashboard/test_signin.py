"""The dashboard's door: sign-in, sessions, forged requests, links, and who may see what."""

import re
from collections.abc import Callable
from datetime import timedelta

import flask
import pytest
from sqlalchemy import update

from service.base.errors import NotFound
from service.core import moderators
from service.core.changes import OPERATOR
from service.core.moderators import FIRST_OWNER, Role
from service.core.moderators.tables import OneTimeLink, SignedIn
from service.core.sites import SiteView
from service.ledger.db import Database, utc_now
from tests.browsing import PASSWORD, Browser, make_moderator
from tests.cast import make_site
from tests.conftest import Door, database_of

ADA = "ada@example.org"
COOKIE = "hamgate-over-plain-http"
DEVICE = "hamgate-device-over-plain-http"
SIGN_IN = "/dashboard/sign-in"
ORIGIN = "http://localhost:8000"

# Route → the least role on the site; "" for who is signed in, "-" for everybody.
MATRIX = {
    "GET /dashboard/static/<path:filename>": "-",
    "GET /dashboard/sign-in": "-",
    "POST /dashboard/sign-in": "-",
    "POST /dashboard/sign-in/provider": "-",
    "GET /dashboard/sign-in/callback": "-",
    "POST /dashboard/sign-out": "-",
    "GET /dashboard/link": "-",
    "POST /dashboard/link": "-",
    "GET /dashboard/": "",
    "GET /dashboard/<path:rest>": "",
    "POST /dashboard/sign-out-everywhere": "",
    "GET /dashboard/account": "",
    "POST /dashboard/account/name": "",
    "POST /dashboard/account/password": "",
    "POST /dashboard/account/link": "",
    "POST /dashboard/account/unlink": "",
    "POST /dashboard/account/sessions/<session_id>/end": "",
    "GET /dashboard/sites/<slug>/people": "owner",
    "POST /dashboard/sites/<slug>/people": "owner",
    "POST /dashboard/sites/<slug>/people/<moderator_id>/role": "owner",
    "POST /dashboard/sites/<slug>/people/<moderator_id>/remove": "owner",
    "POST /dashboard/sites/<slug>/invitations/<moderator_id>/withdraw": "owner",
    "GET /dashboard/sites/<slug>/": "viewer",
    "GET /dashboard/sites/<slug>/queue": "viewer",
    "GET /dashboard/sites/<slug>/queue/campaigns/<campaign_id>": "viewer",
    "GET /dashboard/sites/<slug>/queue/objections": "viewer",
    "GET /dashboard/sites/<slug>/comments": "viewer",
    "GET /dashboard/sites/<slug>/comments/<comment_id>": "viewer",
    "POST /dashboard/sites/<slug>/filters": "moderator",
    "POST /dashboard/sites/<slug>/filters/remove": "moderator",
    "POST /dashboard/sites/<slug>/presence": "viewer",
    "POST /dashboard/sites/<slug>/decisions": "moderator",
    "POST /dashboard/sites/<slug>/acts/<act_id>/undo": "moderator",
    "GET /dashboard/sites/<slug>/history": "viewer",
    "GET /dashboard/sites/<slug>/history.<kind>": "owner",
    "GET /dashboard/sites/<slug>/policy": "viewer",
    "POST /dashboard/sites/<slug>/policy": "owner",
    "POST /dashboard/sites/<slug>/storm/begin": "moderator",
    "POST /dashboard/sites/<slug>/storm/end": "moderator",
    "POST /dashboard/sites/<slug>/comments/<comment_id>/author": "moderator",
    "GET /dashboard/sites/<slug>/storms/<storm_id>": "viewer",
    "GET /dashboard/sites/<slug>/policy/previews/<preview_id>": "viewer",
    "POST /dashboard/sites/<slug>/policy/previews/<preview_id>/save": "owner",
    "GET /dashboard/sites/<slug>/second-looks": "moderator",
    "POST /dashboard/sites/<slug>/second-looks": "moderator",
    "POST /dashboard/sites/<slug>/second-looks/<decision_id>/withdraw": "moderator",
    "GET /dashboard/sites/<slug>/webhooks": "viewer",
    "POST /dashboard/sites/<slug>/webhooks": "owner",
    "GET /dashboard/sites/<slug>/webhooks/<endpoint_id>": "viewer",
    "POST /dashboard/sites/<slug>/webhooks/<endpoint_id>": "owner",
    "POST /dashboard/sites/<slug>/webhooks/<endpoint_id>/test": "owner",
    "POST /dashboard/sites/<slug>/webhooks/<endpoint_id>/rotate": "owner",
    "POST /dashboard/sites/<slug>/webhooks/<endpoint_id>/enable": "owner",
    "POST /dashboard/sites/<slug>/webhooks/<endpoint_id>/disable": "owner",
    "POST /dashboard/sites/<slug>/webhooks/<endpoint_id>/delete": "owner",
    "GET /dashboard/sites/<slug>/deliveries": "viewer",
    "GET /dashboard/sites/<slug>/deliveries/<delivery_id>": "viewer",
    "POST /dashboard/sites/<slug>/deliveries/<delivery_id>/replay": "owner",
    "POST /dashboard/sites/<slug>/deliveries/replay": "owner",
    "POST /dashboard/sites/<slug>/deliveries/replay-since": "owner",
    "GET /dashboard/sites/<slug>/model": "viewer",
    "GET /dashboard/sites/<slug>/model/versions/<int:number>": "viewer",
    "POST /dashboard/sites/<slug>/model/preview": "owner",
    "POST /dashboard/sites/<slug>/model/promote": "owner",
    "POST /dashboard/sites/<slug>/model/rollback": "owner",
    "POST /dashboard/sites/<slug>/model/shadow": "owner",
    "POST /dashboard/sites/<slug>/model/release": "owner",
}
ON_A_SITE = [route for route in MATRIX if "<slug>" in route]


@pytest.fixture
def site(database: Database) -> SiteView:
    return make_site(database)


@pytest.fixture
def browser(app: flask.Flask, database: Database, site: SiteView) -> Browser:
    """A browser in which nobody has signed in; Ada owns the site."""
    make_moderator(database, site, Role.OWNER)
    return Browser(app)


def link_token(database: Database, make: Callable[..., str | None]) -> str:
    with database.transaction() as session:
        token = make(session)
    assert token is not None
    return token


def test_every_route_of_the_dashboard_stands_in_the_table(door: Door) -> None:
    routes = {
        f"{method} {rule.rule}"
        for rule in door.app.url_map.iter_rules()
        if rule.rule.startswith("/dashboard")
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }

    assert routes == set(MATRIX)


@pytest.fixture(scope="module")
def callers(door: Door) -> dict[str, Browser]:
    """One browser for each kind of caller: signed in by role, of another site, nobody."""
    other = make_site(door.database, "other")
    found = {"nobody": Browser(door.app)}
    for name, site, role in (
        *((role.value, door.site, role) for role in Role),
        ("other site", other, Role.OWNER),
    ):
        email = f"{name.replace(' ', '-')}@example.org"
        make_moderator(door.database, site, role, email=email)
        found[name] = Browser(door.app)
        found[name].sign_in(email)
    # So that nothing that is tried here ends the last owner's.
    make_moderator(door.database, door.site, Role.OWNER, email="second@example.org")
    return found


def ask(browser: Browser, route: str) -> tuple[int, str]:
    method, path = route.split(" ")
    path = path.replace("<slug>", "blog").replace("<path:filename>", "dashboard.css")
    path = path.replace("<int:number>", "1")
    path = re.sub(r"<[^>]+>", "none", path)
    if method == "GET":
        answer = browser.get(path)
    else:
        browser.get(
            SIGN_IN if "csrf_token" not in browser.get("/dashboard/").text else "/dashboard/"
        )
        answer = browser.send(path)
    return answer.status_code, answer.headers.get("Location", "")


@pytest.mark.parametrize("route", [route for route in MATRIX if MATRIX[route] != "-"])
def test_nobody_is_asked_to_sign_in(callers: dict[str, Browser], route: str) -> None:
    status, location = ask(callers["nobody"], route)

    assert (status, location.partition("?")[0]) == (303, SIGN_IN)


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("route", ON_A_SITE)
def test_a_member_may_do_what_the_role_covers(
    callers: dict[str, Browser], route: str, role: Role
) -> None:
    status, location = ask(callers[role], route)

    if role.covers(Role(MATRIX[route])):
        assert status not in (401, 403, 500)
        assert not location.startswith(SIGN_IN)
    else:
        assert status == 403


@pytest.mark.parametrize("route", ON_A_SITE)
def test_another_site_is_as_if_it_were_not_there(callers: dict[str, Browser], route: str) -> None:
    theirs, _ = ask(callers["other site"], route)
    page = _without_ids(callers["other site"].page.text)
    nothing, _ = ask(callers["other site"], route.replace("<slug>", "nothing"))

    assert theirs == nothing == 404
    assert page == _without_ids(callers["other site"].page.text).replace("nothing", "blog")


def test_sign_in_leads_to_ones_sites_and_sign_out_ends_the_session(browser: Browser) -> None:
    browser.sign_in()
    assert browser.page.request.path == "/dashboard/"
    assert "you are owner" in browser.page.text
    session = browser.cookies[COOKIE]

    answer = browser.post("/dashboard/sign-out")

    assert answer.headers["Location"] == SIGN_IN
    assert COOKIE not in browser.cookies or browser.cookies[COOKIE] != session
    browser.keep(COOKIE, session)  # as one who copied it
    assert browser.get("/dashboard/").status_code == 303


def test_sign_in_leads_back_to_the_page_that_asked_for_it(browser: Browser) -> None:
    answer = browser.get("/dashboard/sites/blog/people")
    browser.get(answer.headers["Location"])
    back = re.search(r'name="back" value="([^"]+)"', browser.page.text)
    assert back is not None

    answer = browser.post(SIGN_IN, email=ADA, password=PASSWORD, back=back[1])

    assert answer.headers["Location"] == "/dashboard/sites/blog/people"


@pytest.mark.parametrize(
    "back",
    ["https://evil.example/", "//evil.example/", "/dashboard/../x", "/api",
     "/dashboard/\\evil.example", "javascript:alert(1)", "/dashboard/?x=\"><script>"],
)  # fmt: skip
def test_sign_in_leads_nowhere_else(browser: Browser, back: str) -> None:
    browser.get(SIGN_IN)
    answer = browser.post(SIGN_IN, email=ADA, password=PASSWORD, back=back)
    assert answer.headers["Location"] == "/dashboard/"

    answer = Browser(browser._client.application).get(f"{SIGN_IN}?back={back}")
    assert "evil" not in answer.text
    assert "<script>" not in answer.text


def test_all_failures_to_sign_in_look_alike(browser: Browser, database: Database) -> None:
    gone = make_moderator(database, email="gone@example.org")
    with database.transaction() as session:
        moderators.close(session, gone)
        moderators.create(session, "new@example.org", role=Role.VIEWER)
    pages = set()
    for email in (ADA, "new@example.org", "gone@example.org", "nobody@example.org"):
        browser.get(SIGN_IN)
        answer = browser.post(SIGN_IN, email=email, password="not the password")
        assert answer.status_code == 422
        assert "is not right" in answer.text
        pages.add(_without_ids(answer.text).replace(email, ""))

    assert len(pages) == 1


def test_what_a_browser_brought_never_becomes_a_session(browser: Browser) -> None:
    browser.keep(COOKIE, "chosen-by-somebody-else")
    browser.sign_in()
    assert browser.cookies[COOKIE] != "chosen-by-somebody-else"

    other = Browser(browser._client.application)
    other.keep(COOKIE, "chosen-by-somebody-else")
    assert other.get("/dashboard/").status_code == 303


def test_to_sign_in_again_ends_the_session_before(browser: Browser) -> None:
    browser.sign_in()
    before = browser.cookies[COOKIE]
    browser.get("/dashboard/account")
    browser.post(SIGN_IN, email=ADA, password=PASSWORD)
    assert browser.page.status_code == 200

    other = Browser(browser._client.application)
    other.keep(COOKIE, before)
    assert other.get("/dashboard/").status_code == 303


def test_a_session_that_is_too_old_asks_to_sign_in(browser: Browser, database: Database) -> None:
    browser.sign_in()
    with database.transaction() as session:
        session.execute(update(SignedIn).values(seen_at=utc_now() - timedelta(days=15)))

    assert browser.get("/dashboard/account").headers["Location"].startswith(SIGN_IN)


def test_cookies_on_https_are_bound_to_the_host(
    make_app: Callable[..., flask.Flask],
) -> None:
    app = make_app(HAMGATE_URL="https://comments.example.org")
    make_moderator(database_of(app))
    browser = Browser(app, origin="https://comments.example.org")
    browser.get(SIGN_IN)
    answer = browser.send(SIGN_IN, email=ADA, password=PASSWORD)

    assert answer.headers["Strict-Transport-Security"]
    given = answer.headers.getlist("Set-Cookie")
    assert [line.partition("=")[0] for line in given] == ["__Host-hamgate", "__Host-hamgate-device"]
    for line in given:
        flags = set(line.split("; ")[1:])
        assert {"Secure", "HttpOnly", "Path=/", "SameSite=Lax"} <= flags
        assert not any(flag.startswith("Domain") for flag in flags)


def test_cookies_on_plain_http_say_so_and_hide_from_scripts(browser: Browser) -> None:
    browser.get(SIGN_IN)
    answer = browser.send(SIGN_IN, email=ADA, password=PASSWORD)

    given = answer.headers.getlist("Set-Cookie")
    assert [line.partition("=")[0] for line in given] == [COOKIE, DEVICE]
    for line in given:
        assert {"HttpOnly", "Path=/", "SameSite=Lax"} <= set(line.split("; "))
        assert "Secure" not in line


@pytest.mark.parametrize("path", ["/dashboard/", "/dashboard/none", SIGN_IN, "/dashboard/link"])
def test_every_page_carries_strict_headers(browser: Browser, path: str) -> None:
    if path != SIGN_IN:
        browser.sign_in()
    answer = browser.get(path)

    csp = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in csp
    assert "frame-ancestors 'none'" in csp
    assert "unsafe" not in csp
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Frame-Options"] == "DENY"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    # Not no-referrer: browsers would then send `Origin: null` with our own forms.
    assert answer.headers["Referrer-Policy"] == "same-origin"
    assert answer.mimetype == "text/html"
    assert not re.search(r"<script(?![^>]* src=)|<style| style=| on\w+=", answer.text)


def test_the_stylesheet_may_be_kept_for_good(browser: Browser) -> None:
    page = browser.get(SIGN_IN)
    found = re.search(r'href="([^"]+dashboard\.css[^"]*)"', page.text)
    assert found is not None

    answer = browser.get(found[1])

    assert answer.status_code == 200
    assert "immutable" in answer.headers["Cache-Control"]


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
    ],
)
@pytest.mark.parametrize("path", ["/dashboard/account/name", SIGN_IN, "/dashboard/sign-out"])
def test_a_form_from_elsewhere_is_refused_even_with_the_token(
    browser: Browser, headers: dict[str, str], path: str
) -> None:
    browser.sign_in()
    answer = browser.send(path, headers, name="Eve", email=ADA, password=PASSWORD)

    assert answer.status_code == 403
    assert "Set-Cookie" not in answer.headers
    browser.get("/dashboard/account")
    assert ">ada</a>" in browser.page.text


@pytest.mark.parametrize("route", [route for route in MATRIX if route.startswith("POST")])
def test_no_form_is_taken_without_a_token(callers: dict[str, Browser], route: str) -> None:
    browser = callers["owner"]
    browser.get("/dashboard/")
    path = re.sub(r"<[^>]+>", "none", route.removeprefix("POST ").replace("<slug>", "blog"))
    stranger = callers["viewer"]
    stranger.get("/dashboard/")
    for token in ("", ".", "nonsense", stranger.csrf(), browser.csrf()[:-1]):
        answer = browser.send(path, csrf_token=token)
        assert answer.status_code == 403, token
        assert "reload" in answer.text


def test_a_token_from_before_sign_in_is_worth_nothing_after_it(browser: Browser) -> None:
    browser.get(SIGN_IN)
    before = browser.csrf()
    browser.post(SIGN_IN, email=ADA, password=PASSWORD)

    assert browser.send("/dashboard/account/name", csrf_token=before, name="x").status_code == 403


def test_scripts_may_send_the_token_as_a_header_and_get_json(browser: Browser) -> None:
    browser.sign_in()
    headers = {"X-CSRF-Token": browser.csrf(), "Accept": "application/json"}

    answer = browser.send("/dashboard/sites/none/people", headers, csrf_token="")

    assert (answer.status_code, answer.mimetype) == (404, "application/problem+json")


def test_an_error_is_a_page_for_people(browser: Browser) -> None:
    browser.sign_in()
    answer = browser.get("/dashboard/sites/none/people")

    assert (answer.status_code, answer.mimetype) == (404, "text/html")
    assert "There is no site “none”." in answer.text
    assert "To your sites" in answer.text


def test_a_form_that_is_too_large_is_refused(browser: Browser) -> None:
    browser.sign_in()

    assert browser.send("/dashboard/account/name", name="x" * 200_000).status_code == 413


@pytest.mark.parametrize("name", ["", " ", "x" * 101, "two\nlines", "\u200b"])
def test_a_bad_name_is_shown_again_with_what_is_wrong(browser: Browser, name: str) -> None:
    browser.sign_in()
    answer = browser.post("/dashboard/account/name", name=name)

    assert answer.status_code == 422
    assert 'aria-invalid="true"' in answer.text


def test_what_people_call_themselves_is_escaped(browser: Browser) -> None:
    browser.sign_in()
    browser.post("/dashboard/account/name", name='<img src=x onerror="alert(1)">')

    assert "Your name was changed" in browser.page.text
    assert "<img" not in browser.page.text


def test_a_changed_password_keeps_this_browser_in_and_ends_all_others(browser: Browser) -> None:
    other = Browser(browser._client.application)
    other.sign_in()
    browser.sign_in()
    before = browser.cookies[COOKIE]
    answer = browser.post(
        "/dashboard/account/password", current="wrong", password="a new horse battery"
    )
    assert answer.status_code == 422

    browser.post("/dashboard/account/password", current=PASSWORD, password="a new horse battery")

    assert "Your password was changed" in browser.page.text
    assert browser.cookies[COOKIE] != before
    assert other.get("/dashboard/account").status_code == 303


def test_one_sees_ones_sessions_and_ends_another(browser: Browser) -> None:
    other = Browser(browser._client.application)
    other.sign_in()
    browser.sign_in()
    browser.get("/dashboard/account")
    (path,) = re.findall(r'action="(/dashboard/account/sessions/[^"]+/end)"', browser.page.text)

    browser.post(path)

    assert "That session was ended" in browser.page.text
    assert other.get("/dashboard/").status_code == 303
    assert browser.get("/dashboard/").status_code == 200


def test_sign_out_everywhere_ends_every_session(browser: Browser) -> None:
    other = Browser(browser._client.application)
    other.sign_in()
    browser.sign_in()

    browser.post("/dashboard/sign-out-everywhere")

    assert browser.get("/dashboard/").status_code == 303
    assert other.get("/dashboard/").status_code == 303


def test_after_many_failures_one_waits_and_is_told_how_long(browser: Browser) -> None:
    for _ in range(5):
        browser.get(SIGN_IN)
        assert browser.post(SIGN_IN, email=ADA, password="not it").status_code == 422

    answer = browser.post(SIGN_IN, email=ADA, password=PASSWORD)

    assert answer.status_code == 429
    assert answer.headers["Retry-After"] == "1"
    assert "Too many tries" in answer.text


def test_a_browser_that_was_in_before_gets_in_while_strangers_try(browser: Browser) -> None:
    browser.sign_in()
    browser.post("/dashboard/sign-out")
    stranger = Browser(browser._client.application)
    for _ in range(6):
        stranger.sign_in(password="not it")
    assert stranger.page.status_code == 429

    browser.sign_in()

    assert browser.page.request.path == "/dashboard/"


def test_a_mark_of_another_account_or_a_made_up_one_is_worth_nothing(
    browser: Browser, database: Database
) -> None:
    make_moderator(database, email="eve@example.org")
    eve = Browser(browser._client.application)
    eve.sign_in("eve@example.org")
    mark = eve.cookies[DEVICE]
    for _ in range(6):
        browser.sign_in(password="not it")
    for kept in (mark, "x.y", "", "."):
        browser.keep(DEVICE, kept)
        browser.get(SIGN_IN)
        assert browser.post(SIGN_IN, email=ADA, password=PASSWORD).status_code == 429


def test_sign_in_works_without_redis(make_app: Callable[..., flask.Flask]) -> None:
    app = make_app(REDIS_URL="redis://127.0.0.1:1/0")
    make_moderator(database_of(app))
    browser = Browser(app)
    for _ in range(5):
        browser.sign_in(password="not it")
    assert browser.post(SIGN_IN, email=ADA, password=PASSWORD).status_code == 429


def test_the_first_owner_comes_in_by_a_link_and_brings_an_address(
    app: flask.Flask, database: Database, site: SiteView
) -> None:
    with database.transaction() as session:
        made = moderators.create(session, FIRST_OWNER, site_id=site.id, role=Role.OWNER)
    token = link_token(database, lambda session: moderators.first_link(session, made))
    browser = Browser(app)
    for _ in range(2):  # to look at it does not use it
        assert browser.get(f"/dashboard/link?token={token}").status_code == 200
    answer = browser.post("/dashboard/link", token=token, email="x", name="", password="short")
    assert answer.status_code == 422
    assert answer.text.count('class="fault"') == 3

    browser.post("/dashboard/link", token=token, email=ADA, name="Ada", password=PASSWORD)

    assert "you are owner" in browser.page.text
    assert Browser(app).get(f"/dashboard/link?token={token}").status_code == 404
    other = Browser(app)
    other.sign_in()
    assert other.page.request.path == "/dashboard/"


@pytest.mark.parametrize("token", ["", "nonsense", "x" * 3000, "%00", "\ud800"])
def test_what_is_no_link_is_told_so(browser: Browser, token: str) -> None:
    assert browser.get("/dashboard/link").status_code == 404
    answer = browser._client.get(
        "/dashboard/link", query_string={"token": token.encode("utf-8", "replace")}
    )

    assert answer.status_code == 404
    assert "Ask for a new one" in answer.text


def test_a_link_that_is_too_old_is_told_so(browser: Browser, database: Database) -> None:
    token = link_token(database, lambda session: moderators.reset(session, ADA))
    with database.transaction() as session:
        session.execute(update(OneTimeLink).values(expires_at=utc_now() - timedelta(seconds=1)))

    browser.get(SIGN_IN)
    answer = browser.post("/dashboard/link", token=token, password="a new horse battery")
    assert answer.status_code == 404
    browser.sign_in()
    assert browser.page.status_code == 200


def test_a_reset_signs_in_here_and_out_everywhere_else(
    browser: Browser, database: Database
) -> None:
    browser.sign_in()
    token = link_token(database, lambda session: moderators.reset(session, ADA))
    other = Browser(browser._client.application)
    other.get(f"/dashboard/link?token={token}")

    other.post("/dashboard/link", token=token, password="a new horse battery")

    assert other.page.request.path == "/dashboard/"
    assert other.get("/dashboard/account").status_code == 200
    assert browser.get("/dashboard/").status_code == 303


def test_a_token_never_stands_in_the_log(
    browser: Browser, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    token = link_token(database, lambda session: moderators.reset(session, ADA))
    browser.get(f"/dashboard/link?token={token}")
    browser.post("/dashboard/link", token=token, password="a new horse battery")

    assert "/dashboard/link" in caplog.text
    assert token not in caplog.text
    assert browser.cookies[COOKIE] not in caplog.text


def test_an_owner_invites_and_the_link_is_shown_once(browser: Browser) -> None:
    browser.sign_in()
    browser.get("/dashboard/sites/blog/people")
    answer = browser.post("/dashboard/sites/blog/people", email="bob@example.org", role="viewer")
    assert answer.status_code == 201
    found = re.search(r'value="http://localhost:8000(/dashboard/link\?token=[^"]+)"', answer.text)
    assert found is not None
    assert "bob@example.org" in browser.get("/dashboard/sites/blog/people").text
    assert found[1] not in browser.page.text

    bob = Browser(browser._client.application)
    bob.get(found[1])
    token = found[1].partition("=")[2]
    bob.post("/dashboard/link", token=token, name="Bob", password=PASSWORD)

    assert "you are viewer" in bob.page.text
    assert bob.get("/dashboard/sites/blog/people").status_code == 403


def test_who_has_an_account_accepts_an_invitation_after_signing_in(
    browser: Browser, database: Database
) -> None:
    shop = make_site(database, "shop")
    token = link_token(
        database,
        lambda session: moderators.invite(session, shop.id, ADA, Role.VIEWER, actor=OPERATOR),
    )
    link = f"/dashboard/link?token={token}"
    page = browser.get(link)
    assert 'type="password"' not in page.text
    browser.get(SIGN_IN)
    answer = browser.post("/dashboard/link", token=token, name="Eve", password="of the inviter!")
    assert answer.headers["Location"] == SIGN_IN

    browser.sign_in()
    before = browser.cookies[COOKIE]
    browser.get(link)
    browser.post("/dashboard/link", token=token)

    assert "shop" in browser.page.text
    assert browser.cookies[COOKIE] != before


def test_an_owner_changes_roles_and_removes_but_never_the_last_owner(
    browser: Browser, database: Database, site: SiteView
) -> None:
    bob = make_moderator(database, site, Role.VIEWER, email="bob@example.org")
    browser.sign_in()
    people = "/dashboard/sites/blog/people"
    browser.get(people)
    with database.reading() as session:
        ada = moderators.find(session, ADA).id
    for path in (f"{people}/{ada}/remove", f"{people}/{ada}/role"):
        answer = browser.post(path, role="viewer")
        assert answer.status_code == 422
        assert "only owner" in answer.text

    browser.post(f"{people}/{bob}/role", role="owner")
    assert "The role was changed" in browser.page.text
    browser.post(f"{people}/{ada}/role", role="viewer")  # gives it up

    assert browser.page.request.path == "/dashboard/"
    assert browser.get(people).status_code == 403
    with database.reading() as session:
        roles = {one.email: one.role for one in moderators.members(session, site.id)}
    assert roles == {ADA: Role.VIEWER, "bob@example.org": Role.OWNER}


def test_a_withdrawn_invitation_does_not_work(
    browser: Browser, database: Database, site: SiteView
) -> None:
    token = link_token(
        database,
        lambda session: moderators.invite(
            session, site.id, "bob@example.org", Role.OWNER, actor=OPERATOR
        ),
    )
    with database.reading() as session:
        bob = moderators.find(session, "bob@example.org").id
    browser.sign_in()
    browser.get("/dashboard/sites/blog/people")

    browser.post(f"/dashboard/sites/blog/invitations/{bob}/withdraw")

    assert "does not work any more" in browser.page.text
    with database.reading() as session, pytest.raises(NotFound):
        moderators.look(session, token)


def test_an_owner_of_one_site_touches_nobody_of_another(
    browser: Browser, database: Database, site: SiteView
) -> None:
    shop = make_site(database, "shop")
    bob = make_moderator(database, shop, Role.OWNER, email="bob@example.org")
    browser.sign_in()
    browser.get("/dashboard/sites/blog/people")
    people = "/dashboard/sites/blog/people"

    assert browser.send(f"{people}/{bob}/role", role="viewer").status_code == 404
    assert browser.send(f"{people}/{bob}/remove").status_code == 404
    with database.reading() as session:
        assert [one.role for one in moderators.members(session, shop.id)] == [Role.OWNER]


def _without_ids(page: str) -> str:
    """Leave out what differs on every page: the token and the request's number."""
    page = re.sub(r'(name="csrf_token" value=")[^"]+', r"\1", page)
    return re.sub(r"req_\w+", "", page)
