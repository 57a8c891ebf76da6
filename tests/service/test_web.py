"""`hamgate web`: what its processes share, and that they do not outlive the first of them."""

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Mapping

import psutil
import pytest

from service.base.config import Settings
from tests.cast import open_ledger, wait_until
from tests.system import System, is_gone

pytestmark = pytest.mark.process

_IMPORTED_LATE = """
import os, sys
from service import app, web
from service.base import config

settings = config.from_environ(os.environ)
app.warm_up(settings)
before = set(sys.modules)
made = app.create_app(settings)
made({"REQUEST_METHOD": "GET", "PATH_INFO": "/readyz", "SERVER_NAME": "localhost",
      "SERVER_PORT": "80", "wsgi.url_scheme": "http", "REMOTE_ADDR": "127.0.0.1"},
     lambda status, headers: None)
print(*sorted(set(sys.modules) - before))
"""


@pytest.fixture
def environ(settings: Settings) -> Mapping[str, str]:
    open_ledger(settings).close()
    return {
        "HAMGATE_HOME": str(settings.home),
        "DATABASE_URL": settings.database_url,
        "REDIS_URL": settings.redis_url,
    }


def test_what_a_web_process_imports_is_there_before_it_is_forked(
    environ: Mapping[str, str],
) -> None:
    said = subprocess.run(
        [sys.executable, "-c", _IMPORTED_LATE],
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        check=True,
    )

    assert said.stdout.split() == []


def test_web_processes_end_when_the_first_of_them_is_killed(environ: Mapping[str, str]) -> None:
    system = System(environ)
    try:
        system.start("web")
        first = system.processes["web"]
        others = psutil.Process(first.pid).children(recursive=True)
        assert others
        with contextlib.closing(socket.create_connection(("127.0.0.1", system.port))):
            first.kill()
            first.wait()

            wait_until(lambda: all(is_gone(process.pid) for process in others))

        system.start("web")  # the port is free
    finally:
        system.stop()
