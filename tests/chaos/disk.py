"""A disk that can be full: a small file system of its own, in memory."""

import contextlib
import errno
import functools
import os
import subprocess
import tempfile
from pathlib import Path

_BLOCK_BYTES = 4096


class Disk:
    """A file system mounted for the length of a block.

    Args:
        folder: where.
        size_mb: how much there is room for.
    """

    def __init__(self, folder: Path, size_mb: int) -> None:
        self.folder = folder
        self._ballast = folder / "ballast"
        self._size_mb = size_mb

    def __enter__(self) -> "Disk":
        self.folder.mkdir(exist_ok=True)
        _mount(self.folder, self._size_mb)
        return self

    def __exit__(self, *_: object) -> None:
        subprocess.run(["umount", "--lazy", self.folder], check=True)

    @staticmethod
    @functools.cache
    def missing() -> str | None:
        """Say why there cannot be one here; `None` if there can."""
        with tempfile.TemporaryDirectory(prefix="chaos-mount-") as folder:
            try:
                _mount(Path(folder), 1)
            except (OSError, subprocess.CalledProcessError) as error:
                told = getattr(error, "stderr", None) or str(error)
                return f"no disk can be mounted: {told.strip()}"
            subprocess.run(["umount", folder], check=True)
        return None

    def fill(self) -> None:
        """Leave no room for another block."""
        with self._ballast.open("ab") as file:
            size = os.fstat(file.fileno()).st_size
            step = self._size_mb * 2**20
            while step >= _BLOCK_BYTES:
                try:
                    os.posix_fallocate(file.fileno(), size, step)
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise
                    step //= 2
                else:
                    size += step

    def free(self) -> None:
        """Give the room back."""
        with contextlib.suppress(FileNotFoundError):
            self._ballast.unlink()


def _mount(folder: Path, size_mb: int) -> None:
    options = f"size={size_mb}m,mode=755"
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "chaos", folder],
        check=True,
        capture_output=True,
        text=True,
    )
