"""What web processes count in, each in a place of its own, for whoever is asked for the metrics.

The one rule: to count never needs room on the disk. The files are mapped into memory, and to touch
a page for which a full disk has no room ends a process (SIGBUS, mmap(2)). So all of each file is
written before the first request; and a process that follows on one that died takes over its place,
and what that had counted, instead of making files of its own.
"""

import fcntl
import itertools
import os
import shutil
from pathlib import Path
from typing import BinaryIO

from service.base.errors import ConfigError

# The files of a place, by the types of metrics that there are, as prometheus_client names them.
_TYPES = ("counter", "histogram")
# Of each; some hundred routes take 20 kB for each status, and 270 kB for their times.
_ROOM_BYTES = 512 << 10

# The place of this process, and the file whose lock keeps others from it for as long as it lives.
_place = "none"
_lock: BinaryIO | None = None


def lay_out(folder: Path, places: int) -> None:
    """Make the places of so many processes, all with nothing counted.

    Args:
        folder: made anew.
        places: how many; one process more makes itself a place if there is room.

    Raises:
        ConfigError: it cannot be written.
    """
    shutil.rmtree(folder, ignore_errors=True)
    try:
        folder.mkdir(parents=True)
        for number in range(places):
            _lay_out(folder, number)
    except OSError as error:
        raise ConfigError(f"cannot write {folder}: {error.strerror}; set HAMGATE_HOME") from error


def take_place(folder: Path) -> None:
    """Take the first place that no living process has, until this process ends."""
    global _place, _lock
    for number in itertools.count():
        path = folder / f"process_{number}"
        path.touch()
        held = path.open("r+b")
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            held.close()
            continue
        if not path.stat().st_size:  # one more than were laid out
            _lay_out(folder, number)
        # Over what was there: to empty the file would give its block back.
        held.write(_named(os.getpid()))
        held.flush()
        _place, _lock = str(number), held
        return


def place() -> str:
    """Give the place of this process, for prometheus_client."""
    return _place


def processes(folder: Path) -> list[int]:
    """Give the ids of the processes that took the places, whether they live or not."""
    said = [path.read_text() for path in folder.glob("process_*")]
    return [int(pid) for pid in said if pid.strip()]


def _lay_out(folder: Path, number: int) -> None:
    """Write a place that nobody else has; its last file is empty until all of it is there."""
    for kind in _TYPES:
        (folder / f"{kind}_{number}.db").write_bytes(bytes(_ROOM_BYTES))
    (folder / f"process_{number}").write_bytes(_named(""))


def _named(pid: int | str) -> bytes:
    """Give a process id in as many bytes as any other."""
    return f"{pid:<10}".encode()
