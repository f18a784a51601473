"""A role that is called as the schema: the application's tables are found, and made, where they were before."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg.sql import SQL, Identifier

import awa
from awa import embedded
from tests.fixtures.postgres import ensure_logins, for_database

pytestmark = pytest.mark.postgres


@pytest.fixture
def shop(server: embedded.Server, superuser_dsn: str) -> Iterator[str]:
    """A database of the role `awa`, with a table of the name of one of Awa's."""
    name = f"t_{secrets.token_hex(6)}"
    with psycopg.connect(superuser_dsn, autocommit=True) as admin:
        admin.execute(SQL("create database {} owner awa template template0").format(Identifier(name)))
        dsn = for_database(superuser_dsn, name, "awa")
        with psycopg.connect(dsn) as application:
            application.execute("create table worker (name text); insert into worker values ('Ann')")
        yield dsn
        admin.execute(SQL("drop database {} with (force)").format(Identifier(name)))


def test_tables_are_found_and_made_where_they_were(shop: str) -> None:
    with awa.Client(shop) as client:
        client.migrate()
    with psycopg.connect(shop) as application:
        assert application.execute("select name from worker").fetchall() == [("Ann",)]
        application.execute("create table orders (id int)")
        assert application.execute("select 'public.orders'::regclass::text").fetchone() == ("orders",)


def test_where_another_role_migrates_it_is_said_what_to_run(shop: str, superuser_dsn: str) -> None:
    name = urlsplit(shop).path[1:]
    with psycopg.connect(superuser_dsn, autocommit=True) as admin:
        admin.execute(SQL("grant create on database {} to awa_owner").format(Identifier(name)))
    with awa.Client(for_database(superuser_dsn, name)) as owner:
        owner.migrate()
        with owner.transaction() as tx:
            tx.execute("grant usage on schema awa to awa")
            tx.execute("grant select on all tables in schema awa to awa")
        with pytest.warns(RuntimeWarning, match="superuser: alter role") as warned:
            owner.migrate()
    with awa.Client(shop) as client, pytest.warns(RuntimeWarning, match='begins with "\\$user"'):
        client.list_jobs()
    run = str(warned[0].message).partition("superuser: ")[2]
    with psycopg.connect(for_database(superuser_dsn, name, "postgres"), autocommit=True) as admin:
        admin.execute(run.encode())
    with psycopg.connect(shop) as application:
        assert application.execute("select name from worker").fetchall() == [("Ann",)]


def test_roles_that_cannot_be_made_leave_no_schema_behind(
    empty_database: str, server: embedded.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    ensure_logins(server)
    monkeypatch.setattr("awa.database.schema.roles.NAMES", ("awa_producer", "awa_missing"))
    with awa.Client(empty_database) as client:
        with pytest.raises(awa.DatabaseError, match="may not create roles.* Nothing was changed"):
            client.migrate(roles=True)
        with pytest.raises(awa.SchemaNotMigrated):
            client.list_jobs()
