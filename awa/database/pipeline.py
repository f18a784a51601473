"""Sends several statements in one round trip, and repeated ones as prepared statements."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, Protocol

import psycopg

from awa.database.guarded import BEGIN, COMMIT, Guarded, unguarded
from awa.database.prepared import Answer, Message, OwnConnection


class QueryResult(Protocol):
    """The answer to a statement: a cursor, or what is one as soon as the round trip has ended."""

    @property
    def rowcount(self) -> int:
        """Number of rows returned or affected."""
        ...

    def fetchone(self) -> Any:
        """Return the next row; None after the last."""
        ...

    def fetchall(self) -> list[Any]:
        """Return the rows that are left."""
        ...

    def __iter__(self) -> Iterator[Any]: ...


class Pipeline(Protocol):
    """Takes the statements of a round trip."""

    def execute(
        self, query: bytes, params: Mapping[str, Any] | None = None, *, prepare: bool | None = None
    ) -> QueryResult:
        """Send a statement, now or at the end of the block; read its answer after that."""
        ...


@contextmanager
def pipeline(connection: psycopg.Connection[Any]) -> Iterator[Pipeline]:
    """Run the block's statements as one READ COMMITTED transaction, sent together; read their results after it.

    Each statement still gets a snapshot of its own, which sealing and settling rely on. The driver's own block in a
    pipeline waits for the server four times: after the begin, the statements, the commit, and once more at the end.
    """
    if isinstance(connection, OwnConnection) and connection.is_at_rest:
        pipe = _OwnPipeline()
        yield pipe
        if pipe.asked:
            connection.execute_together(pipe.asked)
        return
    if isinstance(connection, Guarded):
        with connection.pipe() as guarded:
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
            with suppress(psycopg.Error):  # it broke, and its next user is told so
                connection.rollback()
        raise


def execute_prepared(
    connection: psycopg.Connection[Any],
    sql: bytes,
    parameters: Mapping[str, Any],
    *,
    prepare: bool | None = True,
    binary: bool = False,
) -> QueryResult:
    """Run one of the statements that the engine repeats; return its answer.

    It is prepared at once over an own connection; over another, as the driver understands `prepare`.
    """
    if isinstance(connection, OwnConnection) and connection.is_at_rest:
        connection.execute_together([(Message(sql, parameters, is_binary=binary), answer := Answer())])
        return answer
    return connection.execute(sql, parameters, prepare=prepare, binary=binary)


def records(connection: psycopg.Connection[Any], sql: bytes, parameters: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Run a statement; return its rows as dicts."""
    cursor = connection.execute(sql, parameters)
    rows = cursor.fetchall()  # first: in a pipeline of the caller's, that is when the columns become known
    names = [column.name for column in cursor.description or ()]
    return [dict(zip(names, row, strict=True)) for row in rows]


def execute_overlapped(
    connection: psycopg.Connection[Any],
    sql: bytes,
    parameters: Mapping[str, Any],
    do: Callable[[], None],
    *,
    binary: bool = False,
) -> QueryResult:
    """Run a statement and do something else: over an own connection while the server works on it, over another one
    before that. What is done must not use the connection.
    """
    own = unguarded(connection)
    if isinstance(own, OwnConnection):  # inside of a transaction, which has its settings
        return own.execute_overlapped(Message(sql, parameters, is_binary=binary), do)
    do()
    return connection.execute(sql, parameters, binary=binary)


class _OwnPipeline:
    """Statements that are collected, and sent all at once."""

    def __init__(self) -> None:
        self.asked: list[tuple[Message, Answer]] = []

    def execute(
        self, query: bytes, params: Mapping[str, Any] | None = None, *, prepare: bool | None = None
    ) -> QueryResult:
        """Note a statement; return what will have the answer."""
        answer = Answer()
        self.asked.append((Message(query, params, is_prepared=bool(prepare)), answer))
        return answer
