"""How much processor time a contender and the server have used, by the kernel's count of each of their threads."""

from __future__ import annotations

from collections import defaultdict
from contextlib import suppress
from pathlib import Path

_PROC = Path("/proc")


def used_s(roots: set[int]) -> float | None:
    """Return the processor time that the living processes `roots` and all that descend from them have used, in seconds.

    None where the kernel does not tell. What a process had used that has ended is not in it.
    """
    children = defaultdict(set)
    for stat in _PROC.glob("[0-9]*/stat"):
        with suppress(OSError):  # it has ended
            children[int(_after_name(stat.read_text())[1])].add(int(stat.parent.name))
    total_ns, left, found = 0, set(roots), False
    while left:
        pid = left.pop()
        left |= children[pid]
        for counts in (_PROC / str(pid) / "task").glob("[0-9]*/schedstat"):
            with suppress(OSError):
                total_ns += int(counts.read_text().split()[0])
                found = True
    return total_ns / 1e9 if found else None


def parent(pid: int) -> int:
    """Return the parent of a process. Raises OSError when there is no such process, or no /proc."""
    return int(_after_name((_PROC / str(pid) / "stat").read_text())[1])


def _after_name(stat: str) -> list[str]:
    """Return the fields of a process's state, from the third on: the second, its name, may hold anything."""
    return stat.rpartition(")")[2].split()
