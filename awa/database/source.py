"""The source of a client's connections: its own pool, the caller's pool, or one connection of the caller's."""

from __future__ import annotations

import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import conninfo
from psycopg.pq import PipelineStatus
from psycopg.types.json import set_json_loads

from awa.database.adapters.caller import borrowed
from awa.database.dsn import DSN_VARIABLE
from awa.database.errors import translated
from awa.database.guarded import guard, guarded
from awa.database.open import connect, dsn_of, parsed
from awa.database.pool import Pool
from awa.errors import DatabaseError, ValidationError
from awa.job.codec import decode

if TYPE_CHECKING:
    from psycopg_pool import ConnectionPool


class Source(ABC):
    """Lends connections to a client."""

    is_callers: bool = False
    """True if what is done becomes part of a transaction the caller has begun or will end."""

    @property
    @abstractmethod
    def dsn(self) -> str | None:
        """The database's address, if it is known."""

    @abstractmethod
    def lend(self) -> AbstractContextManager[psycopg.Connection[Any]]:
        """Lend a connection as the engine needs it."""

    @abstractmethod
    def lend_plain(self) -> AbstractContextManager[psycopg.Connection[Any]]:
        """Lend a connection as psycopg made it, for statements of the caller's."""

    def translated(self, doing: str) -> AbstractContextManager[None]:
        """Return a block that raises what the driver raises as `AwaError`s that say what was being done."""
        return translated(doing)

    @abstractmethod
    def close(self) -> None:
        """Close what this source has opened; nothing of the caller's."""


def source_of(given: str | psycopg.Connection[Any] | ConnectionPool[Any] | None, connections_max: int) -> Source:
    """Return the source for what a client was made from. Connects to nothing. Raises ValidationError."""
    check_max(connections_max)
    if given is None or isinstance(given, str):
        return OwnConnections(given, connections_max)
    if isinstance(given, psycopg.Connection):
        return CallersConnection(given)
    # Only a caller that has imported psycopg_pool can hold a pool; no other pays for importing it.
    pools = sys.modules.get("psycopg_pool")
    if pools is not None and isinstance(given, pools.ConnectionPool):
        return CallersPool(given, connections_max)
    hint = "; for that there is awa.AsyncClient" if "Async" in type(given).__qualname__ else ""
    raise ValidationError(
        f"a client is made from a database URL, a psycopg.Connection or a psycopg_pool.ConnectionPool, "
        f"not from {type(given).__module__}.{type(given).__qualname__}{hint}"
    )


def check_max(connections_max: Any) -> None:
    """Raise ValidationError unless a client can have so many connections."""
    if type(connections_max) is not int or connections_max < 1:
        raise ValidationError(f"max_connections is {connections_max!r}; it must be a whole number from 1")


class OwnConnections(Source):
    """Connections of the client's own, to a database named by a DSN or by `$DATABASE_URL`."""

    def __init__(self, dsn: str | None, connections_max: int) -> None:
        self._given = dsn
        self._pool = Pool(self._open, connections_max)

    @property
    def dsn(self) -> str | None:
        return named(self._given)

    def lend(self) -> AbstractContextManager[psycopg.Connection[Any]]:
        return self._pool.connection(guarded)

    def lend_plain(self) -> AbstractContextManager[psycopg.Connection[Any]]:
        return self._pool.connection()

    def close(self) -> None:
        self._pool.close()

    def _open(self) -> psycopg.Connection[Any]:
        connection = connect(required(self.dsn), role="client", is_shared=True)
        set_json_loads(decode, connection)
        return connection


class CallersPool(Source):
    """Connections of a pool of the caller's; in a forked child, connections of the child's own to the same database."""

    def __init__(self, pool: ConnectionPool[Any], connections_max: int) -> None:
        self._pool = pool
        self._pid = os.getpid()
        self._of_child = OwnConnections(conninfo_of(pool), connections_max)

    @property
    def dsn(self) -> str | None:
        return self._of_child.dsn

    @contextmanager
    def lend(self) -> Iterator[psycopg.Connection[Any]]:
        with self.lend_plain() as connection, guard(borrowed(connection)) as lent:
            yield lent

    @contextmanager
    def lend_plain(self) -> Iterator[psycopg.Connection[Any]]:
        if self._pid != os.getpid():
            with self._of_child.lend_plain() as connection:
                yield connection
            return
        with self._pool.connection() as connection, _autocommit(connection):
            yield connection

    def close(self) -> None:
        self._of_child.close()


class CallersConnection(Source):
    """One connection of the caller's: what is done joins its transaction, and is never committed here."""

    is_callers = True

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection
        self._pid = os.getpid()

    @property
    def dsn(self) -> str | None:
        return dsn_of(self._connection)

    @contextmanager
    def lend(self) -> Iterator[psycopg.Connection[Any]]:
        with self.lend_plain() as connection, guard(borrowed(connection)) as lent:
            yield lent

    @contextmanager
    def lend_plain(self) -> Iterator[psycopg.Connection[Any]]:
        refuse_fork(self._pid)
        if self._connection.pgconn.pipeline_status != PipelineStatus.OFF:
            # What the caller has sent may have begun a transaction, of which nobody knows before it is answered.
            with self._connection.pipeline() as pipeline:
                pipeline.sync()
        yield self._connection

    def close(self) -> None:
        """The connection is the caller's to close."""


def named(dsn: str | None) -> str | None:
    """Return `dsn`, or what the environment names; None where neither is there."""
    return dsn or os.environ.get(DSN_VARIABLE) or None


def refuse_fork(pid: int) -> None:
    """Raise DatabaseError in a child of the process `pid`, whose connection the client was made from."""
    if pid != os.getpid():
        raise DatabaseError(
            f"this client was made from a connection of process {pid}, and this is process {os.getpid()}, "
            "forked from it: they must not share a connection. Make a client from a database URL or a pool, or "
            "from a connection this process has opened"
        )


def required(dsn: str | None) -> str:
    """Return `dsn`. Raises DatabaseError without one."""
    if not dsn:
        raise DatabaseError(
            f"no database is named: pass its URL to Client(...), or set {DSN_VARIABLE} "
            "(postgresql://user@host/name, or embedded:// for one that needs no server)"
        )
    return dsn


@contextmanager
def _autocommit(connection: psycopg.Connection[Any]) -> Iterator[None]:
    """Each statement commits itself for the length of the block, as on connections of our own."""
    before = connection.autocommit
    connection.autocommit = True
    try:
        yield
    finally:
        if not connection.closed:
            connection.autocommit = before


def conninfo_of(pool: Any) -> str:
    """Return the conninfo by which a pool makes its connections."""
    given: Any = pool.conninfo
    keywords: Any = pool.kwargs
    text = given() if callable(given) else given
    wanted = (keywords() if callable(keywords) else keywords) or {}
    known = {option.keyword.decode() for option in psycopg.pq.Conninfo.get_defaults()}
    return conninfo.make_conninfo(**parsed(text) | {name: value for name, value in wanted.items() if name in known})
