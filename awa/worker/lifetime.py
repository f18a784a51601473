"""The limits of a worker's life: jobs, memory, descriptors left. A fresh worker then takes its place."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final, NamedTuple

from awa.processes.clock import monotonic_us
from awa.processes.memory import resident_kb
from awa.worker.lease_size import LEASE_JOBS_MAX

JITTER: Final = 0.1
"""A worker's limit of jobs is lower by up to this part, so that workers forked together do not go together."""
MEMORY_INTERVAL_US: Final = 10_000
"""So long the memory is taken for unchanged: behind short jobs it is not read after each."""


class End(NamedTuple):
    """Why a worker's life is over, with the figures."""

    reason: str
    """"jobs", "memory" or "descriptors"."""
    jobs: int
    """Number of jobs run."""
    grown_mb: int
    """Resident memory above what it began with, in MiB."""


class Lifetime:
    """The limits of one worker, made when it is ready to work: what it holds then is what it began with."""

    def __init__(
        self,
        jobs_max: int = 0,
        memory_max_mb: int = 0,
        *,
        resident_kb: Callable[[], int] = resident_kb,
        lacks_descriptors: Callable[[], bool] = lambda: False,
    ) -> None:
        """`jobs_max` jobs and `memory_max_mb` MiB more than it holds now; 0: no limit. `lacks_descriptors` says whether
        handlers can hardly open anything more; where they cannot from the beginning, a fresh worker would not help."""
        self._jobs_max = max(1, round(jobs_max * (1 - JITTER * random.random()))) if jobs_max else 0
        self._memory_max_kb = memory_max_mb * 1024
        self._resident_kb = resident_kb
        self._first_kb = resident_kb()
        self._looked_us = 0
        self._lacks_descriptors = None if lacks_descriptors() else lacks_descriptors
        self.end: End | None = None
        """Set when it is over."""

    def jobs_left(self, done: int) -> int:
        """Return how many jobs the worker may claim after `done`; 0 when its life is over."""
        if self.end is not None:
            return 0
        return max(0, self._jobs_max - done) if self._jobs_max else LEASE_JOBS_MAX

    def is_over(self, done: int, now_us: int | None = None) -> bool:
        """Return whether a worker that has run `done` jobs should go. The first job is always run. `now_us` is
        monotonic."""
        if self.end is None and done:
            if self._jobs_max and done >= self._jobs_max:
                self.end = End("jobs", done, self._grown_kb() // 1024)
            elif self._memory_max_kb:
                self._look(done, monotonic_us() if now_us is None else now_us)
        return self.end is not None

    def look_at_descriptors(self, done: int) -> None:
        """End it when handlers have used up the descriptors: the jobs of others would fail for want of them."""
        if self.end is None and done and self._lacks_descriptors is not None and self._lacks_descriptors():
            self.end = End("descriptors", done, self._grown_kb() // 1024)

    def _look(self, done: int, now_us: int) -> None:
        if now_us - self._looked_us < MEMORY_INTERVAL_US:
            return
        self._looked_us = now_us
        grown_kb = self._grown_kb()
        if grown_kb > self._memory_max_kb:
            self.end = End("memory", done, grown_kb // 1024)

    def _grown_kb(self) -> int:
        return max(0, self._resident_kb() - self._first_kb)
