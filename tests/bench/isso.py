"""Isso beside us: the same comments to the same kind of server, in the same run.

It comes from PyPI into an environment of its own below the benchmark's folder, which is thrown
away with it: nothing of it is a dependency of ours, and its row is measured only if it is named.
"""

import configparser
import json
import subprocess
import sys
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote

from tests.bench import texts
from tests.bench.intake import loaded, suffix_of
from tests.bench.reading import CONNECTIONS
from tests.bench.servers import Installation, Stage
from tests.cast import ORIGIN

_WANTED = ("isso==0.14.0", "gunicorn==27.0.1")
_URI = "/first-post"
_COMMENTS = 100
_FIELDS = {"name": "author", "email": "email", "body": "text"}
_FILL = """
import json, sys
from isso import config, db
ledger = db.SQLite3(sys.argv[2], config.load(config.default_file(), sys.argv[1]))
ledger.threads.new(sys.argv[3], "First post")
for one in json.load(sys.stdin):
    ledger.comments.add(sys.argv[3], one)
"""


@dataclass(frozen=True, slots=True)
class Isso:
    """Reading a thread of a hundred comments from Isso, under gunicorn as the reference is."""

    name: str = "isso-100"
    table: str = "reading"

    def measure(self, stage: Stage, seconds: float) -> dict[str, float]:
        """Load it for so many seconds.

        Raises:
            RuntimeError: PyPI gave none.
        """
        with _running(stage) as here:
            target = replace(
                here.target,
                path=f"/?uri={quote(_URI, safe='')}",
                method="GET",
                connections=CONNECTIONS,
                headers={"Origin": ORIGIN},
            )
            figures, _ = loaded(here, target, seconds)
            return figures


@dataclass(frozen=True, slots=True)
class IssoIntake:
    """Sending comments to Isso, as to us; its limit by address is off, as ours are never reached.

    Attributes:
        connections: how many.
    """

    connections: int = 64

    @property
    def name(self) -> str:
        """The row's name."""
        return f"isso-intake{suffix_of(self.connections)}"

    @property
    def table(self) -> str:
        """The table of its connections."""
        return f"intake{suffix_of(self.connections)}"

    def measure(self, stage: Stage, seconds: float) -> dict[str, float]:
        """Load it for so many seconds.

        Raises:
            RuntimeError: PyPI gave none.
        """
        with _running(stage) as here:
            target = replace(
                here.target,
                path=f"/new?uri={quote(_URI, safe='')}",
                connections=self.connections,
                fields=_FIELDS,
            )
            figures, _ = loaded(here, target, seconds)
            return figures


def _running(stage: Stage) -> AbstractContextManager[Installation]:
    python = _environment(stage.folder / "isso")
    return stage.served(lambda home: _prepare(python, home), "isso.run", program=str(python))


def _environment(folder: Path) -> Path:
    """Give the Python of an environment with Isso in it, made once for a run."""
    python = folder / "bin" / "python"
    if not python.exists():
        _run([sys.executable, "-m", "venv", str(folder)])
        _run([str(python), "-m", "pip", "--quiet", "install", *_WANTED])
    return python


def _prepare(python: Path, home: Path) -> dict[str, str]:
    """Write Isso's settings and its comments; give the environment that names them."""
    settings, ledger = home / "isso.cfg", home / "comments.db"
    parser = configparser.ConfigParser()
    parser["general"] = {"dbpath": str(ledger), "host": ORIGIN}
    parser["guard"] = {"enabled": "false"}
    with settings.open("w") as file:
        parser.write(file)
    comments = [
        {
            "parent": None, "text": one.body, "author": one.name, "email": one.email,
            "website": None, "mode": 1, "remote_addr": "127.0.0.1", "notification": 0,
        }
        for one in texts.generate(0, _COMMENTS)
    ]  # fmt: skip
    _run(
        [str(python), "-c", _FILL, str(settings), str(ledger), _URI],
        given=json.dumps(comments),
    )
    return {"ISSO_SETTINGS": str(settings)}


def _run(arguments: list[str], *, given: str = "") -> None:
    ended = subprocess.run(arguments, input=given, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise RuntimeError(f"{arguments[0]} ended with {ended.returncode}: {ended.stderr[-1000:]}")
