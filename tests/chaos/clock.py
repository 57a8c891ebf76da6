"""A clock that can be moved: the wall clock of the processes that were started with it."""

import shutil
import struct
import subprocess
from pathlib import Path

_SOURCE = Path(__file__).parent / "clock.c"
_FILE = "CHAOS_CLOCK"
_BUILD = ("cc", "-O2", "-Wall", "-Wextra", "-shared", "-fPIC", "-o")


class Clock:
    """The offset that some processes' wall clock has, forks and all; their time-outs have none.

    Args:
        file: where the offset is kept.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._library = file.with_suffix(".so")
        subprocess.run([*_BUILD, self._library, _SOURCE], check=True)
        self.set(0)
        file.chmod(0o644)

    @staticmethod
    def missing() -> str | None:
        """Say why there cannot be one here; `None` if there can."""
        return None if shutil.which("cc") else "no cc, to build what moves the clock"

    def set(self, seconds: int) -> None:
        """Have it so far off, forwards or backwards, from this moment on."""
        with self._file.open("r+b" if self._file.exists() else "wb", buffering=0) as file:
            file.write(struct.pack("=q", seconds))

    @property
    def environ(self) -> dict[str, str]:
        """What a process has to be started with."""
        return {"LD_PRELOAD": str(self._library), _FILE: str(self._file)}
