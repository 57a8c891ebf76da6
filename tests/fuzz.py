"""`python -m tests.fuzz`, behind `make fuzz`: schemathesis over the API of a running server.

It asks whatever the OpenAPI document lets it, and more, and looks for answers that the document
does not have: a 5xx, a status, a type or a shape that is not said. Schemathesis runs in an
environment of its own, made for the run by uv; the seed is fixed.
"""

import contextlib
import subprocess
import sys
import tempfile
from pathlib import Path

from service.base import config
from service.core.sites import Scope
from service.operations import schema
from tests.cast import make_key, make_site, open_ledger
from tests.conftest import Valkey
from tests.system import System

_SCHEMATHESIS = "schemathesis==4.32.5"
_LIMITS = ("ADDRESS", "EMAIL", "THREAD", "SITE", "OTHER", "KEY")
_CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
)


def main() -> int:
    """Give what schemathesis ends with: 0 if it found nothing."""
    with (
        tempfile.TemporaryDirectory(prefix="hamgate-fuzz-") as folder,
        contextlib.ExitStack() as end,
    ):
        valkey = Valkey(Path(folder) / "v")
        valkey.start()
        end.callback(valkey.kill)
        environ = {
            "HAMGATE_HOME": folder,
            "REDIS_URL": valkey.url,
            "HAMGATE_LOG_LEVEL": "error",
            "HAMGATE_WEB_PROCESSES": "1",
            **{f"HAMGATE_LIMIT_{name}": "1000000/second" for name in _LIMITS},
        }
        settings = config.from_environ(environ)
        schema.migrate(settings)
        database = open_ledger(settings)
        key = make_key(database, make_site(database), set(Scope))
        database.close()
        system = System(environ)
        end.callback(system.stop)
        system.start("web")
        return _ask(f"http://127.0.0.1:{system.port}/openapi.json", key, folder)


def _ask(document: str, key: str, folder: str) -> int:
    return subprocess.run(
        ["uvx", "--quiet", "--from", _SCHEMATHESIS, "schemathesis", "run", document,
         "--header", f"Authorization: Bearer {key}", "--checks", ",".join(_CHECKS),
         "--phases", "examples,coverage,fuzzing", "--max-examples", "15", "--seed", "1",
         "--continue-on-failure", "--generation-database", "none", "--warnings", "off",
         *sys.argv[1:]],
        cwd=folder,  # it keeps notes of what it did
        check=False,
    ).returncode  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
