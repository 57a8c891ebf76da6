"""`hamgate web`: the web server (granian, half the CPU of gunicorn's threads)."""

import os
import resource

from granian import Granian
from granian.constants import HTTPModes, Interfaces, Loops, TaskImpl
from granian.http import HTTP1Settings

from service.base.config import Settings
from service.operations import counters

_HEADERS_WITHIN_MS = 10_000
# What a process has open besides its clients' connections: databases, counters, libraries.
_OTHER_FILES = 256


def run(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises:
        ConfigError: the home cannot be written.
    """
    os.environ["HAMGATE_HOME"] = str(settings.home)
    counters.lay_out(settings.counters_folder, settings.web_processes)
    # prometheus_client reads this when it is imported, so nothing above may import it.
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(settings.counters_folder)
    # Imported before the web processes are forked, it is in memory once for all of them.
    from service import app
    from service.base import supervision
    from service.operations import traces

    traces.prepare(settings)
    app.warm_up(settings)
    _allow_files(settings.web_backlog + _OTHER_FILES)
    supervision.settle()
    Granian(
        f"{app.__name__}:start",
        factory=True,
        interface=Interfaces.RSGI,
        loop=Loops.asyncio,
        task_impl=TaskImpl.asyncio,  # the other cannot be cancelled when a time is over
        address=settings.host,
        port=settings.port,
        http=HTTPModes.http1,
        websockets=False,
        workers=settings.web_processes,
        backpressure=settings.web_backlog,
        http1_settings=HTTP1Settings(header_read_timeout=_HEADERS_WITHIN_MS),
        respawn_failed_workers=True,
        respawn_interval=0.5,
        workers_kill_timeout=10,
        log_enabled=False,
    ).serve()


def _allow_files(wanted: int) -> None:
    """Have the kernel let each process open so many files, as far as it may be asked."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
