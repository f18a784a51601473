"""The locks that stop the queue are out of reach for roles without a right to work on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from psycopg.errors import InsufficientPrivilege

from awa.database.schema import chain
from awa.engine import retire
from awa.engine.seal import seal
from tests.engine.helpers import add
from tests.fixtures.postgres import for_database

Login = Callable[[str], str]
Connect = Callable[..., psycopg.Connection[Any]]

TABLES = ("seal_lock", "extend_lock", "idle_lock", "schema_version")
MODES = (
    "row exclusive",
    "share update exclusive",
    "share",
    "share row exclusive",
    "exclusive",
    "access exclusive",
)


@pytest.fixture
def stranger(login: Login, connect: Connect, superuser_dsn: str, database: str) -> Iterator[psycopg.Connection[Any]]:
    """A role that may connect to the database, and has no right in Awa."""
    owner = connect(database)
    name = f"stranger_{owner.info.dbname}"
    with psycopg.connect(superuser_dsn, autocommit=True) as admin:
        admin.execute(f"create role {name} login".encode())
    yield connect(for_database(database, owner.info.dbname, name))
    with psycopg.connect(superuser_dsn, autocommit=True) as admin:
        admin.execute("select pg_terminate_backend(pid, 5000) from pg_stat_activity where usename = %s", [name])
        admin.execute(f"drop role {name}".encode())


def take_every_lock(connection: psycopg.Connection[Any]) -> None:
    """Keep, until the session ends, whatever could be in the way and can be had."""
    for number in range(4715190, 4715300):
        connection.execute("select pg_advisory_lock(%s)", [number])
    connection.autocommit = False
    for table in TABLES:
        for mode in MODES:
            try:
                with connection.transaction():
                    connection.execute(f"lock table awa.{table} in {mode} mode nowait".encode())
            except InsufficientPrivilege:
                continue
            pytest.fail(f"{table} could be locked in {mode} mode")


def test_a_role_without_rights_cannot_stop_the_queue(connect: Connect, stranger: psycopg.Connection[Any]) -> None:
    take_every_lock(stranger)
    works(connect())


@pytest.mark.parametrize("role", ["awa_producer", "awa_reader"])
def test_who_only_inserts_or_reads_cannot_stop_the_queue(connect: Connect, login: Login, role: str) -> None:
    connection = connect(login(role))
    take_every_lock(connection)
    connection.rollback()
    if role == "awa_reader":
        connection.execute("lock table awa.batch, awa.lane, awa.queue in access share mode")
    works(connect())


def works(owner: psycopg.Connection[Any]) -> None:
    owner.execute("set lock_timeout = '5s'")
    ids = add(owner, 3)
    step = seal(owner)
    assert (step.locked, step.jobs) == (True, len(ids))
    owner.execute("select setval('awa.job_id', 4000000)")
    assert retire.extend(owner, 1_000_000, 1) > 0
    assert chain.migrate(owner) == []


def test_a_worker_may_seal(connect: Connect, login: Login) -> None:
    worker = connect(login("awa_worker"))
    add(connect(), 2)
    assert seal(worker).jobs == 2
