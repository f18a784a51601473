"""`with job.transaction()`: blocks that complete the job and commit, in this order and together."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from types import TracebackType
from typing import Any, Protocol

from awa.database.adapters.connection import ConnectionAdapter, refuse_autocommit
from awa.database.errors import translated
from awa.enqueue.transaction import Lend, SyncTransaction
from awa.errors import AwaError
from awa.task.registry import Registry

Complete = Callable[[Any, Any], None]
"""Given a connection and a result, writes the job's completion into the connection's transaction."""


class Commit(Protocol):
    """Runs what commits, and remembers for the worker how that ended."""

    def __call__(self, commit: Callable[[], Any], /) -> Any: ...


class JobTransaction(SyncTransaction):
    """A transaction that completes the handler's job as it commits: the rows written in it and the completion are
    there together, or neither.

        with job.transaction() as tx:
            tx.execute("insert into receipts (order_id) values ($1)", job.args.order_id)
            tx.insert(SendReceipt(job.args.order_id))
            tx.result = {"receipt": 1}

    Raises LeaseLost at the commit when the job is not this worker's any more.
    """

    result: Any
    """The value to store as the job's result."""

    def __init__(self, lend: Lend, registry: Registry, complete: Complete, commit: Commit, result: Any) -> None:
        super().__init__(lend, registry)
        self.result = result
        self._complete = complete
        self._commit = commit
        self._is_abandoned = False

    def commit(self) -> None:
        """Complete the job and make everything done here durable. Raises LeaseLost, or DatabaseError if it failed."""
        self._refuse_ended()
        try:
            with translated("complete the job"):
                self._complete(self.connection, self.result)
            self._commit(super().commit)
        except BaseException:
            if not self._end:  # the commit was not begun: refused, or the handler's time was up just before it
                self.rollback()
            raise

    @property
    def is_open(self) -> bool:
        """Return whether it has been begun and not ended."""
        return self._connection is not None and not self._end

    def abandon(self) -> bool:
        """Roll it back, now that its handler has ended; False when a thread of the handler's is still busy with it."""
        if self._connection is not None and self._connection.lock.locked():
            return False
        self._is_abandoned = True
        with contextlib.suppress(AwaError):  # its connection broke: the server rolls it back
            self.rollback()
        return True

    def __enter__(self) -> JobTransaction:
        super().__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._is_abandoned and error is None:
            raise AwaError("the handler had ended before this block did, so the transaction was rolled back")
        super().__exit__(kind, error, trace)


class TransactionBlock:
    """One transaction on a connection of the application's, which completes the handler's job as it commits.

    It begins the transaction and ends it. Raises AwaError when one has been begun already, and LeaseLost at the end
    when the job is not this worker's any more.
    """

    result: Any
    """The value to store as the job's result."""

    def __init__(
        self, target: ConnectionAdapter, connection: Any, complete: Complete, commit: Commit, result: Any
    ) -> None:
        self.connection = connection
        self.result = result
        self._target = target
        self._complete = complete
        self._commit = commit
        self._pid = os.getpid()
        self._is_ending = False

    def __enter__(self) -> TransactionBlock:
        if self._target.is_begun():
            raise AwaError(
                f"{self._target.name} is in a transaction already, which job.transaction() would have to end for you. "
                "End it first; or call job.complete(...) inside it, before you commit"
            )
        self._block = self._target.block()
        self._block.__enter__()
        try:
            refuse_autocommit(self._target.name, self._target.raw())
        except BaseException as refusal:
            self._end(type(refusal), refusal, refusal.__traceback__)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        if self._pid != os.getpid():
            return None  # the block has forked and this is the child, whose transaction it is not
        if error is not None:
            return self._end(kind, error, trace)
        try:
            self._refuse_ended()
            self._complete(self.connection, self.result)
            self._commit(self._end)
        except BaseException as failure:
            if not self._is_ending:  # the commit was not begun: refused, or the handler's time was up just before it
                self._end(type(failure), failure, failure.__traceback__)
            raise
        return None

    def _end(self, *failure: Any) -> bool | None:
        """Commit, or roll back because of a failure: its type, itself and its traceback."""
        self._is_ending = True
        return self._block.__exit__(*(failure or (None, None, None)))

    def _refuse_ended(self) -> None:
        if not self._target.is_begun():
            raise AwaError(
                "the transaction was ended inside the block of job.transaction(), so the job is not part of it"
            )
