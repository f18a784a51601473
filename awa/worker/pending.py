"""The finished and unsettled jobs of a worker: in its memory and, in case it dies, on the board."""

from __future__ import annotations

from time import sleep
from typing import Any, Final

import msgspec
import psycopg

from awa.engine import narrow
from awa.engine.claim import FROM_THE_START
from awa.job.attempt import Settlement
from awa.job.model import JobState
from awa.processes.board.journal import JournalWriter
from awa.processes.clock import monotonic_us
from awa.task.error_entry import error_entry
from awa.task.outcome import RESULT_NOT_STORED
from awa.telemetry import events

AGE_MAX_US: Final = 10_000
"""A finished job is settled about this much later at the most, microseconds …"""
COST_RATIO: Final = 200
"""… or two hundred times what a settle takes, if that is more: settling then costs at most 0.5 % of the time …"""
AWAITED_RATIO: Final = 30
"""… or thirty times, where another job may be waiting for it …"""
AGE_LONG_US: Final = 400_000
"""… but no later than this, however long settles take."""
END_PART: Final = 1 / 8
"""A lease that is to end within this part of the wait is settled at its end, with the next claim: a lease and the wait
for its settle may be of the same length, and two settles would come close together."""
HELPED_FROM_US: Final = 40_000
"""In a job that takes less, the supervisor settles nothing for its worker: it waits for 50 ms, by another clock."""
HELP_NOTED_US: Final = 1_000_000
"""So long the supervisor may take to note what it has settled: where the processors are taken, or the disk is slow, it
hears of its commit long after others see it. Waited for only when a job is refused, and may have been helped."""
SETTLE_CHECK_S: Final = 0.001
TOO_LATE: Final = "too large for the board, and the worker died before it could be stored"
"""The stand-in for such a result or error."""


class Pending:
    """Finished jobs on their way into the database."""

    def __init__(self, worker: int, journal: JournalWriter) -> None:
        self.worker = worker
        self.since = FROM_THE_START
        """Time at which the lease of these jobs was claimed."""
        self.jobs: list[Settlement] = []
        self._journal = journal
        self._in_doubt: set[int] = set()
        self._cancelled: set[int] = set()
        self._may_be_helped = False
        """True if a job of this lease that needs no settling has taken so long that the supervisor may have helped."""
        self._due_us = 0.0
        self._slack_us: float = AGE_MAX_US
        self._settle_us = 1_000.0

    def add(self, settlement: Settlement, now_us: int, *, in_doubt: bool = False, is_awaited: bool = False) -> bool:
        """Keep an outcome. False when the board is full: settle before the next job. `now_us` is monotonic.

        `in_doubt`: a transaction of the handler's may have settled the job; that this one is refused then is no news.
        `is_awaited`: another job may be waiting for this one's end.
        """
        if in_doubt:
            self._in_doubt.add(settlement.job_id)
        if is_awaited or not self.jobs:
            ratio = AWAITED_RATIO if is_awaited else COST_RATIO
            wait_us = min(AGE_LONG_US, max(AGE_MAX_US, ratio * self._settle_us))
            self._due_us = min(now_us + wait_us, self._due_us) if self.jobs else now_us + wait_us
            self._slack_us = AGE_MAX_US if is_awaited else max(AGE_MAX_US, wait_us * END_PART)
        self.jobs.append(settlement)
        if self._journal.append(settlement):
            return True
        self._journal.append(_in_short(settlement), is_last=True)  # if the worker dies now, that much is known
        return False

    def pass_over(self, took_us: int) -> None:
        """Note a job that took so long and needs no settling: its handler's transaction has completed it."""
        self._may_be_helped |= took_us >= HELPED_FROM_US

    def doubt(self) -> None:
        """Note that a connection broke: what was said over it may have been heard, and be refused when said again."""
        self._in_doubt.update(job.job_id for job in self.jobs)

    def note_cancelled(self, job_id: int) -> None:
        """Note that a job was known to be cancelled, or others', when it ended: its refusal is no surprise."""
        self._cancelled.add(job_id)

    def is_due(self, now_us: int, next_job_us: float, rest_us: float) -> bool:
        """Return whether to settle before the next job, expected to take `next_job_us`, the rest of the lease
        `rest_us`.

        A lease that is about to end is settled together with the next claim, unless it was about to end long ago.
        """
        if not self.jobs or now_us + next_job_us <= self._due_us:
            return False
        return rest_us > self._slack_us or now_us > self._due_us + self._slack_us

    def outstanding(self) -> list[Settlement]:
        """Return what has not been settled, neither by this worker nor by the supervisor on its behalf."""
        done = self._journal.settled_count()
        return self.jobs[done:]

    def settle(self, connection: psycopg.Connection[Any]) -> bool:
        """Settle everything, in a round trip of its own; return whether all of it was accepted."""
        if not self.jobs:
            return True
        outstanding = self.outstanding()
        began = monotonic_us()
        accepted = narrow.settle(connection, self.worker, outstanding, since=self.since)
        self._settle_us = self._settle_us * 0.8 + 0.2 * (monotonic_us() - began)
        return self.settled(outstanding, accepted)

    def settled(self, outstanding: list[Settlement], accepted: set[int]) -> bool:
        """Forget what has been settled; say what was refused, and return whether nothing was."""
        refused = self._refused(outstanding, accepted)
        expected = self._cancelled.issuperset(refused)
        self.jobs.clear()
        self._in_doubt.clear()
        self._cancelled.clear()
        self._may_be_helped = False
        self._journal.reset()
        if refused:
            events.emit(events.SETTLE_REFUSED, worker=self.worker, jobs=refused, expected=expected)
        if accepted:
            events.emit(events.SETTLE_JOBS, worker=self.worker, jobs=len(accepted))
        return not refused

    def _refused(self, outstanding: list[Settlement], accepted: set[int]) -> list[int]:
        """Return the jobs that neither we nor the supervisor could settle.

        It settles and then notes it on the board; our own settle may come between the two. It does so only for a worker
        that is in a long job.
        """
        known = accepted | self._in_doubt
        refused = [job.job_id for job in outstanding if job.job_id not in known]
        if refused and (self._may_be_helped or any(map(_takes_long, outstanding))):
            deadline_us = monotonic_us() + HELP_NOTED_US
            while refused and monotonic_us() < deadline_us:
                sleep(SETTLE_CHECK_S)
                helped = {job.job_id for job in self.jobs[: self._journal.settled_count()]}
                refused = [job for job in refused if job not in helped]
        return refused


def _in_short(job: Settlement) -> Settlement:
    """Return an outcome without what makes it large."""
    if job.payload is None:
        return job
    if job.state == JobState.Completed:
        return job._replace(payload=msgspec.json.encode({RESULT_NOT_STORED: TOO_LATE}))
    entry = msgspec.json.decode(job.payload)
    is_terminal, at_us = "terminal" in entry, job.finished_us
    short = error_entry(TOO_LATE, "WorkerDied", entry["attempt"], terminal=is_terminal, now_us=at_us)
    return job._replace(payload=short)


def _takes_long(job: Settlement) -> bool:
    return job.finished_us - job.started_us >= HELPED_FROM_US
