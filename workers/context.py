"""What a job needs, opened once in each process.

RQ calls a job by name with no arguments, in a child forked from a worker that has the model in
memory. The model is shared with the parent; connections must not be, so they are opened anew
wherever the process id has changed.
"""

import os
from dataclasses import dataclass

from service import config
from service.config import Settings
from service.db import Database
from service.jobs import Doorbell
from service.scoring import Scorer


@dataclass(frozen=True, slots=True)
class Context:
    """Settings, ledger and classifier of this process."""

    settings: Settings
    database: Database
    scorer: Scorer


_scorer: Scorer | None = None
_context: Context | None = None
_owner = 0


def preload(settings: Settings) -> Scorer:
    """Load the model before any fork."""
    global _scorer
    _scorer = Scorer(settings.model)
    return _scorer


def current() -> Context:
    """Give this process's context, opening it if need be."""
    global _context, _owner
    if _context is None or _owner != os.getpid():
        settings = config.from_environ(os.environ)
        scorer = _scorer or preload(settings)
        _context = Context(settings, Database(settings, Doorbell(settings)), scorer)
        _owner = os.getpid()
    return _context
