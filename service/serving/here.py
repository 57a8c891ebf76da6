"""What the routes of one application share: opened once per process, reached from a request."""

from dataclasses import dataclass
from threading import Semaphore
from typing import TYPE_CHECKING, cast

import flask

from service.base.config import Settings
from service.base.jobs import Doorbell
from service.base.memory import Memory
from service.base.renderings import Rendering, Renderings
from service.ledger.db import Database
from service.serving.access import Access
from service.serving.challenges import Challenges
from service.serving.intake import Intake
from service.serving.limits import Limits

if TYPE_CHECKING:  # imported for real only where the settings name a provider
    from service.core.openid import Provider

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
