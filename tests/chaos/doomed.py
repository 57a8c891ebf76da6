"""`python -m tests.chaos.doomed web|worker`: Hamgate whose processes die at named points.

The points are put around its functions from here; the product knows nothing of them. A point is
armed by a file of its name in the folder `CHAOS_POINTS`. The first process that comes to it takes
the file away and kills itself, so a file is one death, and a file that is gone is one that
happened. Whoever scores a text with the poison in it always dies.
"""

import functools
import inspect
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from service.base import jobs
from service.core import comments, moderation
from service.core.webhooks import deliveries
from service.judgement import judging
from service.pure import scoring

POISON = "this kills whoever reads it"
ARMED = "CHAOS_POINTS"


def points() -> dict[str, tuple[Any, str, bool]]:
    """Give the named points: whose attribute, its name, and whether it dies after the call."""
    from workers import outbound

    return {
        "after_insert": (comments, "submit", True),
        "after_commit": (jobs.Doorbell, "ring", False),
        "after_ring": (jobs.Doorbell, "ring", True),
        "after_classify": (judging, "judge", True),
        "before_decision_commit": (moderation, "record", True),
        "after_decision_commit": (jobs.Doorbell, "tally", False),
        "after_delivery_claim": (deliveries, "claim", True),
        "before_post": (outbound.Outbound, "post", False),
        "after_post": (outbound.Outbound, "post", True),
        "before_attempt_commit": (deliveries, "note", True),
    }


def main() -> NoReturn:
    """Put the points in place and become `hamgate web` or `hamgate worker`."""
    armed = Path(os.environ[ARMED])
    for name, (owner, attribute, after) in points().items():
        setattr(owner, attribute, _doom(getattr(owner, attribute), armed / name, after))
    _poison()
    if sys.argv[1] == "worker":
        from workers.__main__ import main as work

        work()
        sys.exit(0)
    from service import cli

    cli.main()
    sys.exit(0)


def _doom(function: Callable[..., Any], armed: Path, after: bool) -> Callable[..., Any]:
    def maybe_die() -> None:
        try:
            armed.unlink()
        except FileNotFoundError:
            return
        os.kill(os.getpid(), signal.SIGKILL)

    @functools.wraps(function)
    def doomed(*arguments: Any, **named: Any) -> Any:
        if not after:
            maybe_die()
        result = function(*arguments, **named)
        if after:
            maybe_die()
        return result

    @functools.wraps(function)
    async def doomed_later(*arguments: Any, **named: Any) -> Any:
        if not after:
            maybe_die()
        result = await function(*arguments, **named)
        if after:
            maybe_die()
        return result

    return doomed_later if inspect.iscoroutinefunction(function) else doomed


def _poison() -> None:
    score = scoring.Scorer.score

    def deadly(self: scoring.Scorer, batch: Sequence[Any], *more: Any, **named: Any) -> Any:
        if any(POISON in content.body for content in batch):
            os.kill(os.getpid(), signal.SIGKILL)
        return score(self, batch, *more, **named)

    setattr(scoring.Scorer, score.__name__, deadly)


if __name__ == "__main__":
    main()
