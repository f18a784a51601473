"""How much to claim: about 100 ms of work, one job of anything longer, hundreds of the short ones, starting small."""

from __future__ import annotations

from typing import Final

LEASE_US: Final = 100_000.0
"""Expected work in a lease, microseconds."""
LEASE_JOBS_MAX: Final = 512
FIRST_GUESS_US: Final = LEASE_US
"""Taken for the duration of a kind nobody has run yet: its first lease is one job, so none waits behind a long one."""
FALL_MAX: Final = 8.0
"""A kind's estimate falls at most by this factor a lease: one quick job must not make the next lease long."""
BATCHES_MAX: Final = 64


class Pace:
    """What this worker has learned about how long each kind takes, and how full batches are."""

    def __init__(self) -> None:
        self._job_us: dict[str, float] = {}
        self._lease: dict[str, tuple[int, float]] = {}
        self._batch_jobs = 128.0

    def expected_us(self, kind: str) -> float:
        """Return how long a job of `kind` is expected to take, in microseconds."""
        return self._job_us.get(kind, FIRST_GUESS_US)

    def cost_us(self, kind: str, jobs_max: int = LEASE_JOBS_MAX) -> float:
        """Return what a job of `kind` counts in a claim of at most `jobs_max` jobs: its expected time, at least that
        part of a lease. A trifle more, or rounding would let one job more in."""
        return max(self.expected_us(kind), LEASE_US / max(1, min(jobs_max, LEASE_JOBS_MAX)) * (1 + 1e-9))

    def batches_max(self, cost_us: float) -> int:
        """Return how many batches are likely to hold a lease's worth of jobs of `cost_us` microseconds."""
        wanted = LEASE_US / cost_us
        return min(BATCHES_MAX, 1 + int(wanted / self._batch_jobs))

    def note_run(self, kind: str, took_us: float) -> None:
        """Note that a job of `kind` took `took_us` microseconds."""
        jobs, total_us = self._lease.get(kind, (0, 0.0))
        self._lease[kind] = (jobs + 1, total_us + took_us)

    def learn(self) -> None:
        """Revise the estimates at the end of a lease."""
        for kind, (jobs, total_us) in self._lease.items():
            before, mean_us = self.expected_us(kind), total_us / jobs
            mixed = (before + mean_us) / 2 if mean_us > before else before * 0.3 + mean_us * 0.7
            self._job_us[kind] = max(mixed, before / FALL_MAX)
        self._lease.clear()

    def note_claim(self, jobs: int, batches: int) -> None:
        """Learn from a claim how many jobs a batch holds at present."""
        self._batch_jobs = self._batch_jobs * 0.5 + 0.5 * jobs / batches
