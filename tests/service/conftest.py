"""The command line, run in this process over an embedded installation of the test's own."""

import io
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from service import cli
from service.base.config import Settings
from service.operations import schema
from tests.chaos.disk import Disk


@dataclass
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder for an installation that is not there yet."""
    return tmp_path / "home"


@pytest.fixture
def command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], home: Path
) -> Callable[..., Ended]:
    """Runs `hamgate` with these arguments; keywords are environment variables."""
    for name in os.environ:
        if name.startswith("HAMGATE_") or name in ("DATABASE_URL", "REDIS_URL"):
            monkeypatch.delenv(name)

    def run(*arguments: str, **environ: str) -> Ended:
        root = logging.getLogger()
        before = root.handlers[:], root.level
        handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        with monkeypatch.context() as patch:
            for name, value in {"HAMGATE_HOME": str(home), **environ}.items():
                patch.setenv(name, value)
            patch.setattr(sys, "argv", ["hamgate", *arguments])
            patch.setattr(sys, "stdin", io.StringIO())
            capsys.readouterr()
            with pytest.raises(SystemExit) as end:
                cli.main()
        root.handlers[:], root.level = before
        for number, handler in handlers.items():
            signal.signal(number, handler)
        said = capsys.readouterr()
        return Ended(int(end.value.code or 0), said.out, said.err)

    return run


@pytest.fixture
def installed(home: Path, sqlite_template: Path) -> Settings:
    """An installation with a migrated database in `home`."""
    home.mkdir()
    settings = Settings(home=home)
    settings.database_file.write_bytes(sqlite_template.read_bytes())
    assert schema.is_current(settings)
    return settings


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """A disk of 16 MB that can be filled."""
    if reason := Disk.missing():
        pytest.skip(reason)
    with Disk(tmp_path / "disk", 16) as made:
        yield made
