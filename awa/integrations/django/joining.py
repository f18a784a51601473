"""Django's own connection as the engine needs it: statements go the way of the ORM's, in the same transaction."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import psycopg
from django.db import Error, connections, transaction
from psycopg.rows import tuple_row
from psycopg.types.datetime import TimestamptzLoader
from psycopg.types.json import set_json_loads

from awa.codec import decode
from awa.database.borrowed import Borrowed
from awa.database.errors import translate
from awa.errors import AwaError, DatabaseError


class Joined(Borrowed):
    """A psycopg connection of Django's, for reading: its JSON and its times as Awa reads them, not as Django does."""

    def cursor(self, *, row_factory: Any = tuple_row) -> psycopg.Cursor[Any]:
        """Return a plain client-side cursor."""
        cursor = super().cursor(row_factory=row_factory)
        # Django hands out jsonb as text, and times without a zone when USE_TZ is off. This is for the cursor alone.
        set_json_loads(decode, cursor)
        cursor.adapters.register_loader("timestamptz", TimestamptzLoader)
        return cursor


class Cursors:
    """Django's connection by way of its cursors, whatever the driver, so that its query log and its wrappers see each
    statement. It has what installing the schema and inserting one job use of a psycopg connection."""

    def __init__(self, alias: str) -> None:
        self._alias = alias

    @property
    def info(self) -> Any:
        """The server's version and the state of the transaction."""
        wrapper = connections[self._alias]
        wrapper.ensure_connection()
        return wrapper.connection.info

    def execute(self, sql: bytes | str, params: Any = None) -> Any:
        """Run a statement; return the cursor with its rows."""
        cursor = connections[self._alias].cursor()
        cursor.execute(sql.decode() if isinstance(sql, bytes) else sql, params)
        return cursor

    def transaction(self) -> Any:
        """Return a block of which all is done or nothing: a savepoint where a transaction is open."""
        return transaction.atomic(using=self._alias)


def cursors(alias: str) -> psycopg.Connection[Any]:
    """Return Django's connection for engine functions that only execute."""
    return cast("psycopg.Connection[Any]", Cursors(alias))


def joined(alias: str) -> psycopg.Connection[Any]:
    """Return Django's psycopg connection for all engine functions."""
    wrapper = connections[alias]
    wrapper.ensure_connection()
    return cast("psycopg.Connection[Any]", Joined(wrapper.connection))


def is_psycopg3(alias: str) -> bool:
    """Whether Django speaks to the database by psycopg 3. Raises AwaError when it is no PostgreSQL."""
    wrapper = connections[alias]
    if wrapper.vendor != "postgresql":
        raise AwaError(
            f'the database {alias!r} is {wrapper.display_name}, not PostgreSQL; name another in AWA["DATABASE"]'
        )
    return "context" in wrapper.get_connection_params()


@contextmanager
def django_translated(doing: str) -> Iterator[None]:
    """Raise database errors that come by way of Django as `AwaError`s that say what was being done."""
    try:
        yield
    except Error as error:
        cause = error.__cause__
        if isinstance(cause, psycopg.Error):
            raise translate(cause, doing) from error
        raise _from_psycopg2(error, cause, doing) from error


def _from_psycopg2(error: Error, cause: Any, doing: str) -> AwaError:
    """psycopg2's exceptions become psycopg's, by their SQLSTATE."""
    text = str(error).strip() or type(error).__name__
    state = getattr(cause, "pgcode", None)
    if state is None:
        return DatabaseError(f"could not {doing}: {text}")
    return translate(psycopg.errors.lookup(state)(text), doing)
