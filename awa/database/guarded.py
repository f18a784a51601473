"""A connection over which each of Awa's statements finds the settings it relies on, and other statements find the
application's.

A session that is Awa's alone is set up once. Others are not: that of a client is lent to the application for its own
transactions, that of a pooler serves other programs in between, and that of the caller is the caller's. There the
settings are made for each transaction, in the same round trip if the transaction is Awa's, and given back at the end if
it goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, Final, cast

import psycopg
from psycopg.pq import TransactionStatus

from awa.database.session import ENCODING, ENTER, ENTER_FOREIGN, LEAVE, LEAVE_FOREIGN, SET, SETTINGS, before

Execute = Callable[[bytes, Mapping[str, Any]], list[Any]]
"""Runs a statement with `%(name)s` parameters; returns its rows."""

BEGIN: Final = b"begin isolation level read committed"
COMMIT: Final = b"commit"


class Guarded:
    """The part of `psycopg.Connection` that the engine uses, with the settings it needs. All else is the connection's.

    Cursors are for use inside of `transaction()`.
    """

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        """`connection`: of psycopg, or what stands in for one."""
        self._connection = connection
        self._is_set = False
        """True if the transaction that is open is Awa's own, and has the settings."""
        self._before: dict[str, str] | None = None
        """The settings of the application's transaction before Awa's."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def __enter__(self) -> Guarded:
        return self

    def __exit__(self, *failure: Any) -> None:
        self._connection.__exit__(*failure)

    @property
    def guarded(self) -> psycopg.Connection[Any]:
        """The connection itself."""
        return self._connection

    @property
    def isolation_level(self) -> psycopg.IsolationLevel | None:
        """As the connection says."""
        return self._connection.isolation_level

    @isolation_level.setter
    def isolation_level(self, level: psycopg.IsolationLevel | None) -> None:
        self._connection.isolation_level = level

    def execute(self, query: bytes, params: Any = None, *, prepare: bool | None = None, binary: bool = False) -> Any:
        """Run a statement; return the cursor with its rows."""
        if not self._is_set:
            if self._connection.autocommit and self._is_idle():
                with self.pipe() if self._is_understood() else self.transaction():
                    return self._connection.execute(query, params, prepare=prepare, binary=binary)
            self._enter()
        return self._connection.execute(query, params, prepare=prepare, binary=binary)

    @contextmanager
    def transaction(self) -> Iterator[Any]:
        """Return a block that is one transaction, or a savepoint in one."""
        if self._is_set or not self._is_idle():
            if not self._is_set:
                self._enter()
            with self._connection.transaction() as block:
                yield block
            return
        with self._connection.transaction() as block:
            self._run(SET)
            with self._as_set():
                yield block

    @contextmanager
    def pipe(self) -> Iterator[Guarded]:
        """Run the block's statements as one READ COMMITTED transaction, sent together where that is possible."""
        connection = self._connection
        connection.isolation_level = psycopg.IsolationLevel.READ_COMMITTED  # refused in the middle of a transaction
        try:
            with connection.pipeline():
                if not connection.autocommit:  # a caller's: the driver begins the transaction, whatever we do
                    with self.transaction():
                        yield self
                    return
                connection.execute(BEGIN, prepare=True)
                self._run(SET)
                with self._as_set():
                    yield self
                connection.execute(COMMIT, prepare=True)
        except BaseException:
            if not connection.closed:
                with suppress(psycopg.Error):  # it broke, and the next statement says so again
                    connection.rollback()
            raise

    def leave(self) -> None:
        """Give a transaction of the application's, if one goes on, its settings back."""
        old, self._before = self._before, None
        # After a failed statement the transaction, or its savepoint, is rolled back, and that brings them back.
        if old is not None and self._connection.info.transaction_status == TransactionStatus.INTRANS:
            self._run(LEAVE, old)

    def _enter(self) -> None:
        """Make the settings in a transaction of the application's, which this may begin."""
        if self._before is None:
            row = self._run(ENTER).fetchone()
            assert row is not None
            self._before = before(row)

    def _run(self, query: bytes, params: Mapping[str, Any] | None = None) -> psycopg.Cursor[Any]:
        return self._connection.execute(query, params, prepare=False)

    @contextmanager
    def _as_set(self) -> Iterator[None]:
        self._is_set = True
        try:
            yield
        finally:
            self._is_set = False

    def _is_idle(self) -> bool:
        return self._connection.info.transaction_status == TransactionStatus.IDLE

    def _is_understood(self) -> bool:
        """Return whether the driver writes and reads as `SETTINGS` say, without having been told.

        The server tells it of a change with the end of a round trip, which in a pipeline is the end of the transaction.
        """
        told = self._connection.info.parameter_status
        return (
            told("client_encoding") == ENCODING
            and (told("DateStyle") or "").startswith("ISO")
            and told("IntervalStyle") == SETTINGS["IntervalStyle"]
            and told("standard_conforming_strings") == SETTINGS["standard_conforming_strings"]
        )


def guarded(connection: psycopg.Connection[Any]) -> psycopg.Connection[Any]:
    """Return `connection` with the settings that the engine needs."""
    return cast("psycopg.Connection[Any]", Guarded(connection))


@contextmanager
def guard(connection: psycopg.Connection[Any]) -> Iterator[psycopg.Connection[Any]]:
    """Lend `connection` with the settings that the engine needs, in a block after which it has its own again."""
    made = Guarded(connection)
    try:
        yield cast("psycopg.Connection[Any]", made)
    finally:
        made.leave()


@contextmanager
def guard_execute(execute: Execute) -> Iterator[None]:
    """As `guard`, in a transaction of the application's that `execute` works in, by way of whichever library.

    How that library writes text is left alone (`session.ENCODED`).

    When the block raises, nothing is given back: what failed is rolled back, and that does it.
    """
    (row,) = execute(ENTER_FOREIGN, {})
    yield
    execute(LEAVE_FOREIGN, before(row))


def unguarded(connection: psycopg.Connection[Any]) -> psycopg.Connection[Any]:
    """Return the connection itself, for statements that are right under any settings, or inside of a transaction."""
    return connection.guarded if isinstance(connection, Guarded) else connection
