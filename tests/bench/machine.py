"""The machine: what it is, how fast it is just now, and keeping its cores awake."""

import os
import platform
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

_LOOP_ROUNDS = 500_000
_PINGS = 2_000
_FSYNCS = 100
# Of version 1 of control groups, and of version 2.
_CPU_GROUPS = (Path("/sys/fs/cgroup/cpu"), Path("/sys/fs/cgroup"))


@dataclass(frozen=True, slots=True)
class Machine:
    """What a reader has to know to compare figures with their own.

    Attributes:
        load: of the minute before.
        awake: how its cores are kept from falling asleep.
    """

    processor: str
    cores: int
    memory_gb: float
    kernel: str
    python: str
    file_system: str
    load: float
    awake: str = "by nothing"


def describe(folder: Path) -> Machine:
    """Say what this machine is, the file system of `folder`, and the last minute's load."""
    return Machine(
        processor=_processor(),
        cores=_cores(),
        memory_gb=round(psutil.virtual_memory().total / 2**30, 1),
        kernel=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        file_system=_file_system(folder),
        load=round(os.getloadavg()[0], 2),
    )


@dataclass(frozen=True, slots=True)
class Calibration:
    """How fast the machine is just now.

    Attributes:
        loop_ms: a fixed loop in pure Python, the best of five.
        ping_us: a PING to Valkey over its Unix socket and back, the median.
        fsync_us: 4 KiB written over and synchronised, the median.
    """

    loop_ms: float
    ping_us: float
    fsync_us: float


def calibrate(folder: Path, valkey_socket: Path) -> Calibration:
    """Measure a loop, a round trip, and the disk that `folder` is on; takes half a second."""
    loop = min(_timed(_loop) for _ in range(5))
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(valkey_socket))
        ping = statistics.median(_timed(lambda: _ping(connection)) for _ in range(_PINGS))
    with (folder / "fsync").open("wb", buffering=0) as file:

        def write_through() -> None:
            file.seek(0)
            file.write(bytes(4096))
            os.fsync(file.fileno())

        fsync = statistics.median(_timed(write_through) for _ in range(_FSYNCS))
    return Calibration(round(loop * 1e3, 2), round(ping * 1e6, 1), round(fsync * 1e6, 1))


class Spinners:
    """Keeps the cores from falling asleep, which on virtual machines multiplies every wake-up.

    One busy process for each core, in a control group of the kernel's idle kind where one may be
    made: it yields at once to whatever else wants to run. Where not, it is at nice 19, as is its
    session, which does not: a PING takes 54 µs instead of 7, and a server that often sleeps for a
    moment, as ours does, does 30 % less in a second. Their time belongs to no process group that
    is measured. A spinner ends by itself when its parent does.
    """

    def __init__(self) -> None:
        self.processes: list[subprocess.Popen[bytes]] = []
        self._group: Path | None = None

    @property
    def manner(self) -> str:
        """How they go about it, for the report."""
        return "in an idle group" if self._group is not None else "at nice 19, which is in the way"

    def __enter__(self) -> "Spinners":
        command = [sys.executable, "-m", "tests.bench.spinner"]
        self._group = _idle_group()
        for _ in range(_cores()):
            process = subprocess.Popen(command, start_new_session=True)
            self.processes.append(process)
            if self._group is not None:
                (self._group / "cgroup.procs").write_text(str(process.pid))
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.processes:
            process.kill()
        for process in self.processes:
            process.wait()
        self.processes.clear()
        if self._group is not None:
            self._group.rmdir()
            self._group = None


def _idle_group() -> Path | None:
    """Make a control group that runs only where nothing else wants to (`cpu.idle`), if we may."""
    for folder in _CPU_GROUPS:
        group = folder / f"hamgate-bench-{os.getpid()}"
        if not (folder / "cgroup.procs").exists():
            continue
        with suppress(OSError):
            group.mkdir()
            try:
                (group / "cpu.idle").write_text("1")
            except OSError:
                group.rmdir()
                raise
            return group
    return None


def _cores() -> int:
    return len(os.sched_getaffinity(0))


def _timed(action: Callable[[], object]) -> float:
    begin = time.perf_counter()
    action()
    return time.perf_counter() - begin


def _loop() -> int:
    total = 0
    for number in range(_LOOP_ROUNDS):
        total += number
    return total


def _ping(connection: socket.socket) -> None:
    connection.sendall(b"PING\r\n")
    connection.recv(64)


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _file_system(folder: Path) -> str:
    holding = [
        mount
        for mount in psutil.disk_partitions(all=True)
        if folder.resolve().is_relative_to(mount.mountpoint)
    ]
    return max(holding, key=lambda mount: len(mount.mountpoint)).fstype if holding else "unknown"
