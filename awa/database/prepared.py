"""Awa's own connection: it remembers which statements it has prepared, and sends several in one go.

The driver's cursors serve any statement with any parameters. The engine repeats two dozen statements, whose parameters
are numbers and texts. Sent by name, with bytes, by the driver's own libpq, they take a third of the client's processor
time; and what a worker does between two jobs runs on cold caches, many times slower than in a loop.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cache
from typing import Any, Final, NamedTuple

import psycopg
from psycopg.abc import PQGen
from psycopg.abc import Transformer as Reader
from psycopg.adapt import Transformer
from psycopg.errors import FeatureNotSupported, InvalidSqlStatementName, error_from_result
from psycopg.generators import execute, fetch_many, send
from psycopg.pq import ConnStatus, ExecStatus, PipelineStatus, TransactionStatus
from psycopg.pq.abc import PGconn, PGresult

_UNDER_WAY: Final = (TransactionStatus.ACTIVE, TransactionStatus.UNKNOWN)
_PARAMETER: Final = re.compile(rb"%(?:\((\w+)\)s|%)")


class Message(NamedTuple):
    """A statement to be sent."""

    sql: bytes
    parameters: Mapping[str, Any] | None = None
    is_prepared: bool = True
    """True if the server is to keep it, and its plan, for the next time."""
    is_binary: bool = False
    """True if the answer is requested in binary format."""


class Answer:
    """The result of a statement: the part of `psycopg.Cursor` that the engine uses. Empty until it arrives."""

    __slots__ = ("_rows", "rowcount")

    _rows: Iterator[tuple[Any, ...]]
    rowcount: int
    """Number of rows returned or affected."""

    def read(self, result: PGresult, transformer: Reader) -> None:
        """Take in a result; `transformer` knows the connection's types."""
        rows: list[tuple[Any, ...]] = []
        self.rowcount = result.command_tuples or 0
        if result.status == ExecStatus.TUPLES_OK:
            transformer.set_pgresult(result)
            rows = transformer.load_rows(0, result.ntuples, tuple)
            self.rowcount = result.ntuples
        self._rows = iter(rows)

    def fetchone(self) -> Any:
        """Return the next row; None after the last."""
        return next(self._rows, None)

    def fetchall(self) -> list[Any]:
        """Return the rows that are left."""
        return list(self._rows)

    def __iter__(self) -> Iterator[Any]:
        return self._rows


class OwnConnection(psycopg.Connection[Any]):
    """A connection that only Awa uses, and code that it has been lent to for the time being."""

    def __init__(self, *args: Any, **options: Any) -> None:
        """As the driver makes it."""
        super().__init__(*args, **options)
        self._names: dict[bytes, bytes] = {}
        """The prepared statements by their text, with their names."""
        self._named = 0

    @property
    def is_at_rest(self) -> bool:
        """Return whether nothing is under way, each statement commits itself, texts can be sent as they are, in UTF-8,
        and what is prepared or set for the session stays so, as it does not behind a pooler."""
        pgconn = self.pgconn
        return (
            self.prepare_threshold is not None
            and pgconn.transaction_status == TransactionStatus.IDLE
            and pgconn.pipeline_status == PipelineStatus.OFF
            and self.autocommit
            and pgconn.parameter_status(b"client_encoding") == b"UTF8"
        )

    def execute_together(self, asked: Sequence[tuple[Message, Answer]]) -> None:
        """Send statements together, as one transaction, and fill the answers. The connection must be at rest.

        Until it is told to say where it stands, which is once, at the end, the server takes all that comes for one
        transaction, in which each statement has a snapshot of its own, since the session is READ COMMITTED. So an error
        undoes all of them.
        """
        try:
            self._execute_together(asked)
        except (InvalidSqlStatementName, FeatureNotSupported):
            # A borrower has deallocated everything, or what a statement returns has got other columns.
            self._names.clear()
            self._execute_together(asked)

    def execute_overlapped(self, message: Message, do: Callable[[], None]) -> Answer:
        """Send one statement, do something else while the server works on it, and return its answer.

        Also in a transaction. What is done must not use this connection.
        """
        answer = Answer()
        self._ask(message, None, answer, do)
        return answer

    def _ask(self, message: Message, name: bytes | None, answer: Answer, do: Callable[[], None] | None = None) -> None:
        """Send one statement, by its name if it is prepared: a pipeline would be more to send and to read."""
        pgconn = self.pgconn
        text, values = _written(message)
        try:
            if name is None:
                pgconn.send_query_params(text, values, result_format=message.is_binary)
            else:
                pgconn.send_query_prepared(name, values, result_format=message.is_binary)
            if do is not None:
                pgconn.flush()
                do()
            results = _checked(self.wait(execute(pgconn)))
        except BaseException:
            self._collect()
            raise
        answer.read(next(results), Transformer(self))
        _refuse_more(results)

    def _execute_together(self, asked: Sequence[tuple[Message, Answer]]) -> None:
        message, answer = asked[0]
        if len(asked) == 1 and (known := self._names.get(message.sql)) is not None:
            self._ask(message, known, answer)
            return
        pgconn = self.pgconn
        sent = [(message, *_written(message)) for message, _ in asked]
        try:
            pgconn.enter_pipeline_mode()
            preparing = [self._send(message, text, values) for message, text, values in sent]
            pgconn.pipeline_sync()
            results = _checked(self.wait(_results(pgconn)))
            if pgconn.status == ConnStatus.OK:
                pgconn.exit_pipeline_mode()
        except BaseException:
            self._collect()
            raise
        transformer = Transformer(self)
        for (message, answer), name in zip(asked, preparing, strict=True):
            if name is not None:
                next(results)
                self._names[message.sql] = name
            answer.read(next(results), transformer)
        _refuse_more(results)

    def _collect(self) -> None:
        """After an interruption: be ready for the next statement, or closed.

        Interrupted by Ctrl-C the driver has the server stop, and reads what it still says. What anything else has left
        unread would be taken for the answer to what is said next.
        """
        with suppress(psycopg.OperationalError):  # not all of it has been read
            if self.pgconn.pipeline_status != PipelineStatus.OFF:
                self.pgconn.exit_pipeline_mode()
        if self.pgconn.pipeline_status != PipelineStatus.OFF or self.pgconn.transaction_status in _UNDER_WAY:
            self.pgconn.finish()

    def _send(self, message: Message, text: bytes, values: list[bytes | None]) -> bytes | None:
        """Put a statement where it waits to be sent; if it has to be prepared before, return by what name."""
        pgconn = self.pgconn
        if not message.is_prepared:
            pgconn.send_query_params(text, values, result_format=message.is_binary)
            return None
        name = known = self._names.get(message.sql)
        if name is None:
            self._named += 1
            name = b"awa_%d" % self._named
            pgconn.send_prepare(name, text)
        pgconn.send_query_prepared(name, values, result_format=message.is_binary)
        return name if known is None else None


def _results(pgconn: PGconn) -> PQGen[list[PGresult]]:
    """Send what waits to be sent, and return all results up to the one that says where the server stands."""
    yield from send(pgconn)
    results: list[PGresult] = []
    while pgconn.status == ConnStatus.OK:
        for result in (yield from fetch_many(pgconn)):
            if result.status == ExecStatus.PIPELINE_SYNC:
                return results
            results.append(result)
    return results


def _checked(results: list[PGresult]) -> Iterator[PGresult]:
    """Yield results. Raises what one of them says of an error, when it is reached."""
    for result in results:
        if result.status == ExecStatus.FATAL_ERROR:
            raise error_from_result(result)
        yield result


def _refuse_more(results: Iterator[PGresult]) -> None:
    """Raise what came after the last answer: an error of the commit."""
    for result in results:
        raise psycopg.InternalError(f"one result more than statements, {ExecStatus(result.status).name}")


@cache
def _numbered(sql: bytes) -> tuple[bytes, list[str]]:
    """Return a statement as the server takes it, with $1, and which parameter is $1, $2 and so on."""
    names: dict[str, int] = {}

    def number(found: re.Match[bytes]) -> bytes:
        if found[1] is None:
            return b"%"
        return b"$%d" % names.setdefault(found[1].decode(), len(names) + 1)

    return _PARAMETER.sub(number, sql), list(names)


def _written(message: Message) -> tuple[bytes, list[bytes | None]]:
    """Return a statement and its parameters, each in the text format of its type, which the server finds out."""
    if message.parameters is None:
        return message.sql, []
    text, names = _numbered(message.sql)
    given = message.parameters
    return text, [None if given[name] is None else _bytes(name, given[name]) for name in names]


def _bytes(name: str, value: Any) -> bytes:
    if isinstance(value, str):
        data = value.encode()
        if b"\0" in data:
            raise psycopg.DataError("PostgreSQL text fields cannot contain NUL (0x00) bytes")
        return data
    if isinstance(value, (int, float)):  # a bool is one too, and the server knows its words
        return str(value).encode()
    raise TypeError(f"the parameter {name} is of type {type(value).__qualname__}; it must be a text or a number")
