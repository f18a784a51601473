"""A client's own connections: opened when wanted, kept for the next use, never shared with a forked child.

No thread looks after them. A web server that preloads the application may have used the client before it forks, and
forking a process that has threads risks a child which hangs on a lock that is never released. What a pool's threads
would do happens at the next use instead: a connection is looked at before it is handed out, unless it was in use a
moment ago, and one that has been idle for long is closed when the next one is returned.
"""

from __future__ import annotations

import os
import select
import weakref
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager
from threading import Condition
from time import monotonic
from typing import Any, Final, NamedTuple, Protocol

import psycopg

from awa.errors import DatabaseError

WAIT_S: Final = 30.0
"""Seconds to wait for a connection when all are in use."""
IDLE_S: Final = 600.0
"""After this long without use a connection is closed."""
UNCHECKED_S: Final = 0.01
"""A connection that was in use so short a time ago is not looked at before it is lent. The look is a system call, in
which this thread lets go of the interpreter: where many threads insert, it then waits for all the others."""

Opener = Callable[[], "psycopg.Connection[Any]"]
Wrap = Callable[["psycopg.Connection[Any]"], "psycopg.Connection[Any]"]


class HasSocket(Protocol):
    """A connection, synchronous or not."""

    def fileno(self) -> int:
        """Return the number of its socket."""
        ...


class Pool:
    """At most `connections_max` connections of each process that uses it."""

    def __init__(self, open_one: Opener, connections_max: int) -> None:
        """`open_one` opens a connection in autocommit mode. Nothing happens before the first use."""
        self._open_one = open_one
        self._max = connections_max
        # A child finds its parent's connections here too, and never touches them: not even to let them be finalised.
        self._by_process: dict[int, _Connections] = {}
        # A client at module level is hardly ever closed: then this says goodbye to the server as the process ends.
        weakref.finalize(self, _close_own, self._by_process)

    def connection(self, wrap: Wrap | None = None) -> AbstractContextManager[psycopg.Connection[Any]]:
        """Lend a connection for a block, in autocommit mode and in no transaction, as `wrap` makes it. Raises
        DatabaseError, as the block begins, without one."""
        return _Loan(self._of_this_process(), self._open_one, wrap)

    def close(self) -> None:
        """Close this process's connections; those in use close when they come back."""
        self._of_this_process().close()

    def _of_this_process(self) -> _Connections:
        pid = os.getpid()
        # setdefault is atomic: two threads that come first at the same time share one.
        return self._by_process.get(pid) or self._by_process.setdefault(pid, _Connections(pid, self._max))


class _Loan:
    """A connection, for as long as a block lasts. (A generator that does the same takes a microsecond more.)"""

    __slots__ = ("_connection", "_of", "_open_one", "_wrap")

    def __init__(self, of: _Connections, open_one: Opener, wrap: Wrap | None) -> None:
        self._of = of
        self._open_one = open_one
        self._wrap = wrap

    def __enter__(self) -> psycopg.Connection[Any]:
        self._connection = self._of.take(self._open_one)
        return self._connection if self._wrap is None else self._wrap(self._connection)

    def __exit__(self, *_: object) -> None:
        self._of.give_back(self._connection)


def _close_own(by_process: dict[int, _Connections]) -> None:
    here = by_process.get(os.getpid())
    if here is not None:
        here.close()


class _Idle(NamedTuple):
    """A connection that is idle."""

    connection: psycopg.Connection[Any]
    since: float


class _Connections:
    """The connections of one process."""

    def __init__(self, pid: int, connections_max: int) -> None:
        self._pid = pid
        self._max = connections_max
        self._returned = Condition()
        self._idle: deque[_Idle] = deque()
        self._count = 0
        self._closed = False

    def take(self, open_one: Opener) -> psycopg.Connection[Any]:
        """Return the connection last returned, if it lives, or a new one."""
        kept = self._take_idle()
        if kept is not None:
            if monotonic() - kept.since < UNCHECKED_S or is_alive(kept.connection):
                return kept.connection
            kept.connection.close()
        try:
            return open_one()
        except BaseException:
            self._forget_one()
            raise

    def give_back(self, connection: psycopg.Connection[Any]) -> None:
        """Keep a connection for the next use, unless it is not fit for that."""
        if self._pid != os.getpid():
            return  # the block that used it has forked: this is the child, the connection is the parent's
        if self._closed or not _is_fit(connection):
            connection.close()
            self._forget_one()
            return
        with self._returned:
            self._idle.append(_Idle(connection, monotonic()))
            stale = self._take_stale()
            self._returned.notify()
        for each in stale:
            each.close()

    def close(self) -> None:
        """Close what is idle; what is in use closes when it is returned."""
        with self._returned:
            self._closed = True
            idle, self._idle = self._idle, deque()
            self._count -= len(idle)
        for each in idle:
            each.connection.close()

    def _take_idle(self) -> _Idle | None:
        """Return an idle connection, or None for leave to open one."""
        with self._returned:
            if not self._returned.wait_for(lambda: self._idle or self._count < self._max, WAIT_S):
                raise none_free(self._max)
            if self._idle:
                return self._idle.pop()
            self._count += 1
            return None

    def _take_stale(self) -> list[psycopg.Connection[Any]]:
        stale = []
        while self._idle and monotonic() - self._idle[0].since > IDLE_S:
            stale.append(self._idle.popleft().connection)
            self._count -= 1
        return stale

    def _forget_one(self) -> None:
        with self._returned:
            self._count -= 1
            self._returned.notify()


def _is_fit(connection: psycopg.Connection[Any]) -> bool:
    """Return whether nothing is under way on a connection; an interruption may leave it in the middle of anything."""
    pgconn = connection.pgconn
    return (
        pgconn.transaction_status == psycopg.pq.TransactionStatus.IDLE
        and pgconn.pipeline_status == psycopg.pq.PipelineStatus.OFF
    )


def none_free(connections_max: int) -> DatabaseError:
    """Return what to raise when all connections have been in use for `WAIT_S`."""
    return DatabaseError(
        f"all {connections_max} connections of this client were in use for {WAIT_S:.0f} s. A transaction() holds one "
        "until its end; end transactions sooner, or give the client a larger max_connections"
    )


def is_alive(connection: HasSocket) -> bool:
    """Return whether a connection that was idle can be used. A server that has gone, or said goodbye, makes it
    readable."""
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return not poll.poll(0)
