"""A process that keeps one core awake, where the kernel may not be asked; see `machine.Awake`."""

import os
from contextlib import suppress
from pathlib import Path

_TURNS = 200_000
# Linux shares a core out between sessions before it looks at what is nice within each (sched(7)):
# without this a spinner took half of the core from a server.
_AUTOGROUP = Path("/proc/self/autogroup")


def main() -> None:
    """Spin until the parent is gone."""
    parent = os.getppid()
    os.nice(19)
    with suppress(OSError):  # a container may forbid it
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    with suppress(OSError):  # not every kernel has it
        _AUTOGROUP.write_text("19")
    while os.getppid() == parent:
        for _ in range(_TURNS):
            pass


if __name__ == "__main__":
    main()
