"""The source of an asynchronous client's connections: its own pool, the caller's pool, or one of the caller's.

All of it runs in greenlets, and lends facades.
"""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.types.json import set_json_loads

from awa.database.aio.connection import AsyncConnectionShim, as_connection, shim_of
from awa.database.aio.greenlets import Entered, await_
from awa.database.aio.pool import AsyncPool
from awa.database.aio.semaphore import FairSemaphore
from awa.database.guarded import guard, guarded
from awa.database.open import dsn_of, options, prepared, target_of
from awa.database.source import Source, check_max, conninfo_of, named, refuse_fork, required
from awa.errors import ValidationError
from awa.job.codec import decode

if TYPE_CHECKING:
    from psycopg_pool import AsyncConnectionPool


def async_source_of(given: Any, connections_max: int) -> Source:
    """Return the source for what a client was made from. Connects to nothing. Raises ValidationError."""
    check_max(connections_max)
    if given is None or isinstance(given, str):
        return OwnAsyncConnections(given, connections_max)
    if isinstance(given, psycopg.AsyncConnection):
        return CallersAsyncConnection(given)
    pools = sys.modules.get("psycopg_pool")
    if pools is not None and isinstance(given, pools.AsyncConnectionPool):
        return CallersAsyncPool(given, connections_max)
    is_synchronous = isinstance(given, psycopg.Connection) or (pools and isinstance(given, pools.ConnectionPool))
    hint = "; for that there is awa.Client" if is_synchronous else ""
    raise ValidationError(
        "an asynchronous client is made from a database URL, a psycopg.AsyncConnection or a "
        f"psycopg_pool.AsyncConnectionPool, not from {type(given).__module__}.{type(given).__qualname__}{hint}"
    )


class OwnAsyncConnections(Source):
    """Connections of the client's own, to a database named by a DSN or by `$DATABASE_URL`."""

    def __init__(self, dsn: str | None, connections_max: int) -> None:
        self._given = dsn
        self._pool = AsyncPool(self._open, connections_max)

    @property
    def dsn(self) -> str | None:
        return named(self._given)

    @contextmanager
    def lend(self) -> Iterator[psycopg.Connection[Any]]:
        with self.lend_plain() as connection:
            yield guarded(connection)

    @contextmanager
    def lend_plain(self) -> Iterator[psycopg.Connection[Any]]:
        with self._pool.connection() as shim:
            yield as_connection(shim)

    def close(self) -> None:
        self._pool.close()

    def _open(self) -> AsyncConnectionShim:
        # An embedded server that has to be started is waited for by the whole loop: a matter of development.
        target = target_of(required(self.dsn))

        def open_one() -> psycopg.Connection[Any]:
            opening = psycopg.AsyncConnection.connect(target, **options(target, "client"), autocommit=True)
            return as_connection(AsyncConnectionShim(await_(opening)))

        opened = shim_of(prepared(target, open_one, is_shared=True)).asynchronous
        set_json_loads(decode, opened)
        return AsyncConnectionShim(opened)  # made when all is set: what is set now is what it goes back to


class CallersAsyncPool(Source):
    """Connections of a pool of the caller's; in a forked child, connections of the child's own to the same database."""

    def __init__(self, pool: AsyncConnectionPool[Any], connections_max: int) -> None:
        self._pool = pool
        self._pid = os.getpid()
        is_known = not any(inspect.iscoroutinefunction(each) for each in (pool.conninfo, pool.kwargs))
        self._of_child = OwnAsyncConnections(conninfo_of(pool) if is_known else None, connections_max)

    @property
    def dsn(self) -> str | None:
        return self._of_child.dsn

    @contextmanager
    def lend(self) -> Iterator[psycopg.Connection[Any]]:
        with self.lend_plain() as connection, guard(connection) as lent:
            yield lent

    @contextmanager
    def lend_plain(self) -> Iterator[psycopg.Connection[Any]]:
        if self._pid != os.getpid():
            with self._of_child.lend_plain() as connection:
                yield connection
            return
        with Entered(self._pool.connection()) as lent, _autocommit(AsyncConnectionShim(lent)) as shim:
            yield as_connection(shim)

    def close(self) -> None:
        self._of_child.close()


class CallersAsyncConnection(Source):
    """One connection of the caller's: what is done joins its transaction, and is never committed here."""

    is_callers = True

    def __init__(self, connection: psycopg.AsyncConnection[Any]) -> None:
        self._connection = connection
        self._pid = os.getpid()
        self._turns = FairSemaphore(1)

    @property
    def dsn(self) -> str | None:
        return dsn_of(self._connection)

    @contextmanager
    def lend(self) -> Iterator[psycopg.Connection[Any]]:
        # One call after another: savepoints of two that are gathered would end in the wrong order.
        self._turns.begin()
        try:
            with self.lend_plain() as connection, guard(connection) as lent:
                yield lent
        finally:
            self._turns.end()

    @contextmanager
    def lend_plain(self) -> Iterator[psycopg.Connection[Any]]:
        refuse_fork(self._pid)
        yield as_connection(AsyncConnectionShim(self._connection))

    def close(self) -> None:
        """The connection is the caller's to close."""


@contextmanager
def _autocommit(shim: AsyncConnectionShim) -> Iterator[AsyncConnectionShim]:
    """Each statement commits itself for the length of the block, as on connections of our own."""
    before = shim.autocommit
    shim.autocommit = True
    try:
        yield shim
    finally:
        if shim.is_at_rest:
            shim.autocommit = before
        else:
            shim.close()  # interrupted in the middle of something: of no use, and the pool sees that
