"""Sizes leases: about 100 ms of work, one job of anything longer, hundreds of the short ones, starting small.

Each lease costs some milliseconds, whatever is in it: a claim, the reading of bodies, a settle. So while far more waits
than all workers can take at once, leases are longer, by the rule of guided self-scheduling: a fixed part of what is
left, divided by the workers. They become shorter again as the end comes near, and no worker is left with much while
others have nothing. (Polychronopoulos and Kuck, IEEE Transactions on Computers C-36, 1987; half of what is left, as in
factoring: Hummel, Schonberg and Flynn, Communications of the ACM 35, 1992; here an eighth, since others have claimed
meanwhile.)
"""

from __future__ import annotations

from typing import Final

from awa.engine.claim import Claimed

LEASE_US: Final = 100_000.0
"""Expected work in a lease, microseconds …"""
LEASE_LONG_US: Final = 400_000.0
"""… and at most, while much more is waiting: an urgent job waits for so long when all workers have just begun one."""
SHARE: Final = 8.0
"""A lease longer than `LEASE_US` is this part of what a worker's share would be of all that is seen to wait."""
LEASE_JOBS_MAX: Final = 2048
FIRST_GUESS_US: Final = LEASE_US
"""Taken for the duration of a kind that has not run yet."""
FALL_MAX: Final = 8.0
"""A kind's estimate falls at most by this factor a lease: one quick job must not make the next lease long."""
BATCHES_MAX: Final = 64


class LeaseSizer:
    """Estimates of the duration of each kind and of the fill of batches."""

    def __init__(self) -> None:
        self._job_us: dict[str, float] = {}
        self._lease: dict[str, tuple[int, float]] = {}
        self._lease_jobs = 128.0
        self.lease_us = LEASE_US
        """Expected work in the next lease, microseconds."""

    def expected_us(self, kind: str) -> float:
        """Return how long a job of `kind` is expected to take, in microseconds."""
        return self._job_us.get(kind, FIRST_GUESS_US)

    def cost_us(self, kind: str, jobs_max: int = LEASE_JOBS_MAX) -> float:
        """Return what a job of `kind` counts in a claim of at most `jobs_max` jobs: its expected time, at least that
        part of a lease. A trifle more, or rounding would let one job more in. Of a kind that has not run yet a lease
        has one job, so that none waits behind a long one."""
        expected_us = self._job_us.get(kind, self.lease_us)
        return max(expected_us, self.lease_us / max(1, min(jobs_max, LEASE_JOBS_MAX)) * (1 + 1e-9))

    def batches_max(self, cost_us: float) -> int:
        """Return how many batches are likely to hold a lease's worth of jobs of `cost_us` microseconds."""
        wanted = self.lease_us / cost_us
        return min(BATCHES_MAX, 1 + int(wanted / self._lease_jobs))

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

    def note_claim(self, claimed: Claimed, job_us: float) -> None:
        """Learn from a claim how many jobs a lease of a batch has at present, and how long the next lease may be.
        `job_us` is how long its jobs are expected to take, each."""
        taken, batches = claimed.jobs, len(claimed.leases)
        if not batches:
            self.lease_us = LEASE_US
            return
        self._lease_jobs = self._lease_jobs * 0.5 + 0.5 * taken / batches
        left = sum(lease.left for lease in claimed.leases)
        # The batches behind are taken to be no larger than these: they are full, most often.
        waiting = left + (len(claimed.seen) - batches) * (taken + left) / batches
        share_us = waiting * job_us / max(1, claimed.workers)
        self.lease_us = min(LEASE_LONG_US, max(LEASE_US, share_us / SHARE))
