"""The caller's own connection, as the engine needs it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, cast

import psycopg
from psycopg.rows import tuple_row


class CallerConnection:
    """A connection of the caller's that gives rows as tuples and takes `%(name)s`, whatever its own factories make.

    It has the part of `psycopg.Connection` that the engine uses. Nothing of the caller's connection is changed.
    """

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self.connection = connection
        """The caller's, as it is."""
        self.info = connection.info
        self.transaction = connection.transaction
        self.rollback = connection.rollback
        self._isolation_before = connection.isolation_level

    @property
    def closed(self) -> bool:
        """Return whether it can be used no more."""
        return self.connection.closed

    @property
    def autocommit(self) -> bool:
        """As the caller set it."""
        return self.connection.autocommit

    @property
    def isolation_level(self) -> psycopg.IsolationLevel | None:
        """As the caller set it, or as the engine needs it until the end of the pipeline it is about to begin."""
        return self.connection.isolation_level

    @isolation_level.setter
    def isolation_level(self, level: psycopg.IsolationLevel | None) -> None:
        self.connection.isolation_level = level

    @contextmanager
    def pipeline(self) -> Iterator[psycopg.Pipeline]:
        """Send the block's statements together."""
        try:
            with self.connection.pipeline() as pipeline:
                yield pipeline
        except BaseException:
            if not self.connection.closed:
                self.connection.rollback()  # of the transaction that was begun in the pipeline, and has failed in it
            raise
        finally:
            if self.connection.isolation_level != self._isolation_before and not self.connection.closed:
                self.connection.isolation_level = self._isolation_before

    def execute(
        self, query: bytes, params: Any = None, *, prepare: bool | None = None, binary: bool = False
    ) -> psycopg.Cursor[Any]:
        """Run a statement; return the cursor with its rows."""
        return self.cursor().execute(query, params, prepare=prepare, binary=binary)

    def cursor(self, *, row_factory: Callable[..., Any] = tuple_row) -> psycopg.Cursor[Any]:
        """Return a plain client-side cursor."""
        return psycopg.Cursor(self.connection, row_factory=row_factory)


def borrowed(connection: psycopg.Connection[Any]) -> psycopg.Connection[Any]:
    """Return `connection` as the engine needs it. What only stands in for one of psycopg's is so already."""
    is_psycopgs = issubclass(type(connection), psycopg.Connection)
    return cast("psycopg.Connection[Any]", CallerConnection(connection)) if is_psycopgs else connection


def as_one(connection: psycopg.Connection[Any]) -> AbstractContextManager[Any]:
    """Return a block of which all is done or nothing, and which never commits what the caller has begun."""
    if not connection.autocommit and connection.info.transaction_status == psycopg.pq.TransactionStatus.IDLE:
        # Left alone the block would begin the transaction, and so commit it. Begun by a statement it is the caller's.
        connection.execute(b"select 1")
    return connection.transaction()
