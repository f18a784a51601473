"""A transaction in which jobs and the application's own rows are written together: both, or neither."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from datetime import date, datetime, time, timezone
from decimal import Decimal
from types import TracebackType
from typing import Any, Final
from uuid import UUID

import psycopg
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from awa.database.adapters.caller import borrowed
from awa.database.errors import is_lost, translated
from awa.database.guarded import guard
from awa.enqueue.inserter import Inserter
from awa.errors import AwaError, DatabaseError, OutcomeUnknown
from awa.job import codec
from awa.task.registry import Registry

Row = dict[str, Any]
Lend = Callable[[], "AbstractContextManager[psycopg.Connection[Any]]"]

_QUOTED: Final = re.compile(
    r"""
      \be'(?:[^'\\]|\\.|'')*'         # E'...' with backslashes
    | '(?:[^']|'')*'
    | "(?:[^"]|"")*"
    | (?<![\w$])\$(?P<tag>[^\W\d]\w*|)\$.*?\$(?P=tag)\$
    | --[^\n]*
    | /\*.*?\*/
    """,
    re.VERBOSE | re.DOTALL | re.IGNORECASE,
)
_NUMBERED: Final = re.compile(r"\$[0-9]")


class SyncTransaction(Inserter):
    """One transaction. As a context manager it commits at the end of the block, or rolls back when that raises.

        with client.transaction() as tx:
            order = tx.fetch_one("insert into orders (item) values ($1) returning id", "kayak")
            tx.insert(ShipOrder(order["id"]))

    Used without `with` it begins at its first statement; end it with `commit()` or `rollback()`. On a client made from
    a connection that is in a transaction already it is a savepoint there.

    Statements take their parameters one by one, for `$1` or for psycopg's `%s` (or one mapping for `%(name)s`); dicts
    are sent as jsonb. Rows are dicts of what JSON can carry: times as ISO 8601 text (`timestamptz` in UTC), uuid and
    numeric as text, json decoded. For anything else there is `connection`.
    """

    def __init__(self, lend: Lend, registry: Registry) -> None:
        self.registry = registry
        self._lend = lend
        self._pid = os.getpid()
        self._open: ExitStack | None = None
        self._connection: psycopg.Connection[Any] | None = None
        self._end = ""
        self._commits_at_end = False

    @property
    def connection(self) -> psycopg.Connection[Any]:
        """The psycopg connection the transaction runs on; end the transaction here, not there."""
        self._refuse_ended()
        return self._connection or self._begin()

    def execute(self, sql: str, *args: Any) -> int:
        """Run a statement; return the number of rows it affected."""
        with self._running(sql, args) as cursor:
            return max(0, cursor.rowcount)

    def fetch_one(self, sql: str, *args: Any) -> Row:
        """Return the first row. Raises DatabaseError without any."""
        row = self.fetch_optional(sql, *args)
        if row is None:
            raise DatabaseError(f"no row came back, and fetch_one needs one (see fetch_optional): {_shown(sql)}")
        return row

    def fetch_optional(self, sql: str, *args: Any) -> Row | None:
        """Return the first row; None without any."""
        with self._running(sql, args) as cursor:
            row = cursor.fetchone()
            return None if row is None else _jsonable_row(row)

    def fetch_all(self, sql: str, *args: Any) -> list[Row]:
        """Return all rows."""
        with self._running(sql, args) as cursor:
            return [_jsonable_row(row) for row in cursor.fetchall()]

    def commit(self) -> None:
        """Make everything done here durable, and end the transaction.

        Raises DatabaseError if it had failed, OutcomeUnknown when the connection breaks before the server has answered.
        """
        self._refuse_ended()
        connection = self._connection
        with translated("commit the transaction"):
            try:
                self._finish("committed", None)
            except psycopg.OperationalError as error:
                if self._commits_at_end and connection is not None and is_lost(connection, error):
                    raise OutcomeUnknown(
                        "it is not known whether the transaction was committed: the connection broke when the commit "
                        "had been sent, and before the server's answer came. Look for what it has written: a job of "
                        f"it is found by get_job if it was, and only then ({error})"
                    ) from error
                raise

    def rollback(self) -> None:
        """Undo everything done here, and end the transaction."""
        self._refuse_ended()
        with translated("roll the transaction back"):
            self._finish("rolled back", psycopg.Rollback())

    def __enter__(self) -> SyncTransaction:
        self._refuse_ended()
        self._begin()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._end or self._pid != os.getpid():
            return  # ended inside the block; or the block has forked and this is the child, whose transaction it is not
        if error is None:
            self.commit()
        else:
            self.rollback()

    @contextmanager
    def _using(self, doing: str) -> Iterator[psycopg.Connection[Any]]:
        with translated(doing), guard(borrowed(self.connection)) as connection:
            yield connection

    @contextmanager
    def _running(self, sql: str, args: tuple[Any, ...]) -> Iterator[psycopg.Cursor[Row]]:
        with translated(f"run {_shown(sql)!r}"), self._cursor(self.connection, is_raw=_is_raw(sql, args)) as cursor:
            yield cursor.execute(sql.encode(), _parameters(sql, args))

    def _begin(self) -> psycopg.Connection[Any]:
        with translated("begin a transaction"), ExitStack() as opening:
            connection = opening.enter_context(self._lend())
            self._commits_at_end = connection.info.transaction_status == psycopg.pq.TransactionStatus.IDLE
            opening.enter_context(self._block(connection))
            self._connection, self._open = connection, opening.pop_all()
        return connection

    def _block(self, connection: psycopg.Connection[Any]) -> AbstractContextManager[Any]:
        """Return a block that is one transaction."""
        # Not connection.transaction(): that is a generator, and one left open in a forked child is closed when the
        # child ends, which would send a ROLLBACK over the parent's socket.
        return psycopg.Transaction(connection)

    def _cursor(self, connection: psycopg.Connection[Any], *, is_raw: bool) -> psycopg.Cursor[Row]:
        """Return a cursor, whatever the connection's own factory makes; `is_raw`: for `$1`."""
        return (psycopg.RawCursor if is_raw else psycopg.Cursor)(connection, row_factory=dict_row)

    def _finish(self, end: str, error: BaseException | None) -> None:
        """End the transaction: undone if `error`, else committed. The connection goes back whatever happens."""
        opened, self._open, self._end = self._open, None, end
        if opened is None or self._connection is None:
            return
        if error is None and self._connection.info.transaction_status == psycopg.pq.TransactionStatus.INERROR:
            opened.__exit__(psycopg.Rollback, psycopg.Rollback(), None)
            raise DatabaseError(
                "the transaction could not be committed: a statement in it had failed. All of it was rolled back"
            )
        opened.__exit__(None if error is None else type(error), error, None)

    def _refuse_ended(self) -> None:
        if self._end:
            raise AwaError(f"this transaction is finished: it was {self._end}. Begin another with client.transaction()")
        if self._pid != os.getpid():
            raise AwaError("this transaction belongs to the process that began it, not to a child forked from it")


def _is_raw(sql: str, args: tuple[Any, ...]) -> bool:
    """Return whether the placeholders of a statement are `$1`."""
    return bool(args) and _NUMBERED.search(_QUOTED.sub("", sql)) is not None


def _parameters(sql: str, args: tuple[Any, ...]) -> dict[str, Any] | list[Any] | None:
    if len(args) == 1 and isinstance(args[0], Mapping) and "%(" in sql:
        return {name: _parameter(value) for name, value in args[0].items()}
    return [_parameter(value) for value in args] if args else None


def _parameter(value: Any) -> Any:
    return Jsonb(value, dumps=codec.encode) if isinstance(value, dict) else value


def _jsonable_row(row: Row) -> Row:
    return {name: _jsonable(value) for name, value in row.items()}


def _jsonable(value: Any) -> Any:
    match value:
        case datetime() if value.tzinfo is not None:
            return value.astimezone(timezone.utc).isoformat()
        case datetime() | date() | time():
            return value.isoformat()
        case UUID() | Decimal():
            return str(value)
        case list():
            return [_jsonable(item) for item in value]
        case _:
            return value


def _shown(sql: str) -> str:
    line = " ".join(sql.split())
    return line if len(line) <= 80 else f"{line[:80]}…"
