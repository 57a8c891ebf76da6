"""The command line as a newcomer meets it: what works, and what each mistake is answered with."""

import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest

from service import cli
from service.base.config import VARIABLES, Settings
from service.core import sites
from service.core.sites import Scope
from tests.cast import make_key, make_site, open_ledger
from tests.chaos.disk import Disk
from tests.service.conftest import Ended
from tests.system import free_port

Command = Callable[..., Ended]
NOWHERE = "postgresql://nobody:hunter2@127.0.0.1:1/nothing"


def all_commands(
    group: click.Group = cli.hamgate, path: str = ""
) -> Iterator[tuple[str, click.Command]]:
    for name, one in group.commands.items():
        yield f"{path} {name}".strip(), one
        if isinstance(one, click.Group):
            yield from all_commands(one, f"{path} {name}".strip())


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield other.getsockname()[1]


def test_the_installed_program_gives_its_version() -> None:
    program = Path(sys.executable).parent / "hamgate"

    ended = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)

    assert ended.stdout.startswith("hamgate ")


@pytest.mark.parametrize("path", [path for path, _ in all_commands()])
def test_every_command_helps(command: Command, path: str) -> None:
    ended = command(*path.split(), "--help")

    assert ended.code == 0
    assert ended.out.startswith(f"Usage: hamgate {path}")


@pytest.mark.parametrize("path", ["", "site", "key", "model", "policy"])
def test_no_line_of_a_list_of_commands_is_cut_off(command: Command, path: str) -> None:
    ended = command(*path.split(), "--help", COLUMNS="80")

    assert "..." not in ended.out.partition("Commands:")[2]


def test_a_mistyped_command_is_wrong_usage_with_the_one_that_was_meant(command: Command) -> None:
    ended = command("sit", "list")

    assert ended.code == 2
    assert "Did you mean 'site'?" in ended.err


def test_a_mistyped_setting_is_refused_by_every_command_that_reads_settings(
    command: Command,
) -> None:
    for path in ("up", "web", "worker", "migrate", "doctor", "site list"):
        ended = command(*path.split(), HAMGATE_PROT="1")

        assert ended.code == 1
        assert "did you mean HAMGATE_PORT?" in ended.err


def test_settings_are_all_listed(command: Command) -> None:
    listed = command("settings").out

    assert [line for line in listed.splitlines() if line in VARIABLES] == list(VARIABLES)
    assert "HAMGATE_SECRET_FILE" in listed


def test_settings_are_listed_even_if_those_that_are_set_are_wrong(command: Command) -> None:
    assert command("settings", HAMGATE_PORT="x").code == 0


def test_a_site_is_made_and_listed(command: Command, installed: Settings) -> None:
    made = command("site", "create", "blog", "--origin", "https://example.org", "--name", "My blog")
    listed = command("site", "list")

    assert (made.code, made.out) == (0, "made site blog\n")
    assert listed.out == "blog\tMy blog\thttps://example.org\n"


def test_the_origins_of_a_site_are_said_anew(command: Command, installed: Settings) -> None:
    command("site", "create", "blog", "--origin", "https://example.org")

    moved = command("site", "origins", "blog", "https://b.example", "https://a.example:443")
    wrong = command("site", "origins", "blog", "example.org")
    listed = command("site", "list")
    closed = command("site", "origins", "blog")

    assert (moved.code, moved.out) == (0, "blog\thttps://a.example https://b.example\n")
    assert wrong.code == 1
    assert "is no origin" in wrong.err
    assert listed.out == "blog\tblog\thttps://a.example https://b.example\n"
    assert closed.out == "blog\t(keys only)\n"


def test_a_site_without_origins_is_made_with_a_word_on_what_that_means(
    command: Command, installed: Settings
) -> None:
    assert "only keys may submit" in command("site", "create", "blog").err


def test_no_sites_at_all_is_said_beside_standard_output(
    command: Command, installed: Settings
) -> None:
    ended = command("site", "list")

    assert (ended.code, ended.out) == (0, "")
    assert "hamgate site create" in ended.err


def test_every_fault_of_a_new_site_is_named(command: Command, installed: Settings) -> None:
    ended = command("site", "create", "My_Blog", "--origin", "example.org", "--origin", "ftp://x")

    assert ended.code == 1
    assert [line.split(":")[1].strip() for line in ended.err.splitlines()] == [
        "slug",
        "origins/0",
        "origins/1",
    ]


def test_a_site_that_is_there_is_not_made_again(command: Command, installed: Settings) -> None:
    command("site", "create", "blog")

    ended = command("site", "create", "blog")

    assert ended.code == 1
    assert "there is a site “blog” already" in ended.err


def test_a_key_is_printed_alone_and_works(command: Command, installed: Settings) -> None:
    database = open_ledger(installed)
    site = make_site(database)

    ended = command("key", "create", "blog", "--scopes", "submit, moderate")

    assert ended.code == 0
    with database.reading() as session:
        found = sites.authenticate(session, ended.out.removesuffix("\n"))
    assert found.site_id == site.id
    assert found.scopes == {Scope.SUBMIT, Scope.MODERATE}
    database.close()


def test_a_key_is_listed_without_its_secret_and_revoked_by_its_id(
    command: Command, installed: Settings
) -> None:
    database = open_ledger(installed)
    key = make_key(database, make_site(database), {Scope.SUBMIT})
    database.close()

    listed = command("key", "list", "blog").out
    key_id, scopes, _, state, used = listed.rstrip("\n").split("\t")

    assert key.rpartition("_")[2] not in listed
    assert (scopes, state, used) == ("submit", "live", "-")
    assert command("key", "revoke", "blog", key_id).code == 0
    assert "\trevoked " in command("key", "list", "blog").out
    again = command("key", "revoke", "blog", key_id)
    assert again.code == 1
    assert f"no live key {key_id}" in again.err


@pytest.mark.parametrize(
    "arguments",
    [
        ("key", "create", "blgo", "--scopes", "submit"),
        ("key", "list", "blgo"),
        ("key", "revoke", "blgo", "key_x"),
    ],
)
def test_a_site_that_is_not_there_is_said_to_be_so(
    command: Command, installed: Settings, arguments: tuple[str, ...]
) -> None:
    ended = command(*arguments)

    assert (ended.code, ended.out) == (1, "")
    assert "there is no site “blgo”" in ended.err


@pytest.mark.parametrize("scopes", ["sumbit", "submit,admin", ",", ""])
def test_a_wrong_scope_is_wrong_usage_and_the_right_ones_are_named(
    command: Command, installed: Settings, scopes: str
) -> None:
    ended = command("key", "create", "blog", "--scopes", scopes)

    assert ended.code == 2
    assert "submit, moderate" in ended.err


@pytest.mark.parametrize("path", ["site list", "site create blog", "key list blog"])
def test_without_a_database_a_command_says_where_it_looked_and_makes_none(
    command: Command, home: Path, path: str
) -> None:
    ended = command(*path.split())

    assert ended.code == 1
    assert f"there is no database in {home}" in ended.err
    assert "hamgate up" in ended.err
    assert not home.exists()


def test_a_database_that_is_not_migrated_is_said_to_be_so(
    command: Command, installed: Settings
) -> None:
    assert command("migrate", "base", "--yes").code == 0

    ended = command("site", "list")

    assert ended.code == 1
    assert "run `hamgate migrate`" in ended.err


@pytest.mark.parametrize("path", ["site list", "key list blog", "migrate"])
def test_a_database_that_does_not_answer_is_one_line_without_its_password(
    command: Command, path: str
) -> None:
    ended = command(*path.split(), DATABASE_URL=NOWHERE)

    assert ended.code == 1
    assert ended.err.startswith("error: the database does not answer")
    assert len(ended.err.splitlines()) == 1
    assert "hunter2" not in ended.err


def test_a_home_that_cannot_be_made_is_one_line(command: Command, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    for path in ("up", "migrate"):
        ended = command(
            path, HAMGATE_HOME=str(tmp_path / "file" / "home"), HAMGATE_PORT=str(free_port())
        )

        assert ended.code == 1
        assert len(ended.err.splitlines()) == 1
        assert str(tmp_path / "file" / "home") in ended.err


def test_a_home_that_cannot_be_made_ends_the_web_server_with_the_reason(
    command: Command, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")

    ended = command("web", HAMGATE_HOME=str(tmp_path / "file"), HAMGATE_PORT=str(free_port()))

    assert ended.code == 1
    assert ended.err.splitlines()[-1].startswith(f"error: cannot write {tmp_path / 'file'}")


@pytest.mark.parametrize("path", ["up", "web", "migrate"])
def test_a_full_disk_is_one_line(command: Command, disk: Disk, path: str) -> None:
    disk.fill()

    ended = command(path, HAMGATE_HOME=str(disk.folder / "home"), HAMGATE_PORT=str(free_port()))

    assert ended.code == 1
    (line,) = ended.err.splitlines()
    assert re.search("No space left|disk is full", line)


def test_migrate_says_where_the_database_was_and_is(command: Command, home: Path) -> None:
    first = command("migrate")
    second = command("migrate")

    assert first.code == second.code == 0
    assert first.out.startswith("empty -> ")
    revision = first.out.removeprefix("empty -> ")
    assert second.out == f"at {revision}"
    assert command("migrate", "base", "--yes").out == f"{revision.strip()} -> empty\n"


@pytest.mark.parametrize("revision", ["base", "-1"])
def test_migrating_back_asks_first(command: Command, installed: Settings, revision: str) -> None:
    ended = command("migrate", revision)  # nobody answers

    assert ended.code == 1
    assert "deletes data" in ended.err
    assert command("migrate").out.startswith("at ")


def test_an_unknown_revision_is_one_line(command: Command, installed: Settings) -> None:
    ended = command("migrate", "9999")

    assert ended.code == 1
    assert len(ended.err.splitlines()) == 1
    assert "9999" in ended.err


@pytest.mark.parametrize("path", ["up", "web"])
def test_a_taken_port_is_one_line(command: Command, taken_port: int, path: str) -> None:
    ended = command(path, HAMGATE_PORT=str(taken_port))

    assert ended.code == 1
    assert len(ended.err.splitlines()) == 1
    assert f"port {taken_port} on 127.0.0.1 is taken" in ended.err
    assert "HAMGATE_PORT" in ended.err


def test_an_address_of_another_machine_cannot_be_listened_on(command: Command) -> None:
    ended = command("web", HAMGATE_HOST="192.0.2.1")

    assert ended.code == 1
    assert "cannot listen on 192.0.2.1:8000" in ended.err


@pytest.mark.process
def test_web_warns_of_a_database_that_is_not_migrated_and_starts(home: Path) -> None:
    clean = {k: v for k, v in os.environ.items() if not k.startswith("HAMGATE_")}
    program = str(Path(sys.executable).parent / "hamgate")
    server = subprocess.Popen(
        [program, "web"],
        env={**clean, "HAMGATE_HOME": str(home), "HAMGATE_PORT": str(free_port())},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert server.stderr is not None
        assert "`hamgate migrate`" in server.stderr.readline()
    finally:
        server.terminate()
        server.communicate(timeout=20)
