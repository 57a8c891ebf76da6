"""The history: every change of a decision, a setting or a model, in order, and as a file."""

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
from flask.testing import FlaskClient

from classifier.structure import FACTS
from service.base.config import Settings
from service.core import audit, moderation, moderators, sites
from service.core.changes import OPERATOR
from service.core.moderators import Role
from service.core.sites import Scope, SiteView
from service.judgement import versions
from service.ledger.db import Database, utc_now
from service.pure.policy import Policy, Status
from service.pure.scoring import Scorer, Tuning
from tests.cast import HAM, decide, make_comment, make_comments, make_site, odd_talk
from workers import classification

PASSWORD = "a long and quiet sentence about lanterns"


@pytest.fixture
def site(database: Database) -> SiteView:
    return make_site(database)


def sign_in(client: FlaskClient, database: Database, site: SiteView, role: Role) -> None:
    with database.transaction() as session:
        moderator = moderators.create(session, "ann@x.org", site_id=site.id, role=role)
        token = moderators.first_link(session, moderator)
    assert token is not None
    cookie = moderators.accept(database, token, password=PASSWORD, name="Ann")
    client.set_cookie("hamgate-over-plain-http", cookie)


def test_decisions_are_listed_newest_first_with_who_and_why(
    database: Database, scorer: Scorer, settings: Settings, site: SiteView
) -> None:
    comment = make_comment(database, site, body=HAM)
    classification.drain(database, scorer, settings)
    decide(database, [comment], Status.SPAM, "moderator:m1", act_id="act_1")

    with database.reading() as session:
        people = audit.decisions(session, site.id)
        everybody = audit.decisions(session, site.id, people_only=False)

    (mine,) = people
    assert (mine.actor, mine.before, mine.after, mine.reason, mine.act_id) == (
        "moderator:m1", "approved", "spam", "said so", "act_1",
    )  # fmt: skip
    assert mine.about == f"Ada: {HAM}"
    assert [one.actor for one in everybody] == ["moderator:m1", "policy"]


def test_what_was_undone_cannot_be_undone_again(
    database: Database, scorer: Scorer, settings: Settings, site: SiteView
) -> None:
    comment = make_comment(database, site, body=HAM)
    classification.drain(database, scorer, settings)
    decide(database, [comment], Status.SPAM, "moderator:m1", act_id="act_1")
    with database.transaction() as session:
        moderation.undo(session, site.id, "act_1", "moderator:m1")

    with database.reading() as session:
        found = audit.decisions(session, site.id)

    assert [(one.reason, one.act_id) for one in found] == [("undone", None), ("said so", None)]


def test_pages_of_decisions_follow_each_other(
    database: Database, scorer: Scorer, settings: Settings, site: SiteView
) -> None:
    make_comments(database, site, odd_talk(7, spam=False))
    classification.drain(database, scorer, settings)
    seen: list[str] = []
    before = None
    with database.reading() as session:
        while page := audit.decisions(session, site.id, people_only=False, before=before, most=3):
            seen += [one.subject for one in page]
            before = page[-1].id

    assert len(seen) == len(set(seen)) == 7


def test_each_setting_that_changes_is_noted_with_before_and_after(
    database: Database, site: SiteView
) -> None:
    with database.transaction() as session:
        sites.set_policy(session, site.id, Policy(max_links=5, blocked_words=("x",)))
        sites.set_policy(session, site.id, Policy(max_links=5), actor="moderator:m1")

    with database.reading() as session:
        found = audit.settings(session, site.id)

    assert {(one.actor, one.subject, str(one.before), str(one.after)) for one in found} == {
        ("operator", "max_links", "3", "5"),
        ("operator", "blocked_words", "[]", "['x']"),
        ("moderator:m1", "blocked_words", "['x']", "[]"),
    }


def test_a_change_of_the_model_is_part_of_it(database: Database, site: SiteView) -> None:
    tuning = Tuning(
        columns=np.array([1], dtype=np.int64),
        weights=np.array([0.5], dtype=np.float32),
        facts=np.zeros(len(FACTS)),
        base=1.0,
        offset=0.0,
        ham=8,
        spam=8,
        model_version="shipped",
    )
    with database.transaction() as session:
        versions.add(session, site.id, tuning, {}, utc_now())
        versions.promote(session, site.id, 1, actor="training", reason="better")

    with database.reading() as session:
        (one,) = audit.settings(session, site.id)

    assert (one.kind, one.before, one.after, one.reason) == ("model", 0, 1, "better")


def test_keys_are_part_of_it(database: Database, site: SiteView) -> None:
    with database.transaction() as session:
        key = sites.create_key(session, site.id, {Scope.SUBMIT})
        key_id = sites.authenticate(session, key).id
        sites.revoke_key(session, site.id, key_id, actor="moderator:m1")

    with database.reading() as session:
        found = audit.settings(session, site.id)

    assert [(one.actor, one.subject, one.before, one.after) for one in found] == [
        ("moderator:m1", f"key {key_id}", ["submit"], None),
        ("operator", f"key {key_id}", None, ["submit"]),
    ]


def test_who_joined_was_promoted_or_left_is_part_of_it(
    client: FlaskClient, database: Database, site: SiteView
) -> None:
    sign_in(client, database, site, Role.OWNER)
    with database.transaction() as session:
        ann = moderators.find(session, "ann@x.org").id
        token = moderators.invite(session, site.id, "bob@x.org", Role.VIEWER, actor=OPERATOR)
        bob = moderators.find(session, "bob@x.org").id
    moderators.accept(database, token, password=PASSWORD, name="Bob")
    with database.transaction() as session:
        actor = f"moderator:{ann}"
        moderators.set_role(session, site.id, bob, Role.MODERATOR, actor=actor)
        moderators.set_role(session, site.id, bob, Role.MODERATOR, actor=actor)
        moderators.remove(session, site.id, bob, actor=actor)

    with database.reading() as session:
        found = audit.settings(session, site.id)
    page = client.get("/dashboard/sites/blog/history").text

    assert [(one.actor, one.subject, one.before, one.after) for one in found] == [
        (actor, f"role of moderator:{bob}", "moderator", None),
        (actor, f"role of moderator:{bob}", "viewer", "moderator"),
        (f"moderator:{bob}", f"role of moderator:{bob}", None, "viewer"),
        ("operator", f"invitation of moderator:{bob}", None, "viewer"),
        ("operator", f"role of moderator:{ann}", None, "owner"),
    ]
    assert "role of Bob" in page  # by name, though he is no member any more
    assert "bob@x.org" not in page


def test_it_comes_as_a_file_that_no_spreadsheet_runs(
    client: FlaskClient,
    database: Database,
    scorer: Scorer,
    settings: Settings,
    site: SiteView,
    tmp_path: Path,
) -> None:
    make_comment(database, site, body=HAM, name="=1+1")
    classification.drain(database, scorer, settings)
    sign_in(client, database, site, Role.OWNER)

    written = client.get("/dashboard/sites/blog/history.csv")
    lines = client.get("/dashboard/sites/blog/history.jsonl").text.splitlines()

    joined, row = csv.DictReader(io.StringIO(written.text))
    assert (joined["kind"], joined["before"], joined["after"]) == ("setting", "", "owner")
    assert row["about"].startswith("'=1+1")
    assert (row["kind"], row["actor"], row["before"], row["after"]) == (
        "decision", "policy", "pending", "approved",
    )  # fmt: skip
    assert json.loads(lines[1])["about"] == f"=1+1: {HAM}"
    assert "attachment" in written.headers["Content-Disposition"]
    assert client.get("/dashboard/sites/blog/history.exe").status_code == 404


def test_only_owners_take_it_along(client: FlaskClient, database: Database, site: SiteView) -> None:
    sign_in(client, database, site, Role.VIEWER)

    assert client.get("/dashboard/sites/blog/history").status_code == 200
    assert client.get("/dashboard/sites/blog/history.csv").status_code == 403
