"""Defines what Awa's statements rely on in a session, and the statements that set it, for a session or a transaction.

A role, a database, the server, the environment (PGOPTIONS, PGTZ) and a database URL may each set anything else: times
and intervals that cannot be read, a search path on which another role has put a function of its own. Every statement
here is right under any of these settings: each name in it is qualified.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from awa.errors import DatabaseError

ENCODING: Final = "UTF8"
"""The encoding of the database, and of what is said to it: JSON knows no other."""

SETTINGS: Final[Mapping[str, str]] = {
    "search_path": "pg_catalog, pg_temp",
    "client_encoding": ENCODING,
    "DateStyle": "ISO, MDY",
    "IntervalStyle": "postgres",
    "TimeZone": "UTC",
    "bytea_output": "hex",
    "extra_float_digits": "1",
    "standard_conforming_strings": "on",
    "array_nulls": "on",
    "transform_null_equals": "off",
    "row_security": "on",
}
"""Decides what a statement of Awa's means and how its answer is written."""

LIMITS: Final[Mapping[str, str]] = {"lock_timeout": "0", "statement_timeout": "0"}
"""Left to supervisors and workers, which have limits of their own for each statement and transaction."""

ISOLATION: Final[Mapping[str, str]] = {"default_transaction_isolation": "read committed"}
"""Needed by each statement that is a transaction of its own: with anything stricter, a claim that meets another one
fails instead of passing on. (`default_transaction_read_only` is left alone: an operator sets it to stop all writing.)
"""


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _set(settings: Mapping[str, str], *, is_local: bool) -> str:
    """Return expressions that set `settings`, for the transaction if `is_local`."""
    scope = "true" if is_local else "false"
    return ", ".join(f"pg_catalog.set_config({_quoted(k)}, {_quoted(v)}, {scope})" for k, v in settings.items())


def _introduction(settings: Mapping[str, str]) -> bytes:
    """Return a statement with parameter `pid` that sets `settings` for the session, unless a pooler stands between.

    `pid` is the server process the connection was said to lead to. Where it is another one, the session is shared with
    other clients, and nothing is set. Returns whether it is the same, and what session_replication_role was.
    """
    direct = "pg_catalog.pg_backend_pid() operator(pg_catalog.=) %(pid)s::pg_catalog.int4"
    role = "pg_catalog.current_setting('session_replication_role')"
    is_replica = f"{role} operator(pg_catalog.<>) 'origin'"
    origin = _set({"session_replication_role": "origin"}, is_local=False)
    return (
        f"select {direct}, {role}, case when {direct} then pg_catalog.concat({_set(settings, is_local=False)}) end, "
        f"case when {direct} and {is_replica} then {origin} end"
    ).encode()


INTRODUCE: Final = _introduction({**SETTINGS, **LIMITS, **ISOLATION})
"""For a connection that serves Awa's statements only."""
INTRODUCE_SHARED: Final = _introduction(ISOLATION)
"""For a connection that is lent to the application, too, and has the application's settings in between."""

SET: Final = f"select {_set(SETTINGS, is_local=True)}".encode()
"""Sets `SETTINGS` for a transaction of Awa's own."""

ENCODED: Final = frozenset({"client_encoding", "standard_conforming_strings"})
"""Decides how a driver writes text. psycopg2 looks once, as it connects: over its connections both stay as they are."""


def _enter(settings: Sequence[str]) -> bytes:
    return (
        f"select {', '.join(f'old.v{at}' for at in range(len(settings)))}, "
        f"{_set({name: SETTINGS[name] for name in settings}, is_local=True)} from (select "
        + ", ".join(f"pg_catalog.current_setting({_quoted(name)}) as v{at}" for at, name in enumerate(settings))
        + " offset 0) as old"
    ).encode()


def _leave(settings: Sequence[str]) -> bytes:
    return (
        "select "
        + ", ".join(
            f"pg_catalog.set_config({_quoted(name)}, %(v{at})s::pg_catalog.text, true)"
            for at, name in enumerate(settings)
        )
    ).encode()


_FOREIGN: Final = [name for name in SETTINGS if name not in ENCODED]
ENTER: Final = _enter(list(SETTINGS))
"""The same in a transaction of the application's; returns first what was set before, for `LEAVE`. (The offset keeps the
reading in front of the setting.)"""
LEAVE: Final = _leave(list(SETTINGS))
"""Gives the rest of the transaction the application's settings back."""
ENTER_FOREIGN: Final = _enter(_FOREIGN)
"""As `ENTER`, but for `ENCODED`, by way of whichever library: what is sent then has to be ASCII, and a literal in a
statement to have no backslash."""
LEAVE_FOREIGN: Final = _leave(_FOREIGN)
"""The other end of it."""


def before(row: Sequence[Any]) -> dict[str, str]:
    """Return the parameters of `LEAVE` from the row of `ENTER`."""
    return {f"v{at}": str(row[at]) for at in range(len(row) // 2)}


def refuse_encoding(encoding: str | None, database: str) -> None:
    """Raise DatabaseError for a database in another encoding than UTF-8. None: unknown."""
    if encoding not in (None, ENCODING):
        raise DatabaseError(
            f"{database} is encoded in {encoding}, and Awa needs {ENCODING}: jobs are JSON, in which any character may "
            "be. Create another one (create database … encoding 'UTF8' template template0), move your tables there "
            "(pg_dump, psql), and name it in the database URL. Nothing was changed"
        )
