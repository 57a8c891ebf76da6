"""What the dashboard's pages ask the ledger: by indexes alone, no OFFSET, no count unbounded."""

import json
import re
from collections.abc import Iterator
from typing import Any

import flask
import pytest
from sqlalchemy import Connection

from service.base.config import Settings
from service.core import objections, queue, sites
from service.core.moderators import Role
from service.core.sites import SiteView
from service.ledger.db import Database
from service.ledger.models import COMMENTS
from service.pure.policy import Policy, Status
from service.pure.scoring import Scorer
from tests.browsing import Browser, make_moderator
from tests.cast import decide, make_comments, make_site, odd_talk
from tests.conftest import database_of
from tests.plans import Asked, listening
from workers import classification

# Those that grow with every comment or decision; the others stay small on any site.
GROWING = (
    "comments", "decisions", "threads", "objections", "search_entries", "second_looks", "campaigns",
)  # fmt: skip
# Of which the test has so many that PostgreSQL would rather use an index than read them all.
MANY = ("comments", "decisions")
# An index of those alone that wait for the classifier; walked from one end.
SHORT = "ix_comments_classify_at"
SITE = "/dashboard/sites/blog"
PAGES = (
    "/",
    "/queue",
    "/queue?after=2026-01-01T00:00:00%2B00:00~cmt_0",
    "/queue/campaigns/{campaign}",
    "/queue/objections",
    "/second-looks",
    "/comments",
    "/comments?before={comment}",
    "/comments?words=harbour+lantern",
    "/comments?author=Ada",
    "/comments?email=r1",
    "/comments?status=pending&since=2026-01-01",
    "/comments?words=harbour&status=approved&score_from=0&score_to=100",
    "/comments?page_url=https://blog.example.org/first-post",
    "/comments?rule=premoderation",
    "/comments?address=203.0.113.5",
    "/comments/{comment}",
    "/history",
    "/history?all=1&before=dec_f",
)
PRAISE = "what a wonderful article about gardens, I will come back and read more of your posts"


@pytest.fixture
def site(database: Database, scorer: Scorer, settings: Settings) -> SiteView:
    """A site with some of everything."""
    made = make_site(database)
    with database.transaction() as session:
        policy = Policy(premoderation=True, storm_mode=False, second_looks=1.0)
        sites.set_policy(session, made.id, policy)
    ids = make_comments(database, made, [*odd_talk(30, spam=False), f"{PRAISE} 1", f"{PRAISE} 2"])
    classification.drain(database, scorer, settings)
    decide(database, ids[:5], Status.APPROVED, "moderator:m1")
    with database.transaction() as session:
        objections.report(session, ids[0], "rude", "reader")
    return made


@pytest.fixture
def browser(app: flask.Flask, database: Database, site: SiteView) -> Browser:
    make_moderator(database, site, Role.OWNER)
    browser = Browser(app)
    browser.sign_in()
    return browser


@pytest.fixture
def asked(app: flask.Flask) -> Iterator[list[Asked]]:
    """What is asked from now on, by any connection of the application."""
    with listening(database_of(app).engine) as found:
        yield found


def test_no_page_reads_a_growing_table_without_an_index(
    database: Database, site: SiteView, browser: Browser, asked: list[Asked]
) -> None:
    with database.reading() as session:
        rows = queue.page(session, site.id)
    (campaign,) = {row.campaign_id for row in rows if row.alike > 1}
    faults = []
    for page in ("/dashboard/", *(SITE + page for page in PAGES)):
        asked.clear()
        path = page.format(campaign=campaign, comment=rows[0].id)
        assert browser.get(path).status_code == 200, path
        statements = [
            one for one in asked if one[0].lstrip().upper().startswith(("SELECT", "WITH"))
        ]
        assert statements
        with database.engine.connect() as connection:
            _prefer_indexes(connection)
            for statement, values in statements:
                faults += [f"{path}: {fault}" for fault in _faults(connection, statement, values)]

    assert not faults, "\n".join(faults)


def _prefer_indexes(connection: Connection) -> None:
    """Have PostgreSQL use an index wherever one fits: of tables this small it would read all."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("ANALYZE")
        for way in ("seqscan", "hashjoin", "mergejoin", "material", "memoize"):
            connection.exec_driver_sql(f"SET enable_{way} = off")


def _faults(connection: Connection, statement: str, values: Any) -> list[str]:
    words = " ".join(statement.split())
    faults = []
    if re.search(r"\bcount\(", words, re.IGNORECASE) and " LIMIT " not in words:
        faults.append(f"counts without a bound: {words}")
    if re.search(r"\bcomments\.created_at [<>]", words):
        faults.append(f"looks at what is older too, where ids would tell: {words}")
    if connection.dialect.name == "sqlite":
        rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values)
        scans = [row[3] for row in rows if row[3].startswith("SCAN ")]
        # Every LIMIT has an OFFSET in SQLite's dialect; what it skips is looked at on PostgreSQL.
        names = _aliases(words)
        return faults + [
            f"{scan}: {words}" for scan in scans if names.get(scan.split()[1]) in GROWING
        ]
    if " OFFSET " in words:
        faults.append(f"skips rows: {words}")
    ((plan,),) = connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {statement}", values)
    (root,) = plan if isinstance(plan, list) else json.loads(plan)
    for node in _nodes(root["Plan"]):
        whole = node["Node Type"] == "Seq Scan" or (
            node["Node Type"] in ("Index Scan", "Index Only Scan")
            and "Index Cond" not in node
            and node["Index Name"] != SHORT
        )
        if whole and node.get("Relation Name") in MANY:
            faults.append(f"{node['Node Type']} of {node['Relation Name']}: {words}")
    return faults


def _aliases(words: str) -> dict[str, str]:
    """Give which table each name in a statement stands for."""
    written = re.findall(r"\b(\w+) AS \"?(\w+)\"?", words)
    return {name: name for name in GROWING} | {alias: table for table, alias in written}


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for part in plan.get("Plans", []):
        yield from _nodes(part)


def test_what_reads_all_of_a_table_is_noticed(database: Database, site: SiteView) -> None:
    query = str(COMMENTS.select().where(COMMENTS.c.body == "x").compile(database.engine))
    values = {"body_1": "x"} if database.engine.dialect.name == "postgresql" else ("x",)
    with database.engine.connect() as connection:
        _prefer_indexes(connection)
        assert _faults(connection, query, values) != []
        counting = _faults(connection, "SELECT count(*) FROM comments", ())
        recent = "SELECT id FROM comments WHERE comments.created_at >= '2026-01-01 00:00:00'"
        looking = _faults(connection, recent, ())

    assert any("counts without a bound" in fault for fault in counting)
    assert any("what is older" in fault for fault in looking)


def test_the_queue_says_how_many_rows_it_wants_so_that_its_plans_are_kept(
    browser: Browser, asked: list[Asked]
) -> None:
    assert browser.get(f"{SITE}/queue").status_code == 200
    limits = [
        limit
        for statement, _ in asked
        if "queue_at" in statement
        for limit in re.findall(r"\bLIMIT ([^\s)]+)", statement)
    ]
    assert limits
    assert all(limit.isdigit() for limit in limits), limits
