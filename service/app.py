"""The Flask application: puts the parts together and nothing else."""

import gc
import logging
import os
import time
from collections.abc import Iterable
from threading import Semaphore
from typing import TYPE_CHECKING

import flask
from flask import Response

from service import access, api, config, dashboard, embed, limits, logs, metrics, problems
from service.access import Access
from service.admission import Admission
from service.challenges import Challenges
from service.config import Settings
from service.db import Database, new_id
from service.here import Here
from service.intake import Intake
from service.jobs import Doorbell
from service.limits import Limits
from service.memory import Memory
from service.renderings import Renderings

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

    from service.openid import Provider

log = logging.getLogger("service.web")


class Application(flask.Flask):
    """Flask behind the gate."""

    def __init__(self, settings: Settings) -> None:
        super().__init__("service", static_folder=None)
        self._admission = Admission(settings)

    def wsgi_app(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        """Answer a request if there is room for it."""
        return self._admission(environ, start_response, super().wsgi_app)

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
    app = Application(settings)
    doorbell = Doorbell(settings)
    database = Database(settings, doorbell)
    door = Access(settings, database)
    limiter = Limits(settings, lambda: access.limit_subject(door.client_address()))

    @app.before_request
    def begin() -> None:
        flask.g.request_id = new_id("req")
        flask.g.began = time.perf_counter()

    @app.after_request
    def finish(answer: Response) -> Response:
        headers = answer.headers
        # Added, not set: that would look through all of them each time, and none is there yet.
        headers.add("X-Request-Id", flask.g.request_id)
        headers.add("X-Content-Type-Options", "nosniff")
        for name, value in limits.headers(limits.counted()).items():
            headers.add(name, value)
        access.say_origin(answer)
        seconds = time.perf_counter() - flask.g.began
        route = flask.request.url_rule.rule if flask.request.url_rule else "none"
        metrics.REQUESTS.labels(route, answer.status_code).inc()
        metrics.SECONDS.labels(route).observe(seconds)
        comment_id = flask.g.get("comment_id")
        log.info(
            "%s %s %d %.1f ms %s%s",
            flask.request.method,
            flask.request.path,
            answer.status_code,
            seconds * 1000,
            flask.g.request_id,
            f" {comment_id}" if comment_id else "",
            extra=logs.fields(
                request=flask.g.request_id,
                method=flask.request.method,
                route=route,
                status=answer.status_code,
                ms=round(seconds * 1000, 1),
                comment=comment_id,
            ),
        )
        return answer

    Here(
        settings=settings,
        doorbell=doorbell,
        database=database,
        access=door,
        limits=limiter,
        intake=Intake(database, limiter),
        challenges=Challenges(settings, doorbell),
        renderings=Renderings(),
        threads=Memory(settings.reader_seconds),
        waiting=Semaphore(settings.web_threads // 2),
        provider=_provider(settings),
    ).attach(app)
    # Requests leave few cycles behind; looking for them at each 700th object is most of the cost.
    gc.set_threshold(20_000, 20, 20)
    problems.register(app)
    api.register(app)
    dashboard.register(app)
    embed.register(app)
    return app


def start() -> Application:
    """Make the application of a web process, by the environment, and watch its clients.

    Raises:
        ConfigError: the environment's settings are not usable.
    """
    app = create_app()
    app.watch()
    return app


def _provider(settings: Settings) -> "Provider | None":
    if settings.oidc_issuer is None:
        return None
    # 15 MB in each web process, which most installations never need.
    from service.openid import Provider

    return Provider(settings)
