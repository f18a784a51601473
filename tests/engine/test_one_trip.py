"""Several statements in one round trip and one transaction."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from psycopg.pq import TransactionStatus

from awa.database.connections import connect
from awa.database.pipeline import one_trip
from tests.engine.helpers import Connection

pytestmark = pytest.mark.postgres


def waits(connection: psycopg.Connection[object], tmp_path: Path, do: Callable[[], object]) -> int:
    """How many times the server is told to say where it stands, and waited for, while something is done."""
    with (tmp_path / "trace").open("w+b") as file:
        connection.pgconn.trace(file.fileno())
        do()
        connection.pgconn.untrace()
        os.fsync(file.fileno())
        file.seek(0)
        return sum(b"\tReadyForQuery\t" in line for line in file)


def two(connection: psycopg.Connection[object]) -> list[object]:
    with one_trip(connection):
        answers = [connection.execute("select %s", [number]) for number in (1, 2)]
    return [answer.fetchone() for answer in answers]


def test_it_is_one_trip(db: Connection, tmp_path: Path) -> None:
    assert waits(db, tmp_path, lambda: db.execute("select 1")) == 1
    assert two(db) == [(1,), (2,)]
    assert waits(db, tmp_path, lambda: two(db)) == 1


def test_it_is_one_transaction(db: Connection) -> None:
    with one_trip(db):
        answers = [db.execute("select pg_current_xact_id(), current_setting('transaction_isolation')") for _ in "ab"]
    assert answers[0].fetchone() == (again := answers[1].fetchone())
    assert again is not None
    assert again[1] == "read committed"


def test_each_statement_sees_what_others_have_committed_meanwhile(db: Connection, database: str) -> None:
    db.execute("create table seen (id int)")
    with connect(database, role="other") as other:
        with one_trip(db):
            assert db.execute("select * from seen").fetchall() == []  # so that it has its snapshot
            other.execute("insert into seen values (1)")
            after = db.execute("select * from seen")
        assert after.fetchall() == [(1,)]


@pytest.mark.parametrize("statement", ["select 1 / 0", "select nothing"])
def test_what_the_server_refuses_undoes_all_of_it(db: Connection, statement: str) -> None:
    db.execute("create temporary table kept (id int)")

    def refused() -> None:
        with one_trip(db):
            db.execute("insert into kept values (1)")
            db.execute(statement.encode())
            db.execute("insert into kept values (2)")

    for _ in range(7):  # as often as makes the driver prepare it
        with pytest.raises(psycopg.errors.ProgrammingError if "nothing" in statement else psycopg.DataError):
            refused()
        assert db.info.transaction_status == TransactionStatus.IDLE
    assert db.execute("select * from kept").fetchall() == []
    assert two(db) == [(1,), (2,)]


@pytest.mark.parametrize("error", [KeyError, KeyboardInterrupt])
def test_so_does_an_exception_in_the_block(db: Connection, error: type[BaseException]) -> None:
    db.execute("create temporary table kept (id int)")

    def interrupted() -> None:
        with one_trip(db):
            db.execute("insert into kept values (1)")
            raise error

    with pytest.raises(error):
        interrupted()
    assert db.info.transaction_status == TransactionStatus.IDLE
    assert db.execute("select * from kept").fetchall() == []


def test_a_connection_that_is_lost_says_so(db: Connection) -> None:
    def lost() -> None:
        with one_trip(db):
            db.execute("select pg_terminate_backend(pg_backend_pid())")

    with pytest.raises(psycopg.OperationalError):
        lost()
    assert db.closed


@pytest.mark.parametrize("autocommit", [False, True])
def test_in_a_transaction_of_the_callers_it_is_refused(database: str, db: Connection, autocommit: bool) -> None:
    db.execute("create table kept (id int)")
    with psycopg.connect(database, autocommit=autocommit) as callers:
        callers.execute("begin" if autocommit else "select 1")
        with pytest.raises(psycopg.ProgrammingError, match="INTRANS"), one_trip(callers):
            callers.execute("insert into kept values (1)")
        assert callers.info.transaction_status == TransactionStatus.INTRANS
        callers.rollback()
    assert db.execute("select * from kept").fetchall() == []


def test_where_transactions_begin_by_themselves_it_is_one_of_its_own(database: str, db: Connection) -> None:
    db.execute("create table kept (id int)")
    with psycopg.connect(database) as callers:
        with one_trip(callers):
            callers.execute("insert into kept values (1)")
        assert callers.info.transaction_status == TransactionStatus.IDLE
        assert db.execute("select * from kept").fetchall() == [(1,)]
