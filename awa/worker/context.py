"""What a handler sees: its job, alive."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any, overload

import msgspec

from awa.engine.claim import Body
from awa.job import Job, JobState
from awa.policy import seconds_of
from awa.processes.slot import Slot
from awa.worker.blocks import JobTransaction, TransactionBlock
from awa.worker.completion import Completions

_set = object.__setattr__


class RunningJob(Job):
    """A `Job` while its handler runs."""

    __slots__ = ("_body", "_completions", "_deadline_us", "_slot")
    _body: Body
    _slot: Slot | None
    _deadline_us: int
    _completions: Completions

    def __init__(
        self, body: Body, attempt: int, args: Any, slot: Slot, completions: Completions, deadline_us: int = 0
    ) -> None:
        # One by one: in a loop they would cost half a microsecond more, and there is one of these a job.
        _set(self, "id", body.id)
        _set(self, "kind", body.kind)
        _set(self, "queue", body.queue)
        _set(self, "state", JobState.Running)
        _set(self, "priority", body.priority)
        _set(self, "attempt", attempt)
        _set(self, "max_attempts", body.max_attempts)
        _set(self, "timeout", None if body.timeout_ms is None else seconds_of(body.timeout_ms))
        _set(self, "args", args)
        _set(self, "tags", body.tags or [])
        _set(self, "metadata", msgspec.json.decode(body.metadata) if body.metadata else {})
        _set(self, "errors", [])
        _set(self, "run_at", body.run_at or body.created_at)
        _set(self, "created_at", body.created_at)
        _set(self, "finalized_at", None)
        _set(self, "progress", None)
        _set(self, "result", None)
        _set(self, "traceparent", None)
        _set(self, "conflict", None)
        _set(self, "_body", body)
        _set(self, "_deadline_us", deadline_us)
        _set(self, "_slot", slot)
        _set(self, "_completions", completions)

    @property
    def deadline(self) -> datetime | None:
        """When `JobTimeout` will be raised in the handler; None: never."""
        return datetime.fromtimestamp(self._deadline_us / 1e6, timezone.utc) if self._deadline_us else None

    # Properties, since few handlers look at these and each attribute set costs every job a little.

    @property
    def expires_at(self) -> datetime | None:
        """Not started by then, the job would have been cancelled."""
        return self._body.expires_at

    @property
    def unique_key(self) -> bytes | None:
        """What other jobs must not have while this one holds it."""
        return self._body.unique_key

    @property
    def ordering_key(self) -> bytes | None:
        """Jobs of the queue with the same one start in the order in which they were inserted."""
        return self._body.ordering_key

    def is_cancelled(self) -> bool:
        """Whether this job has been cancelled meanwhile. Reads shared memory: cheap enough for an inner loop.

        Raises RuntimeError when the handler has returned: the worker is at another job by then.
        """
        return self._running("is_cancelled").is_cancelled()

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


def end(job: RunningJob) -> None:
    """Note that the handler of `job` has returned: the worker's slot is another job's from now on."""
    _set(job, "_slot", None)
