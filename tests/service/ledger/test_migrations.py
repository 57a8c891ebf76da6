"""Migrations: up and down on both databases, and never two at once."""

import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import inspect, text

from service.base.config import Settings
from service.base.errors import ConfigError
from service.ledger import migrations
from service.ledger.db import make_engine
from service.operations import schema

_VERSIONS = Path(migrations.__file__).parent / "versions"
HEAD = max(path.name[1:5] for path in _VERSIONS.glob("r*.py"))


@pytest.fixture
def empty(database_kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Settings]:
    """Settings over a database without any table."""
    if database_kind == "sqlite":
        yield Settings(home=tmp_path)
        return
    url = request.getfixturevalue("postgres_url")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE DATABASE empty_ledger")
    yield Settings(home=tmp_path, database_url=url.replace("/postgres?", "/empty_ledger?"))
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("DROP DATABASE empty_ledger WITH (FORCE)")


def test_up_and_down_and_up_again_leads_to_what_the_models_say(empty: Settings) -> None:
    assert not schema.is_current(empty)
    assert schema.migrate(empty) == (None, HEAD)
    assert schema.is_current(empty)
    assert _differences(empty) == []

    assert schema.migrate(empty, "base") == (HEAD, None)
    assert _tables(empty) == {"alembic_version"}

    assert schema.migrate(empty) == (None, HEAD)
    assert _differences(empty) == []


def test_each_step_down_and_up_again_is_possible(empty: Settings) -> None:
    schema.migrate(empty)

    before, after = schema.migrate(empty, "-1")
    assert (before, after != HEAD) == (HEAD, True)
    assert schema.migrate(empty) == (after, HEAD)


def test_a_migration_of_what_is_current_changes_nothing(empty: Settings) -> None:
    schema.migrate(empty)

    assert schema.migrate(empty) == (HEAD, HEAD)


def test_two_migrations_at_once_wait_for_each_other(empty: Settings) -> None:
    outcome: list[tuple[str | None, str | None] | Exception] = []
    start = threading.Barrier(4)

    def migrate() -> None:
        start.wait()
        try:
            outcome.append(schema.migrate(empty))
        except Exception as error:  # noqa: BLE001 - what it raised is what the test looks at
            outcome.append(error)

    threads = [threading.Thread(target=migrate) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(map(str, outcome)) == [
        *[f"('{HEAD}', '{HEAD}')"] * 3,
        f"(None, '{HEAD}')",
    ]
    assert _differences(empty) == []


def test_a_migration_that_fails_leaves_nothing_behind(empty: Settings) -> None:
    _run(empty, "CREATE TABLE decisions (id INTEGER)")  # in the way of the last table

    with pytest.raises(Exception, match="already exists"):
        schema.migrate(empty)

    assert _tables(empty) == {"decisions"}
    _run(empty, "DROP TABLE decisions")
    assert schema.migrate(empty) == (None, HEAD)


def test_a_ledger_of_a_newer_version_is_left_alone(empty: Settings) -> None:
    schema.migrate(empty)
    _run(empty, "UPDATE alembic_version SET version_num = '9999'")

    assert not schema.is_current(empty)
    with pytest.raises(ConfigError, match="newer"):
        schema.migrate(empty)


def test_a_migrated_ledger_keeps_its_content(empty: Settings) -> None:
    schema.migrate(empty)
    _run(
        empty,
        "INSERT INTO sites (id, slug, name, origins, policy, created_at)"
        " VALUES ('sit_1', 'blog', 'Blog', '[]', '{}', '2026-01-31 12:00:00+00')",
    )

    schema.migrate(empty)

    engine = make_engine(empty)
    with engine.connect() as connection:
        assert connection.execute(text("SELECT slug FROM sites")).all() == [("blog",)]
    engine.dispose()


def test_what_is_said_of_another_revision_names_the_remedy(empty: Settings) -> None:
    assert "no tables yet; run `hamgate migrate`" in str(schema.mismatch(empty))
    schema.migrate(empty, "0001")
    assert f"at 0001, older than this version ({HEAD})" in str(schema.mismatch(empty))
    schema.migrate(empty)
    assert schema.mismatch(empty) is None
    _run(empty, "UPDATE alembic_version SET version_num = '9999'")
    assert "at 9999, newer than this version" in str(schema.mismatch(empty))


class Writer:
    """A program of the first revision, which goes on writing while the ledger is migrated."""

    def __init__(self, settings: Settings) -> None:
        self.written = 0
        self.faults: list[str] = []
        self._engine = make_engine(settings)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "Writer":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._engine.dispose()

    def wait(self) -> None:
        """Wait until it has written once more, or failed."""
        before = self.written
        while self.written == before and not self.faults:
            self._stop.wait(0.005)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                with self._engine.connect() as connection, connection.begin():
                    for statement in _OF_THE_FIRST_REVISION:
                        connection.execute(text(statement), {"n": self.written})
            except Exception as error:  # noqa: BLE001 - what it raised is what the test looks at
                self.faults.append(str(error))
                return
            self.written += 1


_COMMENT = """
INSERT INTO comments (id, site_id, thread_id, request_digest, status, version, revision, name,
  email, email_normalised, body, honeypot_filled, disposable_email, submitted_at, created_at,
  classify_attempts)
VALUES ('cmt_' || CAST(:n AS VARCHAR), 'sit_1', 'thr_1', '', 'pending', 1, 1, 'Ada',
  'a@b.example', 'a@b.example', 'Hello', false, false, '2026-01-31 12:00:00+00',
  '2026-01-31 12:00:00+00', 0)
"""
_DECISION = """
INSERT INTO decisions (id, site_id, comment_id, comment_version, comment_revision, old_status,
  status, actor, reason, clues, decided_at)
VALUES ('dec_' || CAST(:n AS VARCHAR), 'sit_1', 'cmt_' || CAST(:n AS VARCHAR), 1, 1, 'pending',
  'approved', 'policy', '', '[]', '2026-01-31 12:00:00+00')
"""
_STATUS = """
UPDATE comments SET status = 'approved', version = 2 WHERE id = 'cmt_' || CAST(:n AS VARCHAR)
"""
_OF_THE_FIRST_REVISION = (_COMMENT, _DECISION, _STATUS)


def test_a_program_of_the_first_revision_goes_on_writing_through_every_migration(
    empty: Settings,
) -> None:
    schema.migrate(empty, "0001")
    _run(
        empty,
        "INSERT INTO sites (id, slug, name, origins, policy, created_at)"
        " VALUES ('sit_1', 'blog', 'Blog', '[]', '{}', '2026-01-31 12:00:00+00')",
    )
    _run(
        empty,
        "INSERT INTO threads (id, site_id, page_url, closed, created_at) VALUES"
        " ('thr_1', 'sit_1', 'https://b.example/', false, '2026-01-31 12:00:00+00')",
    )

    with Writer(empty) as writer:
        for number in range(2, int(HEAD) + 1):
            writer.wait()
            assert schema.migrate(empty, f"{number:04}")[1] == f"{number:04}"
        writer.wait()

    assert writer.faults == []
    assert writer.written > int(HEAD)


def test_a_change_waits_briefly_for_who_uses_a_table_and_is_tried_again(
    postgres_url: str, empty: Settings
) -> None:
    if not empty.database_url:
        return  # SQLite's writers take turns anyway
    schema.migrate(empty, "0010")
    with psycopg.connect(empty.database_url) as other:
        other.execute("LOCK TABLE comments IN ACCESS SHARE MODE")
        thread = threading.Thread(target=lambda: schema.migrate(empty))
        thread.start()
        with psycopg.connect(empty.database_url, autocommit=True) as reader:
            for _ in range(5):  # nobody waits behind it for longer than it waits itself
                reader.execute("SET statement_timeout = '4s'")
                reader.execute("SELECT count(*) FROM comments")
        other.rollback()
        thread.join()

    assert schema.is_current(empty)


def test_an_index_whose_building_was_cut_off_is_built_anew(empty: Settings) -> None:
    name = "ix_comments_site_id_email_status"
    schema.migrate(empty, "0017")
    _run(empty, f"CREATE INDEX {name} ON comments (site_id, email_normalised, status)")
    if empty.database_url:  # as PostgreSQL leaves what it could not finish
        half = f"UPDATE pg_index SET indisvalid = false WHERE indexrelid = '{name}'::regclass"
        _run(empty, half)

    schema.migrate(empty)

    assert _differences(empty) == []
    if empty.database_url:
        with psycopg.connect(empty.database_url) as connection:
            query = "SELECT indisvalid FROM pg_index WHERE indexrelid = %s::regclass"
            assert connection.execute(query, [name]).fetchone() == (True,)


def _differences(settings: Settings) -> list[object]:
    engine = make_engine(settings)
    with engine.connect() as connection:
        found = schema.differences(connection)
    engine.dispose()
    return found


def _tables(settings: Settings) -> set[str]:
    engine = make_engine(settings)
    found = set(inspect(engine).get_table_names())
    engine.dispose()
    return found


def _run(settings: Settings, statement: str) -> None:
    engine = make_engine(settings)
    with engine.begin() as connection:
        connection.execute(text(statement))
    engine.dispose()
