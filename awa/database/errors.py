"""Turns what the driver raises into Awa's own exceptions, with what to do next."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import psycopg

from awa.errors import AwaError, DatabaseError, SchemaNotMigrated, UniqueConflict

TROUBLE: Final = (psycopg.OperationalError, psycopg.InternalError, DatabaseError)
"""Errors of a database that is away, busy, read-only or restarting, and may work again later. Whatever else the
driver raises is a defect, or a missing right."""

_REFUSALS: Final = frozenset({"22", "23", "54", "0A", "P0", "XX"})
"""Classes of errors that come of what a statement was given, so that trying again is pointless: data, constraints,
limits of the program, unsupported features, exceptions of functions and triggers, and internal errors (which name a
broken row, or a size that cannot be allocated)."""
_LINE_MAX: Final = 500
"""Characters of a server's message in `one_line`."""

# What a server says when one of Awa's objects is missing, in whatever language: `relation "awa.batch" does not exist`,
# `function awa.seal(integer) does not exist`, `schema "awa" does not exist`. Such a name may also occur in a message
# about another object, as the type of an operand for example.
_OWN_OBJECTS: Final[dict[str, re.Pattern[str]]] = {
    "42P01": re.compile(r"(?<![\w.-])awa\.\w"),
    "42883": re.compile(r"(?<![\w.-])awa\.\w+\("),
    "3F000": re.compile(r"(?<![\w.-])awa(?![\w.-])"),
}
_UNIQUE_VIOLATION: Final = "23505"
_FAILED_TRANSACTION: Final = "25P02"
_ENDED: Final = "57P0"
"""The server ends connections: it is shut down, or has crashed, or an administrator ends them."""
_LIBRARIES: Final = frozenset({"psycopg", "psycopg2", "sqlalchemy", "django", "asyncpg"})
_BROKEN: Final = frozenset({"PendingRollbackError", "TransactionManagementError"})
"""Messages of SQLAlchemy and Django about a transaction in which a statement has failed."""


def is_refusal(error: BaseException) -> bool:
    """Return whether the server (or the driver) refuses what it was given. Anything else is an outage, a lock, or a
    missing right, which concerns every job alike."""
    if isinstance(error, UnicodeError):
        return True
    if not isinstance(error, psycopg.Error):
        return False
    if error.sqlstate is None:  # the driver's own
        return isinstance(error, psycopg.DataError)
    return error.sqlstate[:2] in _REFUSALS


def one_line(error: Exception) -> str:
    """Return what an error says, in one line of ASCII that any database can store."""
    diag = getattr(error, "diag", None)
    told = [diag and diag.message_primary, diag and diag.message_detail]
    text = " ".join((" ".join(filter(None, told)) or str(error)).split()).replace("\0", "\\x00")
    return text.encode("ascii", "backslashreplace").decode()[:_LINE_MAX]


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Raise database errors of the block as `AwaError`s that say what was being done ("insert a job")."""
    try:
        yield
    except psycopg.Error as error:
        raise translate(error, doing) from error


@contextmanager
def translated_foreign(doing: str) -> Iterator[None]:
    """As `translated`, for whatever library the application uses."""
    try:
        yield
    except Exception as error:
        if type(error).__module__.partition(".")[0] not in _LIBRARIES:
            raise
        raise translate(error, doing) from error


def translate(error: Exception, doing: str) -> AwaError:
    """Return the Awa exception for an error of a database library."""
    drivers = _drivers(error)
    state = getattr(drivers, "sqlstate", None) or getattr(drivers, "pgcode", None) or ""
    text = str(drivers).strip() or type(drivers).__name__
    if _lacks_schema(state, drivers, text):
        return SchemaNotMigrated(f"could not {doing}: this database has no Awa schema ({text}). Run `awa migrate`.")
    if state == _UNIQUE_VIOLATION:
        return UniqueConflict(f"could not {doing}: {text}")
    if state == _FAILED_TRANSACTION or type(error).__name__ in _BROKEN:
        return DatabaseError(
            f"could not {doing}: the transaction has failed already; roll it back, then try again ({text})"
        )
    return DatabaseError(f"could not {doing}: {text}")


def is_lost(connection: psycopg.Connection[Any], error: psycopg.Error) -> bool:
    """Return True if the connection broke, or was ended by the server, so that a commit sent may have been done."""
    return connection.closed or (error.sqlstate or "").startswith(_ENDED)


def _drivers(error: Exception) -> Exception:
    """Return the driver's own error, where a library has wrapped it."""
    for inner in (getattr(error, "orig", None), error.__cause__):
        if isinstance(inner, Exception):
            return _drivers(inner)
    return error


def _lacks_schema(state: str, error: Exception, text: str) -> bool:
    named = _OWN_OBJECTS.get(state)
    said = getattr(getattr(error, "diag", None), "message_primary", None)
    return named is not None and named.search(said or text) is not None
