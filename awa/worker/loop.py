"""One step of a worker: settle and claim, then run what was claimed."""

from __future__ import annotations

import resource
import sys
from collections.abc import Callable, Sequence
from time import monotonic, time_ns
from typing import Any, Final, NamedTuple

import psycopg

from awa import telemetry
from awa.database.pipeline import one_trip
from awa.engine import claim, seal, settle
from awa.engine.claim import Body, Claimed
from awa.failure import error_entry
from awa.job import JobState
from awa.outcome import Settlement
from awa.processes.clock import monotonic_us
from awa.processes.journal import JournalWriter
from awa.processes.slot import Remains, Slot, Stop, WorkerState
from awa.task import Registry
from awa.worker.lanes import Lanes
from awa.worker.pace import LEASE_JOBS_MAX, LEASE_US, Pace
from awa.worker.pending import Pending
from awa.worker.run import Runner

SEAL_EVERY_US: Final = 200_000
"""A busy worker seals at least this often, even when claims come back full: an urgent job may be among the unsealed."""
DOUBT_S: Final = 300.0
"""After a connection broke, a claim sent over it may still come to the server's ears, for as long as this. So look out
for leases we know nothing of, and hand them back."""


class Fenced(Exception):
    """This worker has been declared dead; its jobs were given to others."""


class _Item(NamedTuple):
    """A claimed job, ready to run."""

    body: Body
    attempt: int


class Loop:
    """A worker's loop, as a step. `run_steps` in `child.py` and `Client.work` are the `while` around it."""

    def __init__(
        self,
        connection: psycopg.Connection[Any],
        worker: int,
        slot: Slot,
        journal: JournalWriter,
        registry: Registry,
        queues: Sequence[str] | None,
        *,
        may_claim: Callable[[], bool] = lambda: True,
        show: Callable[[str], None] = lambda doing: None,
        interruptible: bool = False,
    ) -> None:
        """`may_claim` says whether to take on more work (a signal says no); `show` is told what this worker does;
        `interruptible` is the runner's."""
        self.connection = connection
        self.pending = Pending(worker, journal)
        self.jobs_done = 0
        self._worker = worker
        self._slot = slot
        self._registry = registry
        self._lanes = Lanes(registry.kinds, queues)
        self._pace = Pace()
        self._runner = Runner(slot, interruptible=interruptible)
        self._may_claim = may_claim
        self._show = show
        self._floor = 0
        self._sealed_us = 0
        self._is_busy = False
        self._doubtful_until = 0.0
        self._front = slot.front
        self._lanes.refresh(connection)

    def step(self, jobs_max: int = LEASE_JOBS_MAX) -> int:
        """Settle what is pending, claim some 100 ms of work and run up to `jobs_max` jobs of it; return how many ran.

        0 means that there was nothing to claim, or that this worker may not claim any more. Raises `Fenced`.
        """
        claimed = self._next_lease()
        self._is_busy = claimed is not None
        if claimed is None:
            return 0
        ran = self._run_lease(self._items(claimed), jobs_max)
        self.jobs_done += ran
        return ran

    def remains(self) -> Remains:
        """Return what would be left if this worker ended now: jobs finished and not settled, and the one that runs."""
        running = self._slot.running()
        finished = self.pending.outstanding()
        if running is not None and any(job.job_id == running.job_id for job in finished):
            running = None
        return Remains(finished, running)

    def close(self) -> None:
        """Settle what is left and hand back what was not started."""
        self.pending.settle(self.connection)
        settle.release(self.connection, self._worker)
        self._runner.close()

    def recover(self, connection: psycopg.Connection[Any]) -> None:
        """Go on over a new connection. What the server did with our last words is unknown, so say them again, and hand
        back whatever it may have leased to us without our knowing."""
        self.connection = connection
        self.pending.settle(connection)
        settle.release(connection, self._worker)
        self._lanes.look_back()
        self._doubtful_until = monotonic() + DOUBT_S

    # Claiming

    def _next_lease(self) -> Claimed | None:
        """Claim, sealing first when it is time to, and once more when the claim comes back short."""
        if not self._may_claim() or self._slot.stop != Stop.NONE:
            if self.pending.jobs:
                self.pending.settle(self.connection)
            return None
        self._slot.enter(WorkerState.CLAIMING)
        self._heed_front()
        if monotonic() < self._doubtful_until:
            settle.release(self.connection, self._worker, [job.job_id for job in self.pending.outstanding()])
        # Not after a rest: whoever woke this worker has just sealed.
        if self._is_busy and monotonic_us() - self._sealed_us > SEAL_EVERY_US:
            self._seal()
        if self._lanes.are_stale:
            self._lanes.refresh(self.connection)
        claimed = self._settle_and_claim()
        if not claimed.leases and self._is_more(claimed):
            self._lanes.look_back()
            claimed = self._claim()
        if not claimed.registered:
            raise Fenced
        if not claimed.leases:
            return None
        self._lanes.note(claimed.leases)
        self._pace.note_claim(claimed.jobs, len(claimed.leases))
        return claimed

    def _is_more(self, empty: Claimed) -> bool:
        """Whether a claim that found nothing might find something after all: jobs unsealed, passed over, or locked by
        others, or lanes that were first met by somebody else's seal."""
        sealed = self._seal()
        return self._lanes.refresh(self.connection) or sealed > 0 or self._lanes.are_skipping or bool(empty.seen)

    def _settle_and_claim(self) -> Claimed:
        """Settle the last lease and claim the next one in one round trip."""
        outstanding = self.pending.outstanding()
        if not outstanding:
            return self._claim()
        wants = self._lanes.wants(self._pace)
        with one_trip(self.connection):
            settled = settle.send_settle(self.connection, self._worker, outstanding)
            answer = claim.send_claim(self.connection, self._worker, wants, **self._limits(wants))
        self.pending.settled(outstanding, settle.read_settle(settled))
        return claim.read_claim(answer)

    def _claim(self) -> Claimed:
        wants = self._lanes.wants(self._pace)
        return claim.claim(self.connection, self._worker, wants, **self._limits(wants))

    def _limits(self, wants: Sequence[claim.Want]) -> dict[str, Any]:
        cheapest = min((want.cost_us for want in wants), default=LEASE_US)
        return {"budget_us": LEASE_US, "batches_max": self._pace.batches_max(cheapest)}

    def _seal(self) -> int:
        """Seal one step; return the jobs sealed."""
        self._sealed_us = monotonic_us()
        sealed = seal.seal(self.connection, self._floor)
        self._floor = sealed.floor
        return sealed.jobs

    def _heed_front(self) -> None:
        if self._slot.front != self._front:
            self._front = self._slot.front
            self._lanes.look_back()

    # Running

    def _items(self, claimed: Claimed) -> list[_Item]:
        ids = [job for lease in claimed.leases for job in lease.ids]
        bodies = claim.bodies(self.connection, ids)
        if len(bodies) < len(ids):
            self._write_off([job for job in ids if job not in bodies])
        return [
            _Item(bodies[job], 1 + (lease.attempts[i] if lease.attempts else 0))
            for lease in claimed.leases
            for i, job in enumerate(lease.ids)
            if job in bodies
        ]

    def _write_off(self, ids: Sequence[int]) -> None:
        """End jobs whose rows somebody has deleted: nobody can run them, and every worker would stumble over them."""
        now = time_ns() // 1000
        gone = error_entry("the job's row is gone from awa.job_log: somebody has deleted it", "JobNotFound", 0)
        settle.settle(
            self.connection, self._worker, [Settlement(job, JobState.Failed, now, now, 0, 0, -1, gone) for job in ids]
        )
        telemetry.emit(telemetry.SETTLE_WRITTEN_OFF, jobs=list(ids), worker=self._worker)

    def _run_lease(self, items: list[_Item], jobs_max: int) -> int:
        """Run the jobs of a lease in order, for as long as they are ours to start; hand back the rest."""
        if not items:
            return 0
        rest_us = sum(self._pace.expected_us(item.body.kind) for item in items)
        label = _label(items[0].body)
        self._slot.begin_lease(len(items), int(rest_us / len(items)), label)
        self._show(f"running {label}")
        ran = 0
        for position, item in enumerate(items):
            expected_us = self._pace.expected_us(item.body.kind)
            if self.pending.is_due(monotonic_us(), expected_us, rest_us):
                self._settle_now()
            if position >= jobs_max or not self._may_start(position):
                break
            self._run_one(position, item)
            ran += 1
            rest_us -= expected_us
        self._pace.learn()
        if ran < len(items):
            self.pending.settle(self.connection)
            settle.release(self.connection, self._worker)
        return ran

    def _may_start(self, position: int) -> bool:
        return self._slot.stop != Stop.AFTER_JOB and self._slot.may_run(position)

    def _run_one(self, position: int, item: _Item) -> None:
        body = item.body
        task = self._registry.get(body.kind)
        assert task is not None, f"claimed a job of kind {body.kind!r}, which has no handler here"
        before = resource.getrusage(resource.RUSAGE_SELF)
        started_wall, started = time_ns() // 1000, monotonic_us()
        self._slot.begin_job(position, body.id, item.attempt, started)
        verdict = self._runner.run(task, body, item.attempt)
        ended = monotonic_us()
        after = resource.getrusage(resource.RUSAGE_SELF)
        cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        settlement = Settlement(
            body.id,
            verdict.state,
            started_wall,
            started_wall + ended - started,
            int(cpu_s * 1e6),
            peak_kb(after),
            -1 if verdict.delay_us is None else verdict.delay_us,
            verdict.payload,
        )
        self._pace.note_run(body.kind, ended - started)
        fits = self.pending.add(settlement, ended)
        self._slot.end_job()
        telemetry.emit(telemetry.RUN_FINISHED, job=body.id, kind=body.kind, state=verdict.state, us=ended - started)
        if not fits:
            self._settle_now()

    def _settle_now(self) -> None:
        self._slot.enter(WorkerState.SETTLING)
        self.pending.settle(self.connection)


def _label(body: Body) -> str:
    return f"{body.kind} from {body.queue}"


def peak_kb(usage: resource.struct_rusage) -> int:
    """Return the peak resident memory in KiB: macOS counts bytes."""
    return usage.ru_maxrss // _MAXRSS_UNIT


_MAXRSS_UNIT = 1024 if sys.platform == "darwin" else 1
