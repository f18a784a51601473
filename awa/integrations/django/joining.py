"""Django's own connection as the engine needs it: statements go the way of the ORM's, in the same transaction."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import psycopg
from django.db import Error, connections
from psycopg.rows import tuple_row
from psycopg.types.datetime import TimestamptzLoader
from psycopg.types.json import set_json_loads

from awa.database.adapters.caller import CallerConnection
from awa.database.errors import translate
from awa.errors import AwaError, DatabaseError
from awa.job.codec import decode


class Joined(CallerConnection):
    """A connection of Django's. Its query log and its wrappers see each statement; rows are as Awa reads them."""

    def __init__(self, wrapper: Any) -> None:
        super().__init__(wrapper.connection)
        self._wrapper = wrapper

    def execute(
        self, query: bytes | str, params: Any = None, *, prepare: bool | None = None, binary: bool = False
    ) -> psycopg.Cursor[Any]:
        """Run a statement; return the cursor with its rows.

        What Django's cursors do not know: `prepare`, which goes past them, and `binary`, which is for speed only and is
        left out, so that Django sees the statement.
        """
        if prepare is not None:
            plain = psycopg.Cursor(self.connection, row_factory=tuple_row)
            return plain.execute(cast("bytes", query), params, prepare=prepare, binary=binary)
        cursor = self.cursor()
        cursor.execute(query.decode() if isinstance(query, bytes) else query, params)
        return cast("psycopg.Cursor[Any]", cursor.cursor)

    def cursor(self, *, row_factory: Callable[..., Any] = tuple_row) -> Any:
        """Return a cursor of Django's that gives rows as `row_factory` makes them."""
        cursor = self._wrapper.cursor()
        cursor.cursor.row_factory = row_factory
        # Django hands out jsonb as text, and times without a zone when USE_TZ is off. This is for the cursor alone.
        set_json_loads(decode, cursor.cursor)
        cursor.cursor.adapters.register_loader("timestamptz", TimestamptzLoader)
        return cursor


def joined(alias: str) -> psycopg.Connection[Any]:
    """Return Django's connection to a database, opened if it was not. Raises AwaError when it is none of psycopg's."""
    wrapper = connections[alias]
    if wrapper.vendor != "postgresql":
        raise AwaError(
            f'the database {alias!r} is {wrapper.display_name}, not PostgreSQL; name another in AWA["DATABASE"]'
        )
    wrapper.ensure_connection()
    if not isinstance(wrapper.connection, psycopg.Connection):
        raise AwaError(f"the database {alias!r} is not reached by psycopg 3 but by {type(wrapper.connection)!r}")
    return cast("psycopg.Connection[Any]", Joined(wrapper))


@contextmanager
def django_translated(doing: str) -> Iterator[None]:
    """Raise database errors that come by way of Django as `AwaError`s that say what was being done."""
    try:
        yield
    except Error as error:
        cause = error.__cause__
        if isinstance(cause, psycopg.Error):
            raise translate(cause, doing) from error
        raise DatabaseError(f"could not {doing}: {error}") from error  # Django's own: the transaction is broken
