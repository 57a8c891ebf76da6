"""A host with a systemd of its own, in namespaces, with Hamgate installed as deploy/ says."""

import contextlib
import os
import shutil
import subprocess
import sys
import sysconfig
import time
from collections.abc import Sequence
from pathlib import Path

import psutil

from tests.deploy import network
from tests.deploy.files import DEPLOY, ROOT

_SYSTEMD = Path("/lib/systemd/systemd")
_UP_WITHIN_SECONDS = 60


def missing() -> str:
    """Say what is missing to make such a host; empty if nothing is."""
    if not _SYSTEMD.exists():
        return "no systemd (Debian: systemd)"
    if shutil.which("unshare") is None or shutil.which("nsenter") is None:
        return "no `unshare` and `nsenter` (Debian: util-linux)"
    if not _cgroups():
        return "no cgroup2 is mounted"
    return network.missing()


def _cgroups() -> str:
    """Give where the second version of control groups is mounted; empty if nowhere."""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, where, kind, *_ = line.split()
        if kind == "cgroup2":
            return where
    return ""


def to_install(folder: Path) -> dict[str, str]:
    """Build Hamgate's wheel into a folder, and give the environment that install.sh wants."""
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    return {
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        "PYTHON": sys.base_prefix,
        "PACKAGES": sysconfig.get_path("purelib"),
        "WHEEL": str(wheel),
    }


class Machine:
    """The host: boots once, and leaves nothing behind."""

    def __init__(self, folder: Path, *, inside: Sequence[str]) -> None:
        """Say where.

        Args:
            folder: for its logs, and for what lies in its /etc before the install.
            inside: a command that runs another one in the host's network.
        """
        self.logs = folder / "logs"
        self.etc = folder / "etc"
        self._wheels = folder / "wheels"
        self._inside = list(inside)
        self._group = Path(_cgroups()) / f"hamgate-{os.getpid()}"
        self._process: subprocess.Popen[bytes] | None = None
        self.logs.mkdir(parents=True)
        self.etc.mkdir()

    def boot(self, *also: str) -> None:
        """Install Hamgate and start the host with `hamgate.target` and these units."""
        self.logs.chmod(0o777)
        self._group.mkdir()
        environ = {
            **to_install(self._wheels),
            "ETC": str(self.etc),
            "UNITS": str(DEPLOY / "systemd"),
            "LOGS": str(self.logs),
            "ALSO": " ".join(also),
        }
        enter = f'echo $$ > {self._group}/cgroup.procs; exec "$@"'
        spaces = ["--mount", "--pid", "--ipc", "--uts", "--cgroup", "--mount-proc"]
        self._process = subprocess.Popen(
            ["bash", "-c", enter, "enter", *self._inside,
             "unshare", *spaces, "--fork", "--kill-child=KILL",
             str(Path(__file__).parent / "boot.sh")],
            env=environ,
            stdout=(self.logs / "console").open("wb"),
            stderr=subprocess.STDOUT,
        )  # fmt: skip
        deadline = time.monotonic() + _UP_WITHIN_SECONDS
        while self.run("systemctl", "show", "--property=Version").returncode != 0:
            if time.monotonic() > deadline or self._process.poll() is not None:
                raise RuntimeError(f"the host did not boot:\n{self.told()}")
            time.sleep(0.1)

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command on the host, as its root."""
        systemd = self._systemd()
        if systemd is None:
            return subprocess.CompletedProcess(command, 1, "", "it is not up")
        return subprocess.run(
            ["nsenter", f"--target={systemd}", "--mount", "--pid", "--ipc", "--uts", "--net",
             "--cgroup", "--", *command],
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
            capture_output=True,
            text=True,
        )  # fmt: skip

    def told(self) -> str:
        """Give everything that was logged."""
        return "\n".join(
            f"== {path.name}\n{path.read_text(errors='replace')}"
            for path in sorted(self.logs.iterdir())
        )

    def shut_down(self) -> None:
        """End every process of the host at once."""
        if self._process is not None:
            self._process.kill()  # takes the host's first process along, and that all others
            self._process.wait()
        if self._group.exists():
            _remove(self._group)

    def _systemd(self) -> int | None:
        assert self._process is not None
        with contextlib.suppress(psutil.NoSuchProcess):
            for child in psutil.Process(self._process.pid).children(recursive=True):
                if child.exe() == os.path.realpath(_SYSTEMD):
                    return child.pid
        return None


def _remove(group: Path) -> None:
    """Remove a control group and those in it, once the last process has left."""
    deadline = time.monotonic() + _UP_WITHIN_SECONDS
    while group.exists():
        try:
            for folder, _, _ in os.walk(group, topdown=False):
                Path(folder).rmdir()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
