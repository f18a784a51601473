"""Keeps the application's names where they were: a role called `awa` has Awa's schema first in its search path.

PostgreSQL's own path is `"$user", public`, and the schema is called `awa`. For a role of that name (an embedded server
has one) an application's table `worker` would be hidden by Awa's, and its new tables would be made among Awa's.
"""

from __future__ import annotations

import warnings
from typing import Any, Final

import psycopg
from psycopg import sql

ROLE: Final = "awa"

_PATH: Final = b"""
    select coalesce((
      select substr(entry, length('search_path=') + 1)
      from pg_db_role_setting s cross join lateral unnest(s.setconfig) as entry
      where entry like 'search_path=%%' and s.setrole in (0, r.oid)
        and s.setdatabase in (0, (select oid from pg_database where datname = current_database()))
      order by s.setrole desc, s.setdatabase desc limit 1), '"$user", public') as path, current_database() as name
    from pg_roles r where r.rolname = %(role)s and has_schema_privilege(r.oid, 'awa', 'usage')"""
_SET_PATH: Final = b"select pg_catalog.set_config('search_path', %(path)s, false)"
_OWN_PATH: Final = b"select reset_val from pg_settings where name = 'search_path'"


def keep(connection: psycopg.Connection[Any]) -> None:
    """Take the role's own schema out of the search path of a role `awa` in this database; warn where that may not be.

    A role without the right to use the schema does not have it in its path. Sessions that are open keep their path, but
    for this one.
    """
    row = connection.execute(_PATH, {"role": ROLE}).fetchone()
    if row is None or not _names_user(row[0]):
        return
    kept = [name for name in _names(row[0]) if name != "$user"]
    alter = sql.SQL("alter role {} in database {} set search_path = {}").format(
        sql.Identifier(ROLE), sql.Identifier(row[1]), sql.SQL(", ").join(map(sql.Literal, kept or [""]))
    )
    text = alter.as_string(None)
    try:
        with connection.transaction():
            connection.execute(text.encode())
            if connection.info.user == ROLE:
                connection.execute(_SET_PATH, {"path": ", ".join(map(_quoted, kept))})
    except psycopg.errors.InsufficientPrivilege:
        warnings.warn(f"{_hidden(connection)} Run as that role or as a superuser: {text}", RuntimeWarning, stacklevel=2)


def warn_of_hidden_names(connection: psycopg.Connection[Any]) -> None:
    """Warn if the role of this session finds Awa's tables before the application's."""
    if connection.info.user != ROLE:
        return
    own = connection.execute(_OWN_PATH).fetchone()
    wanted = connection.execute(_PATH, {"role": ROLE}).fetchone()  # another one once it connects again
    if own is not None and _names_user(own[0]) and wanted is not None and _names_user(wanted[0]):
        warnings.warn(
            f"{_hidden(connection)} Run `awa migrate`, which takes it out of the path, and connect again",
            RuntimeWarning,
            stacklevel=2,
        )


def _hidden(connection: psycopg.Connection[Any]) -> str:
    return (
        f'in database {connection.info.dbname} the search path of the role {ROLE} begins with "$user", which is Awa\'s '
        "schema: its tables hide others of the same name, and new tables are made in it."
    )


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _names_user(path: str) -> bool:
    return "$user" in _names(path)


def _names(path: str) -> list[str]:
    """Return the schemas of a search path as the server writes it."""
    parts = (part.strip() for part in path.split(","))
    return [part[1:-1].replace('""', '"') if part.startswith('"') else part for part in parts]
