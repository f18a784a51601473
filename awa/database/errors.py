"""Turns what the driver raises into Awa's own exceptions, with what to do next."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import psycopg
from psycopg import errors as pg

from awa.errors import AwaError, DatabaseError, SchemaNotMigrated, UniqueConflict

TROUBLE: Final = (psycopg.OperationalError, psycopg.InternalError, DatabaseError)
"""What comes of a database that is away, busy, read-only or restarting, and may work again later. Whatever else the
driver raises is a defect, or a missing right."""

# What a server says when something of ours is not there, in whatever language: `relation "awa.batch" does not exist`,
# `function awa.seal(integer) does not exist`, `schema "awa" does not exist`. Ours may also occur in what is said of
# somebody else's things, as the type of an operand for example.
_OURS: Final[dict[type[psycopg.Error], re.Pattern[str]]] = {
    pg.UndefinedTable: re.compile(r"(?<![\w.-])awa\.\w"),
    pg.UndefinedFunction: re.compile(r"(?<![\w.-])awa\.\w+\("),
    pg.InvalidSchemaName: re.compile(r"(?<![\w.-])awa(?![\w.-])"),
}


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
    if _lacks_schema(error, text):
        return SchemaNotMigrated(f"could not {doing}: this database has no Awa schema ({text}). Run `awa migrate`.")
    if isinstance(error, pg.UniqueViolation):
        return UniqueConflict(f"could not {doing}: {text}")
    if isinstance(error, pg.InFailedSqlTransaction):
        return DatabaseError(
            f"could not {doing}: the transaction has failed already; roll it back, then try again ({text})"
        )
    return DatabaseError(f"could not {doing}: {text}")


def _lacks_schema(error: psycopg.Error, text: str) -> bool:
    ours = _OURS.get(type(error))
    return ours is not None and ours.search(error.diag.message_primary or text) is not None
