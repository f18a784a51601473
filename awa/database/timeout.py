"""A connection on which no wait for an answer lasts for ever.

A server that is gone says so, or its system does; a pooler that hangs, a proxy that stalls or a network that swallows
packets says nothing, and a connection over it stays open and silent for as long as its client waits. The driver has no
limit for that. Keepalives do not help either: a middlebox goes on answering them.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from time import monotonic
from typing import Any, Final, TypeVar

import psycopg
from psycopg import capabilities

from awa.database.guarded import unguarded
from awa.database.prepared import OwnConnection

RESPONSE_TIMEOUT_S: Final = 60.0
"""So long supervisors and workers wait for an answer, in seconds. None of their statements takes nearly as long."""
CANCEL_S_MAX: Final = 2.0
CANCEL_SHARE: Final = 0.25
"""Asking a server to stop what it is doing takes at most this part of the time it had."""

RV = TypeVar("RV")


class NoAnswer(psycopg.OperationalError):
    """The server said nothing for too long; the connection is closed. What became of the statement is unknown."""


class BoundedConnection(OwnConnection):
    """Raises `NoAnswer`, and is closed then, when an answer takes more than `response_timeout_s` seconds."""

    response_timeout_s = RESPONSE_TIMEOUT_S
    beat: Callable[[], None] | None = None
    """Called some ten times a second while an answer is waited for."""

    def wait(self, gen: Generator[Any, Any, RV], *args: Any, **options: Any) -> RV:
        """Do what the driver's does: everything that is said to the server goes through here."""
        try:
            return super().wait(_within(gen, self.response_timeout_s, self.beat), *args, **options)
        except _OutOfTime:
            self._give_up()
            raise NoAnswer(
                f"no answer from the server within {self.response_timeout_s:g} s, and the connection was given up: "
                "a network, pooler or proxy that hangs, or a server that is far too busy"
            ) from None

    def _give_up(self) -> None:
        """Ask the server, if it should be there after all, to stop; then close without a word.

        A statement that waits for a lock would go on waiting after we have left, and each new try would add another.
        """
        if capabilities.has_cancel_safe():  # older versions of libpq may wait for ever themselves
            with suppress(psycopg.Error):  # a server that does not answer may not answer this either
                self.cancel_safe(timeout=min(CANCEL_S_MAX, self.response_timeout_s * CANCEL_SHARE))
        self.pgconn.finish()


@contextmanager
def longer_timeout(connection: psycopg.Connection[Any], times: float) -> Iterator[None]:
    """Wait so many times longer for answers in this block, if the connection is bounded at all."""
    bounded = unguarded(connection)
    if not isinstance(bounded, BoundedConnection):
        yield
        return
    usual = bounded.response_timeout_s
    bounded.response_timeout_s = usual * times
    try:
        yield
    finally:
        bounded.response_timeout_s = usual


class _OutOfTime(Exception):
    pass


def _within(gen: Generator[Any, Any, RV], seconds: float, beat: Callable[[], None] | None) -> Generator[Any, Any, RV]:
    """Run a generator of the driver, and end it when it takes too long.

    The driver's loop comes back every 100 ms with nothing if nothing has happened: that is when we look.
    """
    deadline = monotonic() + seconds
    try:
        wanted = next(gen)
        while True:
            ready = yield wanted
            wanted = gen.send(ready)
            if beat is not None:
                beat()
            if monotonic() > deadline:
                gen.close()
                raise _OutOfTime
    except StopIteration as end:
        result: RV = end.value
        return result
