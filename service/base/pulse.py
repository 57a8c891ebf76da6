"""The pulse of the worker on this machine: a file in `home` that its sweeper touches.

For whoever starts again what hangs, as Docker and Kubernetes do; a worker has no port to ask at.
The one rule: a pulse says that the sweeper goes round, not that it succeeds. Without a database
it fails and goes round, and to start it again would not help.
"""

import logging
import time
from pathlib import Path

from service.base.config import Settings

log = logging.getLogger(__name__)

# A sweeper that does the workers' work may be at it for a shift and a batch.
_DEAD_AFTER_SECONDS = 120.0


def beat(settings: Settings) -> None:
    """Leave a sign of life; where that is not possible, say so and go on."""
    file = _file(settings)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    except OSError as error:
        log.warning("cannot leave a sign of life in %s: %s", file, error.strerror)


def beats(settings: Settings) -> bool:
    """Whether there was a sign of life within the last two minutes."""
    try:
        beaten_at = _file(settings).stat().st_mtime
    except FileNotFoundError:
        return False
    return time.time() - beaten_at < _DEAD_AFTER_SECONDS


def _file(settings: Settings) -> Path:
    return settings.home / "run" / "sweeper"
