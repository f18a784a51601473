"""Opens connections the way the engine needs them, and explains why one could not be opened."""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg import conninfo
from psycopg.types.json import set_json_loads

from awa.database.dsn import resolve
from awa.errors import DatabaseError

CONNECT_TIMEOUT_S = 10

# The engine relies on each statement seeing what was committed before it: with anything stricter, a claim that meets
# another one fails instead of passing on. The driver's isolation level covers only transactions that it begins itself;
# statements in autocommit mode follow the session's default, which a database or role may have set to something else.
_READ_COMMITTED = b"""
    select set_config('default_transaction_isolation', 'read committed', false)
    where current_setting('default_transaction_isolation') <> 'read committed'"""


def connect(dsn: str, *, role: str, autocommit: bool = True) -> psycopg.Connection[Any]:
    """Open a connection for the process or thread called `role` (shown in pg_stat_activity).

    JSON columns come back as raw bytes: the codec decodes them straight into the handler's type.
    Raises `DatabaseError` that names the server (never the password) and says what to check.
    """
    target = resolve(dsn)
    try:
        connection = psycopg.connect(target, **options(target, role), autocommit=True)
        connection.execute(_READ_COMMITTED)
    except psycopg.Error as error:
        raise cannot_connect(target, error) from error
    connection.autocommit = autocommit
    connection.isolation_level = psycopg.IsolationLevel.READ_COMMITTED
    set_json_loads(_raw, connection)
    return connection


def options(dsn: str, role: str) -> dict[str, Any]:
    """Return parameters the DSN does not set itself: name, time-out, and keepalives that notice a dead peer."""
    wanted: dict[str, Any] = {
        "application_name": f"awa {role}",
        "connect_timeout": CONNECT_TIMEOUT_S,
        "keepalives_idle": 15,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": 30_000,
    }
    given = conninfo.conninfo_to_dict(dsn)
    return {name: value for name, value in wanted.items() if name not in given}


def cannot_connect(dsn: str, error: Exception) -> DatabaseError:
    """Return the exception for a server that did not let us in."""
    text = " ".join(str(error).split())
    stop = "" if text.endswith((".", "?")) else "."
    return DatabaseError(f"cannot connect to {describe(dsn)}: {text}{stop} {_advice(text)}")


def describe(dsn: str) -> str:
    """Return a DSN without its password, for messages and logs."""
    try:
        given = conninfo.conninfo_to_dict(dsn)
    except psycopg.Error:
        return "the given database URL"
    place = given.get("host") or given.get("hostaddr") or "the default socket"
    port = f":{given['port']}" if given.get("port") else ""
    user = f" as {given['user']}" if given.get("user") else ""
    return f"database {given.get('dbname') or 'default'} at {place}{port}{user}"


def _advice(text: str) -> str:
    if "password authentication failed" in text or "no password supplied" in text:
        return "Check the user and password in the database URL."
    if "does not exist" in text:
        return "Check the database and user name in the database URL, or create them."
    if "too many clients" in text or "remaining connection slots" in text:
        return "The server has no free connections: lower --processes or raise max_connections."
    return "Check that the server runs and that the database URL names it."


def _raw(data: str | bytes) -> Any:
    return data if isinstance(data, bytes) else data.encode()
