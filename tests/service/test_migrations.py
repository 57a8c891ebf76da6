"""Migrations: up and down on both databases, and never two at once."""

import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import inspect, text

from service import schema
from service.config import Settings
from service.db import make_engine
from service.errors import ConfigError

_VERSIONS = Path(schema.__file__).parent / "migrations" / "versions"
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
