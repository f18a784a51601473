"""The job as its handler sees it, alive."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone
from operator import attrgetter
from typing import Any, TypeVar, overload

import msgspec

from awa.engine.claim import StoredJob
from awa.job.model import Job, JobState, StopReason
from awa.job.moments import seconds_of
from awa.processes.board.slot import Slot
from awa.worker.completion import Completions
from awa.worker.transactions import JobTransaction, TransactionBlock

_set = object.__setattr__
Made = TypeVar("Made")


def _of_body(name: str) -> Any:
    """Return a property that reads a field of the job's body."""
    return property(attrgetter(f"_body.{name}"))


class RunningJob(Job):
    """A `Job` while its handler runs."""

    __slots__ = ("_body", "_completions", "_deadline_us", "_errors", "_metadata", "_slot", "_tags")
    _body: StoredJob
    _slot: Slot | None
    _deadline_us: int
    _completions: Completions
    _tags: list[str]
    _metadata: dict[str, Any]
    _errors: list[dict[str, Any]]

    def __init__(
        self, body: StoredJob, attempt: int, args: Any, slot: Slot, completions: Completions, deadline_us: int = 0
    ) -> None:
        # What every handler looks at. The rest are properties, since each attribute set costs every job a little.
        _set_id(self, body.id)
        _set_attempt(self, attempt)
        _set_args(self, args)
        _set_body(self, body)
        _set_deadline_us(self, deadline_us)
        _set_slot(self, slot)
        _set_completions(self, completions)

    kind = _of_body("kind")
    queue = _of_body("queue")
    priority = _of_body("priority")
    max_attempts = _of_body("max_attempts")
    created_at = _of_body("created_at")
    expires_at = _of_body("expires_at")
    unique_key = _of_body("unique_key")
    ordering_key = _of_body("ordering_key")
    finalized_at = progress = result = traceparent = conflict = None  # what a job that runs has not got

    @property
    def state(self) -> JobState:
        """Running."""
        return JobState.Running

    @property
    def timeout(self) -> float | None:
        """Seconds an attempt may take, where the job has a limit of its own; 0: as long as it likes."""
        return None if self._body.timeout_ms is None else seconds_of(self._body.timeout_ms)

    @property
    def tags(self) -> list[str]:
        """As they were inserted."""
        return self._kept("_tags", lambda: list(self._body.tags or ()))

    @property
    def metadata(self) -> dict[str, Any]:
        """As they were inserted."""
        raw = self._body.metadata
        return self._kept("_metadata", lambda: msgspec.json.decode(raw) if raw else {})

    @property
    def errors(self) -> list[dict[str, Any]]:
        """Those of the attempts before this one, oldest first. They are read when they are first asked for.

        Raises DatabaseError when they cannot be.
        """
        return self._kept("_errors", lambda: self._completions.errors(self.id))

    @property
    def run_at(self) -> datetime:
        """Time at which the job was to run first."""
        return self._body.run_at or self._body.created_at

    def _kept(self, name: str, make: Callable[[], Made]) -> Made:
        try:
            kept: Made = getattr(self, name)
        except AttributeError:
            kept = make()
            _set(self, name, kept)
        return kept

    @property
    def deadline(self) -> datetime | None:
        """Time at which `JobTimeout` will be raised in the handler; None: never."""
        return datetime.fromtimestamp(self._deadline_us / 1e6, timezone.utc) if self._deadline_us else None

    def is_cancelled(self) -> bool:
        """Return whether the handler is to end soon: the job was cancelled, its time is up, or the supervisor shuts
        down.

        Reads shared memory: cheap enough for an inner loop. `stop_requested` says which it is. Raises RuntimeError when
        the handler has returned: the worker is at another job by then.
        """
        return self._running("is_cancelled").stop_requested() is not None

    @property
    def stop_requested(self) -> StopReason | None:
        """Why the handler is to end soon: "cancelled", "timed_out" or "shutting_down"; None while it may go on.

        At a shutdown, `return awa.Snooze(0)` hands the job back without spending the attempt. Raises as `is_cancelled`.
        """
        return self._running("stop_requested").stop_requested()

    def complete(self, connection: Any, result: Any = None) -> None:
        """Complete this job in the transaction that `connection` is in: it is completed if and only if that commits.

        Call it last in the transaction, then commit, then return. What the handler returns after that counts only if
        the transaction was rolled back; what it raises, too.

        Args:
            connection: of psycopg or psycopg2, a Connection or Session of SQLAlchemy, a connection of Django or its
                alias, or an Awa transaction, on the database the job is in.
            result: to be stored as the job's result.

        Raises:
            LeaseLost: the job is not this worker's any more, so the transaction must not commit: let it be rolled back.
            AwaError: the connection is in autocommit mode, or leads to another database, or the job is completed.
            TypeError: `connection` is none.
            RuntimeError: the handler has returned.
        """
        self._running("complete")
        self._completions.complete(self, connection, result)

    @overload
    def transaction(self, connection: None = None, *, result: Any = None) -> JobTransaction: ...

    @overload
    def transaction(self, connection: Any, *, result: Any = None) -> TransactionBlock: ...

    def transaction(self, connection: Any = None, *, result: Any = None) -> JobTransaction | TransactionBlock:
        """Return a transaction that completes this job as it commits, to be used as a context manager.

            with job.transaction() as tx:
                tx.execute("insert into receipts (order_id) values ($1)", job.args.order_id)

        If the block raises, all of it is rolled back, and the exception is the handler's as any other.

        Args:
            connection: left out, one that the worker keeps for this, and `tx` is as that of `client.transaction()`.
                Given, whatever `complete` takes; it must not be in a transaction.
            result: to be stored as the job's result; or set `tx.result` in the block.

        Raises LeaseLost at the end of the block when the job is not this worker's any more; nothing is committed then.
        """
        self._running("transaction")
        return self._completions.transaction(self, connection, result)

    def _running(self, what: str) -> Slot:
        if self._slot is None:
            raise RuntimeError(f"job {self.id} is not running any more; {what}() is for its handler")
        return self._slot


def _setter(name: str) -> Callable[[RunningJob, Any], None]:
    """Return what sets an attribute of a `RunningJob`, which is frozen; in less time than `object.__setattr__`."""
    setter: Callable[[RunningJob, Any], None] = getattr(RunningJob, name).__set__
    return setter


_set_id, _set_attempt, _set_args, _set_body, _set_deadline_us, _set_slot, _set_completions = map(
    _setter, ("id", "attempt", "args", "_body", "_deadline_us", "_slot", "_completions")
)


def end(job: RunningJob) -> None:
    """Note that the handler of `job` has returned: the worker's slot is another job's from now on."""
    _set_slot(job, None)
