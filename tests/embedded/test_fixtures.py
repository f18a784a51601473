"""The fixtures other tests stand on."""

from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from tests.fixtures.postgres import both_servers
from tests.fixtures.waiting import Session, until

Connect = Callable[..., psycopg.Connection[Any]]


@both_servers
def test_database_is_owned_by_an_ordinary_role(connection: psycopg.Connection[Any]) -> None:
    row = connection.execute("select rolsuper, rolcreatedb from pg_roles where rolname = current_user").fetchone()
    assert row == (False, False)
    connection.execute("create schema of_mine")


def test_database_has_the_schema(connection: psycopg.Connection[Any]) -> None:
    assert connection.execute("select to_regnamespace('awa')::text").fetchone() == ("awa",)


def test_empty_database_has_no_schema(connect: Connect, empty_database: str) -> None:
    assert connect(empty_database).execute("select to_regnamespace('awa')").fetchone() == (None,)


@pytest.mark.parametrize("round", [1, 2])
def test_every_test_has_a_fresh_database(connection: psycopg.Connection[Any], round: int) -> None:
    connection.execute("create table only_here ()")


def test_server_allows_prepared_transactions(connection: psycopg.Connection[Any]) -> None:
    assert connection.execute("show max_prepared_transactions").fetchone() == ("20",)


def test_sessions_interleave(session: Callable[..., Session]) -> None:
    s1, s2 = session("s1"), session("s2")
    s1.run("create table t as select 1 as id, 0 as n")
    s1.run("begin")
    s1.run("update t set n = n + 1")
    s2.start("update t set n = n * 10 returning n")
    s2.until_blocked()
    s1.run("commit")
    assert s2.result() == [(10,)]


def test_session_that_is_not_blocked_says_so(session: Callable[..., Session]) -> None:
    s1 = session("s1")
    s1.start("select 1")
    until(lambda: s1.is_done)
    with pytest.raises(AssertionError, match="came through"):
        s1.until_blocked()


def test_session_reports_the_error_of_its_step(session: Callable[..., Session]) -> None:
    with pytest.raises(psycopg.errors.DivisionByZero):
        session("s1").run("select 1 / 0")
