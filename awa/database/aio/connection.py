"""An asynchronous connection of psycopg as the engine needs it: as a synchronous one, in a greenlet."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, cast

import psycopg
from psycopg.adapt import AdaptersMap
from psycopg.pq import PipelineStatus, TransactionStatus
from psycopg.rows import tuple_row

from awa.database.aio.greenlets import Entered, await_


class AsyncConnectionShim:
    """The part of `psycopg.Connection` that the engine uses, over a `psycopg.AsyncConnection`.

    It is used in functions that `greenlets.run` calls. Rows are tuples and parameters are `%(name)s`, whatever the
    connection's own factories make.
    """

    def __init__(self, connection: psycopg.AsyncConnection[Any]) -> None:
        self.asynchronous = connection
        self.info = connection.info
        self._isolation_before = connection.isolation_level

    @property
    def closed(self) -> bool:
        """Return whether it can be used no more."""
        return self.asynchronous.closed

    @property
    def adapters(self) -> AdaptersMap:
        """The adapters for values sent and read."""
        return self.asynchronous.adapters

    @property
    def autocommit(self) -> bool:
        """Return whether each statement commits itself."""
        return self.asynchronous.autocommit

    @autocommit.setter
    def autocommit(self, value: bool) -> None:
        await_(self.asynchronous.set_autocommit(value))

    @property
    def isolation_level(self) -> psycopg.IsolationLevel | None:
        """As it was set, or as the engine needs it until the end of the pipeline it is about to begin."""
        return self.asynchronous.isolation_level

    @isolation_level.setter
    def isolation_level(self, level: psycopg.IsolationLevel | None) -> None:
        if level != self.asynchronous.isolation_level:
            await_(self.asynchronous.set_isolation_level(level))

    @property
    def prepare_threshold(self) -> int | None:
        """After how many times a statement is prepared."""
        return self.asynchronous.prepare_threshold

    @prepare_threshold.setter
    def prepare_threshold(self, times: int | None) -> None:
        self.asynchronous.prepare_threshold = times

    @property
    def is_at_rest(self) -> bool:
        """Return whether nothing is under way: no statement, no transaction, no pipeline. A connection that is lost is
        not."""
        pgconn = self.asynchronous.pgconn
        return pgconn.transaction_status == TransactionStatus.IDLE and pgconn.pipeline_status == PipelineStatus.OFF

    def transaction(self) -> AbstractContextManager[Any]:
        """Return a block that is one transaction, or a savepoint in one."""
        return Entered(self.asynchronous.transaction())

    def block(self) -> AbstractContextManager[Any]:
        """Return the same as a plain object, without a generator; not for use in pipelines."""
        return Entered(psycopg.AsyncTransaction(self.asynchronous))

    def rollback(self) -> None:
        """Undo the transaction that is open, if one is."""
        await_(self.asynchronous.rollback())

    @contextmanager
    def pipeline(self) -> Iterator[psycopg.AsyncPipeline]:
        """Send the block's statements together."""
        try:
            with Entered(self.asynchronous.pipeline()) as pipeline:
                yield pipeline
        except BaseException:
            if not self.closed:
                self.rollback()  # of the transaction that was begun in the pipeline, and has failed in it
            raise
        finally:
            if self.is_at_rest:
                self.isolation_level = self._isolation_before

    def execute(self, query: Any, params: Any = None, *, prepare: bool | None = None, binary: bool = False) -> Cursor:
        """Run a statement; return the cursor with its rows."""
        return self.cursor().execute(query, params, prepare=prepare, binary=binary)

    def cursor(self, *, row_factory: Callable[..., Any] = tuple_row, is_raw: bool = False) -> Cursor:
        """Return a cursor, for `%s` and `%(name)s`; if `is_raw`, for `$1`."""
        make = psycopg.AsyncRawCursor if is_raw else psycopg.AsyncCursor
        return Cursor(make(self.asynchronous, row_factory=row_factory))

    def fileno(self) -> int:
        """The number of its socket."""
        return self.asynchronous.fileno()

    def close(self) -> None:
        """Close it, at once and from wherever this is called: nothing is waited for."""
        self.asynchronous.pgconn.finish()


class Cursor(AbstractContextManager["Cursor"]):
    """The part of `psycopg.Cursor` that the engine uses."""

    def __init__(self, cursor: psycopg.AsyncCursor[Any]) -> None:
        self._cursor = cursor

    @property
    def rowcount(self) -> int:
        """Number of rows that the statement returned or affected."""
        return self._cursor.rowcount

    @property
    def description(self) -> list[psycopg.Column] | None:
        """The columns of the rows; None where there are none."""
        return self._cursor.description

    def execute(self, query: Any, params: Any = None, *, prepare: bool | None = None, binary: bool = False) -> Cursor:
        """Run a statement; return this cursor."""
        await_(self._cursor.execute(query, params, prepare=prepare, binary=binary))
        return self

    def fetchone(self) -> Any:
        """Return the next row; None after the last."""
        return await_(self._cursor.fetchone())

    def fetchall(self) -> list[Any]:
        """Return the rows that are left."""
        return await_(self._cursor.fetchall())

    def __iter__(self) -> Iterator[Any]:
        return iter(self.fetchall())

    @contextmanager
    def copy(self, statement: Any) -> Iterator[Copy]:
        """Begin a COPY from this side."""
        with Entered(self._cursor.copy(statement)) as copy:
            yield Copy(copy)

    def __exit__(self, *failure: object) -> None:
        await_(self._cursor.close())


class Copy:
    """The part of `psycopg.Copy` that the engine uses."""

    def __init__(self, copy: psycopg.AsyncCopy) -> None:
        self._copy = copy

    def write(self, data: bytes) -> None:
        """Send some lines."""
        await_(self._copy.write(data))


def as_connection(shim: AsyncConnectionShim) -> psycopg.Connection[Any]:
    """Return a shim as what it stands for."""
    return cast("psycopg.Connection[Any]", shim)


def shim_of(connection: Any) -> AsyncConnectionShim:
    """Return what stands behind such a connection."""
    assert isinstance(connection, AsyncConnectionShim), connection
    return connection
