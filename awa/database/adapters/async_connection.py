"""Asynchronous connections of the application's, whichever library made them: statements in their transactions.

psycopg 3 (`AsyncConnection`), asyncpg (its `Connection`, also one that a pool has lent), SQLAlchemy (`AsyncConnection`,
`AsyncSession`, `async_scoped_session`) on either of them. None of these is imported here: who holds such an object has
imported its library.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import psycopg
from psycopg.rows import tuple_row

from awa.database.adapters.connection import as_text, is_a

_NAMED: Final = re.compile(rb"%\((\w+)\)s")
_PYFORMAT: Final = frozenset({"psycopg", "psycopg_async"})


@dataclass(frozen=True, slots=True)
class AsyncConnectionAdapter:
    """An asynchronous connection of the application's."""

    name: str
    """For messages: "this asyncpg connection"."""
    execute: Callable[[bytes, Mapping[str, Any]], Awaitable[list[Any]]]
    """Runs a statement with `%(name)s` parameters, by way of the library; returns its rows."""


def adapt_async(given: Any) -> AsyncConnectionAdapter | None:
    """Return the application's asynchronous connection `given` as we use it; None for what is none.

    Raises TypeError for one over a driver that is not known here.
    """
    for recognise in (_psycopg, _asyncpg, _sqlalchemy):
        found = recognise(given)
        if found is not None:
            return found
    return None


def require_async_adapter(given: Any) -> AsyncConnectionAdapter:
    """As `adapt_async`. Raises TypeError for what is none, too."""
    found = adapt_async(given)
    if found is None:
        kind = f"{type(given).__module__}.{type(given).__qualname__}"
        raise TypeError(
            f"{kind} is no asynchronous connection known here: pass a psycopg AsyncConnection, one of asyncpg, or an "
            "AsyncConnection or AsyncSession of SQLAlchemy on either"
        )
    return found


def numbered(sql: bytes, parameters: Mapping[str, Any]) -> tuple[str, list[Any]]:
    """Return a statement with `$1`, `$2` … in place of its named parameters, and their values in that order."""
    places: dict[bytes, int] = {}

    def place(found: re.Match[bytes]) -> bytes:
        return b"$%d" % places.setdefault(found[1], len(places) + 1)

    text = _NAMED.sub(place, sql)
    return text.decode(), [parameters[name.decode()] for name in places]


def _psycopg(given: Any) -> AsyncConnectionAdapter | None:
    if not isinstance(given, psycopg.AsyncConnection):
        return None

    async def execute(sql: bytes, parameters: Mapping[str, Any]) -> list[Any]:
        # A plain cursor, whatever the application's factories make.
        async with psycopg.AsyncCursor(given, row_factory=tuple_row) as cursor:
            await cursor.execute(sql, parameters)
            return [as_text(row) for row in await cursor.fetchall()]

    return AsyncConnectionAdapter("this psycopg connection", execute)


def _asyncpg(given: Any) -> AsyncConnectionAdapter | None:
    if not (is_a(given, "asyncpg.connection", "Connection") or is_a(given, "asyncpg.pool", "PoolConnectionProxy")):
        return None

    async def execute(sql: bytes, parameters: Mapping[str, Any]) -> list[Any]:
        text, values = numbered(sql, parameters)
        return [tuple(row) for row in await given.fetch(text, *values)]

    return AsyncConnectionAdapter("this asyncpg connection", execute)


def _sqlalchemy(given: Any) -> AsyncConnectionAdapter | None:
    if is_a(given, "sqlalchemy.ext.asyncio.scoping", "async_scoped_session"):
        given = given()  # this task's session
    is_session = is_a(given, "sqlalchemy.ext.asyncio.session", "AsyncSession")
    if not is_session and not is_a(given, "sqlalchemy.ext.asyncio.engine", "AsyncConnection"):
        return None
    what = "session" if is_session else "connection"

    async def execute(sql: bytes, parameters: Mapping[str, Any]) -> list[Any]:
        rows: list[Any] = await given.run_sync(_run, is_session, what, sql, parameters)
        return rows

    return AsyncConnectionAdapter(f"this SQLAlchemy {what}", execute)


def _run(given: Any, is_session: bool, what: str, sql: bytes, parameters: Mapping[str, Any]) -> list[Any]:
    connection = given.connection() if is_session else given
    driver = connection.dialect.driver
    if driver in _PYFORMAT:
        text, values = sql.decode(), dict(parameters)
    elif driver == "asyncpg":
        text, values = _positional(sql, parameters)
    else:
        raise TypeError(
            f"this SQLAlchemy {what} uses the driver {driver!r}; use one on psycopg (postgresql+psycopg://) or asyncpg"
        )
    rows: list[Any] = connection.exec_driver_sql(text, values).fetchall()
    return rows


def _positional(sql: bytes, parameters: Mapping[str, Any]) -> tuple[str, Any]:
    text, values = numbered(sql, parameters)
    return text, tuple(values)
