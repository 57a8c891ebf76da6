import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from service.base import config, pulse
from service.base.config import Settings
from service.cli import hamgate
from tests.cast import wait_until
from tests.system import free_port, running

_UP_WITHIN_SECONDS = 60


def settings_in(home: Path) -> Settings:
    return config.from_environ({"HAMGATE_HOME": str(home)})


def probe(part: str, settings: Settings, port: int) -> int:
    environ = {"HAMGATE_HOME": str(settings.home), "HAMGATE_PORT": str(port)}
    return CliRunner().invoke(hamgate, ["probe", part], env=environ).exit_code


def test_what_never_ran_does_not_live(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)

    assert not pulse.beats(settings)
    assert probe("worker", settings, free_port()) == 1
    assert probe("web", settings, free_port()) == 1


def test_a_worker_lives_for_two_minutes_after_its_sweeper_went_round(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    pulse.beat(settings)
    assert pulse.beats(settings)
    assert probe("worker", settings, free_port()) == 0

    ago = time.time() - 121
    os.utime(tmp_path / "run" / "sweeper", (ago, ago))

    assert not pulse.beats(settings)


def test_a_home_that_cannot_be_written_stops_nobody(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    home = tmp_path / "a file"
    home.write_text("")

    pulse.beat(settings_in(home))

    assert "cannot leave a sign of life" in caplog.text


@pytest.mark.process
def test_web_and_worker_live_when_they_run(make_settings: Callable[..., Settings]) -> None:
    settings = make_settings()
    environ = {
        "HAMGATE_HOME": str(settings.home),
        "DATABASE_URL": settings.database_url,
        "REDIS_URL": settings.redis_url,
    }
    with running(environ) as system:
        assert probe("web", settings, system.port) == 0
        wait_until(lambda: probe("worker", settings, system.port) == 0, _UP_WITHIN_SECONDS)
