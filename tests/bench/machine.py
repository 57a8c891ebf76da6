"""The machine: what it is, how fast it is just now, and keeping its cores awake."""

import os
import platform
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil

_LOOP_ROUNDS = 500_000
_PINGS = 2_000
_FSYNCS = 100


@dataclass(frozen=True, slots=True)
class Machine:
    """What a reader has to know to compare figures with their own."""

    processor: str
    cores: int
    memory_gb: float
    kernel: str
    python: str
    file_system: str
    load: float


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

    One busy process for each core, at nice 19, as is its session, and, where the kernel has it,
    SCHED_IDLE: it yields at once to whatever else wants to run. At nice 19 alone a PING took 33 µs
    instead of 13 (the spinner keeps the core for the rest of its slice). Their time belongs to no
    process group that is measured. A spinner ends by itself when its parent does.
    """

    def __init__(self) -> None:
        self.processes: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> "Spinners":
        command = [sys.executable, "-m", "tests.bench.spinner"]
        for _ in range(_cores()):
            self.processes.append(subprocess.Popen(command, start_new_session=True))
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.processes:
            process.kill()
        for process in self.processes:
            process.wait()
        self.processes.clear()


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
