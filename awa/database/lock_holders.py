"""Names the sessions that hold the locks for which Awa waits.

A session that waits cannot ask, and once it has given up it is no longer blocked: so another session asks meanwhile.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

import psycopg

from awa.database.open import dsn_of
from awa.database.statements import statement
from awa.telemetry import events

SAY_AFTER_S: Final = 1.0
"""A wait for a lock is reported when it has lasted for this long."""

_WAITING: Final = statement("locks/waiting")
_HOLDERS: Final = statement("locks/holders")


class Holder(NamedTuple):
    """A session that holds a lock. What the connected role may not see of it is None."""

    pid: int
    """0: a prepared transaction."""
    application: str | None
    role: str | None
    state: str | None
    open_s: float | None
    """Age of its transaction."""
    query: str | None
    """Its present or last statement."""
    transaction: str | None = None
    """The same at two looks: it is the same transaction."""

    def __str__(self) -> str:
        if self.pid == 0:
            return "a prepared transaction (see pg_prepared_xacts)"
        known = [
            f"application {self.application}" if self.application else "",
            f"role {self.role}" if self.role else "",
            f"{self.state or 'its transaction open'} for {self.open_s:.0f} s" if self.open_s is not None else "",
            f"last statement: {' '.join(self.query.split())}" if self.query else "",
        ]
        return f"process {self.pid} ({', '.join(filter(None, known))})"


class Wait(NamedTuple):
    """A session of Awa's that waits for a lock."""

    pid: int
    application: str
    waited_s: float
    what: str
    """The table, or "a row"."""
    holders: tuple[Holder, ...]

    @property
    def held_by(self) -> str:
        """The holders, in words."""
        return named(self.holders)


def waits(connection: psycopg.Connection[Any], *, pid: int | None = None, seconds: float = SAY_AFTER_S) -> list[Wait]:
    """Return the sessions of Awa in this database, or the one `pid`, that have waited for a lock for so long."""
    found: dict[int, Wait] = {}
    for waiter, application, waited_s, what, *holder in connection.execute(_WAITING, {"pid": pid, "seconds": seconds}):
        before = found.get(waiter) or Wait(waiter, application, waited_s, what, ())
        found[waiter] = before._replace(holders=(*before.holders, Holder(*holder)))
    return list(found.values())


def holders(connection: psycopg.Connection[Any], table: str, seconds: float = SAY_AFTER_S) -> list[Holder]:
    """Return the other sessions that hold `table` (a qualified name) in a mode that readers do not take.

    Their transactions have been open for at least `seconds`, as far as the connected role may know.
    """
    return [Holder(*row) for row in connection.execute(_HOLDERS, {"tab": table, "seconds": seconds})]


def named(those: Iterable[Holder]) -> str:
    """Return holders in words."""
    return "; ".join(map(str, those)) or "a transaction that has just ended"


class Watched:
    """The observed waits of a connection."""

    last: Wait | None = None
    """The last wait that was seen."""


@contextmanager
def watched(connection: object) -> Iterator[Watched]:
    """While the block uses `connection`, look over another one, from a thread, whether it waits for a lock, and say so.

    Nothing is opened before the block has taken `SAY_AFTER_S`. Over a connection that is not psycopg's own there is no
    second one.
    """
    seen = Watched()
    if not isinstance(connection, psycopg.Connection):
        yield seen
        return
    done = threading.Event()
    pid, target = connection.info.backend_pid, dsn_of(connection, application_name="awa lookout")

    def look() -> None:
        if done.wait(SAY_AFTER_S):
            return
        try:
            with psycopg.connect(target, autocommit=True, connect_timeout=5) as onlooker:
                while not done.wait(SAY_AFTER_S / 10):
                    for wait in waits(onlooker, pid=pid):
                        report(wait, seen.last)
                        seen.last = wait
        except psycopg.Error:
            return  # no connection to spare: the wait goes on unobserved

    thread = threading.Thread(target=look, name="awa-lookout", daemon=True)
    thread.start()
    try:
        yield seen
    finally:
        done.set()
        thread.join(SAY_AFTER_S)


def report(wait: Wait, before: Wait | None = None) -> None:
    """Say that a session of Awa's waits for a lock, unless it was said `before` that the same sessions hold it."""
    if before is None or before.what != wait.what or _pids(before) != _pids(wait):
        events.emit(
            events.DATABASE_LOCKED,
            who=wait.application,
            what=wait.what,
            waited_s=round(wait.waited_s, 1),
            held_by=wait.held_by,
        )


def _pids(wait: Wait) -> list[int]:
    return [holder.pid for holder in wait.holders]
