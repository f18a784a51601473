"""What the handlers of every contender do: mark that job number n has run. The same cost for all.

The marks are an array in a file that all worker processes map: for each job when it started, by the clock that all
processes of a machine share, and how often it ran. So the harness can tell without asking any queue that every job ran,
that none ran twice, and how long each had waited.
"""

from __future__ import annotations

import mmap
import os
import time
from pathlib import Path

BYTES = 9
"""A job: eight for its start in nanoseconds, one for how often it ran."""


class Marks:
    """The marks of as many jobs as there is room for."""

    def __init__(self, path: str) -> None:
        with open(path, "r+b") as file:
            memory = mmap.mmap(file.fileno(), 0)
        self.capacity = len(memory) // BYTES
        whole = memoryview(memory)
        self._started = whole[: 8 * self.capacity].cast("q")
        self._runs = whole[8 * self.capacity : BYTES * self.capacity]

    @classmethod
    def create(cls, path: Path, capacity: int) -> Marks:
        """Make room for the marks of `capacity` jobs."""
        with path.open("wb") as file:
            file.truncate(capacity * BYTES)
        return cls(str(path))

    def run(self, n: int, burn_ns: int = 0) -> None:
        """Be job number `n`: mark its start, compute for so many nanoseconds of processor time, mark its end."""
        self._started[n] = time.monotonic_ns()
        if burn_ns:
            burn(burn_ns)
        self._runs[n] = min(self._runs[n] + 1, 255)

    def clear(self, jobs: int) -> None:
        """Forget the first `jobs` jobs."""
        if jobs > self.capacity:
            raise ValueError(f"there is room for the marks of {self.capacity:,} jobs, not of {jobs:,}")
        self._started[:jobs] = memoryview(bytes(8 * jobs)).cast("q")
        self._runs[:jobs] = bytes(jobs)

    def done(self, jobs: int) -> int:
        """Return how many of the first `jobs` jobs have run."""
        return jobs - bytes(self._runs[:jobs]).count(0)

    def has_run(self, n: int) -> bool:
        """Return whether job number `n` has run."""
        return self._runs[n] != 0

    def total(self, jobs: int) -> int:
        """Return how often the first `jobs` jobs have run: as many times as there are jobs, when none ran twice."""
        return sum(self._runs[:jobs])

    def starts(self, jobs: int) -> list[int]:
        """Return when each of the first `jobs` jobs started, in nanoseconds; 0: it has not."""
        return list(self._started[:jobs])


def burn(nanoseconds: int) -> None:
    """Compute until this thread has had that much processor time, however often it is interrupted meanwhile."""
    end = time.thread_time_ns() + nanoseconds
    while time.thread_time_ns() < end:
        pass


def from_environment() -> Marks:
    """Return the marks that the harness has made for this run."""
    return Marks(os.environ["BENCH_MARKS"])
