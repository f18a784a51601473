"""Installs and upgrades the schema; refuses one that is too new.

A fresh database gets `sql/schema.sql`, which is always the whole of the newest version. An existing one gets the files
of `sql/migrations/` (`0002_<why>.sql` and on) that it lacks. Either way it is one transaction, and any number of
`awa migrate` may start at once: all but one find nothing to do. In a fresh database they meet at the name of the
schema, which the server lets only one transaction take; later ones take turns by a lock on the table of versions, which
only its owner may take.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

import psycopg
from psycopg.errors import DuplicateSchema, LockNotAvailable, UniqueViolation

from awa.database.errors import translated
from awa.database.lock_holders import watched
from awa.database.schema import search_path
from awa.database.session import refuse_encoding
from awa.database.statements import root, script
from awa.errors import DatabaseError, SchemaNotMigrated, SchemaTooNew

VERSION: Final = 1
"""The schema version this release works with."""

SERVER_VERSION_MIN: Final = 140000
LOCK_WAIT_S: Final = 30.0
"""Seconds that a migration waits for a lock: longer than another migration takes. The holder is named after one
second."""
_LOCK: Final = b"lock table awa.schema_version in share row exclusive mode"
_LIMIT_LOCKS: Final = b"select current_setting('lock_timeout'), set_config('lock_timeout', %(ms)s, true)"
_SET_LIMIT: Final = b"select set_config('lock_timeout', %(value)s, true)"
_OWNER: Final = b"select pg_catalog.pg_get_userbyid(nspowner) from pg_catalog.pg_namespace where nspname::text = 'awa'"
# Not to_regclass, which is refused in a schema that another role has made for itself.
_HAS_VERSIONS: Final = b"""
    select exists (select from pg_catalog.pg_constraint k
                   where k.conrelid = c.oid and k.conname::text = 'made_by_awa_supervisor')
    from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    where n.nspname::text = 'awa' and c.relname::text = 'schema_version'"""
_PATH: Final = b"select current_setting('search_path')"
_SET_PATH: Final = b"select pg_catalog.set_config('search_path', %(path)s, true)"


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

    Raises `SchemaTooNew`, or `DatabaseError` when the server is too old or refuses, or when a lock is not to be had
    within `LOCK_WAIT_S`.
    """
    if connection.info.server_version < SERVER_VERSION_MIN:
        raise DatabaseError(
            f"PostgreSQL {connection.info.server_version // 10000} is too old: Awa needs 14 or newer. Nothing changed"
        )
    refuse_encoding(connection.info.parameter_status("server_encoding"), f"database {connection.info.dbname}")
    if connection.info.transaction_status == psycopg.pq.TransactionStatus.IDLE:
        # A snapshot taken before the lock was had would not show what another migrate has just done.
        connection.isolation_level = psycopg.IsolationLevel.READ_COMMITTED
    applied = _brought_up(connection)
    with translated("migrate the database"), connection.transaction():
        search_path.keep(connection)
    return applied


def _brought_up(connection: psycopg.Connection[Any]) -> list[int]:
    with translated("migrate the database"), connection.transaction(), lock_limit(connection, "migrate the database"):
        have = current(connection)
        if have is None:
            try:
                with connection.transaction():
                    return _upgrade(connection, have)
            except (UniqueViolation, DuplicateSchema) as error:
                have = current(connection)
                if have is None:  # the schema is not another migrate's
                    raise _taken(connection, error) from error
        if have < VERSION:
            connection.execute(_LOCK)
            have = current(connection)
        return _upgrade(connection, have)


def _taken(connection: psycopg.Connection[Any], error: psycopg.Error) -> Exception:
    """Return what is to be raised where something else has the name of the schema."""
    row = connection.execute(_OWNER).fetchone()
    if row is None:
        return error
    return DatabaseError(
        f"there is a schema awa already, which belongs to role {row[0]} and was not made by `awa migrate`. Find out "
        f"what role {row[0]} has it for; then have it dropped or renamed (as that role: alter schema awa rename to …), "
        "and migrate again"
    )


def _other_programs(connection: psycopg.Connection[Any]) -> Exception:
    """Return what is to be raised where another program has a table of versions in a schema of its own."""
    row = connection.execute(_OWNER).fetchone()
    owner = row[0] if row else "unknown"
    return DatabaseError(
        f"the schema awa of this database, which belongs to role {owner}, is another program's: `awa migrate` has not "
        "made its table schema_version. Find out which program uses it; then have it renamed (as "
        f"role {owner}: alter schema awa rename to …), or give Awa another database, and run `awa migrate`"
    )


@contextmanager
def lock_limit(connection: psycopg.Connection[Any], doing: str) -> Iterator[None]:
    """Limit the block's waits for locks to `LOCK_WAIT_S`, and name the holder when one lasts longer than a second.

    Inside a transaction, at whose end the former limit is back. Raises DatabaseError when the limit is reached.
    """

    row = connection.execute(_LIMIT_LOCKS, {"ms": str(round(LOCK_WAIT_S * 1000))}).fetchone()
    with watched(connection) as seen:
        try:
            yield
        except LockNotAvailable as error:
            held_by = f": it is held by {seen.last.held_by}" if seen.last else ""
            raise DatabaseError(
                f"could not {doing}: a lock was not to be had within {LOCK_WAIT_S:g} s{held_by}. Nothing was changed "
                "in this transaction. End the holder's transaction, then try again"
            ) from error
    assert row is not None
    connection.execute(_SET_LIMIT, {"value": row[0]})


def lock(connection: psycopg.Connection[Any]) -> None:
    """Be the only one that migrates or grants until the transaction ends. Takes the schema's owner."""
    connection.execute(_LOCK)


def check(connection: psycopg.Connection[Any]) -> None:
    """Raise `SchemaNotMigrated` or `SchemaTooNew` unless the database has the schema this release works with."""
    refuse_encoding(connection.info.parameter_status("server_encoding"), f"database {connection.info.dbname}")
    with translated("read the schema version"):
        have = current(connection)
    if have is None:
        raise SchemaNotMigrated("this database has no Awa schema. Run `awa migrate` (as the database's owner) first.")
    refuse_newer(have)
    if have < VERSION:
        raise SchemaNotMigrated(f"the Awa schema has version {have}, this release needs {VERSION}. Run `awa migrate`.")


def current(connection: psycopg.Connection[Any]) -> int | None:
    """Return the schema version of the database, None where there is no schema. Raises DatabaseError where the one of
    that name is another program's."""
    found = connection.execute(_HAS_VERSIONS).fetchone()
    if found is None:
        return None
    if not found[0]:
        raise _other_programs(connection)
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


def _upgrade(connection: psycopg.Connection[Any], have: int | None) -> list[int]:
    refuse_newer(have)
    return [_apply(connection, step) for step in _steps(have)]


def _apply(connection: psycopg.Connection[Any], step: Migration) -> int:
    row = connection.execute(_PATH).fetchone()
    # Without parameters psycopg sends a script in one message, so functions with semicolons in their bodies pass whole.
    connection.execute(step.sql.encode())
    assert row is not None
    connection.execute(_SET_PATH, {"path": row[0]})  # the script sets one; the transaction may be a caller's, and go on
    return step.version
