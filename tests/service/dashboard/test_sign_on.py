"""Signing in by the operator's OpenID provider: the whole way, and whose account it opens."""

import html
import logging
import re
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from urllib.parse import urlencode, urlsplit

import flask
import pytest
from sqlalchemy import select, update

from service.base.errors import NotFound, Unauthenticated
from service.core import audit, moderators
from service.core.changes import OPERATOR
from service.core.moderators import FIRST_OWNER, Claimed, Role, accounts, links
from service.core.moderators.tables import Identity, Moderator, UsedState
from service.core.sites import SiteView
from service.dashboard import sign_on
from service.ledger.db import Database, utc_now
from tests.browsing import PASSWORD, Browser, make_moderator
from tests.cast import make_site
from tests.conftest import database_of
from tests.provider import TestProvider, query_of, running_provider
from tests.system import free_port

ADA = "ada@example.org"
SIGN_IN = "/dashboard/sign-in"
CALLBACK = "/dashboard/sign-in/callback"
COOKIE = "hamgate-over-plain-http"
TRIP = "hamgate-sign-on-over-plain-http"
NOBODY = "Nobody here is linked to you"
LOST = "did not begin in this browser"


@pytest.fixture(scope="module")
def one_provider() -> Iterator[TestProvider]:
    with running_provider() as provider:
        yield provider


@pytest.fixture
def theirs(one_provider: TestProvider) -> TestProvider:
    """A provider at which Ada is signed in."""
    fresh = TestProvider(one_provider.issuer)
    vars(one_provider).update(vars(fresh))
    one_provider.person = {"sub": "ada-1", "email": ADA, "email_verified": True}
    return one_provider


@pytest.fixture
def app(make_app: Callable[..., flask.Flask], theirs: TestProvider) -> flask.Flask:
    return make_app(**theirs.environ())


@pytest.fixture
def database(app: flask.Flask) -> Database:
    return database_of(app)


@pytest.fixture
def site(database: Database) -> SiteView:
    return make_site(database)


@pytest.fixture
def browser(app: flask.Flask, site: SiteView) -> Browser:
    return Browser(app)


def make_newcomer(database: Database, site: SiteView, email: str = ADA) -> str:
    """Make a moderator of a site to whom nobody has signed in yet."""
    with database.transaction() as session:
        return moderators.create(session, email, site_id=site.id, role=Role.MODERATOR)


def leave(browser: Browser, path: str = f"{SIGN_IN}/provider", **form: str) -> str:
    """Press the button, and give the address to which the page goes on."""
    answer = browser.post(path, None, **form)
    assert answer.status_code == 200, answer.text
    found = re.search(r'http-equiv="refresh" content="0; url=([^"]+)"', answer.text)
    assert found is not None
    return html.unescape(found[1])


def come_back(browser: Browser, address: str) -> str:
    """Follow the provider's redirect, and our own; give the path where that ends."""
    parts = urlsplit(address)
    browser.get(f"{parts.path}?{parts.query}")
    if browser.page.status_code == 303:
        browser.get(browser.page.headers["Location"])
    return str(browser.page.request.path)


def sign_on_by(browser: Browser, theirs: TestProvider, **form: str) -> str:
    browser.get(SIGN_IN)
    return come_back(browser, theirs.visit(leave(browser, **form)))


def link(browser: Browser, theirs: TestProvider, password: str = PASSWORD) -> str:
    browser.get("/dashboard/account")
    return come_back(
        browser, theirs.visit(leave(browser, "/dashboard/account/link", present=password))
    )


def identities(database: Database) -> dict[str, str]:
    """Give the accounts that identities open, by subject."""
    with database.reading() as session:
        return {one.subject: one.moderator_id for one in session.scalars(select(Identity))}


def sessions_of(database: Database, moderator_id: str) -> int:
    with database.reading() as session:
        return len(moderators.sessions_of(session, moderator_id))


def test_the_door_is_as_before_without_a_provider(make_app: Callable[..., flask.Flask]) -> None:
    app = make_app()
    make_moderator(database_of(app))
    browser = Browser(app)
    browser.get(SIGN_IN)
    assert "Sign in with" not in browser.page.text

    assert browser.send(f"{SIGN_IN}/provider").status_code == 404
    assert browser.get(CALLBACK).status_code == 404
    browser.sign_in()
    assert "Sign in with" not in browser.get("/dashboard/account").text
    assert browser.send("/dashboard/account/link", present=PASSWORD).status_code == 404
    assert browser.send("/dashboard/account/unlink").status_code == 404


def test_an_identity_opens_the_account_it_is_linked_to_again_and_again(
    browser: Browser, database: Database, site: SiteView, theirs: TestProvider
) -> None:
    ada = make_newcomer(database, site)
    assert sign_on_by(browser, theirs) == "/dashboard/"
    assert "you are moderator" in browser.page.text
    assert identities(database) == {"ada-1": ada}
    browser.post("/dashboard/sign-out")

    theirs.person |= {"email": "ada@new.example.org", "email_verified": False}

    assert sign_on_by(browser, theirs) == "/dashboard/"
    assert "you are moderator" in browser.page.text


def test_sign_in_leads_back_to_the_page_that_asked_for_it(
    browser: Browser, database: Database, site: SiteView, theirs: TestProvider
) -> None:
    make_newcomer(database, site)
    browser.get(browser.get("/dashboard/sites/blog/history").headers["Location"])
    found = re.findall(r'name="back" value="([^"]+)"', browser.page.text)
    assert found == ["/dashboard/sites/blog/history"] * 2

    address = theirs.visit(leave(browser, back=found[0]))

    assert come_back(browser, address) == found[0]


@pytest.mark.parametrize("back", ["https://evil.example/", "//evil.example/", "/api"])
def test_sign_in_leads_nowhere_else(
    browser: Browser, database: Database, site: SiteView, theirs: TestProvider, back: str
) -> None:
    make_newcomer(database, site)

    assert sign_on_by(browser, theirs, back=back) == "/dashboard/"


def test_sign_in_ends_the_session_before_and_makes_a_new_one(
    browser: Browser, database: Database, site: SiteView, theirs: TestProvider
) -> None:
    ada = make_newcomer(database, site)
    sign_on_by(browser, theirs)
    first = browser.cookies[COOKIE]

    come_back(browser, theirs.visit(leave(browser)))

    assert browser.cookies[COOKIE] != first
    assert sessions_of(database, ada) == 1


def test_a_cookie_of_before_sign_in_is_not_taken_over(
    browser: Browser, database: Database, site: SiteView, theirs: TestProvider
) -> None:
    make_newcomer(database, site)
    browser.keep(COOKIE, "planted")
    sign_on_by(browser, theirs)

    assert browser.cookies[COOKIE] != "planted"


def test_the_way_can_only_begin_on_a_page_of_ours(browser: Browser) -> None:
    browser.get(SIGN_IN)
    path = f"{SIGN_IN}/provider"

    assert browser.send(path, {"Origin": "https://evil.example"}).status_code == 403
    assert browser.send(path, {"Sec-Fetch-Site": "cross-site"}).status_code == 403
    assert browser.send(path, csrf_token="made.up").status_code == 403
    assert browser.get(path).status_code == 303  # to the sign-in page, as from any other address
    assert TRIP not in browser.cookies


def test_an_answer_counts_only_in_the_browser_that_left(
    browser: Browser, database: Database, site: SiteView, theirs: TestProvider, app: flask.Flask
) -> None:
    """Else a stranger could sign somebody in to an account of the stranger's."""
    make_newcomer(database, site)
    browser.get(SIGN_IN)
    strangers = theirs.visit(leave(browser))

    other = Browser(app)
    other.get(SIGN_IN)
    come_back(other, strangers)
    assert LOST in other.page.text
    assert other.get("/dashboard/").status_code == 303

    other.get(SIGN_IN)
    leave(other)
    come_back(other, strangers)
    assert LOST in other.page.text
    assert "/token" not in theirs.asked


@pytest.mark.parametrize("state", ["forged", "", None, "\u00e9\x00"])
def test_a_forged_state_is_refused_and_redeems_no_code(
    browser: Browser, database: Database, site: SiteView, theirs: TestProvider, state: str | None
) -> None:
    make_newcomer(database, site)
    browser.get(SIGN_IN)
    query = query_of(theirs.visit(leave(browser)))
    forged = {**query, "state": state} if state is not None else {"code": query["code"]}

    come_back(browser, f"{CALLBACK}?{urlencode(forged)}")

    assert LOST in browser.page.text
    assert browser.get("/dashboard/").status_code == 303
    assert "/token" not in theirs.asked


@pytest.mark.parametrize("change", ["text", "mac", "all"])
def test_a_cookie_that_was_changed_is_refused(
    browser: Browser, database: Database, site: SiteView, theirs: TestProvider, change: str
) -> None:
    make_newcomer(database, site)
    browser.get(SIGN_IN)
    address = theirs.visit(leave(browser))
    text, _, mac = browser.cookies[TRIP].partition(".")
    browser.keep(TRIP, {"text": f"x{text}.{mac}", "mac": f"{text}.{mac[:-1]}", "all": "é"}[change])

    come_back(browser, address)

    assert LOST in browser.page.text
    assert "/token" not in theirs.asked


def test_what_is_signed_for_something_else_is_no_way_back(
    browser: Browser, app: flask.Flask, theirs: TestProvider
) -> None:
    browser.get(SIGN_IN)
    address = theirs.visit(leave(browser))
    text = browser.cookies[TRIP].partition(".")[0]
    browser.keep(TRIP, f"{text}.{app.extensions['hamgate'].access.mac('hamgate csrf', text)}")

    come_back(browser, address)

    assert LOST in browser.page.text


def test_a_way_back_is_gone_once_even_by_who_copied_the_cookie(
    browser: Browser, database: Database, site: SiteView, theirs: TestProvider, app: flask.Flask
) -> None:
    make_newcomer(database, site)
    browser.get(SIGN_IN)
    address = theirs.visit(leave(browser))
    copied = browser.cookies[TRIP]
    assert come_back(browser, address) == "/dashboard/"
    assert TRIP not in browser.cookies
    asked = theirs.asked.count("/token")

    thief = Browser(app)
    thief.keep(TRIP, copied)
    come_back(thief, address)

    assert "was used before" in thief.page.text
    assert thief.get("/dashboard/").status_code == 303
    assert theirs.asked.count("/token") == asked


def test_a_way_is_good_for_ten_minutes(
    browser: Browser, database: Database, theirs: TestProvider, app: flask.Flask
) -> None:
    way = moderators.Way.begin()
    with app.test_request_context():
        late = sign_on._signed(sign_on._Trip(way, None, None, utc_now() - timedelta(seconds=1)))
    browser.keep(TRIP, late)

    come_back(browser, f"{CALLBACK}?state={way.state}&code=any&iss={theirs.issuer}")

    assert LOST in browser.page.text
    assert "/token" not in theirs.asked


def test_used_ways_are_forgotten_when_they_would_not_be_good_any_more(database: Database) -> None:
    now = utc_now()
    old, new = moderators.Way.begin(), moderators.Way.begin()
    with database.transaction() as session:
        moderators.use_up(session, old, now + timedelta(minutes=10), now=now)
    with database.transaction() as session, pytest.raises(Unauthenticated):
        moderators.use_up(session, old, now + timedelta(minutes=10), now=now)
    with database.transaction() as session:
        moderators.use_up(
            session, new, now + timedelta(minutes=20), now=now + timedelta(minutes=10)
        )

    with database.reading() as session:
        assert len(session.scalars(select(UsedState)).all()) == 1


def test_a_way_is_bound_to_https_and_kept_from_scripts(
    make_app: Callable[..., flask.Flask], theirs: TestProvider
) -> None:
    browser = Browser(
        make_app(**theirs.environ(), HAMGATE_URL="https://comments.example.org"),
        origin="https://comments.example.org",
    )
    browser.get(SIGN_IN)

    address = leave(browser)

    cookie = next(line for line in browser.page.headers.getlist("Set-Cookie") if "sign-on" in line)
    assert cookie.startswith("__Host-hamgate-sign-on=")
    assert {"Secure", "HttpOnly", "SameSite=Lax", "Path=/", "Max-Age=600"} <= set(
        cookie.split("; ")
    )
    assert query_of(address)["redirect_uri"] == f"https://comments.example.org{CALLBACK}"


# Whose account a provider's word opens.


def test_nobody_unknown_gets_an_account(
    browser: Browser, database: Database, theirs: TestProvider
) -> None:
    sign_on_by(browser, theirs)

    assert NOBODY in browser.page.text
    assert identities(database) == {}
    with database.reading() as session:
        assert session.scalars(select(Moderator)).all() == []


def password_in_use(database: Database, site: SiteView, theirs: TestProvider) -> None:
    make_moderator(database, site)


def removed(database: Database, site: SiteView, theirs: TestProvider) -> None:
    ada = make_newcomer(database, site)
    with database.transaction() as session:
        moderators.close(session, ada)


def unverified(database: Database, site: SiteView, theirs: TestProvider) -> None:
    make_newcomer(database, site)
    theirs.person["email_verified"] = False


def verified_in_words(database: Database, site: SiteView, theirs: TestProvider) -> None:
    make_newcomer(database, site)
    theirs.person["email_verified"] = "true"


def another_letter(database: Database, site: SiteView, theirs: TestProvider) -> None:
    """One folded form, two mailboxes."""
    make_newcomer(database, site, "strasse@example.org")
    theirs.person["email"] = "straße@example.org"


def of_another_identity(database: Database, site: SiteView, theirs: TestProvider) -> None:
    ada = make_newcomer(database, site)
    with database.transaction() as session:
        session.add(
            Identity(
                issuer="https://before.example",
                subject="ada",
                moderator_id=ada,
                created_at=utc_now(),
            )
        )


def first_owner(database: Database, site: SiteView, theirs: TestProvider) -> None:
    make_newcomer(database, site, FIRST_OWNER)
    theirs.person["email"] = FIRST_OWNER


@pytest.mark.parametrize(
    "case",
    [password_in_use, removed, unverified, verified_in_words, another_letter,
     of_another_identity, first_owner],
)  # fmt: skip
def test_an_address_alone_opens_no_account_that_it_must_not(
    browser: Browser,
    database: Database,
    site: SiteView,
    theirs: TestProvider,
    case: Callable[[Database, SiteView, TestProvider], None],
) -> None:
    case(database, site, theirs)

    sign_on_by(browser, theirs)

    assert "ada-1" not in identities(database)
    assert NOBODY in browser.page.text  # and the same for all of them
    assert browser.get("/dashboard/").status_code == 303


def test_addresses_that_differ_in_capitals_are_one(
    browser: Browser, database: Database, site: SiteView, theirs: TestProvider
) -> None:
    make_newcomer(database, site)
    theirs.person["email"] = "Ada@Example.ORG"

    assert sign_on_by(browser, theirs) == "/dashboard/"


def test_a_second_identity_with_the_same_address_opens_nothing(
    browser: Browser, database: Database, site: SiteView, theirs: TestProvider, app: flask.Flask
) -> None:
    make_newcomer(database, site)
    sign_on_by(browser, theirs)
    theirs.person["sub"] = "another"
    other = Browser(app)

    sign_on_by(other, theirs)

    assert NOBODY in other.page.text
    assert list(identities(database)) == ["ada-1"]


def test_an_identity_opens_a_removed_account_no_longer(
    browser: Browser, database: Database, site: SiteView, theirs: TestProvider
) -> None:
    ada = make_newcomer(database, site)
    sign_on_by(browser, theirs)
    with database.transaction() as session:
        moderators.close(session, ada)

    sign_on_by(browser, theirs)

    assert NOBODY in browser.page.text
    assert identities(database) == {}


def test_an_identity_opens_no_disabled_account(
    browser: Browser, database: Database, site: SiteView, theirs: TestProvider
) -> None:
    ada = make_newcomer(database, site)
    sign_on_by(browser, theirs)
    with database.transaction() as session:
        session.execute(update(Moderator).where(Moderator.id == ada).values(disabled_at=utc_now()))

    sign_on_by(browser, theirs)

    assert NOBODY in browser.page.text


def invite(database: Database, site: SiteView, email: str = ADA) -> str:
    with database.transaction() as session:
        return moderators.invite(session, site.id, email, Role.MODERATOR, actor=OPERATOR)


def test_who_is_invited_signs_in_by_the_provider_and_accepts(
    browser: Browser, database: Database, site: SiteView, theirs: TestProvider
) -> None:
    token = invite(database, site)
    page = f"/dashboard/link?token={token}"
    browser.get(page)
    assert "Sign in with Parish ID" in browser.page.text

    assert come_back(browser, theirs.visit(leave(browser, back=page))) == "/dashboard/link"
    browser.post("/dashboard/link", token=token)

    assert "you are moderator" in browser.page.text


def test_signing_in_accepts_no_invitation(
    browser: Browser, database: Database, site: SiteView, theirs: TestProvider
) -> None:
    invite(database, site)

    sign_on_by(browser, theirs)

    assert browser.get("/dashboard/sites/blog/queue").status_code == 404


def test_an_invitation_gives_nobody_an_account_that_an_identity_opens(
    browser: Browser, database: Database, site: SiteView, theirs: TestProvider, app: flask.Flask
) -> None:
    """Else an owner could take over a colleague's account by inviting their address."""
    make_newcomer(database, site)
    sign_on_by(browser, theirs)
    token = invite(database, make_site(database, "shop"))
    owner = Browser(app)
    owner.get(f"/dashboard/link?token={token}")
    assert "Sign in to accept" in owner.page.text

    owner.get(SIGN_IN)
    answer = owner.send("/dashboard/link", token=token, password=PASSWORD, name="Eve")

    assert answer.status_code in (303, 401)
    assert owner.get("/dashboard/").status_code == 303
    with pytest.raises(Unauthenticated):
        moderators.accept(database, token, password=PASSWORD, name="Eve")
    with pytest.raises(Unauthenticated):
        moderators.sign_in(database, ADA, PASSWORD, network="192.0.2.1")


def test_links_to_set_a_password_end_when_an_identity_opens_the_account(
    browser: Browser, database: Database, site: SiteView, theirs: TestProvider
) -> None:
    ada = make_newcomer(database, site)
    with database.transaction() as session:
        tokens = [moderators.first_link(session, ada), moderators.reset(session, ADA)]

    sign_on_by(browser, theirs)

    with database.transaction() as session:
        assert moderators.first_link(session, ada) is None
    for token in tokens:
        assert browser.get(f"/dashboard/link?token={token}").status_code == 404


def test_an_operators_reset_gives_a_password_to_who_has_none(
    browser: Browser, database: Database, site: SiteView, theirs: TestProvider
) -> None:
    make_newcomer(database, site)
    sign_on_by(browser, theirs)
    assert "You have none" in browser.get("/dashboard/account").text
    with database.transaction() as session:
        token = moderators.reset(session, ADA)

    moderators.accept(database, token, password=PASSWORD)

    assert browser.sign_in().headers["Location"] == "/dashboard/"


def test_a_reset_shuts_out_whoever_linked_an_identity_before(
    browser: Browser, database: Database, site: SiteView, theirs: TestProvider
) -> None:
    """Else a thief of a password would keep the account by an identity of the thief's."""
    ada = make_moderator(database, site)
    browser.sign_in()
    link(browser, theirs)
    with database.transaction() as session:
        token = moderators.reset(session, ADA)

    moderators.accept(database, token, password="another horse, another staple")

    assert browser.get("/dashboard/").status_code == 303
    sign_on_by(browser, theirs)
    assert NOBODY in browser.page.text
    assert identities(database) == {}
    assert changes_of(database, site, f"provider of moderator:{ada}")[-1][2] is None


@pytest.mark.parametrize("end", ["remove", "unlink"])
def test_an_account_that_is_ending_opens_no_session(
    database: Database, site: SiteView, end: str
) -> None:
    ada = make_moderator(database, site)
    cookie = moderators.sign_in(database, ADA, PASSWORD, network="192.0.2.1")
    who = moderators.session_of(database, cookie)
    assert who is not None
    claimed = Claimed("https://id.example.org", "ada-1", ADA)
    moderators.link(database, who, claimed)
    refused: list[Unauthenticated] = []

    def sign_in() -> None:
        try:
            moderators.sign_in_as(database, claimed)
        except Unauthenticated as error:
            refused.append(error)

    slower = threading.Thread(target=sign_in)
    with database.transaction() as session:
        if end == "remove":
            moderators.close(session, ada)
        else:
            accounts.drop_identities(session, ada, actor=OPERATOR)
            moderators.sign_out_everywhere(session, ada)
        slower.start()
        slower.join(0.5)  # by now it waits, or has found nothing
    slower.join()

    assert len(refused) == 1
    assert sessions_of(database, ada) == 0


def test_an_account_gets_a_password_or_an_identity_first_and_not_both(
    database: Database, site: SiteView
) -> None:
    ada = make_newcomer(database, site)
    with database.transaction() as session:
        token = moderators.first_link(session, ada)
    assert token is not None
    refused: list[Unauthenticated | NotFound] = []

    def accept() -> None:
        try:
            moderators.accept(database, token, password=PASSWORD, name="Eve")
        except (Unauthenticated, NotFound) as error:
            refused.append(error)

    slower = threading.Thread(target=accept)
    with database.transaction() as session:
        assert not links.is_in_use(session, ada, lock=True)
        slower.start()
        slower.join(0.5)  # by now it has seen that nobody uses the account, and waits
        session.add(Identity(issuer="i", subject="s", moderator_id=ada, created_at=utc_now()))
    slower.join()

    assert len(refused) == 1
    with database.reading() as session:
        assert not moderators.find(session, ADA).has_password


# Linking and unlinking by who is signed in.


def test_who_is_signed_in_links_an_account_whatever_the_address_is(
    browser: Browser, database: Database, site: SiteView, theirs: TestProvider, app: flask.Flask
) -> None:
    ada = make_moderator(database, site)
    theirs.person |= {"email": "private@elsewhere.example", "email_verified": False}
    browser.sign_in()
    before = browser.cookies[COOKIE]

    assert link(browser, theirs) == "/dashboard/account"

    assert "It opens your account since" in browser.page.text
    assert identities(database) == {"ada-1": ada}
    assert browser.cookies[COOKIE] != before
    assert sessions_of(database, ada) == 1
    other = Browser(app)
    assert sign_on_by(other, theirs) == "/dashboard/"


def test_linking_asks_for_the_password(browser: Browser, database: Database) -> None:
    make_moderator(database)
    browser.sign_in()
    browser.get("/dashboard/account")

    answer = browser.post("/dashboard/account/link", present="not the password")

    assert answer.status_code == 422
    assert "This is not your present password." in answer.text
    assert TRIP not in browser.cookies


def test_linking_can_only_begin_on_a_page_of_ours(browser: Browser, database: Database) -> None:
    """Else a page elsewhere could link its own identity to somebody's account."""
    make_moderator(database)
    browser.sign_in()
    browser.get("/dashboard/account")
    for path in ("/dashboard/account/link", "/dashboard/account/unlink"):
        answer = browser.send(path, csrf_token="made.up", present=PASSWORD)
        assert answer.status_code == 403
        assert browser.send(path, {"Sec-Fetch-Site": "cross-site"}).status_code == 403


def test_a_way_to_link_leads_only_to_the_session_in_which_it_began(
    browser: Browser, database: Database, site: SiteView, theirs: TestProvider
) -> None:
    make_moderator(database, site)
    bob = make_moderator(database, site, email="bob@example.org")
    browser.sign_in()
    browser.get("/dashboard/account")
    address = theirs.visit(leave(browser, "/dashboard/account/link", present=PASSWORD))
    browser.get("/dashboard/account")
    browser.post("/dashboard/sign-out")
    browser.sign_in("bob@example.org")

    come_back(browser, address)

    assert LOST in browser.page.text
    assert bob not in identities(database).values()


def test_a_way_to_link_ends_with_the_session_in_which_it_began(
    browser: Browser, database: Database, site: SiteView, theirs: TestProvider
) -> None:
    """Though the same person signs in again: who does may be another one at the same desk."""
    make_moderator(database, site)
    browser.sign_in()
    browser.get("/dashboard/account")
    address = theirs.visit(leave(browser, "/dashboard/account/link", present=PASSWORD))
    browser.get("/dashboard/account")
    browser.post("/dashboard/sign-out")
    browser.sign_in()

    come_back(browser, address)

    assert LOST in browser.page.text
    assert "/token" not in theirs.asked
    assert identities(database) == {}


def test_a_way_to_link_that_is_finished_by_nobody_signs_nobody_in(
    browser: Browser, database: Database, site: SiteView, theirs: TestProvider
) -> None:
    ada = make_moderator(database, site)
    browser.sign_in()
    browser.get("/dashboard/account")
    address = theirs.visit(leave(browser, "/dashboard/account/link", present=PASSWORD))
    browser.get("/dashboard/account")
    browser.post("/dashboard/sign-out")

    come_back(browser, address)

    assert LOST in browser.page.text
    assert identities(database) == {}
    assert sessions_of(database, ada) == 0


def test_a_session_that_ends_before_the_link_is_made_gets_none(
    database: Database, site: SiteView
) -> None:
    ada = make_moderator(database, site)
    cookie = moderators.sign_in(database, ADA, PASSWORD, network="192.0.2.1")
    who = moderators.session_of(database, cookie)
    assert who is not None
    with database.transaction() as session:
        moderators.sign_out_everywhere(session, ada)

    with pytest.raises(Unauthenticated):
        moderators.link(database, who, Claimed("i", "s", None))

    assert identities(database) == {}
    assert sessions_of(database, ada) == 0


def test_the_history_of_each_site_of_theirs_tells_of_link_and_unlink(
    browser: Browser, database: Database, site: SiteView, theirs: TestProvider
) -> None:
    ada = make_moderator(database, site, Role.OWNER)
    shop = make_site(database, "shop")
    other = make_site(database, "not-hers")
    with database.transaction() as session:
        moderators.create(session, ADA, site_id=shop.id, role=Role.VIEWER)
    browser.sign_in()

    link(browser, theirs)
    browser.post("/dashboard/account/unlink")

    actor, said = f"moderator:{ada}", f"provider of moderator:{ada}"
    for one in (site, shop):
        assert changes_of(database, one, said) == [
            (actor, None, theirs.issuer),
            (actor, theirs.issuer, None),
        ]
    assert changes_of(database, other, said) == []
    assert "provider of ada" in browser.get("/dashboard/sites/blog/history").text


def test_the_history_tells_of_a_first_sign_in_and_of_the_end_of_an_account(
    browser: Browser, database: Database, site: SiteView, theirs: TestProvider
) -> None:
    ada = make_newcomer(database, site)
    sign_on_by(browser, theirs)
    with database.transaction() as session:
        moderators.close(session, ada)

    assert changes_of(database, site, f"provider of moderator:{ada}") == [
        (f"moderator:{ada}", None, theirs.issuer),
        (OPERATOR, theirs.issuer, None),
    ]


def changes_of(
    database: Database, site: SiteView, setting: str
) -> list[tuple[str, object, object]]:
    with database.reading() as session:
        found = audit.settings(session, site.id)
    return [(one.actor, one.before, one.after) for one in reversed(found) if one.subject == setting]


def test_an_identity_opens_one_account_and_an_account_has_one_of_a_provider(
    browser: Browser, database: Database, site: SiteView, theirs: TestProvider
) -> None:
    ada = make_moderator(database, site)
    make_moderator(database, site, email="bob@example.org")
    browser.sign_in()
    link(browser, theirs)
    browser.post("/dashboard/sign-out")

    browser.sign_in("bob@example.org")
    link(browser, theirs)
    assert "is linked already" in browser.page.text

    browser.post("/dashboard/sign-out")
    browser.sign_in()
    theirs.person["sub"] = "ada-2"
    link(browser, theirs)
    assert "is linked already" in browser.page.text
    assert identities(database) == {"ada-1": ada}


def test_unlinking_ends_what_the_provider_opened(
    browser: Browser, database: Database, site: SiteView, theirs: TestProvider, app: flask.Flask
) -> None:
    ada = make_moderator(database, site)
    browser.sign_in()
    link(browser, theirs)
    other = Browser(app)
    sign_on_by(other, theirs)

    browser.post("/dashboard/account/unlink")

    assert "It opens your account no longer" in browser.page.text
    assert identities(database) == {}
    assert sessions_of(database, ada) == 1
    assert other.get("/dashboard/").status_code == 303
    sign_on_by(other, theirs)
    assert NOBODY in other.page.text


def test_who_has_no_password_cannot_lock_themselves_out(
    browser: Browser, database: Database, site: SiteView, theirs: TestProvider
) -> None:
    ada = make_newcomer(database, site)
    sign_on_by(browser, theirs)
    assert "Unlink" not in browser.get("/dashboard/account").text

    answer = browser.post("/dashboard/account/unlink")

    assert answer.status_code == 422
    assert identities(database) == {"ada-1": ada}


# What the provider gets wrong.


def test_a_no_at_the_provider_is_told_in_plain_words(
    browser: Browser, database: Database, theirs: TestProvider
) -> None:
    browser.get(SIGN_IN)
    state = query_of(leave(browser))["state"]

    come_back(browser, f"{CALLBACK}?error=access_denied&state={state}")

    assert "You were not signed in with Parish ID: you said no there, or it did." in (
        browser.page.text
    )
    assert "/token" not in theirs.asked


def test_an_error_of_the_provider_is_logged_on_one_line_and_not_shown(
    browser: Browser, theirs: TestProvider, caplog: pytest.LogCaptureFixture
) -> None:
    browser.get(SIGN_IN)
    query = {"state": query_of(leave(browser))["state"], "error": "<b>odd\nINFO forged</b>"}

    with caplog.at_level(logging.INFO, "service"):
        come_back(browser, f"{CALLBACK}?{urlencode(query)}")

    assert browser.page.status_code == 502
    assert "Signing in with Parish ID did not work." in browser.page.text
    assert "odd" not in browser.page.text
    (line,) = (one.getMessage() for one in caplog.records if "odd" in one.getMessage())
    assert "\n" not in line


def test_an_id_token_that_is_not_believed_signs_nobody_in(
    browser: Browser,
    database: Database,
    site: SiteView,
    theirs: TestProvider,
    caplog: pytest.LogCaptureFixture,
) -> None:
    ada = make_newcomer(database, site)
    theirs.lie = lambda claims: {**claims, "nonce": "another"}

    with caplog.at_level(logging.INFO, "service"):
        browser.get(SIGN_IN)
        address = theirs.visit(leave(browser))
        come_back(browser, address)

    assert browser.page.status_code == 502
    assert sessions_of(database, ada) == 0
    assert identities(database) == {}
    said = "\n".join(one.getMessage() for one in caplog.records if one.name != "werkzeug")
    assert "nonce" in said
    assert not any(query_of(address)[name] in said for name in ("code", "state"))


def test_a_provider_that_is_down_leaves_the_password_as_a_way_in(
    make_app: Callable[..., flask.Flask], theirs: TestProvider
) -> None:
    gone = f"http://127.0.0.1:{free_port()}"
    app = make_app(**{**theirs.environ(), "HAMGATE_OIDC_ISSUER": gone})
    make_moderator(database_of(app))
    browser = Browser(app)
    browser.get(SIGN_IN)

    answer = browser.post(f"{SIGN_IN}/provider", back="/dashboard/account")

    assert answer.status_code == 502
    assert "Signing in with Parish ID did not work." in answer.text
    assert gone not in answer.text
    assert 'name="back" value="/dashboard/account"' in answer.text
    assert browser.post(SIGN_IN, email=ADA, password=PASSWORD).status_code == 303
    browser.get("/dashboard/account")
    assert browser.post("/dashboard/account/link", present=PASSWORD).status_code == 502
    assert "Your account" in browser.page.text
