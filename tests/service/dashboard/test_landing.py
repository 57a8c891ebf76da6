"""The first page: the sites of who is signed in, and how much waits on each."""

import re

import flask

from service.base.config import Settings
from service.core import moderators, sites
from service.core.moderators import Role
from service.core.sites import SiteView
from service.ledger.db import Database
from service.pure.policy import Policy
from service.pure.scoring import Scorer
from tests.browsing import Browser, make_moderator
from tests.cast import make_comments, make_site, odd_talk
from workers import classification


def test_each_card_tells_how_much_waits_and_leads_there(
    app: flask.Flask, database: Database, scorer: Scorer, settings: Settings
) -> None:
    blog, calm, foreign = (make_site(database, slug) for slug in ("blog", "calm", "foreign"))
    for site in (blog, foreign):
        _wait(database, site, scorer, settings, 3)
    make_moderator(database, blog, Role.VIEWER)
    with database.transaction() as session:
        moderators.create(session, "ada@example.org", site_id=calm.id, role=Role.OWNER)
    browser = Browser(app)
    browser.sign_in()

    cards = re.findall(r"<li>(.*?)</li>", browser.get("/dashboard/").text, re.DOTALL)

    assert [re.findall(r"<h2>(.*?)</h2>", card) for card in cards] == [[blog.name], [calm.name]]
    first, second = cards
    assert '<a href="/dashboard/sites/blog/queue"><strong>3</strong> waiting' in first
    assert "Nothing waits." in second
    assert browser.get("/dashboard/sites/blog/queue").status_code == 200


def _wait(
    database: Database, site: SiteView, scorer: Scorer, settings: Settings, many: int
) -> None:
    with database.transaction() as session:
        sites.set_policy(session, site.id, Policy(premoderation=True))
    make_comments(database, site, odd_talk(many, spam=False))
    classification.drain(database, scorer, settings)
