"""The machine: what it is, how fast it is just now, and keeping its cores awake."""

import os
import platform
import socket
import statistics
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import psutil

_LOOP_ROUNDS = 500_000
_PINGS = 2_000
_FSYNCS = 100
# How many microseconds the kernel may take to wake a core up, while it is open.
_LATENCY = Path("/dev/cpu_dma_latency")


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


class Awake:
    """Keeps the cores from falling asleep, which on virtual machines multiplies every wake-up.

    The kernel is asked for it while a file is open (PM QoS,
    https://docs.kernel.org/power/pm_qos_interface.html); its cores then wait in a loop. Where it
    may not be asked, there is a busy process for each core, at nice 19, as is its session, and,
    where the kernel has it, SCHED_IDLE. That yields at once only to its own session, so it is in
    the way: a PING takes 54 µs instead of 14, and a server that often sleeps for a moment, as ours
    does, does a quarter less in a second. The time of those processes belongs to no process group
    that is measured. Each ends by itself when its parent does.
    """

    def __init__(self) -> None:
        self.spinners: list[subprocess.Popen[bytes]] = []
        self._request: IO[bytes] | None = None

    @property
    def manner(self) -> str:
        """How they are kept awake, for the report."""
        return (
            "by the kernel" if self._request is not None else "by processes, in the way of others"
        )

    def __enter__(self) -> "Awake":
        with suppress(OSError):  # it may not be asked
            self._request = _LATENCY.open("r+b", buffering=0)
        if self._request is not None:
            self._request.write(struct.pack("=i", 0))
            return self
        command = [sys.executable, "-m", "tests.bench.spinner"]
        for _ in range(_cores()):
            self.spinners.append(subprocess.Popen(command, start_new_session=True))
        return self

    def __exit__(self, *_: object) -> None:
        if self._request is not None:
            self._request.close()
            self._request = None
        for process in self.spinners:
            process.kill()
        for process in self.spinners:
            process.wait()
        self.spinners.clear()


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
