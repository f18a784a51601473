"""One step of a worker: settle and claim, then run what was claimed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec
import psycopg

from awa.engine import claim, nodes, seal, settle
from awa.engine.claim import NOT_READ, StoredJob
from awa.job.attempt import Settlement
from awa.job.model import JobState
from awa.processes.board.journal import JournalWriter
from awa.processes.board.slot import LOST, STOP, Remains, Slot, Stop, WorkerState
from awa.processes.clock import ServerClock, monotonic_us
from awa.task.outcome import Outcome
from awa.task.registry import Registry
from awa.telemetry import events
from awa.worker.claimer import Claimer
from awa.worker.completion import Completions, LeftOpen, SettleMode
from awa.worker.interrupts import Interrupts
from awa.worker.lanes import Lanes
from awa.worker.lease_size import LEASE_JOBS_MAX, LeaseSizer
from awa.worker.lifetime import Lifetime
from awa.worker.meter import Meter
from awa.worker.pending import Pending
from awa.worker.prepare import LeasePreparation, RunnableJob, expired
from awa.worker.runner import Runner

OVERDUE_US: Final = 1_000_000
"""A lease that has taken this long held longer jobs than was expected: what is left of it is handed back, for others to
have a part in. (What one job holds up by itself, the supervisor hands back.)"""
CHECKED_FROM_US: Final = 1_000
"""After a job that took this long the worker sees whether its descriptors are its own, by some system calls; behind
shorter ones it does so before it uses them."""
HELD_UP_US: Final = 1_000_000
"""After a job that took this long, or a pause of the machine, see whether the lease still stands before going on."""


class WorkerLoop:
    """A worker's loop, as a step. `process.py` and `inline.py` have the `while` around it."""

    def __init__(
        self,
        connection: psycopg.Connection[Any],
        worker: int,
        slot: Slot,
        journal: JournalWriter,
        registry: Registry,
        queues: Sequence[str] | None,
        *,
        interrupts: Interrupts,
        may_claim: Callable[[], bool] = lambda: True,
        show: Callable[[str], None] = lambda doing: None,
        interruptible: bool = False,
        exhaustive: bool = False,
        lifetime: Lifetime | None = None,
        meter: Meter | None = None,
        check_files: Callable[[], None] = lambda: None,
    ) -> None:
        """`interrupts` are what may be raised in handlers; `lifetime` says when this worker has worked for long enough,
        `may_claim` whether to take on more work (a signal says no); `show` is told what this worker does;
        `interruptible` is the runner's, `exhaustive` the lanes'; `check_files` raises when a handler has closed what
        the worker needs."""
        self.connection = connection
        self.pending = Pending(worker, journal)
        self.jobs_done = 0
        self._worker = worker
        self._slot = slot
        self._registry = registry
        self._sizer = LeaseSizer()
        self._meter = meter or Meter()
        self._clock = ServerClock()
        self._completions = Completions(slot, registry, self._meter, self._clock, lambda: self.connection)
        self._runner = Runner(
            slot, self._completions, interrupts, self._clock, around_jobs=registry.around, interruptible=interruptible
        )
        self._may_claim = may_claim
        self._check_files = check_files
        self._show = show
        self._lifetime = lifetime or Lifetime()
        self._lanes = Lanes(registry.kinds, queues, exhaustive=exhaustive)
        self._preparation = LeasePreparation(worker, self._lanes, registry, self._clock)
        self._stopped: list[int] = []
        """Jobs of serial queues that their handlers have completed, and whose lines are still to be let go."""
        self._lost = self._asked = 0
        """The slot's `lost` before the claim, and the time of the last question about the lease."""
        self._leased: set[int] = set()
        self._claimer = Claimer(slot, self._lanes, self._sizer, self.pending, self._clock)

    def step(self, jobs_max: int = LEASE_JOBS_MAX) -> int:
        """Settle what is pending, claim work and run up to `jobs_max` jobs of it; return how many ran.

        0 means that there was nothing to claim, or that this worker may not claim any more. Raises `NodeDeclaredDead`,
        and what
        `check_files` raises.
        """
        self._check_files()
        if self._lifetime.is_over(self.jobs_done) or not self._may_claim() or self._slot.stop != Stop.NONE:
            self.pending.settle(self.connection)
            return 0
        jobs_max = min(jobs_max, self._lifetime.jobs_left(self.jobs_done))
        self._slot.enter(WorkerState.CLAIMING)
        self._lost = self._asked = self._slot.lost
        while (claimed := self._claimer.next(self.connection, jobs_max)) is not None:
            items = self._preparation.items(self.connection, claimed)
            if len(items) < claimed.jobs:
                self._claimer.note_ordered()  # those put aside may have been the first of a line
            if items:
                ran = self._run_lease(items, jobs_max)
                self._lifetime.look_at_descriptors(self.jobs_done)  # now: a job that comes later waits for no look
                return ran
        return 0

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
        self._hand_back()
        self._runner.close()
        self._completions.close()

    def recover(self, connection: psycopg.Connection[Any]) -> None:
        """Go on over a new connection. What the server did with our last words is unknown, so say them again, and hand
        back whatever it may have leased to us without our knowing."""
        self.connection = connection
        self.pending.doubt()
        self.pending.settle(connection)
        self._let_lines_go()
        settle.release(connection, self._worker)
        self._claimer.doubt()

    # Running

    def _run_lease(self, items: list[RunnableJob], jobs_max: int) -> int:
        """Run the jobs of a lease in order, for as long as this worker may start them; hand back the rest."""
        kinds = [item.body.kind for item in items]
        expected = {kind: self._sizer.expected_us(kind) for kind in set(kinds)}  # learned from only at the end
        rest_us = sum(map(expected.__getitem__, kinds))
        label = _label(items[0].body)
        self._slot.begin_lease(len(items), int(rest_us / len(items)), label)
        self._show(f"running {label}")
        self._meter.rest()
        ran, began = 0, monotonic_us()
        before = began
        for position, item in enumerate(items):
            expected_us, now = expected[item.body.kind], monotonic_us()
            held_up, before = now - before > HELD_UP_US, now
            if (held_up or self.pending.is_due(before, expected_us, rest_us)) and not self._settle_now():
                break  # refused: the whole lease may be others' by now
            if position >= jobs_max or not self._may_start(position) or before - began > OVERDUE_US:
                break
            self._start(position, item)
            ran += 1
            rest_us -= expected_us
        self._sizer.learn()
        if ran < len(items):
            self._check_files()
            self.pending.settle(self.connection)
            self._hand_back()
        return ran

    def _may_start(self, position: int) -> bool:
        slot = self._slot
        # By the cell: the attribute and the member of the enumeration would cost three calls.
        return not slot.controls[STOP] and slot.may_run(position) and not self._lifetime.is_over(self.jobs_done)

    def _hand_back(self) -> None:
        """Give others what was not started. It stands in front of where this worker would claim next."""
        if settle.release(self.connection, self._worker):
            self._lanes.look_back()
            nodes.wake(self.connection)

    def _start(self, position: int, item: RunnableJob) -> None:
        """Run a job, unless it is too late for that; see to its line."""
        body = item.body
        if body.ordering_key is not None:
            self._claimer.note_ordered()
        if body.expires_at is not None and item.has_expired(now_us := self._clock.now_us()):
            if not self.pending.add(expired(body, now_us), monotonic_us(), is_awaited=_is_awaited(body)):
                self._settle_now()
            events.emit(events.CONTROL_EXPIRED, jobs=[body.id])
            self.jobs_done += 1
            return
        if body.args == NOT_READ:
            self._slot.enter(WorkerState.CLAIMING)
            self._meter.rest()
            if (whole := self._preparation.whole(self.connection, item)) is None:
                self.jobs_done += 1
                return
            item, body = whole, whole.body
        if item.passes_on or item.frees_key:
            self._check_files()
            claim.begin(self.connection, self._worker, body.id)
            if item.passes_on and seal.advance(self.connection):
                nodes.wake(self.connection)
        self._run_one(position, item)

    def _run_one(self, position: int, item: RunnableJob) -> None:
        body, timeout_us = item.body, item.limits.timeout_us
        used_us = self._meter.begin()
        started = monotonic_us()
        started_wall = started + self._clock.ahead_us
        self._slot.begin_job(position, body.id, item.attempt, started, item.limits, used_us)
        if self._slot.controls[LOST] != self._lost and not self._is_leased(body.id):
            self._slot.end_job()  # cancelled before it began
            return
        outcome = self._runner.run(item.task, body, item.attempt, started_wall + timeout_us if timeout_us else 0)
        ended = monotonic_us()
        cpu_us, peak_kb = self._meter.end(ended - started)
        outcome, mode = self._completions.resolve(body, item.attempt, item.task.policy, outcome)
        settlement = Settlement(
            body.id,
            outcome.state,
            started_wall,
            started_wall + ended - started,
            cpu_us,
            peak_kb,
            -1 if outcome.delay_us is None else outcome.delay_us,
            outcome.payload,
        )
        self._sizer.note_run(body.kind, ended - started)
        fits, cancelled = True, self._slot.is_cancelled()
        if cancelled:
            self.pending.note_cancelled(body.id)
        if mode is SettleMode.DONE:
            self.pending.pass_over(ended - started)
            if body.ordering_key is not None:
                self._stopped.append(body.id)
        else:
            fits = self.pending.add(
                settlement,
                ended,
                in_doubt=mode is not SettleMode.SETTLE,
                is_awaited=_is_awaited(body),
            )
        self._slot.end_job()
        self.jobs_done += 1
        error = trace = None
        if outcome.state is not JobState.Completed:
            self._lifetime.look_at_descriptors(self.jobs_done)  # it may have failed for want of them
            error, trace = _said(outcome)
        events.emit(
            events.RUN_FINISHED,
            job=body.id,
            attempt=item.attempt,
            kind=body.kind,
            state=outcome.state,
            us=ended - started,
            error=error,
            void=cancelled or None,
            traceback=trace,
        )
        if ended - started >= CHECKED_FROM_US:
            self._check_files()
        if mode is not SettleMode.SETTLE:
            self._heed(mode, body)
        if not fits:
            self._settle_now()
        if self._stopped:
            self._let_lines_go()

    def _heed(self, mode: SettleMode, body: StoredJob) -> None:
        """Say what a transaction of the handler's has come to. Raises `LeftOpen`."""
        if mode is SettleMode.DONE:
            events.emit(events.SETTLE_JOBS, worker=self._worker, jobs=1, by="handler")
        elif mode is SettleMode.OPEN:
            events.emit(events.RUN_TRANSACTION_LEFT_OPEN, job=body.id, kind=body.kind)
            raise LeftOpen(f"the handler of job {body.id} ({body.kind}) left its transaction open")

    def _is_leased(self, job: int) -> bool:
        """Return whether a job still is in this worker's lease. Asks the server once, and again when more jobs are
        lost."""
        lost = self._slot.lost
        if lost != self._asked:
            self._asked, self._leased = lost, claim.leased(self.connection, self._worker)
        return job in self._leased

    def _let_lines_go(self) -> None:
        """Let those go that wait, in the line of a serial queue, for handlers which had completed their jobs."""
        if self._stopped:
            settle.stopped(self.connection, self._worker, self._stopped)
            self._stopped.clear()

    def _settle_now(self) -> bool:
        """Settle what is pending, if anything is; return whether the lease still stands."""
        self._check_files()
        self._slot.enter(WorkerState.SETTLING)
        self._meter.rest()
        if not self.pending.jobs:
            return settle.stands(self.connection, self._worker, since=self.pending.since)
        return self.pending.settle(self.connection)


def _is_awaited(body: StoredJob) -> bool:
    """Return whether other jobs may be waiting for the end of this one: the next of its line, or one that wants its
    key."""
    return body.ordering_key is not None or body.unique_states is not None


def _said(outcome: Outcome) -> tuple[str | None, str | None]:
    """Return the first line of what went wrong, and the rest where no other attempt follows; None when nothing did."""
    if outcome.payload is None or outcome.state not in (JobState.Retryable, JobState.Failed):
        return None, None
    text: str = msgspec.json.decode(outcome.payload)["error"]
    first, _, rest = text.partition("\n")
    return first, rest if rest and outcome.state is JobState.Failed else None


def _label(body: StoredJob) -> str:
    return f"{body.kind} from {body.queue}"
