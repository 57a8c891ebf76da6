"""`hamgate web`: the web server (granian's WSGI server, half the CPU of gunicorn's threads)."""

import os

from granian import Granian
from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings

from service import metrics
from service.config import Settings

_HEADERS_WITHIN_MS = 10_000


def run(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT."""
    os.environ["HAMGATE_HOME"] = str(settings.home)
    os.environ.update(metrics.share(settings.home / "run" / "metrics"))
    Granian(
        "service.app:create_app",
        factory=True,
        interface=Interfaces.WSGI,
        address=settings.host,
        port=settings.port,
        http=HTTPModes.http1,
        websockets=False,
        workers=settings.web_processes,
        blocking_threads=settings.web_threads,
        backpressure=settings.web_backlog,
        http1_settings=HTTP1Settings(header_read_timeout=_HEADERS_WITHIN_MS),
        respawn_failed_workers=True,
        respawn_interval=0.5,
        workers_kill_timeout=10,
        log_enabled=False,
    ).serve()
