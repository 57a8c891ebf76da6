"""The doctor: every fault it is there to find is a line with a remedy, never a traceback."""

import contextlib
import json
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
import redis
from sqlalchemy import update

from classifier import BUILTIN
from service.base import config
from service.base.config import Settings
from service.ledger.db import Database, utc_now
from service.ledger.models import DELIVERIES, ENDPOINTS
from service.operations import doctor, schema
from service.operations.doctor import Finding, Grade
from service.pure.policy import Status
from service.pure.scoring import Scorer
from tests.cast import (
    decide,
    make_comment,
    make_comments,
    make_endpoint,
    make_site,
    odd_talk,
    open_ledger,
)
from tests.conftest import Valkey
from tests.service.conftest import Ended
from tests.system import free_port
from workers import classification

NOWHERE = "postgresql://nobody:hunter2@127.0.0.1:1/nothing"


def finding(settings: Settings, check: str) -> Finding:
    """Give what the doctor finds in one check."""
    return next(one for one in doctor.examine(settings) if one.check == check)


@pytest.fixture
def here(make_settings: Callable[..., Settings]) -> Settings:
    """An installation without a running server."""
    return make_settings(HAMGATE_PORT=str(free_port()))


def test_a_sound_database_is_ok(here: Settings, database: Database) -> None:
    assert finding(here, "database").grade is Grade.OK
    assert finding(here, "clock").grade is Grade.OK


def test_looking_leaves_nothing_behind(here: Settings) -> None:
    doctor.examine(here)

    assert finding(here, "sites") == Finding(
        "sites",
        Grade.WARN,
        "there is none",
        "hamgate site create SLUG --origin https://example.org",
    )


def test_sites_are_counted_and_named(here: Settings) -> None:
    database = open_ledger(here)
    for name in ("alpha", "beta"):
        make_site(database, name)
    database.close()

    assert finding(here, "sites").message == "2: alpha, beta"


def test_labels_in_quarantine_are_a_warning_with_the_command(
    here: Settings, scorer: Scorer
) -> None:
    assert finding(here, "learning").message == "0 labels, none in quarantine"
    database = open_ledger(here)
    ids = make_comments(database, make_site(database), odd_talk(31, spam=True))
    classification.drain(database, scorer, here)
    decide(database, ids, Status.SPAM, "key:stolen")
    database.close()

    found = finding(here, "learning")

    assert found.grade is Grade.WARN
    assert found.message.startswith("31 labels of key:stolen on blog are in quarantine")
    assert found.remedy.endswith("hamgate model release blog key:stolen")


def test_webhooks_that_fail_or_wait_are_a_warning(here: Settings) -> None:
    database = open_ledger(here)
    assert finding(here, "webhooks") == Finding("webhooks", Grade.OK, "0 are told; none is overdue")
    site = make_site(database)
    make_endpoint(database, site)
    make_endpoint(database, site)
    make_comment(database, site)
    long_ago = utc_now() - timedelta(seconds=100)

    with database.transaction() as session:
        session.execute(update(DELIVERIES).values(due_at=long_ago))
    found = finding(here, "webhooks")
    assert (found.grade, found.remedy) == (Grade.WARN, "hamgate worker, whose courier delivers")
    assert found.message.startswith("the oldest delivery has been due for 1")

    with database.transaction() as session:
        session.execute(update(ENDPOINTS).values(failing_since=long_ago))
    found = finding(here, "webhooks")
    assert (found.grade, found.message.partition(",")[0]) == (Grade.WARN, "2 of 2 fail")
    assert f"on {site.slug}; the oldest delivery" in found.message

    with database.transaction() as session:
        session.execute(update(ENDPOINTS).values(disabled_at=long_ago, disabled_reason="410"))
    found = finding(here, "webhooks")
    assert (found.grade, found.message.partition(";")[0]) == (
        Grade.WARN,
        f"2 disabled by their failures, on {site.slug}",
    )
    database.close()


def test_a_database_that_is_not_migrated_is_a_failure_with_the_command(here: Settings) -> None:
    schema.migrate(here, "base")

    found = finding(here, "database")

    assert (found.grade, found.remedy) == (Grade.FAIL, "hamgate migrate")


def test_a_database_that_does_not_answer_is_a_failure_without_its_password(
    valkey: Valkey, tmp_path: Path
) -> None:
    settings = config.from_environ(
        {"HAMGATE_HOME": str(tmp_path), "DATABASE_URL": NOWHERE, "REDIS_URL": valkey.url}
    )

    found = doctor.examine(settings)

    assert [one.check for one in found] == ["disk", "database", "redis", "model", "server"]
    assert found[1].grade is Grade.FAIL
    assert "DATABASE_URL" in found[1].remedy
    assert "hunter2" not in str(found)


def test_a_database_that_cannot_be_written_is_a_failure(
    valkey: Valkey, tmp_path: Path, sqlite_template: Path
) -> None:
    settings = config.from_environ(
        {
            "HAMGATE_HOME": str(tmp_path),
            "DATABASE_URL": f"sqlite:///file:{sqlite_template}?mode=ro&uri=true",
            "REDIS_URL": valkey.url,
        }
    )

    found = finding(settings, "database")

    assert found.grade is Grade.FAIL
    assert "readonly" in found.message


def test_a_file_that_is_no_database_is_a_failure(home: Path) -> None:
    home.mkdir()
    (home / "hamgate.db").write_bytes(b"not a database, but long enough to be read as one" * 100)

    found = finding(Settings(home=home, port=free_port()), "database")

    assert found.grade is Grade.FAIL
    assert "not a database" in found.message


def test_an_installation_that_is_not_there_is_a_failure_and_is_not_made(home: Path) -> None:
    found = {one.check: one for one in doctor.examine(Settings(home=home, port=free_port()))}

    assert found["disk"].grade is found["database"].grade is found["redis"].grade is Grade.FAIL
    assert found["disk"].remedy == "hamgate up"
    assert not home.exists()


def test_a_clock_that_is_off_is_a_failure(postgres_url: str, valkey: Valkey, home: Path) -> None:
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("DROP DATABASE IF EXISTS wrong_clock WITH (FORCE)")
        connection.execute("CREATE DATABASE wrong_clock TEMPLATE template_ledger")
        # Found before the real one: this database's clock is an hour fast.
        connection.execute("ALTER DATABASE wrong_clock SET search_path = public, pg_catalog")
    before, _, query = postgres_url.partition("?")
    url = f"{before.rpartition('/')[0]}/wrong_clock?{query}"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "CREATE FUNCTION public.clock_timestamp() RETURNS timestamptz LANGUAGE sql"
            " AS $$ SELECT pg_catalog.clock_timestamp() + interval '1 hour' $$"
        )
    home.mkdir()

    found = finding(Settings(home=home, database_url=url, redis_url=valkey.url), "clock")

    assert found.grade is Grade.FAIL
    assert "3600.0 s apart" in found.message
    assert "timedatectl" in found.remedy


def test_a_sound_redis_is_ok(here: Settings) -> None:
    found = finding(here, "redis")

    assert found.grade is Grade.OK
    assert found.message.startswith("Valkey ")


def test_a_dead_redis_is_a_failure_and_the_workers_cannot_be_asked(
    here: Settings, own_valkey: Valkey
) -> None:
    settings = here.model_copy(update={"redis_url": own_valkey.url})
    own_valkey.kill()

    found = {one.check: one for one in doctor.examine(settings)}

    assert found["redis"].grade is Grade.FAIL
    assert "REDIS_URL" in found["redis"].remedy
    assert found["workers"].grade is Grade.WARN
    assert found["database"].grade is Grade.OK


def test_a_redis_that_may_drop_keys_is_a_warning(here: Settings, own_valkey: Valkey) -> None:
    settings = here.model_copy(update={"redis_url": own_valkey.url})
    client = redis.Redis(unix_socket_path=str(own_valkey.socket))
    client.config_set("maxmemory-policy", "allkeys-lru")

    found = finding(settings, "redis")

    assert found.grade is Grade.WARN
    assert "maxmemory-policy noeviction" in found.remedy


def test_a_full_redis_is_a_warning(here: Settings, own_valkey: Valkey) -> None:
    settings = here.model_copy(update={"redis_url": own_valkey.url})
    client = redis.Redis(unix_socket_path=str(own_valkey.socket))
    client.config_set("maxmemory", "1000")

    assert "nearly full" in finding(settings, "redis").message


def test_a_redis_that_wants_a_password_is_a_failure(here: Settings, own_valkey: Valkey) -> None:
    settings = here.model_copy(update={"redis_url": own_valkey.url})
    redis.Redis(unix_socket_path=str(own_valkey.socket)).config_set("requirepass", "secret")

    found = finding(settings, "redis")

    assert found.grade is Grade.FAIL
    assert found.remedy == "correct REDIS_URL"


def test_the_model_in_the_package_is_ok(here: Settings) -> None:
    assert finding(here, "model").grade is Grade.OK


@pytest.mark.parametrize("file", sorted(file.name for file in BUILTIN.iterdir()))
@pytest.mark.parametrize("fault", ["altered", "cut", "missing"])
def test_a_damaged_model_is_a_failure(home: Path, file: str, fault: str) -> None:
    model = home / "model"
    shutil.copytree(BUILTIN, model)
    content = (model / file).read_bytes()
    if fault == "missing":
        (model / file).unlink()
    elif fault == "cut":
        (model / file).write_bytes(content[: len(content) // 2])
    else:
        (model / file).write_bytes(b"x" + content[1:])

    found = finding(Settings(home=home, port=free_port(), model=model), "model")

    assert found.grade is Grade.FAIL
    assert "HAMGATE_MODEL" in found.remedy


def test_without_workers_the_check_fails(here: Settings) -> None:
    found = finding(here, "workers")

    assert (found.grade, found.remedy) == (Grade.FAIL, "hamgate worker")


def test_comments_that_nobody_decides_are_a_failure(here: Settings) -> None:
    database = open_ledger(here)
    comment = make_comment(database, make_site(database))
    with database.transaction() as session:
        session.connection().exec_driver_sql(
            "UPDATE comments SET classify_at = '2020-01-01 00:00:00.000000+00:00'"
            f" WHERE id = '{comment}'"
        )
    database.close()

    found = finding(here, "workers")

    assert found.grade is Grade.FAIL
    assert "comments have been due for" in found.message


def test_a_worker_that_is_registered_but_dead_is_a_warning(
    here: Settings, valkey: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor.around, "_HEARS_WITHIN_SECONDS", 0.2)
    client = redis.Redis(unix_socket_path=str(valkey.socket))
    client.sadd("rq:workers:classify", "rq:worker:gone")
    client.hset("rq:worker:gone", "birth", "2020-01-01T00:00:00Z")

    found = finding(here, "workers")

    assert found.grade is Grade.WARN
    assert "busy or dead" in found.message


def test_a_server_that_does_not_run_is_only_a_warning(here: Settings) -> None:
    assert finding(here, "server").grade is Grade.WARN


def test_another_program_on_the_port_is_not_taken_for_ours(home: Path) -> None:
    home.mkdir()
    settings = Settings(home=home, port=free_port())
    program = [sys.executable, "-m", "http.server", str(settings.port), "--bind", "127.0.0.1"]
    other = subprocess.Popen(program, cwd=home, stderr=subprocess.DEVNULL)
    try:
        for _ in range(200):
            with (
                contextlib.suppress(OSError),
                socket.create_connection(("127.0.0.1", settings.port)),
            ):
                break
            time.sleep(0.05)
        assert finding(settings, "server").grade is Grade.WARN
    finally:
        other.kill()
        other.wait()


def test_the_report_is_a_line_for_each_check_and_its_exit_code_says_whether_one_failed(
    command: Callable[..., Ended], home: Path
) -> None:
    ended = command("doctor", HAMGATE_PORT=str(free_port()))

    assert ended.code == 1
    assert ended.err == ""
    lines = ended.out.splitlines()
    assert [line.split()[0] for line in lines] == ["fail", "→"] * 3 + ["ok", "warn", "→"]
    assert str(home) in lines[0]


def test_the_report_is_json_if_asked(command: Callable[..., Ended], installed: Settings) -> None:
    ended = command("doctor", "--json", HAMGATE_PORT=str(free_port()))

    report = json.loads(ended.out)
    assert report["status"] == "fail"
    assert {"check", "grade", "message", "remedy"} == set(report["checks"][0])


def test_warnings_alone_are_not_a_failure(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, here: Settings
) -> None:
    warnings = [Finding("x", Grade.OK, "fine"), Finding("y", Grade.WARN, "hm", "look")]
    monkeypatch.setattr(doctor, "examine", lambda _: warnings)

    assert doctor.run(here) == 0
    assert capsys.readouterr().out.splitlines() == [
        "ok    x         fine",
        "warn  y         hm",
        "                → look",
    ]
