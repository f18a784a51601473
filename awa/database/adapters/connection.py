"""Connections of the application's, whichever library made them: statements in their transactions, and their state.

psycopg 3, psycopg2, SQLAlchemy (`Connection`, `Session`, `scoped_session`) on either of them, and Django (a connection
or its alias). None of these is imported here: who holds such an object has imported its library.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final

import psycopg
from psycopg.pq import TransactionStatus
from psycopg.rows import tuple_row

from awa.errors import AwaError

_OPEN: Final = frozenset({TransactionStatus.ACTIVE, TransactionStatus.INTRANS, TransactionStatus.INERROR})


@dataclass(frozen=True, slots=True)
class ConnectionAdapter:
    """A connection of the application's."""

    name: str
    """For messages: "this SQLAlchemy session"."""
    raw: Callable[[], Any]
    """Returns the connection of psycopg or psycopg2 underneath; may begin a transaction, as `execute` does."""
    execute: Callable[[bytes, Mapping[str, Any]], list[Any]]
    """Runs a statement with `%(name)s` parameters, by way of the library; returns its rows. It raises what the library
    raises, and begins a transaction where the library would."""
    is_begun: Callable[[], bool]
    """True if a transaction has been begun, as the library sees it: perhaps nothing was sent yet."""
    block: Callable[[], AbstractContextManager[Any]]
    """Makes a context manager that begins a transaction and commits it, or rolls it back when the block raises."""


def adapt(given: Any) -> ConnectionAdapter:
    """Return the application's connection `given` as we use it. Raises TypeError for what is none."""
    for recognise in (_psycopg, _psycopg2, _sqlalchemy, _django):
        found = recognise(given)
        if found is not None:
            return found
    kind = f"{type(given).__module__}.{type(given).__qualname__}"
    if "async" in kind.lower():
        raise TypeError(f"{kind} is asynchronous; pass a synchronous connection or session, in an async handler too")
    raise TypeError(
        f"{kind} is no connection known here: pass one of psycopg or psycopg2, a Connection or Session of SQLAlchemy "
        "on either, or a connection of Django or its alias"
    )


def _psycopg(given: Any) -> ConnectionAdapter | None:
    if not isinstance(given, psycopg.Connection):
        return None
    connection = given

    def execute(sql: bytes, parameters: Mapping[str, Any]) -> list[Any]:
        # A plain cursor, whatever the application's factories make.
        with psycopg.Cursor(connection, row_factory=tuple_row) as cursor:
            return [as_text(row) for row in cursor.execute(sql, parameters)]

    def is_begun() -> bool:
        return is_open(connection)

    def block() -> AbstractContextManager[Any]:
        # Not connection.transaction(): see SyncTransaction, a forked child must not end it.
        return psycopg.Transaction(connection)

    return ConnectionAdapter("this psycopg connection", lambda: connection, execute, is_begun, block)


def _psycopg2(given: Any) -> ConnectionAdapter | None:
    library = sys.modules.get("psycopg2.extensions")
    if library is None or not isinstance(given, library.connection):
        return None

    def execute(sql: bytes, parameters: Mapping[str, Any]) -> list[Any]:
        with library.cursor(given) as cursor:
            cursor.execute(sql, parameters)
            rows: list[Any] = cursor.fetchall()
            return rows

    def is_begun() -> bool:
        return is_open(given)

    return ConnectionAdapter(
        "this psycopg2 connection", lambda: given, execute, is_begun, lambda: _Psycopg2Block(given)
    )


class _Psycopg2Block(AbstractContextManager[Any]):
    """One transaction, on a connection that is in none."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._autocommit = connection.autocommit

    def __enter__(self) -> Any:
        self._connection.autocommit = False
        with self._connection.cursor() as cursor:
            cursor.execute("select 1")  # which begins it: so a commit inside the block can be told from one that is due
        return self._connection

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self._connection.commit()
            elif not self._connection.closed:
                self._connection.rollback()
        finally:
            if not self._connection.closed:
                self._connection.autocommit = self._autocommit


def _sqlalchemy(given: Any) -> ConnectionAdapter | None:
    if is_a(given, "sqlalchemy.orm.scoping", "scoped_session"):
        given = given()  # this thread's session
    is_session = is_a(given, "sqlalchemy.orm.session", "Session")
    if not is_session and not is_a(given, "sqlalchemy.engine.base", "Connection"):
        return None
    what = "session" if is_session else "connection"

    def connection() -> Any:
        return given.connection() if is_session else given

    def raw() -> Any:
        found = connection().connection.driver_connection
        if not _is_known_driver(found):
            raise TypeError(
                f"this SQLAlchemy {what} uses the driver {connection().dialect.driver!r}; use one on psycopg "
                "(postgresql+psycopg://) or psycopg2"
            )
        return found

    def execute(sql: bytes, parameters: Mapping[str, Any]) -> list[Any]:
        rows: list[Any] = connection().exec_driver_sql(sql.decode(), dict(parameters)).fetchall()
        return rows

    return ConnectionAdapter(f"this SQLAlchemy {what}", raw, execute, lambda: bool(given.in_transaction()), given.begin)


def _django(given: Any) -> ConnectionAdapter | None:
    library = sys.modules.get("django.db")
    if library is None:
        return None
    if isinstance(given, str):
        if given not in library.connections:
            aliases = ", ".join(map(repr, library.connections))
            raise TypeError(f"{given!r} is no alias of a database of this Django project; there are {aliases}")
        given = library.connections[given]
    elif is_a(given, "django.utils.connection", "ConnectionProxy"):
        given = given._connections[given._alias]  # `django.db.connection`
    if not is_a(given, "django.db.backends.base.base", "BaseDatabaseWrapper"):
        return None
    name = f"Django's connection {given.alias!r}"
    if given.vendor != "postgresql":
        raise TypeError(f"{name} is to {given.display_name}, not to PostgreSQL")
    given.ensure_connection()

    def execute(sql: bytes, parameters: Mapping[str, Any]) -> list[Any]:
        with given.cursor() as cursor:
            cursor.execute(sql.decode(), dict(parameters))
            rows: list[Any] = cursor.fetchall()
            return rows

    def is_begun() -> bool:
        return bool(given.in_atomic_block or not given.get_autocommit())

    def block() -> Any:
        return library.transaction.atomic(using=given.alias)

    return ConnectionAdapter(name, lambda: given.connection, execute, is_begun, block)


def _is_known_driver(raw: Any) -> bool:
    return isinstance(raw, psycopg.Connection) or is_a(raw, "psycopg2.extensions", "connection")


def is_a(given: Any, module: str, name: str) -> bool:
    """Return whether `given` is an instance of a class, which it can be only if the class's module has been
    imported."""
    kind = getattr(sys.modules.get(module), name, None)
    return kind is not None and isinstance(given, kind)


def as_text(row: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return a row of texts and numbers as such: psycopg gives bytes where client_encoding is SQL_ASCII."""
    return tuple(value.decode() if isinstance(value, bytes) else value for value in row)


def is_open(raw: Any) -> bool:
    """Return whether the server is in a transaction for a connection of psycopg or psycopg2. Sends nothing."""
    return raw.info.transaction_status in _OPEN


def refuse_autocommit(name: str, raw: Any) -> None:
    """Raise AwaError when what is sent over connection `raw` now would be committed statement by statement, or when it
    is closed."""
    if raw.closed:
        raise AwaError(f"{name} is closed, and what was done over it is rolled back unless it was committed")
    if raw.autocommit and not is_open(raw):
        raise AwaError(
            f"{name} is in autocommit mode and in no transaction, so each statement would be committed by itself; "
            "begin a transaction first"
        )
