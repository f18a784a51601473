"""Sends several statements in one round trip, and those that are repeated without being looked at anew."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, Protocol

import psycopg

from awa.database.guarded import BEGIN, COMMIT, Guarded, unguarded
from awa.database.prepared import Answer, Message, OwnConnection


class Said(Protocol):
    """The answer to a statement: a cursor, or what is one as soon as the round trip has ended."""

    @property
    def rowcount(self) -> int:
        """How many rows it returned or affected."""
        ...

    def fetchone(self) -> Any:
        """Return the next row, None where there is none."""
        ...

    def fetchall(self) -> list[Any]:
        """Return the rows that are left."""
        ...

    def __iter__(self) -> Iterator[Any]: ...


class Trip(Protocol):
    """Takes the statements of a round trip."""

    def execute(self, query: bytes, params: Mapping[str, Any] | None = None, *, prepare: bool | None = None) -> Said:
        """Send a statement, now or at the end of the block; read its answer after that."""
        ...


@contextmanager
def one_trip(connection: psycopg.Connection[Any]) -> Iterator[Trip]:
    """Run the block's statements as one READ COMMITTED transaction, sent together; read their results after it.

    Each statement still gets a snapshot of its own, which sealing and settling rely on. The driver's own block in a
    pipeline waits for the server four times: after the begin, the statements, the commit, and once more at the end.
    """
    if isinstance(connection, OwnConnection) and connection.is_at_rest:
        trip = _OwnTrip()
        yield trip
        if trip.asked:
            connection.tell(trip.asked)
        return
    if isinstance(connection, Guarded):
        with connection.trip() as guarded:
            yield guarded
        return
    connection.isolation_level = psycopg.IsolationLevel.READ_COMMITTED  # refused in the middle of a transaction
    if not connection.autocommit:  # a caller's: the driver begins the transaction, whatever we do
        with connection.pipeline(), connection.transaction():
            yield connection
        return
    try:
        with connection.pipeline():
            connection.execute(BEGIN, prepare=True)
            yield connection
            connection.execute(COMMIT, prepare=True)
    except BaseException:
        if not connection.closed:
            with suppress(psycopg.Error):  # it broke, and whoever uses it next is told so
                connection.rollback()
        raise


def repeat(
    connection: psycopg.Connection[Any],
    sql: bytes,
    parameters: Mapping[str, Any],
    *,
    prepare: bool | None = True,
    binary: bool = False,
) -> Said:
    """Run one of the statements that the engine repeats; return its answer.

    It is prepared at once over a connection of ours; over another, as the driver understands `prepare`.
    """
    if isinstance(connection, OwnConnection) and connection.is_at_rest:
        connection.tell([(Message(sql, parameters, is_binary=binary), answer := Answer())])
        return answer
    return connection.execute(sql, parameters, prepare=prepare, binary=binary)


def records(connection: psycopg.Connection[Any], sql: bytes, parameters: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Run a statement; return its rows as dicts."""
    cursor = connection.execute(sql, parameters)
    rows = cursor.fetchall()  # first: in a pipeline of the caller's, that is when the columns become known
    names = [column.name for column in cursor.description or ()]
    return [dict(zip(names, row, strict=True)) for row in rows]


def run_and_do(
    connection: psycopg.Connection[Any],
    sql: bytes,
    parameters: Mapping[str, Any],
    do: Callable[[], None],
    *,
    binary: bool = False,
) -> Said:
    """Run a statement and do something else: over a connection of ours while the server works on it, over another one
    before that. What is done must not use the connection.
    """
    own = unguarded(connection)
    if isinstance(own, OwnConnection):  # inside of a transaction, which has its settings
        return own.tell_and_do(Message(sql, parameters, is_binary=binary), do)
    do()
    return connection.execute(sql, parameters, binary=binary)


class _OwnTrip:
    """Statements that are collected, and sent all at once."""

    def __init__(self) -> None:
        self.asked: list[tuple[Message, Answer]] = []

    def execute(self, query: bytes, params: Mapping[str, Any] | None = None, *, prepare: bool | None = None) -> Said:
        """Note a statement; return what will have the answer."""
        answer = Answer()
        self.asked.append((Message(query, params, is_prepared=bool(prepare)), answer))
        return answer
