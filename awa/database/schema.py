"""Installs and upgrades the schema; refuses one that is too new.

A fresh database gets `sql/schema.sql`, which is always the whole of the newest version. An existing one gets the files
of `sql/migrations/` (`0002_<why>.sql` and on) that it lacks. Either way it is one transaction under one advisory lock,
so any number of `awa migrate` may start at once and all but one find nothing to do.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import psycopg

from awa.database.errors import translated
from awa.database.statements import root, script
from awa.errors import DatabaseError, SchemaNotMigrated, SchemaTooNew

VERSION: Final = 1
"""The schema version this release works with."""

SERVER_VERSION_MIN: Final = 140000
LOCK: Final = 4715200


class Migration(NamedTuple):
    """One step of the schema's life."""

    version: int
    description: str
    sql: str


def migrations() -> list[Migration]:
    """Return every migration in order; the first one is the schema of version 1."""
    later = root().joinpath("migrations")
    files = sorted(entry.name for entry in later.iterdir() if entry.name.endswith(".sql")) if later.is_dir() else []
    steps = [Migration(1, "the whole schema", script("schema.sql"))]
    for name in files:
        number, _, why = name.removesuffix(".sql").partition("_")
        steps.append(Migration(int(number), why.replace("_", " "), script(f"migrations/{name}")))
    return steps


def migrations_range(after: int, to: int) -> list[Migration]:
    """Return the migrations above version `after`, up to and including version `to`."""
    return [step for step in migrations() if after < step.version <= to]


def current_migration_version() -> int:
    """Return the schema version this release works with."""
    return VERSION


def migrate(connection: psycopg.Connection[Any]) -> list[int]:
    """Bring the schema up to `VERSION`; return the versions applied (empty: nothing to do).

    Raises `SchemaTooNew`, or `DatabaseError` when the server is too old or refuses.
    """
    if connection.info.server_version < SERVER_VERSION_MIN:
        raise DatabaseError(
            f"PostgreSQL {connection.info.server_version // 10000} is too old: Awa needs 14 or newer. Nothing changed"
        )
    if connection.info.transaction_status == psycopg.pq.TransactionStatus.IDLE:
        # A snapshot taken before the lock was had would not show what another migrate has just done.
        connection.isolation_level = psycopg.IsolationLevel.READ_COMMITTED
    with translated("migrate the database"), connection.transaction():
        connection.execute("select pg_advisory_xact_lock(%s)", [LOCK])
        have = current(connection)
        refuse_newer(have)
        return [_apply(connection, step) for step in _steps(have)]


def check(connection: psycopg.Connection[Any]) -> None:
    """Raise `SchemaNotMigrated` or `SchemaTooNew` unless the database has the schema this release works with."""
    with translated("read the schema version"):
        have = current(connection)
    if have is None:
        raise SchemaNotMigrated("this database has no Awa schema. Run `awa migrate` (as the database's owner) first.")
    refuse_newer(have)
    if have < VERSION:
        raise SchemaNotMigrated(f"the Awa schema has version {have}, this release needs {VERSION}. Run `awa migrate`.")


def current(connection: psycopg.Connection[Any]) -> int | None:
    """Return the schema version of the database, None where there is no schema."""
    if connection.execute("select to_regclass('awa.schema_version')::text").fetchone() == (None,):
        return None
    row = connection.execute("select max(version) from awa.schema_version").fetchone()
    return row[0] if row else None


def refuse_newer(have: int | None) -> None:
    """Raise `SchemaTooNew` for a version this release does not know."""
    if have is not None and have > VERSION:
        raise SchemaTooNew(
            f"the Awa schema has version {have}, this release knows {VERSION}: the database was migrated by a newer "
            "release. Nothing was changed. Install that release (`pip install --upgrade awa-supervisor`)."
        )


def _steps(have: int | None) -> list[Migration]:
    known = migrations()
    return known[:1] if have is None else [step for step in known if step.version > have]


def _apply(connection: psycopg.Connection[Any], step: Migration) -> int:
    # Without parameters psycopg sends a script in one message, so functions with semicolons in their bodies pass whole.
    connection.execute(step.sql.encode())
    return step.version
