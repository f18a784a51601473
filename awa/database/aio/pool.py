"""An asynchronous client's own connections: opened when wanted, kept for the next use by the event loop that opened
them, never shared with another loop or with a forked child.

No task looks after them, as no thread looks after those of `Pool`, and for the same reasons. A loop may end without a
word, and takes nothing of Awa's with it: its connections are closed at the next use by another loop.
"""

from __future__ import annotations

import asyncio
import os
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Final

from awa.database.aio.connection import AsyncConnectionShim
from awa.database.aio.semaphore import FairSemaphore
from awa.database.pool import IDLE_S, WAIT_S, is_alive, none_free

Opener = Callable[[], AsyncConnectionShim]
_Owner = tuple[int, asyncio.AbstractEventLoop]
"""A process and one of its event loops: a forked child has copies of its parent's loops."""


class AsyncPool:
    """At most `connections_max` connections of each event loop that uses it."""

    def __init__(self, open_one: Opener, connections_max: int) -> None:
        """`open_one` opens a connection in autocommit mode. Nothing happens before the first use."""
        self._open_one = open_one
        self._max = connections_max
        # A child finds its parent's connections here too, and never touches them: not even to let them be finalised.
        self._by_owner: dict[_Owner, _AsyncConnections] = {}
        weakref.finalize(self, _close_own, self._by_owner)

    @contextmanager
    def connection(self) -> Iterator[AsyncConnectionShim]:
        """Lend a connection, in autocommit mode and in no transaction. Raises DatabaseError without one."""
        here = self._of_this_loop()
        connection = here.take(self._open_one)
        try:
            yield connection
        finally:
            here.give_back(connection)

    def close(self) -> None:
        """Close this process's connections; those in use close when they come back."""
        _close_own(self._by_owner)

    def _of_this_loop(self) -> _AsyncConnections:
        owner = os.getpid(), asyncio.get_running_loop()
        found = self._by_owner.get(owner)
        if found is None:
            _close_left(self._by_owner)
            found = self._by_owner[owner] = _AsyncConnections(
                owner[0], self._max
            )  # only this thread can be in this loop
        return found


class _AsyncConnections:
    """The connections of one event loop."""

    def __init__(self, pid: int, connections_max: int) -> None:
        self._pid = pid
        self._max: Final = connections_max
        self._turns = FairSemaphore(connections_max)
        self._idle: deque[tuple[AsyncConnectionShim, float]] = deque()
        """Idle connections, and since when."""
        self._is_closed = False

    def take(self, open_one: Opener) -> AsyncConnectionShim:
        """Return the connection last returned, if it lives, or a new one."""
        if not self._turns.begin(WAIT_S):
            raise none_free(self._max)
        try:
            return self._take_idle() or open_one()
        except BaseException:
            self._turns.end()
            raise

    def give_back(self, connection: AsyncConnectionShim) -> None:
        """Keep a connection for the next use, unless it is not fit for that. Waits for nothing."""
        if self._pid != os.getpid():
            return  # the block that used it has forked: this is the child, the connection is the parent's
        if self._is_closed or not connection.is_at_rest:
            connection.close()
        else:
            self._idle.append((connection, monotonic()))
            while self._idle and monotonic() - self._idle[0][1] > IDLE_S:
                self._idle.popleft()[0].close()
        self._turns.end()

    def close(self) -> None:
        """Close what is idle; what is in use closes when it is returned."""
        self._is_closed = True
        while self._idle:
            self._idle.pop()[0].close()

    def _take_idle(self) -> AsyncConnectionShim | None:
        while self._idle:
            kept, _ = self._idle.pop()
            if is_alive(kept):
                return kept
            kept.close()
        return None


def _close_own(by_owner: dict[_Owner, _AsyncConnections]) -> None:
    for (pid, _), connections in list(by_owner.items()):
        if pid == os.getpid():
            connections.close()


def _close_left(by_owner: dict[_Owner, _AsyncConnections]) -> None:
    """Close and forget the connections of loops that have ended."""
    for owner, connections in list(by_owner.items()):
        pid, loop = owner
        if pid == os.getpid() and loop.is_closed():
            connections.close()
            by_owner.pop(owner, None)
