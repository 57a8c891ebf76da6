"""The Flask application: puts the parts together and nothing else."""

import atexit
import multiprocessing
import os
from collections.abc import Iterable
from threading import Semaphore
from typing import TYPE_CHECKING

import flask
from flask import Response
from sqlalchemy.orm import configure_mappers

from service import access, api, config, dashboard, embed, limits, logs, problems, traces
from service.access import Access
from service.admission import Admission
from service.answers import Asked
from service.api.arrivals import Arrivals
from service.challenges import Challenges
from service.config import Settings
from service.db import Database
from service.here import Here
from service.intake import Intake
from service.jobs import Doorbell
from service.limits import Limits
from service.memory import Memory
from service.renderings import Rendering, Renderings
from service.repeats import Repeats
from service.supervision import die_with

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

    from service.openid import Provider


class Application(flask.Flask):
    """Flask behind the gate, with short ways before it for what is asked most.

    Readers are told what was told a moment ago without passing the gate.
    """

    def __init__(self, settings: Settings, repeats: Repeats, arrivals: Arrivals) -> None:
        super().__init__("service", static_folder=None)
        self._repeats = repeats
        self._arrivals = arrivals
        self._admission = Admission(settings)

    def wsgi_app(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        """Answer a request if it is known or there is room for it."""
        known = self._repeats.answer(environ, start_response)
        if known is not None:
            return known
        return self._admission(environ, start_response, self._admitted)

    def _admitted(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        taken = self._arrivals.answer(environ, start_response)
        return super().wsgi_app(environ, start_response) if taken is None else taken

    def watch(self) -> None:
        """Have clients hung up on that take too long, for as long as the process lives."""
        self._admission.watch()


def create_app(settings: Settings | None = None) -> Application:
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
    threads: Memory[Rendering] = Memory(settings.reader_seconds)
    parts = Here(
        settings=settings,
        doorbell=doorbell,
        database=database,
        access=door,
        limits=limiter,
        intake=Intake(database, limiter),
        challenges=Challenges(settings, doorbell),
        renderings=Renderings(),
        threads=threads,
        waiting=Semaphore(settings.web_threads // 2),
        provider=_provider(settings),
    )
    app = Application(settings, Repeats(door, limiter, threads), Arrivals(parts))
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


def start() -> Application:
    """Make the application of a web process, by the environment, and watch its clients.

    Raises:
        ConfigError: the environment's settings are not usable.
    """
    parent = multiprocessing.parent_process()
    if parent is not None and parent.pid is not None:
        # Else they would serve on, and hold the port that its successor needs.
        die_with(parent.pid)
    settings = config.from_environ(os.environ)
    logs.configure(settings)
    traces.begin(settings, "web")
    atexit.register(traces.end)
    app = create_app(settings)
    app.watch()
    return app


def _provider(settings: Settings) -> "Provider | None":
    if settings.oidc_issuer is None:
        return None
    # 15 MB in each web process, which most installations never need.
    from service.openid import Provider

    return Provider(settings)
