"""The Flask application: puts the parts together and nothing else."""

import atexit
import multiprocessing
import os
import signal
from threading import Semaphore
from typing import TYPE_CHECKING

import flask
from flask import Response
from sqlalchemy.orm import configure_mappers

from service import api, dashboard, embed
from service.api.arrivals import Arrivals
from service.base import config, logs
from service.base.config import Settings
from service.base.jobs import Doorbell
from service.base.memory import Memory
from service.base.renderings import Renderings
from service.base.supervision import die_with
from service.front import Front
from service.ledger.db import Database
from service.operations import counters, traces
from service.serving import access, limits, problems
from service.serving.access import Access
from service.serving.answers import Asked
from service.serving.challenges import Challenges
from service.serving.here import Here, here_of
from service.serving.intake import Intake
from service.serving.limits import Limits
from service.serving.repeats import Repeats

if TYPE_CHECKING:
    from service.core.openid import Provider


def create_app(settings: Settings | None = None) -> flask.Flask:
    """Make the application; opens no connection until the first request.

    Args:
        settings: default those of the environment.

    Raises:
        ConfigError: the environment's settings are not usable.
    """
    if settings is None:
        settings = config.from_environ(os.environ)
        logs.configure(settings)
    doorbell = Doorbell(settings)
    database = Database(settings, doorbell)
    door = Access(settings, database)
    limiter = Limits(settings, lambda: access.limit_subject(door.client_address()))
    challenges = Challenges(settings, doorbell)
    parts = Here(
        settings=settings,
        doorbell=doorbell,
        database=database,
        access=door,
        limits=limiter,
        intake=Intake(database, limiter, challenges),
        challenges=challenges,
        renderings=Renderings(),
        threads=Memory(settings.reader_seconds),
        waiting=Semaphore(settings.web_threads // 2),
        provider=_provider(settings),
    )
    app = flask.Flask("service", static_folder=None)
    parts.attach(app)

    @app.before_request
    def begin() -> None:
        request = flask.request
        flask.g.asked = Asked(request.method, request.path, request.environ.get("HTTP_TRACEPARENT"))
        flask.g.request_id = flask.g.asked.request_id

    @app.after_request
    def finish(answer: Response) -> Response:
        rule = flask.request.url_rule
        carried = flask.g.asked.answered(
            answer.status_code,
            None if rule is None else rule.rule,
            counts=limits.counted(),
            allowed_origin=access.allowed_origin(),
            comment_id=flask.g.get("comment_id"),
        )
        for name, value in carried:
            # Added, not set: that would look through all of them each time, and none is there yet.
            answer.headers.add(name, value)
        return answer

    problems.register(app)
    api.register(app)
    dashboard.register(app)
    embed.register(app)
    return app


def warm_up(settings: Settings) -> None:
    """Make an application for nobody, before web processes are forked, who share what that loads.

    Each would else import a second client of Redis (limits does), and map the tables; to do so
    also touches, and thereby copies, three times as much of what was shared.
    """
    configure_mappers()
    create_app(settings)


def in_front_of(app: flask.Flask) -> Front:
    """Make what a server calls, over an application."""
    parts = here_of(app)
    repeats = Repeats(parts.access, parts.limits, parts.threads)
    return Front(parts.settings, app.wsgi_app, repeats, Arrivals(parts))


def start() -> Front:
    """Make a web process, by the environment.

    Raises:
        ConfigError: the environment's settings are not usable.
    """
    # Until the server listens for signals itself, the handlers are those of the first process,
    # which would only take note of one.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    parent = multiprocessing.parent_process()
    if parent is not None and parent.pid is not None:
        # Else they would serve on, and hold the port that its successor needs.
        die_with(parent.pid)
    settings = config.from_environ(os.environ)
    logs.configure(settings)
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        counters.take_place(settings.counters_folder)
    traces.begin(settings, "web")
    atexit.register(traces.end)
    return in_front_of(create_app(settings))


def _provider(settings: Settings) -> "Provider | None":
    if settings.oidc_issuer is None:
        return None
    # 15 MB in each web process, which most installations never need.
    from service.core.openid import Provider

    return Provider(settings)
