"""Completion by the handler: a transaction of its own settles its job, and the worker finds out whether it did.

`complete` writes the outcome through the application's connection, by the same statements as any settle: they take only
what is still in this worker's lease, and lock that lease until the transaction ends. So the job is completed if and
only if the transaction commits, and a worker that was taken for dead cannot commit.

When the handler has ended, the worker asks over its own connection what became of it. A completion that is there to see
is the end of the job, whatever the handler returned or raised. One that is not leaves the job in the lease, where it is
settled as usual.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Final, TypeVar
from weakref import WeakSet

import psycopg

from awa.database.adapters.connection import ConnectionAdapter, adapt, is_open, refuse_autocommit
from awa.database.errors import TROUBLE, translated
from awa.database.guarded import guard_execute
from awa.database.open import dsn_of
from awa.database.source import OwnConnections
from awa.engine import claim, settle
from awa.engine.claim import StoredJob
from awa.engine.settle import Recorded
from awa.enqueue.transaction import SyncTransaction
from awa.errors import AwaError, LeaseLost, NotCommitted, ValidationError
from awa.job.attempt import Settlement
from awa.job.model import Job, JobState
from awa.processes.board.slot import Slot
from awa.processes.clock import ServerClock, monotonic_us
from awa.task.outcome import COMPLETED, Outcome, decide_error, decide_result
from awa.task.policy import Policy
from awa.task.registry import Registry
from awa.worker.meter import Meter
from awa.worker.transactions import JobTransaction, TransactionBlock

CONNECTIONS_MAX: Final = 2
"""One is used. The second is for a block inside another, by mistake: that is to end in words and not in a wait."""

T = TypeVar("T")


class LeftOpen(Exception):
    """A handler ended and left the transaction open that was to complete its job: only the process's end closes it."""


class SettleMode(Enum):
    """The work left to the worker for a job whose handler has ended."""

    SETTLE = auto()
    """Settle it."""
    DOUBT = auto()
    """Settle it, and make nothing of it when that is refused: the handler's transaction may have done it."""
    OPEN = auto()
    """As DOUBT, but not from this process, whose own open transaction it would wait for."""
    DONE = auto()
    """Nothing: the handler's transaction has completed it."""


@dataclass
class _Asked:
    """A transaction that was asked to complete the job being run."""

    job_id: int
    raw: Any
    """The connection it runs on, of psycopg or psycopg2."""
    xid: str | None = None
    is_committed: bool = False
    """For certain: our own commit has returned."""
    has_failed: bool = True
    """The handler was told of a failure, by an exception of Awa's or of the driver's."""


class Completions:
    """The jobs that the handlers of one worker complete in transactions of their own."""

    def __init__(
        self,
        slot: Slot,
        registry: Registry,
        meter: Meter,
        clock: ServerClock,
        connection: Callable[[], psycopg.Connection[Any]],
    ) -> None:
        """`connection` returns the worker's own, over which no handler's statement ever goes."""
        self._slot = slot
        self._registry = registry
        self._meter = meter
        self._clock = clock
        self._connection = connection
        self._pid = os.getpid()
        self._own: OwnConnections | None = None
        self._database = settle.identity(self._execute)
        self._known: WeakSet[Any] = WeakSet()
        """Connections that have been seen to lead to the worker's own database."""
        self._asked: _Asked | None = None
        self._turn = 0
        """Counts the jobs that have ended."""
        self._begun: list[JobTransaction] = []
        """Those of the job being run, so that none is forgotten with its rows in it."""

    def complete(self, job: Job, given: Any, result: Any) -> None:
        """Write the completion of `job` into the transaction that connection `given` is in."""
        self._refuse_child(job)
        target = adapt(given.connection if isinstance(given, SyncTransaction) else given)
        raw = target.raw()
        refuse_autocommit(target.name, raw)
        self._refuse_second(job, raw)
        settlement = self._settlement(job, result)
        earlier = self._asked
        refusal: AwaError | None
        with guard_execute(target.execute):
            refusal = self._other_database(job, target, raw)
            if refusal is None:
                self._asked = _Asked(job.id, raw)
                self._asked.xid = settle.settle_within(target.execute, self._slot.worker_id, settlement)
                if self._asked.xid is None:
                    self._asked = earlier
                    refusal = self._refusal(job, target)
        if refusal is not None:
            raise refusal
        assert self._asked is not None
        self._asked.has_failed = False

    def transaction(self, job: Job, given: Any, result: Any) -> JobTransaction | TransactionBlock:
        """Return a transaction that completes `job` as it commits: of the worker's own, or on connection `given`."""
        self._refuse_child(job)

        turn = self._turn

        def complete(connection: Any, value: Any) -> None:
            self._refuse_ended(job, turn)
            self.complete(job, connection, value)

        if given is None:
            own = JobTransaction(self._lender().lend_plain, self._registry, complete, self.commit, result)
            self._begun.append(own)
            return own
        return TransactionBlock(adapt(given), given, complete, self.commit, result)

    def errors(self, job_id: int) -> list[dict[str, Any]]:
        """Return the errors of a job's earlier attempts. Raises DatabaseError."""
        with translated(f"read the errors of job {job_id}"), self._lender().lend() as connection:
            return claim.errors(connection, job_id)

    def commit(self, commit: Callable[[], T]) -> T:
        """Commit the transaction that was asked to complete the job, and remember whether that went well."""
        asked = self._asked
        assert asked is not None, "commit() follows complete()"
        asked.has_failed = True
        value = commit()
        asked.has_failed, asked.is_committed = False, True
        return value

    def resolve(self, body: StoredJob, attempt: int, policy: Policy, outcome: Outcome) -> tuple[Outcome, SettleMode]:
        """Return what became of a job whose handler has come to `outcome`, and what is left to do about it."""
        asked, self._asked = self._asked, None
        self._turn += 1
        if self._begun and (ends := self._roll_back_begun()):
            if outcome.state is JobState.Completed:
                outcome = decide_error(_never_ended(), attempt, body.max_attempts, policy, now_us=self._clock.now_us())
            if not all(ends):
                return outcome, SettleMode.OPEN
        if asked is None or asked.job_id != body.id:
            return outcome, SettleMode.SETTLE
        found = Recorded("committed", True) if asked.is_committed else self._ask(body.id, attempt, asked)
        if found.recorded:
            return COMPLETED, SettleMode.DONE
        left_open = found.status == "in progress" and is_open(asked.raw)
        if outcome.state is JobState.Completed and not asked.has_failed:
            outcome = decide_error(
                _not_committed(left_open), attempt, body.max_attempts, policy, now_us=self._clock.now_us()
            )
        if left_open:
            return outcome, SettleMode.OPEN
        return outcome, SettleMode.SETTLE if found.status == "aborted" else SettleMode.DOUBT

    def close(self) -> None:
        """Close the connection of `job.transaction()`, if there is one."""
        if self._own is not None:
            self._own.close()

    def _roll_back_begun(self) -> list[bool]:
        """Roll back what the handler has begun by `transaction()` and not ended; return whether it could be, for each.

        With `with` that cannot happen, but in a generator that was not run to its end.
        """
        begun, self._begun = self._begun, []
        return [own.abandon() for own in begun if own.is_open]

    def _ask(self, job_id: int, attempt: int, asked: _Asked) -> Recorded:
        try:
            return settle.recorded(self._execute, self._slot.worker_id, job_id, attempt, asked.xid)
        except TROUBLE:
            # The next use of that connection says so again, and is mended. The outcome must not be lost over it.
            return Recorded(None, False)

    def _execute(self, sql: bytes, parameters: Mapping[str, Any]) -> list[Any]:
        return self._connection().execute(sql, parameters).fetchall()

    def _settlement(self, job: Job, result: Any) -> Settlement:
        outcome = decide_result(result, job.attempt, job.max_attempts)
        if outcome.state is not JobState.Completed:
            raise ValidationError(f"{result!r} is no result of a completed job; return it from the handler instead")
        cpu_us, peak_kb = self._meter.so_far()
        running = self._slot.running()
        now_us = self._clock.now_us()
        took_us = monotonic_us() - running.started_us if running is not None else 0
        return Settlement(job.id, JobState.Completed, now_us - took_us, now_us, cpu_us, peak_kb, -1, outcome.payload)

    def _lender(self) -> OwnConnections:
        if self._own is None:
            self._own = OwnConnections(dsn_of(self._connection(), application_name="awa handler"), CONNECTIONS_MAX)
        return self._own

    # Refusals

    def _refuse_child(self, job: Job) -> None:
        if self._pid != os.getpid():
            raise AwaError(
                f"job {job.id} is run by process {self._pid}, and this is process {os.getpid()}, forked from it: "
                "complete the job there"
            )

    def _refuse_ended(self, job: Job, turn: int) -> None:
        """The acts of a thread left behind would be attributed to the next job."""
        if self._turn != turn:
            raise AwaError(f"the handler of job {job.id} has ended: what it left running cannot complete the job")

    def _refuse_second(self, job: Job, raw: Any) -> None:
        """Waiting for a lock that another connection of this process holds would never end."""
        asked = self._asked
        if asked is not None and asked.is_committed:
            raise _already(job)
        if asked is not None and asked.raw is not raw and is_open(asked.raw):
            raise AwaError(f"job {job.id} is being completed in a transaction that is still open on another connection")

    def _other_database(self, job: Job, target: ConnectionAdapter, raw: Any) -> AwaError | None:
        if raw in self._known:
            return None
        if settle.identity(target.execute) != self._database:
            return AwaError(
                f"{target.name} leads to another database than the one job {job.id} is in. A transaction can complete "
                "the job only in its own database: use one there, or let the handler return"
            )
        self._known.add(raw)
        return None

    def _refusal(self, job: Job, target: ConnectionAdapter) -> AwaError:
        if settle.recorded(target.execute, self._slot.worker_id, job.id, job.attempt, None).recorded:
            return _already(job)
        return LeaseLost(
            f"job {job.id} is not this worker's any more: it was cancelled, or given to another worker while this one "
            "was taken for dead. Let this exception roll the transaction back"
        )


def _already(job: Job) -> AwaError:
    return AwaError(f"job {job.id} has been completed already, earlier in this handler")


def _never_ended() -> NotCommitted:
    return NotCommitted(
        "the handler returned and had left open what job.transaction() gave it, so all of that was rolled back. Use it "
        "in a with block, or commit it before returning"
    )


def _not_committed(is_open: bool) -> NotCommitted:
    how = "was left open" if is_open else "was not committed"
    return NotCommitted(
        f"the handler returned, but the transaction in which it had called job.complete() {how}, so all of it was "
        "rolled back. Commit it before returning"
    )
