"""What processes cost: CPU time and memory of whole process trees."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import psutil

T = TypeVar("T")

_ATTEMPTS = 20


def cpu_seconds(roots: Mapping[str, int]) -> dict[str, float]:
    """Give the CPU time, user and system, that each process tree has used since it began.

    A process that has ended counts with its parent once that has waited for it. Where the tree
    changes while it is read, it is read again. The kernel counts in steps of 10 ms a process.

    Args:
        roots: for each name the process id at the root of its tree.
    """
    return {name: _tree_seconds(pid) for name, pid in roots.items()}


def proportional_mb(roots: Mapping[str, int]) -> dict[str, float]:
    """Give the memory of each process tree in MB (10⁶ bytes).

    It is the proportional set size of proc(5): a page that several processes share counts in
    equal parts to each of them.
    """
    return {name: sum(_pss_mb(process) for process in _tree(pid)) for name, pid in roots.items()}


def divided_mb(root: int, parts: Mapping[str, int], rest: str) -> dict[str, float]:
    """Give the memory of one process tree by its parts, in MB, all from one reading.

    Where the tree changes while it is read, it is read again: the pages that a child shared are
    its parent's alone once it has ended.

    Args:
        root: process id at the root of the tree.
        parts: for each name the process id at the root of a tree within it.
        rest: what to call that which is in none of them.
    """

    def weigh(processes: Sequence[psutil.Process]) -> dict[str, float]:
        names = {one: name for name, pid in parts.items() for one in _tree(pid)}
        sizes = dict.fromkeys([*parts, rest], 0.0)
        for process in processes:
            sizes[names.get(process, rest)] += _pss_mb(process)
        return sizes

    return _read_whole(root, weigh)


def _tree(pid: int) -> list[psutil.Process]:
    root = psutil.Process(pid)
    return [root, *root.children(recursive=True)]


def _tree_seconds(pid: int) -> float:
    return _read_whole(pid, lambda tree: sum(sum(one.cpu_times()[:4]) for one in tree))


def _read_whole(pid: int, read: Callable[[Sequence[psutil.Process]], T]) -> T:
    """Read a process tree, again if it changed meanwhile."""
    for _ in range(_ATTEMPTS):
        before = _tree(pid)
        with suppress(psutil.NoSuchProcess):
            found = read(before)
            if _tree(pid) == before:
                return found
    raise RuntimeError(f"the processes below {pid} change too fast to be read")


def _pss_mb(process: psutil.Process) -> float:
    with suppress(FileNotFoundError, ProcessLookupError):
        for line in Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024 / 1e6
    return 0.0
