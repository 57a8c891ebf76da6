"""`hamgate web`: what its processes share, and that they do not outlive the first of them."""

import contextlib
import os
import re
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import flask
import psutil
import pytest

from service.base.config import Settings
from service.operations import schema
from tests.cast import open_ledger, wait_until
from tests.chaos.disk import Disk
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

_EACH_COUNTED = """
import os, pathlib, sys
from service.operations import counters

folder = pathlib.Path(sys.argv[1])
counters.lay_out(folder, 1)
os.environ["PROMETHEUS_MULTIPROC_DIR"] = sys.argv[1]
from service import app
from service.operations import metrics

counters.take_place(folder)
for rule in app.create_app().url_map.iter_rules():
    metrics.SECONDS.labels(rule.rule).observe(0.01)
    for status in (200, 202, 204, 303, 304, 400, 401, 403, 404, 405, 409, 413, 415, 422, 429, 503):
        metrics.REQUESTS.labels(rule.rule, status).inc()
print(*(path.stat().st_size for path in folder.glob("*.db")))
"""

_PLACES = """
import os, pathlib, sys
from service.operations import counters

folder = pathlib.Path(sys.argv[1])
counters.lay_out(folder, 1)
print(counters.place(), flush=True)
counters.take_place(folder)
print(counters.place(), flush=True)
for _ in range(2):
    if os.fork() == 0:
        counters.take_place(folder)
        print(counters.place(), flush=True)
        os._exit(0)
    os.wait()
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
    assert _python(_IMPORTED_LATE, environ).split() == []


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


def test_web_processes_serve_on_a_full_disk_and_come_back_when_they_die(
    settings: Settings, app: flask.Flask, disk: Disk
) -> None:
    here = settings.model_copy(update={"home": disk.folder / "home"})
    here.home.mkdir()
    schema.migrate(here)
    system = System(
        {
            "HAMGATE_HOME": str(here.home),
            "DATABASE_URL": here.database_url,
            "REDIS_URL": here.redis_url,
        }
    )
    # Each counts as a route of its own, and so takes room that was not needed before.
    paths = {re.sub(r"<[^>]*>", "none", rule.rule) for rule in app.url_map.iter_rules()}
    try:
        system.start("web")
        first = psutil.Process(system.processes["web"].pid)
        wait_until(lambda: len(_serving(first)) == here.web_processes)
        before = _serving(first)
        disk.fill()
        answered = [system.request("GET", path).status for path in sorted(paths) * 2]

        assert len(answered) > 100
        assert _serving(first) == before
        counted = _counted(system)

        killed = min(before)
        psutil.Process(killed).kill()
        wait_until(lambda: len(_serving(first) - {killed}) == here.web_processes)
        wait_until(system.is_ready)
        answered = [system.request("GET", path).status for path in sorted(paths) * 2]

        assert len(_serving(first) & before) == here.web_processes - 1
        assert _counted(system) >= counted + len(answered)
    finally:
        system.stop()


def _serving(first: psutil.Process) -> set[int]:
    """Give the ids of the web processes that live."""
    return {one.pid for one in first.children() if not is_gone(one.pid)}


def _counted(system: System) -> float:
    told = system.request("GET", "/metrics").json
    return sum(
        float(count) for count in re.findall(r"^hamgate_http_requests_total{.*} (\S+)$", told, re.M)
    )


def test_each_status_of_each_route_can_be_counted_in_the_room_that_is_taken(
    environ: Mapping[str, str], tmp_path: Path
) -> None:
    said = _python(_EACH_COUNTED, environ, tmp_path / "metrics")

    assert said.split() == [str(512 << 10)] * 2


def test_a_place_is_taken_once_until_its_process_ends(
    environ: Mapping[str, str], tmp_path: Path
) -> None:
    assert _python(_PLACES, environ, tmp_path / "metrics").split() == ["none", "0", "1", "1"]


def _python(program: str, environ: Mapping[str, str], *arguments: object) -> str:
    return subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
