"""Settings: strict, frozen, all faults at once, no secret in a message."""

import os
import stat
from pathlib import Path

import pytest
from pydantic import ValidationError

from service.base import config
from service.base.config import Settings
from service.base.errors import ConfigError
from service.base.values import Limit


def faults(environ: dict[str, str]) -> str:
    """Give the message with which these variables are refused."""
    with pytest.raises(ConfigError) as refusal:
        config.from_environ(environ)
    return str(refusal.value)


def test_an_empty_environment_gives_an_embedded_installation() -> None:
    settings = config.from_environ({})

    assert settings.embedded_database
    assert settings.embedded_redis
    assert settings.home == Path.cwd() / ".hamgate"
    assert settings.sqlalchemy_url == f"sqlite:///{settings.home}/hamgate.db"
    assert settings.public_url == "http://localhost:8000"
    assert settings.own_origins == ["http://127.0.0.1:8000", "http://localhost:8000"]


def test_an_empty_variable_counts_as_not_set() -> None:
    assert config.from_environ({"HAMGATE_PORT": "", "DATABASE_URL": ""}) == config.from_environ({})


def test_variables_of_others_are_left_alone() -> None:
    assert config.from_environ({"PATH": "/bin", "PORT": "x"}) == config.from_environ({})


def test_a_misspelt_name_is_refused_with_the_one_that_was_meant() -> None:
    assert "HAMGATE_PROT is not a setting; did you mean HAMGATE_PORT?" in faults(
        {"HAMGATE_PROT": "1"}
    )


def test_every_fault_is_listed_at_once() -> None:
    message = faults(
        {
            "HAMGATE_PORT": "70000",
            "HAMGATE_HOST": "localhost",
            "HAMGATE_URL": "https://example.org/path",
            "HAMGATE_LIMIT_KEY": "many",
            "HAMGATE_XYZZY": "1",
            "TRUSTED_PROXIES": "10.0.0.1/8",
        }
    )

    for name in (
        "HAMGATE_PORT",
        "HAMGATE_HOST",
        "HAMGATE_URL",
        "HAMGATE_LIMIT_KEY",
        "HAMGATE_XYZZY",
        "TRUSTED_PROXIES",
    ):
        assert f"\n  {name}" in message


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("DATABASE_URL", "mysql://root:hunter2@db/x"),
        ("DATABASE_URL", "postgresql+asyncpg://root:hunter2@db/x"),
        ("DATABASE_URL", "postgresql://root:hunter2@db:port/x"),
        ("DATABASE_URL", "sqlite://"),
        ("REDIS_URL", "hunter2.example.org:6379"),
        ("REDIS_URL", "redis://:hunter2@cache:port/0"),
        ("REDIS_URL", "redis+sentinel://:hunter2@one,two"),
        ("HAMGATE_SECRET", "hunter2"),
    ],
)
def test_a_bad_secret_is_refused_without_being_shown(variable: str, value: str) -> None:
    message = faults({variable: value})

    assert variable in message
    assert "hunter2" not in message


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_every_form_of_a_postgresql_url_is_given_our_driver(scheme: str) -> None:
    settings = config.from_environ({"DATABASE_URL": f"{scheme}://me@db:5432/hamgate"})

    assert settings.sqlalchemy_url == "postgresql+psycopg://me@db:5432/hamgate"
    assert not settings.embedded_database


def test_a_secret_may_come_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("s" * 32 + "\n")

    settings = config.from_environ({"HAMGATE_SECRET_FILE": str(file)})

    assert settings.signing_key() == b"s" * 32


def test_a_secret_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    file = str(tmp_path / "nowhere")

    assert f"cannot read {file}" in faults({"REDIS_URL_FILE": file})


def test_only_secrets_may_come_from_files() -> None:
    assert "HAMGATE_PORT_FILE is not a setting" in faults({"HAMGATE_PORT_FILE": "/etc/hostname"})


@pytest.mark.parametrize(
    ("written", "amount", "seconds"),
    [("30/minute", 30, 60), ("500/10 minutes", 500, 600), ("5/second", 5, 1), ("9/day", 9, 86400)],
)
def test_a_limit_reads_as_it_is_said(written: str, amount: int, seconds: int) -> None:
    settings = config.from_environ({"HAMGATE_LIMIT_ADDRESS": written})

    assert settings.limit_address == Limit(amount=amount, window_seconds=seconds)


def test_ports_are_written_alone_or_from_to() -> None:
    ports = config.from_environ({"HAMGATE_WEBHOOK_PORTS": "8080, 9000-9100"}).webhook_ports

    opened = [port for port in range(65536) if any(port in some for some in ports)]
    assert opened == [8080, *range(9000, 9101)]


@pytest.mark.parametrize(
    "written", ["0", "65536", "-1", "9-8", "8080-", "http", "１", "1-2-3", "1;2", "0-10", "1 - 2"]
)
def test_ports_that_are_none_are_refused(written: str) -> None:
    assert "HAMGATE_WEBHOOK_PORTS: write ports" in faults({"HAMGATE_WEBHOOK_PORTS": written})


@pytest.mark.parametrize(
    "written", ["0.0.0.0/0", "::/0", "10.0.0.0/7", "2000::/3", "10.0.0.1/8", "intranet", "10.0.0"]
)
def test_networks_for_webhooks_have_to_be_ones_own(written: str) -> None:
    assert "HAMGATE_WEBHOOK_NETWORKS: " in faults({"HAMGATE_WEBHOOK_NETWORKS": written})


def test_every_setting_says_what_it_is_for() -> None:
    assert all(Settings.model_fields[name].description for name in config.VARIABLES.values())


def test_settings_cannot_be_changed() -> None:
    settings = config.from_environ({})

    with pytest.raises(ValidationError):
        settings.port = 1  # type: ignore[misc]  # the point


def test_the_signing_key_is_made_once_and_is_private(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home")

    key = settings.signing_key()

    assert len(key) >= 32
    assert Settings(home=tmp_path / "home").signing_key() == key
    mode = (tmp_path / "home" / "secret").stat().st_mode
    assert stat.S_IMODE(mode) == 0o600


def test_a_home_that_cannot_be_written_is_said_to_be_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(ConfigError, match="cannot read or make"):
        Settings(home=tmp_path / "file").signing_key()


def test_the_sockets_path_fits_into_a_socket_address_wherever_home_is(tmp_path: Path) -> None:
    near = Settings(home=Path("/srv/hamgate"))
    far = Settings(home=tmp_path / ("long" * 30))
    farther = Settings(home=tmp_path / ("longer" * 30))

    assert near.valkey_socket == Path("/srv/hamgate/run/valkey.sock")
    assert len(os.fsencode(far.valkey_socket)) <= 100
    assert far.valkey_socket != farther.valkey_socket
