"""The schema in one file is what the migrations lead to."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from awa.database.schema import chain
from awa.embedded import Server
from awa.errors import DatabaseError
from tests.fixtures.postgres import both_servers, for_database
from tests.migrations.catalogue import dump

Connect = Callable[..., psycopg.Connection[Any]]
FIRST = Path(__file__).with_name("0001.sql")
"""The schema of version 1, kept from the day there is a second one."""


def first_schema() -> str:
    """The schema as version 1 had it: as long as there is no other, the present one."""
    first, *later = chain.migrations()
    if not later:
        return first.sql
    assert FIRST.exists(), (
        f"keep sql/schema.sql as it was in version 1 as {FIRST}: this test installs it and upgrades it"
    )
    return FIRST.read_text()


def test_migrations_are_numbered_without_gaps_and_lead_to_the_present_version() -> None:
    steps = chain.migrations()
    assert [step.version for step in steps] == list(range(1, chain.VERSION + 1))
    assert all(step.description and step.sql.strip() for step in steps)


@both_servers
def test_the_schema_in_one_file_is_the_sum_of_its_migrations(
    server: Server, database: str, empty_database: str, connect: Connect
) -> None:
    by_steps = connect(empty_database)
    by_steps.execute(first_schema().encode())
    while (version := chain.current(by_steps)) != chain.VERSION:
        assert version is not None
        applied = chain.migrate(by_steps)
        assert applied == list(range(version + 1, chain.VERSION + 1))
    assert dump(empty_database) == dump(database)


def test_the_comparison_sees_a_difference(database: str, empty_database: str, connect: Connect) -> None:
    connection = connect(empty_database)
    chain.migrate(connection)
    expected = dump(database)
    assert dump(empty_database) == expected
    for change in (
        "alter table awa.batch set (fillfactor = 50)",
        "alter table awa.node alter name drop not null",
        "create index surplus on awa.lane (kind)",
        "grant execute on function awa.extend_log to public",
        "update awa.schema_version set version = 99",
    ):
        with connection.transaction(force_rollback=True):
            connection.execute(change.encode())
        connection.execute(change.encode())
        assert dump(empty_database) != expected, change
        connection.execute("drop schema awa cascade")
        chain.migrate(connection)


@both_servers
def test_a_database_owner_without_any_privilege_can_migrate(connect: Connect, empty_database: str) -> None:
    connection = connect(empty_database)
    rights = "select rolsuper, rolcreatedb, rolcreaterole, rolbypassrls from pg_roles where rolname = current_user"
    assert connection.execute(rights).fetchone() == (False, False, False, False)
    assert chain.migrate(connection) == [1]
    assert connection.execute("select count(*) from pg_extension where extname <> 'plpgsql'").fetchone() == (0,)


def test_somebody_who_may_not_create_schemas_is_told(connect: Connect, empty_database: str, server: Server) -> None:
    name = connect(empty_database).info.dbname
    admin = connect(server.superuser_dsn)
    admin.execute("create role guest login")
    try:
        guest = connect(for_database(empty_database, name, "guest"))
        with pytest.raises(DatabaseError, match="permission denied for database"):
            chain.migrate(guest)
    finally:
        admin.execute("drop role guest")
