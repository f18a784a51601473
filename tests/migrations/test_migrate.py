"""Migrating: once, however often and by however many; refused where it would harm; whole or not at all."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import psycopg
import pytest

from awa.client.client import Client
from awa.database.schema import chain
from awa.errors import DatabaseError, SchemaNotMigrated, SchemaTooNew
from tests.fixtures.postgres import both_servers, for_database
from tests.fixtures.processes import ROOT
from tests.fixtures.waiting import Session
from tests.migrations.catalogue import contents, dump

Connect = Callable[..., psycopg.Connection[Any]]
AT_ONCE = 20
FRESH = [1]
"""What a fresh database has applied to it: the whole schema, in one step."""


@both_servers
def test_migrating_again_changes_nothing(connect: Connect, empty_database: str) -> None:
    connection = connect(empty_database)
    assert chain.migrate(connection) == FRESH
    before = dump(empty_database)
    connection.execute("insert into awa.job_log (kind) values ('k')")
    assert chain.migrate(connection) == []
    assert dump(empty_database) == before
    assert connection.execute("select count(*) from awa.job_log").fetchone() == (1,)
    chain.check(connection)


@both_servers
def test_twenty_that_start_at_once_apply_it_once(empty_database: str) -> None:
    barrier = Barrier(AT_ONCE)

    def one(_: int) -> list[int]:
        with psycopg.connect(empty_database, autocommit=True) as connection:
            barrier.wait(30)
            return chain.migrate(connection)

    with ThreadPoolExecutor(AT_ONCE) as threads:
        applied = list(threads.map(one, range(AT_ONCE)))
    assert sorted(applied) == [[]] * (AT_ONCE - 1) + [FRESH]


@pytest.mark.processes
def test_processes_that_start_at_once_apply_it_once(empty_database: str) -> None:
    script = (
        "import sys; from awa.database.open import connect; from awa.database.schema import chain; sys.stdin.read();"
        "print(chain.migrate(connect(sys.argv[1], role='migrate')))"
    )
    command = [sys.executable, "-W", "ignore::ResourceWarning", "-c", script, empty_database]
    started = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) for _ in range(4)
    ]
    for process in started:
        assert process.stdin is not None
        process.stdin.close()
        process.stdin = None
    answers = sorted(process.communicate(timeout=60)[0].strip() for process in started)
    assert answers == ["[1]", "[]", "[]", "[]"]
    assert [process.returncode for process in started] == [0] * 4


@both_servers
@pytest.mark.parametrize("level", ["serializable", "repeatable read"])
def test_a_stricter_default_isolation_does_not_make_the_second_fail(
    connect: Connect, session: Callable[..., Session], empty_database: str, level: str
) -> None:
    """The second one waits for the first; what it then reads must be newer than its wait."""
    connection = connect(empty_database)
    name = f"alter database {connection.info.dbname} set default_transaction_isolation = '{level}'"
    connection.execute(name.encode())
    first, second = session("first", empty_database), session("second", empty_database)
    first.run("begin isolation level read committed")
    assert first.run(chain.migrate) == FRESH
    second.start(chain.migrate)
    second.until_blocked()
    first.run("commit")
    assert second.result() == []


@both_servers
def test_a_newer_schema_is_refused_and_left_alone(connect: Connect, database: str) -> None:
    connection = connect(database)
    connection.execute("insert into awa.schema_version (version) values (%s)", [chain.VERSION + 1])
    before = dump(database)
    for refuse in (chain.migrate, chain.check):
        with pytest.raises(SchemaTooNew) as refused:
            refuse(connection)
        text = str(refused.value)
        assert f"version {chain.VERSION + 1}" in text
        assert f"knows {chain.VERSION}" in text
        assert "Install" in text
        assert "pip install" in text
    assert dump(database) == before


def test_a_database_without_the_schema_is_named_as_such(connect: Connect, empty_database: str) -> None:
    connection = connect(empty_database)
    assert chain.current(connection) is None
    with pytest.raises(SchemaNotMigrated, match="awa migrate"):
        chain.check(connection)


@both_servers
@pytest.mark.parametrize("statement", [1, 12, 40])
def test_a_migrate_cut_off_half_way_leaves_nothing(
    connect: Connect, session: Callable[..., Session], empty_database: str, statement: int
) -> None:
    """The server ends the backend while the schema is being made."""
    onlooker = connect(empty_database)
    cut = session("cut", empty_database)
    steps = [halting(statement)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chain, "migrations", lambda: steps)
        onlooker.execute("begin")
        onlooker.execute("select pg_advisory_xact_lock(1)")
        cut.start(chain.migrate)
        cut.until_blocked()
        cut.kill()
        with pytest.raises(DatabaseError, match="terminating connection"):
            cut.result()
        onlooker.execute("rollback")
    assert onlooker.execute("select to_regnamespace('awa')").fetchone() == (None,)
    assert chain.migrate(onlooker) == FRESH


def halting(after: int) -> chain.Migration:
    """The whole schema, with a wait for a lock in the middle."""
    script = chain.migrations()[0].sql
    ends = [position for position in range(len(script)) if script.startswith(";\n\n", position)]
    at = ends[min(after, len(ends) - 1)] + 1
    return chain.Migration(1, "halting", f"{script[:at]} select pg_advisory_xact_lock(1); {script[at:]}")


def test_a_schema_of_another_role_is_refused_by_its_owners_name(
    connect: Connect, empty_database: str, superuser_dsn: str
) -> None:
    connection = connect(empty_database)
    with connect(for_database(superuser_dsn, connection.info.dbname, "postgres")) as other:
        other.execute("create schema awa")
    with pytest.raises(DatabaseError, match="belongs to role postgres and was not made by .*dropped or renamed"):
        chain.migrate(connection)
    with pytest.raises(SchemaNotMigrated):
        chain.check(connection)


@both_servers
@pytest.mark.parametrize("version", [0, chain.VERSION, chain.VERSION + 1], ids=["older", "the same", "newer"])
def test_another_programs_versions_are_not_taken_for_awas(
    connect: Connect, empty_database: str, superuser_dsn: str, version: int
) -> None:
    connection = connect(empty_database)
    with connect(for_database(superuser_dsn, connection.info.dbname, "postgres")) as other:
        other.execute("create schema awa")
        other.execute("create table awa.schema_version (version integer primary key, applied_at timestamptz)")
        other.execute("insert into awa.schema_version values (%s, now())", [version])
        other.execute("grant all on schema awa to public")
        other.execute("grant all on awa.schema_version to public")
    before = contents(empty_database)
    for refuse in (chain.migrate, chain.check, chain.current):
        with pytest.raises(
            DatabaseError, match="schema awa .* belongs to role postgres, is another program's: .*rename"
        ):
            refuse(connection)
    assert contents(empty_database) == before


def test_a_client_does_not_use_another_programs_schema(connect: Connect, empty_database: str) -> None:
    connection = connect(empty_database)
    connection.execute("create schema awa")
    connection.execute("create table awa.schema_version (version integer primary key)")
    connection.execute("insert into awa.schema_version values (%s)", [chain.VERSION])
    with Client(empty_database) as client, pytest.raises(DatabaseError, match="role awa_owner, is another program's"):
        client.insert({}, kind="k")


def test_a_step_that_fails_leaves_nothing(connect: Connect, empty_database: str) -> None:
    connection = connect(empty_database)
    connection.execute("create schema awa")
    with pytest.raises(DatabaseError, match="belongs to role awa_owner and was not made"):
        chain.migrate(connection)
    assert connection.execute("select count(*) from pg_class where relnamespace = 'awa'::regnamespace").fetchone() == (
        0,
    )


def test_migrating_in_the_callers_transaction_is_undone_with_it(connect: Connect, empty_database: str) -> None:
    connection = connect(empty_database)
    with connection.transaction(force_rollback=True):
        connection.execute("create table of_mine ()")
        assert chain.migrate(connection) == FRESH
    assert chain.current(connection) is None


def test_a_migration_that_waits_says_for_whom_and_gives_up(
    session: Callable[..., Session],
    connect: Connect,
    database: str,
    events: list[tuple[str, dict[str, object]]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(chain, "VERSION", chain.VERSION + 1)
    monkeypatch.setattr(chain, "LOCK_WAIT_S", 2.5)
    holder = session("careless")
    holder.run("begin")
    holder.run("lock table awa.schema_version in exclusive mode")
    with pytest.raises(DatabaseError, match=r"within 2.5 s: it is held by process \d+ \(application careless"):
        chain.migrate(connect())
    ((event, fields),) = events
    assert (event, fields["what"]) == ("database.locked", "awa.schema_version")
    assert f"process {holder.pid} (application careless, role " in str(fields["held_by"])
    assert "lock table awa.schema_version" in str(fields["held_by"])


def test_who_may_not_migrate_finds_nothing_to_do(connect: Connect, login: Callable[[str], str]) -> None:
    assert chain.migrate(connect(login("awa_producer"))) == []
