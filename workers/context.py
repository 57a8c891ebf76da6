"""What a job needs, opened once in each process.

RQ calls a job by name with no arguments, in a child forked from a worker that has the model, the
driver and the compiled statements in memory. Those are shared with the parent; connections must
not be, so they are opened anew wherever the process id has changed.
"""

import os
from dataclasses import dataclass

from service.base import config
from service.base.config import Settings
from service.base.jobs import Doorbell
from service.judgement.shelf import Shelf
from service.ledger.db import Database
from service.operations import traces
from service.pure.scoring import Scorer


@dataclass(frozen=True, slots=True)
class Context:
    """Settings, ledger, classifier and the sites' layers of this process."""

    settings: Settings
    database: Database
    scorer: Scorer
    shelf: Shelf


_scorer: Scorer | None = None
_context: Context | None = None
_owner = 0


def open_for(settings: Settings) -> Context:
    """Load the model and the ledger's driver; best before any fork, so that children have them."""
    global _context, _owner
    traces.prepare(settings)
    scorer = _scorer or Scorer(settings.model)
    _context = Context(settings, Database(settings, Doorbell(settings)), scorer, Shelf())
    _owner = os.getpid()
    return _context


def current() -> Context:
    """Give this process's context, opening it if need be."""
    global _owner
    if _context is None:
        return open_for(config.from_environ(os.environ))
    if _owner != os.getpid():
        _context.database.forget_connections()
        _owner = os.getpid()
    return _context
