"""Replaying a file: rows as a site would send them, an honest report, a key that does not stay."""

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from service.base import config
from service.base.config import Settings
from service.base.errors import ConfigError, NotFound
from service.base.loopback import NotRunning
from service.core import comments, sites
from service.ledger.db import Database
from service.operations import replay
from service.operations.replay import report, rows
from service.operations.replay.report import Labelled
from service.operations.replay.rows import BadFileError
from tests.cast import HAM, SPAM, make_site, open_ledger, wait_until
from tests.conftest import Valkey
from tests.service.conftest import Ended
from tests.system import System, free_port, running

FILE = f"""text,label,author,date,group
"{HAM}",0,Ada,2024-05-01T10:00:00,first post
"{SPAM}",1,Eve,not a date,first post
,0,Ann,,
{"x" * 10_001},0,Ann,,
"{HAM} Again.",,,2024-05-01T10:00:00+02:00,
"""


@pytest.fixture
def csv_file(tmp_path: Path) -> Path:
    file = tmp_path / "comments.csv"
    file.write_text(FILE, encoding="utf-8")
    return file


def written(folder: Path, content: str | bytes) -> Path:
    file = folder / "file.csv"
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return file


def test_a_row_is_sent_as_its_columns_say(csv_file: Path) -> None:
    first, second, *_, last = rows.read(csv_file)

    assert first.spam is False
    assert first.body == {
        "page_url": "https://example.org/replay/first%20post",
        "name": "Ada",
        "email": first.body["email"],
        "body": HAM,
        "submitted_at": "2024-05-01T10:00:00+00:00",
    }
    assert first.body["email"].endswith("@example.org")
    assert second.spam is True
    assert "submitted_at" not in second.body
    assert last.spam is None
    assert last.body["name"] == "Anonymous"
    assert last.body["page_url"] == "https://example.org/replay/comments"
    assert last.body["submitted_at"] == "2024-05-01T10:00:00+02:00"


def test_the_same_author_has_the_same_address_and_another_another(csv_file: Path) -> None:
    emails = [row.body["email"] for row in rows.read(csv_file)]

    assert emails[2] == emails[3]
    assert len(set(emails)) == 4


def test_columns_may_come_in_any_order_and_case_and_with_a_byte_order_mark(
    tmp_path: Path,
) -> None:
    (row,) = rows.read(written(tmp_path, b'\xef\xbb\xbfLabel, TEXT ,id\n1,"two\nlines",7\n'))

    assert (row.spam, row.body["body"]) == (True, "two\nlines")


def test_no_more_rows_are_read_than_asked_for(csv_file: Path) -> None:
    assert [row.number for row in rows.read(csv_file, 2)] == [1, 2]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"text,label\n", "no rows"),
        (b"comment;label\nx;1\n", "no column “text”; its first line names comment;label"),
        ("text\ncafé\n".encode("latin-1"), "not UTF-8 (byte 0xe9)"),
        (b'text\n"' + b"x" * 10_000_001 + b'"\n', "is not CSV"),
    ],
)
def test_a_file_with_nothing_to_post_is_refused(tmp_path: Path, content: bytes, said: str) -> None:
    with pytest.raises(BadFileError, match=r"file\.csv") as refusal:
        rows.read(written(tmp_path, content))

    assert said in str(refusal.value)


def test_the_figures_are_shares_of_what_they_name() -> None:
    labelled = Labelled(
        spam=Counter(spam=6, pending=2, rejected=1, approved=1),
        ham=Counter(approved=15, pending=3, spam=2),
    )

    assert labelled.precision == 6 / 8
    assert labelled.recall == 9 / 10
    assert labelled.recall_marked == 6 / 10
    assert labelled.ham_held == 3 / 20
    assert labelled.ham_marked == 2 / 20


def test_there_are_no_figures_over_nothing() -> None:
    labelled = Labelled(spam=Counter(), ham=Counter())

    assert labelled.precision is labelled.recall is labelled.ham_held is None


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [([], 0.5, None), ([7.0], 0.99, 7.0), ([1.0, 2.0, 3.0, 4.0], 0.5, 2.0), ([1.0, 2.0], 1, 2.0)],
)
def test_a_percentile_is_one_of_the_values(
    values: list[float], share: float, expected: float | None
) -> None:
    assert report.percentile(values, share) == expected


def test_a_site_that_is_not_there_is_said_to_be_so(installed: Settings, csv_file: Path) -> None:
    with pytest.raises(NotFound, match="there is no site “blgo”"):
        replay.run(installed, csv_file, "blgo")


def test_without_a_server_it_says_how_to_start_one_and_leaves_no_key(
    installed: Settings, csv_file: Path
) -> None:
    settings = installed.model_copy(update={"port": free_port()})
    database = open_ledger(settings)
    site = make_site(database)

    with pytest.raises(NotRunning, match="hamgate up"):
        replay.run(settings, csv_file, "blog")

    assert live_keys(database, site.id) == []
    database.close()


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("nowhere.csv", "--site", "blog"), 2, "does not exist"),
        (("FILE",), 2, "--site"),
        (("FILE", "--site", "blog", "--limit", "0"), 2, "--limit"),
        (("FILE", "--site", "blog"), 1, "there is no site “blog”"),
    ],
)
def test_mistakes_on_the_command_line_are_answered(
    command: Callable[..., Ended],
    installed: Settings,
    csv_file: Path,
    arguments: tuple[str, ...],
    code: int,
    said: str,
) -> None:
    given = [str(csv_file) if argument == "FILE" else argument for argument in arguments]

    ended = command("replay", *given)

    assert ended.code == code
    assert said in ended.err


def live_keys(database: Database, site_id: str) -> list[str]:
    with database.reading() as session:
        return [key.id for key in sites.keys(session, site_id) if key.revoked_at is None]


class Served:
    """A running server over a ledger with the site `blog`."""

    def __init__(self, environ: dict[str, str], system: System) -> None:
        self.environ = {**environ, "HAMGATE_PORT": str(system.port)}
        self.settings = config.from_environ(self.environ)
        self.system = system
        self.database = open_ledger(self.settings)
        self.site = make_site(self.database)

    def bodies(self) -> list[str]:
        with self.database.reading() as session:
            return [comment.body for comment in comments.listing(session, self.site.id, most=100)]


@pytest.fixture(scope="module")
def served(
    shared_valkey: Valkey, sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    home = tmp_path_factory.mktemp("replay")
    (home / "hamgate.db").write_bytes(sqlite_template.read_bytes())
    environ = {
        "HAMGATE_HOME": str(home),
        "REDIS_URL": shared_valkey.url,
        "HAMGATE_LIMIT_KEY": "60/second",
    }
    with running(environ) as system:
        made = Served(environ, system)
        yield made
        made.database.close()


@pytest.mark.process
def test_every_row_is_posted_decided_and_counted(
    served: Served, csv_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert replay.run(served.settings, csv_file, "blog", as_json=True) == 0

    found = json.loads(capsys.readouterr().out)
    assert (found["rows"], found["accepted"], found["decided"]) == (5, 3, 3)
    assert found["refused"]["count"] == 2
    assert all(reason.startswith("body ") for reason in found["refused"]["reasons"])
    assert sum(found["statuses"].values()) == 3
    assert (found["labels"]["spam"], found["labels"]["ham"]) == (1, 1)
    assert 0 < found["time_to_decision_ms"]["p50"] <= found["time_to_decision_ms"]["p99"]
    assert sorted(served.bodies()) == sorted([HAM, SPAM, f"{HAM} Again."])
    assert live_keys(served.database, served.site.id) == []


@pytest.mark.process
def test_the_report_is_a_table_for_people(
    served: Served, csv_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert replay.run(served.settings, csv_file, "blog") == 0

    shown = capsys.readouterr()
    for words in ("rows", "accepted", "refused", "time to decision p99", "spam: recall"):
        assert words in shown.out
    assert "posting 5 rows" in shown.err


@pytest.mark.process
def test_a_server_that_asks_for_patience_gets_it(
    served: Served, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    many = written(tmp_path, "text\n" + "".join(f'"{HAM} {n}"\n' for n in range(130)))

    assert replay.run(served.settings, many, "blog", as_json=True) == 0

    found = json.loads(capsys.readouterr().out)
    assert (found["accepted"], found["decided"]) == (130, 130)
    assert found["repeated_requests"] > 0


@pytest.mark.process
def test_a_server_that_restarts_meanwhile_costs_no_row_and_makes_none_twice(
    served: Served, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    many = written(tmp_path, "text\n" + "".join(f"row number {n}\n" for n in range(90)))
    before = set(served.bodies())
    program = subprocess.Popen(
        [str(Path(sys.executable).parent / "hamgate"), "replay", many, "--site", "blog", "--json"],
        env={**os.environ, **served.environ},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        wait_until(lambda: len(set(served.bodies()) - before) > 10)
        served.system.kill("web")
        served.system.start("web")
        out, _ = program.communicate(timeout=60)
    finally:
        program.kill()
        program.wait()

    found = json.loads(out)
    assert (program.returncode, found["accepted"], found["decided"]) == (0, 90, 90)
    rows_made = [body for body in served.bodies() if body.startswith("row number")]
    assert len(rows_made) == len(set(rows_made)) == 90


@pytest.mark.process
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_it_revokes_its_key(
    served: Served, tmp_path: Path, number: signal.Signals
) -> None:
    many = written(tmp_path, "text\n" + "".join(f"{number} {n}\n" for n in range(5000)))
    program = subprocess.Popen(
        [str(Path(sys.executable).parent / "hamgate"), "replay", many, "--site", "blog"],
        env={**os.environ, **served.environ},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        wait_until(lambda: any(body.startswith(f"{number} ") for body in served.bodies()))
        program.send_signal(number)
        _, said = program.communicate(timeout=30)
    finally:
        program.kill()
        program.wait()

    assert program.returncode == 130
    assert "the key is revoked" in said
    assert "Traceback" not in said
    assert live_keys(served.database, served.site.id) == []


@pytest.mark.process
def test_a_server_over_another_ledger_is_noticed_before_the_first_row(
    served: Served, installed: Settings, csv_file: Path
) -> None:
    settings = installed.model_copy(update={"port": served.settings.port})
    database = open_ledger(settings)
    make_site(database)
    database.close()

    with pytest.raises(ConfigError, match="another database"):
        replay.run(settings, csv_file, "blog")


@pytest.mark.process
def test_a_key_that_is_revoked_meanwhile_ends_it(served: Served, tmp_path: Path) -> None:
    many = written(tmp_path, "text\n" + "".join(f"key {n}\n" for n in range(5000)))
    program = subprocess.Popen(
        [str(Path(sys.executable).parent / "hamgate"), "replay", many, "--site", "blog"],
        env={**os.environ, **served.environ},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        # Not before the first row: until then the key is only tried.
        wait_until(lambda: any(body.startswith("key ") for body in served.bodies()))
        (key_id,) = live_keys(served.database, served.site.id)
        with served.database.transaction() as session:
            sites.revoke_key(session, served.site.id, key_id)
        _, said = program.communicate(timeout=30)
    finally:
        program.kill()
        program.wait()

    assert program.returncode == 1
    assert "this key has been revoked" in said
    assert "Traceback" not in said
