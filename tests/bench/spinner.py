"""A process that keeps one core awake and is in nobody's way; see `machine.Spinners`."""

import os
from contextlib import suppress

_TURNS = 200_000


def main() -> None:
    """Spin until the parent is gone."""
    parent = os.getppid()
    os.nice(19)
    with suppress(OSError):  # a container may forbid it
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    while os.getppid() == parent:
        for _ in range(_TURNS):
            pass


if __name__ == "__main__":
    main()
