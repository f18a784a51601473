"""Turns what the driver raises into Awa's own exceptions, with what to do next."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import psycopg
from psycopg import errors as pg

from awa.errors import AwaError, DatabaseError, SchemaNotMigrated, UniqueConflict

TROUBLE: Final = (psycopg.OperationalError, psycopg.InternalError, DatabaseError)
"""What comes of a database that is away, busy, read-only or restarting, and may work again later. Whatever else the
driver raises is a defect, or a missing right."""


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Raise database errors of the block as `AwaError`s that say what was being done ("insert a job")."""
    try:
        yield
    except psycopg.Error as error:
        raise translate(error, doing) from error


def translate(error: psycopg.Error, doing: str) -> AwaError:
    """Return the Awa exception for a driver error."""
    text = str(error).strip() or type(error).__name__
    if isinstance(error, (pg.UndefinedTable, pg.InvalidSchemaName, pg.UndefinedFunction)) and "awa." in text:
        return SchemaNotMigrated(f"could not {doing}: this database has no Awa schema ({text}). Run `awa migrate`.")
    if isinstance(error, pg.InvalidSchemaName) and '"awa"' in text:
        return SchemaNotMigrated(f"could not {doing}: this database has no Awa schema. Run `awa migrate`.")
    if isinstance(error, pg.UniqueViolation):
        return UniqueConflict(f"could not {doing}: {text}")
    if isinstance(error, pg.InFailedSqlTransaction):
        return DatabaseError(
            f"could not {doing}: the transaction has failed already; roll it back, then try again ({text})"
        )
    return DatabaseError(f"could not {doing}: {text}")
