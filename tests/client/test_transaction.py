"""Transactions: jobs and rows together, statements with both kinds of placeholders, and use after the end."""

import os
from collections.abc import Iterator
from contextlib import suppress
from decimal import Decimal
from inspect import getattr_static
from typing import Any
from uuid import UUID

import psycopg
import pytest

from awa import AwaError, Client, DatabaseError, JobNotFound, SyncTransaction, UniqueConflict, ValidationError
from tests.client.kinds import SendEmail


@pytest.fixture
def orders(client: Client) -> Client:
    """The client of a database with a table of the application's."""
    with client.transaction() as tx:
        tx.execute(
            "create table orders (id int primary key generated always as identity, item text unique, data jsonb)"
        )
    return client


def items(client: Client) -> list[str]:
    with client.transaction() as tx:
        return [row["item"] for row in tx.fetch_all("select item from orders order by id")]


def exists(client: Client, job_id: int) -> bool:
    with suppress(JobNotFound):
        return client.get_job(job_id).id == job_id
    return False


def test_job_and_row_are_committed_together(orders: Client) -> None:
    with orders.transaction() as tx:
        assert isinstance(tx, SyncTransaction)
        assert tx.execute("insert into orders (item) values ($1)", "kayak") == 1
        job = tx.insert(SendEmail("a"))
        many = tx.insert_many([SendEmail("b"), SendEmail("c")], queue="bulk")
        assert not exists(orders, job.id)
    assert items(orders) == ["kayak"]
    assert all(exists(orders, each) for each in (job.id, *many.ids))
    assert orders.get_job(many.ids[0]).queue == "bulk"


def test_an_exception_undoes_both_and_passes_through(orders: Client) -> None:
    class Stop(Exception):
        pass

    def order() -> None:
        with orders.transaction() as tx:
            tx.execute("insert into orders (item) values ($1)", "kayak")
            tx.insert(SendEmail("a"))
            raise Stop

    with pytest.raises(Stop):
        order()
    assert (items(orders), orders.list_jobs()) == ([], [])


def test_commit_and_rollback_end_it(orders: Client) -> None:
    with orders.transaction() as tx:
        first = tx.insert({}, kind="dict")
        tx.commit()
    with orders.transaction() as tx:
        second = tx.insert({}, kind="dict")
        tx.rollback()
    assert (exists(orders, first.id), exists(orders, second.id)) == (True, False)


def test_without_with_it_begins_at_its_first_statement(orders: Client) -> None:
    tx = orders.transaction()
    tx.execute("insert into orders (item) values ('kayak')")
    assert items(orders) == []
    tx.commit()
    assert items(orders) == ["kayak"]
    orders.transaction().commit()
    orders.transaction().rollback()


@pytest.mark.parametrize("end", ["commit", "rollback", "with"])
def test_a_finished_transaction_refuses_everything(orders: Client, end: str) -> None:
    with orders.transaction() as tx:
        if end != "with":
            getattr(tx, end)()
    for use in (
        lambda: tx.execute("select 1"),
        lambda: tx.fetch_one("select 1"),
        lambda: tx.fetch_optional("select 1"),
        lambda: tx.fetch_all("select 1"),
        lambda: tx.insert({}, kind="dict"),
        lambda: tx.insert_many([{}], kind="dict"),
        lambda: tx.connection,
        tx.commit,
        tx.rollback,
        tx.__enter__,
    ):
        with pytest.raises(AwaError, match="this transaction is finished: it was (committed|rolled back)") as caught:
            use()
        assert type(caught.value) is AwaError


def test_its_connection_comes_back_to_the_client(database: str) -> None:
    with Client(database, max_connections=1) as client:
        for _ in range(3):
            with client.transaction() as tx:
                tx.insert({}, kind="dict")
            with pytest.raises(DatabaseError, match="syntax error"), client.transaction() as tx:
                tx.execute("this is no sql")
        assert len(client.list_jobs()) == 3


def test_placeholders_of_both_kinds(orders: Client) -> None:
    with orders.transaction() as tx:
        for sql, args in (
            ("select $1::int + $2::int as n, $1::text as t", (1, 2)),
            ("select %s::int + 2 as n, %s::text as t", (1, "1")),
            ("select %(a)s::int + 2 as n, %(a)s::text as t", ({"a": 1},)),
            ("select $1::int + 2 as n, '1' as t -- 100 %s, $9", (1,)),
            ("select %s::int + 2 as n, '$1' is not null as yes, '1' as t", (1,)),
            ("select %s::int + 2 as n, $$ $1 $$ is not null as yes, '1' as t", (1,)),
            ("select %s::int + 2 as n, $tag$ $1 $tag$ is not null as yes, '1' as t", (1,)),
            ("select %s::int + 2 as n, e'it\\'s $1' is not null as yes, '1' as t", (1,)),
            ("select %s::int + 2 as n, 1 as \"$1\", '1' as t /* $1 */", (1,)),
            ("select $1::int + 2 as n, '50%' like '%s' as no, '1' as t", (1,)),
            ("select 3 as n, '100%' as hundred, '1' as t", ()),
        ):
            row = tx.fetch_one(sql, *args)
            assert (row["n"], row["t"]) == (3, "1"), sql


def test_rows_are_what_json_can_carry(orders: Client) -> None:
    with orders.transaction() as tx:
        tx.execute("set local timezone to 'NZ'")
        row = tx.fetch_one(
            """
            select '2040-01-31 12:00:00.5+00'::timestamptz as timestamptz, '2040-01-31'::date as date,
                   '12:30'::time as time, '2040-01-31 12:00'::timestamp as timestamp, 1.50::numeric as numeric,
                   '{"a": [1, null]}'::jsonb as jsonb, '[1]'::json as json, 'text' as text,
                   true as bool, 1.5::float8 as f,
                   '00000000-0000-0000-0000-000000000001'::uuid as uuid, null as nothing, 9::bigint as bigint,
                   'available'::awa.job_state as enum, array['2040-01-31'::date] as dates
            """
        )
    assert row == {
        "timestamptz": "2040-01-31T12:00:00.500000+00:00",
        "date": "2040-01-31",
        "time": "12:30:00",
        "timestamp": "2040-01-31T12:00:00",
        "numeric": "1.50",
        "jsonb": {"a": [1, None]},
        "json": [1],
        "text": "text",
        "bool": True,
        "f": 1.5,
        "uuid": "00000000-0000-0000-0000-000000000001",
        "nothing": None,
        "bigint": 9,
        "enum": "available",
        "dates": ["2040-01-31"],
    }


def test_parameters_of_many_types(orders: Client) -> None:
    with orders.transaction() as tx:
        tx.execute("insert into orders (item, data) values ($1, $2)", "a", {"n": 1})
        tx.execute("insert into orders (item, data) values (%s, %s)", "b", {"at": UUID(int=1), "price": Decimal("1.5")})
        rows = tx.fetch_all("select data from orders order by id")
        assert [row["data"] for row in rows] == [{"n": 1}, {"at": str(UUID(int=1)), "price": "1.5"}]
        assert tx.fetch_one("select $1::int[] as n, $2::text as t", [1, 2], None) == {"n": [1, 2], "t": None}
        with pytest.raises(ValidationError, match="is a set"):
            tx.execute("update orders set data = $1", {"a": {1}})


def test_counts_and_missing_rows(orders: Client) -> None:
    with orders.transaction() as tx:
        assert tx.execute("insert into orders (item) select n::text from generate_series(1, 3) n") == 3
        assert tx.execute("update orders set data = '{}'") == 3
        assert tx.execute("create temporary table nothing ()") == 0
        assert tx.fetch_optional("select * from orders where id = $1", 99) is None
        assert tx.fetch_all("select * from orders where id = $1", 99) == []
        with pytest.raises(DatabaseError, match="no row came back.*select \\* from orders"):
            tx.fetch_one("select * from orders where id = $1", 99)


def test_a_failed_statement_leaves_the_transaction_failed_and_commit_says_so(orders: Client) -> None:
    tx = orders.transaction()
    tx.insert({}, kind="dict")
    with pytest.raises(UniqueConflict):
        tx.execute("insert into orders (item) values ('a'), ('a')")
    with pytest.raises(DatabaseError, match="the transaction has failed already; roll it back"):
        tx.insert({}, kind="dict")
    with pytest.raises(DatabaseError, match="could not be committed: a statement in it had failed"):
        tx.commit()
    assert orders.list_jobs() == []


def test_what_fails_only_at_the_commit_is_told_as_that(orders: Client) -> None:
    with orders.transaction() as tx:
        tx.execute("create table late (n int unique deferrable initially deferred)")
    with pytest.raises(UniqueConflict, match="could not commit the transaction"), orders.transaction() as tx:
        tx.execute("insert into late values (1), (1)")


def test_its_connection_is_a_plain_psycopg_connection(orders: Client) -> None:
    with orders.transaction() as tx:
        connection = tx.connection
        assert isinstance(connection, psycopg.Connection)
        for name in dir(psycopg.Connection):
            if not name.startswith("_"):
                assert getattr_static(type(connection), name) is getattr_static(psycopg.Connection, name), name
        assert connection.execute("select '{\"a\": 1}'::jsonb, 1").fetchone() == ({"a": 1}, 1)
        with connection.transaction():
            tx.insert({}, kind="dict")
            raise psycopg.Rollback
    assert orders.list_jobs() == []


def test_a_lost_connection_is_told_and_replaced(orders: Client, connection: psycopg.Connection[Any]) -> None:
    def lose() -> None:
        with orders.transaction() as tx:
            tx.insert({}, kind="dict")
            connection.execute("select pg_terminate_backend(%s, 5000)", [tx.connection.info.backend_pid])
            tx.insert({}, kind="dict")

    with pytest.raises(DatabaseError):
        lose()
    assert orders.list_jobs() == []


def test_a_block_that_forks_is_ended_by_the_parent_alone(orders: Client) -> None:
    def in_child(tx: SyncTransaction) -> Iterator[bool]:
        for use in (lambda: tx.insert({}, kind="dict"), tx.commit, lambda: tx.connection):
            try:
                use()
                yield False
            except AwaError as error:
                yield "process that began it" in str(error)
        yield not tx.__exit__(None, None, None)

    with orders.transaction() as tx:
        job = tx.insert({}, kind="dict")
        child = os.fork()
        if not child:
            os._exit(0 if all(list(in_child(tx))) else 1)
        assert os.waitpid(child, 0)[1] == 0
        tx.insert({}, kind="dict")
    assert exists(orders, job.id)
