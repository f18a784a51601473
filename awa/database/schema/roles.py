"""Gives `awa_producer`, `awa_reader`, `awa_worker` and `awa_admin` their rights, and makes the roles there are not."""

from __future__ import annotations

from typing import Any, Final

import psycopg

from awa.database.errors import translated
from awa.database.schema import chain
from awa.database.statements import script
from awa.errors import DatabaseError

NAMES: Final = ("awa_producer", "awa_reader", "awa_worker", "awa_admin")

_MISSING: Final = """
    select name from unnest(%s::text[]) with ordinality as wanted(name, place)
    where not exists (select from pg_roles where rolname = name) order by place"""
_WHO: Final = """
    select current_user, rolsuper or rolcreaterole, pg_get_userbyid(nspowner), pg_has_role(nspowner, 'usage')
    from pg_roles, pg_namespace where rolname = current_user and nspname = 'awa'"""


def sql() -> str:
    """Return what `grant` runs."""
    return script("roles.sql")


def grant(connection: psycopg.Connection[Any]) -> None:
    """Make the roles and grant their rights, in one transaction; changes nothing where that has been done.

    Raises DatabaseError when the connected role may not, SchemaNotMigrated.
    """
    doing = "grant rights to Awa's roles"
    with translated(doing), connection.transaction(), chain.lock_limit(connection, doing):
        chain.check(connection)
        _refuse_powerless(connection)
        chain.lock(connection)
        connection.execute(sql().encode())


def _refuse_powerless(connection: psycopg.Connection[Any]) -> None:
    row = connection.execute(_WHO).fetchone()
    assert row is not None
    user, may_create, owner, is_owner = row
    if not is_owner:
        raise DatabaseError(
            f"role {user} may not grant rights on the schema awa, which belongs to {owner}. Nothing was changed. "
            f"Run `awa migrate --roles` as {owner}"
        )
    missing = [name for (name,) in connection.execute(_MISSING, [list(NAMES)])]
    if missing and not may_create:
        create = " ".join(f"create role {name} nologin;" for name in missing)
        raise DatabaseError(
            f"role {user} may not create roles, and there is no {', '.join(missing)} yet. Nothing was changed. Have "
            f"a role that may create roles run `{create}`, then run `awa migrate --roles` again as {user}"
        )
