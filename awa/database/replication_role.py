"""Refuses sessions in which no trigger runs: the schema counts and notes changes by triggers."""

from __future__ import annotations

from typing import Any, Final

import psycopg
from psycopg import sql

from awa.errors import DatabaseError

_SOURCE: Final = b"""
    select s.source, s.setting, current_user::pg_catalog.text, pg_catalog.current_database()::pg_catalog.text
    from pg_catalog.pg_settings s where s.name operator(pg_catalog.=) 'session_replication_role'"""
_RESETS: Final = {
    "user": "alter role {role} reset session_replication_role",
    "database": "alter database {database} reset session_replication_role",
    "database user": "alter role {role} in database {database} reset session_replication_role",
    "global": "alter role all reset session_replication_role",
}
"""The statement that takes it back, by the place of the setting."""
_ELSEWHERE: Final = "set session_replication_role to origin in the server's configuration, and reload it"


def refusal(connection: psycopg.Connection[Any], database: str) -> DatabaseError:
    """Return the exception for a session with its triggers off, which its role may not put on; asks where that has been
    set."""
    row = connection.execute(_SOURCE).fetchone()
    assert row is not None
    source, setting, role, name = row
    remedy = _RESETS.get(source)
    said = (
        _ELSEWHERE
        if remedy is None
        else sql.SQL(remedy).format(role=sql.Identifier(role), database=sql.Identifier(name)).as_string(None)
    )
    return DatabaseError(
        f"cannot use {database}: session_replication_role is {setting} there for role {role}, so triggers do not run, "
        f"and Awa's must. Have a superuser run `{said}`; then connect again"
    )
