"""What processes cost: CPU time and memory of whole process trees."""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import psutil

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

    As `proportional_mb`, but a page that two parts share counts once; where the tree changes
    while it is read, it is read again: the pages of a child that ends become its parent's.

    Args:
        root: process id at the root of the tree.
        parts: for each name the process id at the root of a tree within it.
        rest: what to call that which is in none of them.
    """
    for _ in range(_ATTEMPTS):
        before = _tree(root)
        with suppress(psutil.NoSuchProcess):
            names = {one: name for name, pid in parts.items() for one in _tree(pid)}
            sizes = dict.fromkeys([*parts, rest], 0.0)
            for process in before:
                sizes[names.get(process, rest)] += _pss_mb(process)
            if _tree(root) == before:
                return sizes
    raise RuntimeError(f"the processes below {root} change too fast to be weighed")


def _tree(pid: int) -> list[psutil.Process]:
    root = psutil.Process(pid)
    return [root, *root.children(recursive=True)]


def _tree_seconds(pid: int) -> float:
    for _ in range(_ATTEMPTS):
        before = _tree(pid)
        with suppress(psutil.NoSuchProcess):
            total = sum(sum(process.cpu_times()[:4]) for process in before)
            if _tree(pid) == before:
                return total
    raise RuntimeError(f"the processes below {pid} change too fast to be counted")


def _pss_mb(process: psutil.Process) -> float:
    with suppress(FileNotFoundError, ProcessLookupError):
        for line in Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024 / 1e6
    return 0.0
