"""What the routes of one application share: opened once per process, reached from a request."""

from dataclasses import dataclass
from threading import Semaphore
from typing import TYPE_CHECKING, cast

import flask

from service.access import Access
from service.challenges import Challenges
from service.config import Settings
from service.db import Database
from service.intake import Intake
from service.jobs import Doorbell
from service.limits import Limits
from service.memory import Memory
from service.renderings import Rendering, Renderings

if TYPE_CHECKING:  # imported for real only where the settings name a provider
    from service.openid import Provider

_NAME = "hamgate"


@dataclass(frozen=True, slots=True)
class Here:
    """The parts of a running web process.

    Attributes:
        threads: what was answered to readers a moment ago, by site and query.
        waiting: how many requests may still wait for a decision (`Prefer: wait`); the others
            are answered at once, so that those who wait never fill all threads.
        provider: for sign-in by OpenID, if the settings name one.
    """

    settings: Settings
    doorbell: Doorbell
    database: Database
    access: Access
    limits: Limits
    intake: Intake
    challenges: Challenges
    renderings: Renderings
    threads: Memory[Rendering]
    waiting: Semaphore
    provider: "Provider | None"

    def attach(self, app: flask.Flask) -> None:
        """Make it what `here()` gives in requests to this application."""
        app.extensions[_NAME] = self


def here_of(app: flask.Flask) -> Here:
    """Give the parts of an application."""
    return cast(Here, app.extensions[_NAME])


def here() -> Here:
    """Give the parts of the application that serves the current request."""
    return here_of(flask.current_app)
