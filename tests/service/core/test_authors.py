"""Trust in authors: it needs a verified address and a browser that proved it, and can be lost."""

from datetime import timedelta

import flask
import pytest
from flask.testing import FlaskClient

from service.base.config import Settings
from service.core import authors, sites
from service.core.moderators import Role
from service.core.sites import SiteView
from service.ledger.db import Database, utc_now
from service.pure.policy import Policy, Status
from service.pure.scoring import Scorer
from service.pure.seals import Seals
from tests.browsing import Browser, make_moderator
from tests.cast import (
    HAM,
    SPAM,
    bearer,
    decisions_by_comment,
    json_of,
    make_body,
    make_comment,
    make_key,
    make_site,
    make_verified_author,
    post,
    status_of,
)
from workers import classification

EMAIL = "ada@example.org"


@pytest.fixture
def site(database: Database, scorer: Scorer, settings: Settings) -> SiteView:
    """A site on which Ada is verified and was approved before."""
    made = make_site(database)
    make_comment(database, made, body=HAM)
    classification.drain(database, scorer, settings)
    make_verified_author(database, made, EMAIL)
    return made


@pytest.fixture
def seals(settings: Settings) -> Seals:
    return Seals(settings.signing_key())


@pytest.fixture
def token(seals: Seals, site: SiteView) -> str:
    return seals.author(site.id, EMAIL, utc_now())


@pytest.fixture
def rule_of(
    client: FlaskClient, database: Database, scorer: Scorer, settings: Settings
) -> "RuleOf":
    return RuleOf(client, database, scorer, settings)


class RuleOf:
    """Submits what is spam from anybody else, and gives the rule that decided."""

    def __init__(
        self, client: FlaskClient, database: Database, scorer: Scorer, settings: Settings
    ) -> None:
        self._client, self._database = client, database
        self._scorer, self._settings = scorer, settings

    def __call__(self, token: str | None, slug: str = "blog", email: str = EMAIL) -> str | None:
        sent = make_body(body=SPAM, email=email, author_token=token)
        made = json_of(post(self._client, sent, slug))["id"]
        classification.drain(self._database, self._scorer, self._settings)
        return decisions_by_comment(self._database)[made][-1].rule


def test_whoever_holds_the_token_is_known_and_whoever_types_the_address_is_not(
    rule_of: RuleOf, token: str
) -> None:
    assert rule_of(token) == "known_author"
    assert rule_of(None) == "spam_score"


def test_a_token_counts_for_its_own_address_and_site_alone(
    rule_of: RuleOf, token: str, database: Database, scorer: Scorer, settings: Settings
) -> None:
    other = make_site(database, "other")
    for site, email in ((other, EMAIL), (other, "eve@example.org")):
        make_comment(database, site, body=HAM, email=email, email_normalised=email)
        make_verified_author(database, site, email)
    classification.drain(database, scorer, settings)

    assert rule_of(token, "other") == "spam_score"
    assert rule_of(token, "other", "eve@example.org") == "spam_score"
    assert rule_of(token, email="Ada@example.org") == "spam_score"


@pytest.mark.parametrize(
    "garbage",
    [
        "aut_",
        "aut_.",
        "aut_1",
        "aut_-1.x",
        "aut_１.x",
        "rcp_x",
        "x" * 100,
        "aut_" + "9" * 80 + ".x",
    ],
)
def test_a_token_that_is_none_is_as_if_it_were_not_there(
    rule_of: RuleOf, site: SiteView, garbage: str
) -> None:
    assert rule_of(garbage) == "spam_score"


def test_a_tokens_time_cannot_be_changed(rule_of: RuleOf, token: str) -> None:
    prefix, _, mac = token.partition(".")

    assert rule_of(f"aut_{int(prefix[4:]) + 1}.{mac}") == "spam_score"


def test_a_token_is_good_for_a_year(rule_of: RuleOf, seals: Seals, site: SiteView) -> None:
    assert rule_of(seals.author(site.id, EMAIL, utc_now() - authors.PROOF_LASTS)) == "spam_score"


def test_a_token_of_an_address_that_is_not_verified_gives_nothing(
    rule_of: RuleOf, seals: Seals, database: Database
) -> None:
    site = make_site(database)

    assert rule_of(seals.author(site.id, EMAIL, utc_now())) == "spam_score"


def test_a_token_from_before_the_verification_gives_nothing(
    rule_of: RuleOf, seals: Seals, site: SiteView
) -> None:
    assert rule_of(seals.author(site.id, EMAIL, utc_now() - timedelta(days=2))) == "spam_score"


def test_a_program_with_a_key_passes_its_visitors_token_on_and_sees_whether_it_counted(
    client: FlaskClient, database: Database, site: SiteView, token: str
) -> None:
    headers = bearer(make_key(database, site))
    path = "/api/v1/sites/blog/comments"
    for given, proven in ((token, True), (None, False)):
        made = json_of(client.post(path, json=make_body(author_token=given), headers=headers))
        seen = json_of(client.get(f"/api/v1/comments/{made['id']}", headers=headers))
        assert seen["signals"]["email_proven"] is proven
        assert "author_token" not in seen


def test_a_moderator_takes_trust_away_and_the_author_cannot_bring_it_back(
    app: flask.Flask, rule_of: RuleOf, database: Database, site: SiteView, token: str, seals: Seals
) -> None:
    make_moderator(database, site, Role.MODERATOR, email="mo@example.org")
    browser = Browser(app)
    browser.sign_in("mo@example.org")
    comment = make_comment(database, site)
    page = f"/dashboard/sites/blog/comments/{comment}"
    assert "ada@example.org, verified, not proven by this comment" in browser.get(page).text

    browser.post(f"{page}/author", trust="take")

    assert "ada@example.org, distrusted" in browser.page.text
    assert rule_of(token) == "spam_score"
    with database.transaction() as session:
        assert not authors.verify(session, site.id, EMAIL, utc_now())
    assert rule_of(seals.author(site.id, EMAIL, utc_now())) == "spam_score"
    history = browser.get("/dashboard/sites/blog/history").text
    assert f"author of {comment}" in history
    assert EMAIL not in history


def test_who_is_pardoned_confirms_anew_and_older_tokens_stay_void(
    app: flask.Flask, rule_of: RuleOf, database: Database, site: SiteView, token: str, seals: Seals
) -> None:
    make_moderator(database, site, Role.MODERATOR, email="mo@example.org")
    browser = Browser(app)
    browser.sign_in("mo@example.org")
    page = f"/dashboard/sites/blog/comments/{make_comment(database, site)}"
    browser.get(page)
    browser.post(f"{page}/author", trust="take")

    browser.post(f"{page}/author", trust="give")

    assert "Trust no longer" not in browser.page.text
    assert rule_of(token) == "spam_score"
    later = utc_now() + timedelta(seconds=2)
    with database.transaction() as session:
        assert authors.verify(session, site.id, EMAIL, later)
    assert rule_of(token) == "spam_score"
    assert rule_of(seals.author(site.id, EMAIL, later)) == "known_author"


def test_a_ban_overrules_trust(
    rule_of: RuleOf, token: str, database: Database, site: SiteView
) -> None:
    with database.transaction() as session:
        sites.set_policy(session, site.id, Policy(banned_emails=(EMAIL,)))

    assert rule_of(token) == "banned"


def test_nothing_else_than_take_and_give_is_understood(
    app: flask.Flask, database: Database, site: SiteView
) -> None:
    make_moderator(database, site, Role.MODERATOR, email="mo@example.org")
    browser = Browser(app)
    browser.sign_in("mo@example.org")
    comment = make_comment(database, site)
    browser.get(f"/dashboard/sites/blog/comments/{comment}")

    answer = browser.send(f"/dashboard/sites/blog/comments/{comment}/author", trust="all")

    assert answer.status_code == 422
    assert status_of(database, comment) is Status.PENDING
