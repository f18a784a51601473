"""True if the kernel has killed a process for want of memory: SIGKILL alone does not say.

The kernel counts such kills per control group (`memory.events` in version 2, `memory.oom_control` in version 1) and for
the whole machine (`/proc/vmstat`). A count says how many, not whom: a worker that SIGKILL ended, not sent by us, while
the count rose, is taken to be the victim. The group's own count is believed before the machine's.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from pathlib import Path
from time import monotonic
from typing import Final

from awa.processes.cgroups import CGROUPS, MEMBERSHIP, directories, read

OOM_KILL_WINDOW_S: Final = 10.0
"""A kill is looked for among the workers that end within this time: a large process takes a while to be taken down.
Later it was another process, such as a program that a job had started."""
_VMSTAT: Final = Path("/proc/vmstat")
_FIELD: Final = "oom_kill"
_FILES: Final = {2: "memory.events", 1: "memory.oom_control"}


class OomWatch:
    """Counts kills from its making on. Look now and then, so that it knows when each of them was."""

    def __init__(self, membership: Path = MEMBERSHIP, cgroups: Path = CGROUPS, vmstat: Path = _VMSTAT) -> None:
        self._file = next((file for file in _counters(membership, cgroups, vmstat) if _count(file) is not None), None)
        self._seen = self._total()
        self._kills: deque[float] = deque(maxlen=1024)
        """Times at which unexplained kills were noticed, monotonic seconds."""

    def look(self) -> None:
        """Note how many kills there have been."""
        total = self._total()
        self._kills.extend([monotonic()] * (total - self._seen))
        self._seen = max(total, self._seen)

    def took_one(self) -> bool:
        """Return whether a process that SIGKILL ended a moment ago was killed for want of memory. Each kill counts
        once."""
        self.look()
        while self._kills and monotonic() - self._kills[0] > OOM_KILL_WINDOW_S:
            self._kills.popleft()
        if self._kills:
            self._kills.popleft()
            return True
        return False

    def _total(self) -> int:
        return (_count(self._file) if self._file is not None else None) or 0


def _counters(membership: Path, cgroups: Path, vmstat: Path) -> Iterator[Path]:
    """Yield the files that may have a count, the closest to this process first."""
    for version, directory in directories("memory", ("memory",), membership, cgroups):
        yield directory / _FILES[version]
    yield vmstat


def _count(file: Path) -> int | None:
    """Return the count in a file of lines "name number"; None when it has none."""
    for line in read(file).splitlines():
        name, _, number = line.partition(" ")
        if name == _FIELD and number.isdigit():
            return int(number)
    return None
