"""Asynchronous transactions: jobs and rows together, and use after the end."""

import asyncio
from contextlib import suppress
from typing import Any

import psycopg
import pytest

from awa import AsyncClient, AwaError, Client, DatabaseError, JobNotFound, Transaction, UniqueConflict, ValidationError
from tests.client.kinds import SendEmail
from tests.client.loops import on_a_loop


@pytest.fixture
def orders(client: Client, database: str) -> str:
    """The DSN of a database with a table of the application's."""
    with client.transaction() as tx:
        tx.execute("create table orders (id int primary key generated always as identity, item text unique, data json)")
    return database


async def items(client: AsyncClient) -> list[str]:
    async with client.transaction() as tx:
        return [row["item"] for row in await tx.fetch_all("select item from orders order by id")]


async def exists(client: AsyncClient, job_id: int) -> bool:
    with suppress(JobNotFound):
        return (await client.get_job(job_id)).id == job_id
    return False


@on_a_loop
async def test_a_transaction_may_be_awaited(orders: str) -> None:
    async with AsyncClient(orders) as client:
        async with await client.transaction() as tx:
            assert isinstance(tx, Transaction)
            await tx.execute("insert into orders (item) values ($1)", "kayak")
        alone = await client.transaction()
        await alone.execute("insert into orders (item) values ($1)", "paddle")
        await alone.commit()
        assert await items(client) == ["kayak", "paddle"]


@on_a_loop
async def test_job_and_row_are_committed_together(orders: str) -> None:
    async with AsyncClient(orders) as client:
        async with client.transaction() as tx:
            assert isinstance(tx, Transaction)
            assert await tx.execute("insert into orders (item) values ($1)", "kayak") == 1
            job = await tx.insert(SendEmail("a"))
            many = await tx.insert_many([SendEmail("b"), SendEmail("c")], queue="bulk")
            assert not await exists(client, job.id)
        assert await items(client) == ["kayak"]
        assert all([await exists(client, each) for each in (job.id, *many.ids)])
        assert (await client.get_job(many.ids[0])).queue == "bulk"


@on_a_loop
async def test_an_exception_undoes_both_and_passes_through(orders: str) -> None:
    class Stop(Exception):
        pass

    async def order(client: AsyncClient) -> None:
        async with client.transaction() as tx:
            await tx.execute("insert into orders (item) values ($1)", "kayak")
            await tx.insert_many([{}] * 3, kind="dict")
            raise Stop

    async with AsyncClient(orders) as client:
        with pytest.raises(Stop):
            await order(client)
        assert (await items(client), await client.list_jobs()) == ([], [])


@on_a_loop
async def test_commit_and_rollback_end_it(orders: str) -> None:
    async with AsyncClient(orders, max_connections=2) as client:
        async with client.transaction() as tx:
            first = await tx.insert({}, kind="dict")
            await tx.commit()
        tx = client.transaction()  # begins at its first statement
        second = await tx.insert({}, kind="dict")
        assert not await exists(client, second.id)
        await tx.rollback()
        assert (await exists(client, first.id), await exists(client, second.id)) == (True, False)
        await client.transaction().commit()
        await client.transaction().rollback()


@pytest.mark.parametrize("end", ["commit", "rollback", "with"])
@on_a_loop
async def test_a_finished_transaction_refuses_everything(orders: str, end: str) -> None:
    async with AsyncClient(orders) as client:
        async with client.transaction() as tx:
            if end != "with":
                await getattr(tx, end)()
        for use in (
            lambda: tx.execute("select 1"),
            lambda: tx.fetch_one("select 1"),
            lambda: tx.fetch_optional("select 1"),
            lambda: tx.fetch_all("select 1"),
            lambda: tx.insert({}, kind="dict"),
            lambda: tx.insert_many([{}], kind="dict"),
            tx.commit,
            tx.rollback,
            tx.__aenter__,
        ):
            with pytest.raises(AwaError, match="this transaction is finished: it was (committed|rolled back)"):
                await use()
        with pytest.raises(AwaError, match="this transaction is finished"):
            _ = tx.connection


@on_a_loop
async def test_placeholders_parameters_and_rows_are_those_of_the_synchronous_one(orders: str, client: Client) -> None:
    statements: list[tuple[str, tuple[Any, ...]]] = [
        ("select $1::int + $2::int as n, $1::text as t", (1, 2)),
        ("select %s::int + 2 as n, '$1' as t", (1,)),
        ("select %(a)s::int + 2 as n", ({"a": 1},)),
        ("select 3 as n, '100%' as hundred", ()),
        ("select $1::jsonb as data, $2::int[] as numbers, $3::text as nothing", ({"n": [1]}, [1, 2], None)),
        ("select '2040-01-31 12:00+00'::timestamptz as at, 1.50::numeric as price, '{\"a\": 1}'::jsonb as j", ()),
        ("select '00000000-0000-0000-0000-000000000001'::uuid as id, array['2040-01-31'::date] as days", ()),
    ]
    async with AsyncClient(orders) as ours:
        with client.transaction() as theirs:
            async with ours.transaction() as tx:
                for sql, args in statements:
                    assert await tx.fetch_one(sql, *args) == theirs.fetch_one(sql, *args), sql
                assert await tx.execute("insert into orders (item) select n::text from generate_series(1, 3) n") == 3
                assert await tx.fetch_optional("select * from orders where id = $1", 99) is None
                assert len(await tx.fetch_all("select * from orders")) == 3
                with pytest.raises(DatabaseError, match="no row came back.*select \\* from orders"):
                    await tx.fetch_one("select * from orders where id = $1", 99)
                with pytest.raises(ValidationError, match="is a set"):
                    await tx.execute("update orders set data = $1", {"a": {1}})


@on_a_loop
async def test_a_failed_statement_leaves_the_transaction_failed_and_commit_says_so(orders: str) -> None:
    async with AsyncClient(orders) as client:
        tx = client.transaction()
        await tx.insert({}, kind="dict")
        with pytest.raises(UniqueConflict):
            await tx.execute("insert into orders (item) values ('a'), ('a')")
        with pytest.raises(DatabaseError, match="the transaction has failed already; roll it back"):
            await tx.insert({}, kind="dict")
        with pytest.raises(DatabaseError, match="could not be committed: a statement in it had failed"):
            await tx.commit()
        assert await client.list_jobs() == []


@on_a_loop
async def test_its_connection_is_a_plain_psycopg_connection_once_it_has_begun(orders: str) -> None:
    async with AsyncClient(orders) as client:
        tx = client.transaction()
        with pytest.raises(AwaError, match="this transaction has not begun, so it has no connection yet"):
            _ = tx.connection
        async with tx:
            connection = tx.connection
            assert type(connection) is psycopg.AsyncConnection
            cursor = await connection.execute("select '{\"a\": 1}'::jsonb, 1")
            assert await cursor.fetchone() == ({"a": 1}, 1)
            async with connection.transaction():
                await tx.insert({}, kind="dict")
                raise psycopg.Rollback
        assert await client.list_jobs() == []


@on_a_loop
async def test_tasks_that_share_a_transaction_take_turns(orders: str) -> None:
    async with AsyncClient(orders, max_connections=1) as client:
        tx = client.transaction()  # the first of them begins it; the others must not begin another
        await asyncio.gather(*(tx.insert_many([{"n": n}] * 3, kind="dict") for n in range(20)))
        await asyncio.gather(*(tx.execute("insert into orders (item) values ($1)", str(n)) for n in range(20)))
        await tx.commit()
        assert len(await items(client)) == 20
        assert len(await client.list_jobs()) == 60


@on_a_loop
async def test_a_lost_connection_is_told_and_replaced(orders: str, connection: psycopg.Connection[Any]) -> None:
    async def lose(client: AsyncClient) -> None:
        async with client.transaction() as tx:
            await tx.insert({}, kind="dict")
            connection.execute("select pg_terminate_backend(%s, 5000)", [tx.connection.info.backend_pid])
            await tx.insert({}, kind="dict")

    async with AsyncClient(orders, max_connections=1) as client:
        with pytest.raises(DatabaseError):
            await lose(client)
        assert await client.list_jobs() == []


@on_a_loop
async def test_one_that_nobody_ends_gives_its_connection_back(orders: str) -> None:
    async with AsyncClient(orders, max_connections=1) as client:
        tx = client.transaction()
        await tx.insert({}, kind="dict")
        del tx
        assert await client.list_jobs() == []
