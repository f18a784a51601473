"""Cancelled tasks: what is open is rolled back, what runs is stopped, and the connections stay of use."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import psycopg_pool
import pytest

from awa import AsyncClient, Client, JobState
from awa.client.aio.transaction import Transaction
from tests.client.loops import busy, on_a_loop, until, waiting_for_a_lock

Connection = psycopg.Connection[Any]
LOCK = "lock table awa.job_log, awa.queue in access exclusive mode"


@contextmanager
def locked(connect: Callable[..., Connection]) -> Iterator[Connection]:
    """Keep everybody from jobs; give somebody who looks on."""
    onlooker, holder = connect(), connect(autocommit=False)
    holder.execute(LOCK)
    yield onlooker
    holder.rollback()


async def cancelled(onlooker: Connection, call: Coroutine[Any, Any, Any]) -> None:
    """Let a call wait for a lock, cancel it, and see that its backend waits for nothing any more."""
    task = asyncio.ensure_future(call)
    await until(lambda: waiting_for_a_lock(onlooker) == 1, message="it waits for a lock")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert waiting_for_a_lock(onlooker) == 0


@pytest.mark.parametrize(
    "call",
    [
        lambda client: client.insert({}, kind="dict"),
        lambda client: client.insert_many([{}] * 3, kind="dict"),
        lambda client: client.list_jobs(),
        lambda client: client.list_jobs(state="available"),
        lambda client: client.get_job(1),
        lambda client: client.queue_stats(),
        lambda client: client.cancel(1),
        lambda client: client.configure_queue("q", dlq=True),
    ],
    ids="insert insert_many list_jobs list_sealing get_job queue_stats cancel configure_queue".split(),
)
@on_a_loop
async def test_a_call(database: str, connect: Any, client: Client, call: Callable[[AsyncClient], Any]) -> None:
    job = client.insert({}, kind="dict")
    async with AsyncClient(database, max_connections=1) as ours:
        await ours.queue_stats()
        with locked(connect) as onlooker:
            await cancelled(onlooker, call(ours))
            assert busy(onlooker) == 1, "the holder of the lock alone"
        assert [each.id for each in await ours.list_jobs()] == [job.id]
        assert (await ours.cancel(job.id)).state is JobState.Cancelled


@on_a_loop
async def test_a_transaction_is_rolled_back_and_its_connection_comes_back(
    database: str, connect: Any, client: Client
) -> None:
    async with AsyncClient(database, max_connections=1) as ours:

        async def insert_two() -> None:
            async with ours.transaction() as tx:
                await tx.execute("create table mine (n int)")
                pids.append(tx.connection.info.backend_pid)
                await tx.insert({}, kind="dict")

        pids: list[int] = []
        with locked(connect) as onlooker:
            await cancelled(onlooker, insert_two())
            assert busy(onlooker) == 1
        async with ours.transaction() as tx:
            assert await tx.fetch_one("select to_regclass('mine')::text as mine") == {"mine": None}
            assert [tx.connection.info.backend_pid] == pids, "the same connection: it was in order"
        assert client.list_jobs() == []


@on_a_loop
async def test_a_time_limit_is_a_cancellation(database: str, connect: Any) -> None:
    async with AsyncClient(database, max_connections=1) as ours:
        await ours.queue_stats()
        with locked(connect), pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(ours.insert({}, kind="dict"), 0.1)
        job = await ours.insert({}, kind="dict")
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(ours.wait(job.id), 0.05)
        assert [each.id for each in await ours.list_jobs()] == [job.id]


@on_a_loop
async def test_one_cancelled_twice_loses_its_connection_and_nothing_else(database: str, connect: Any) -> None:
    async with AsyncClient(database, max_connections=1) as ours:
        await ours.queue_stats()
        with locked(connect) as onlooker:
            task = asyncio.create_task(ours.insert_many([{}], kind="dict"))
            await until(lambda: waiting_for_a_lock(onlooker) == 1)
            task.cancel()
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert await ours.list_jobs() == []


@on_a_loop
async def test_who_is_cancelled_in_the_queue_for_a_connection_leaves_the_queue(database: str) -> None:
    async with AsyncClient(database, max_connections=1) as client:
        async with client.transaction() as tx:
            await tx.insert({}, kind="dict")
            waiting = [asyncio.create_task(client.insert({"n": n}, kind="dict")) for n in range(6)]
            await asyncio.sleep(0)
            for task in waiting[::2]:
                task.cancel()
        done = await asyncio.gather(*waiting, return_exceptions=True)
        assert [isinstance(each, asyncio.CancelledError) for each in done] == [True, False] * 3
        assert len(await client.list_jobs()) == 4


@on_a_loop
async def test_who_is_cancelled_as_a_connection_is_handed_to_him_hands_it_on(database: str) -> None:
    async with AsyncClient(database, max_connections=1) as client:
        tx = client.transaction()
        await tx.insert({}, kind="dict")
        first, second = (
            asyncio.create_task(client.insert({"n": 1}, kind="dict")),
            asyncio.create_task(client.insert({"n": 2}, kind="dict")),
        )
        await asyncio.sleep(0)
        await tx.commit()  # hands the connection to the first, which has not come to run yet
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        assert (await second).args == {"n": 2}


@on_a_loop
async def test_a_pool_of_the_callers_stays_in_order(database: str, connect: Any) -> None:
    async with psycopg_pool.AsyncConnectionPool(database, min_size=1, max_size=1, open=False) as pool:
        client = AsyncClient(pool)
        await client.queue_stats()
        with locked(connect) as onlooker:
            await cancelled(onlooker, client.insert_many([{}], kind="dict"))
            await cancelled(onlooker, transacted(client.transaction()))
        async with pool.connection() as connection:
            assert not connection.autocommit
        assert await client.list_jobs() == []


async def transacted(tx: Transaction) -> None:
    async with tx:
        await tx.insert({}, kind="dict")


@on_a_loop
async def test_a_connection_of_the_callers_is_his_to_roll_back(database: str, connect: Any) -> None:
    async with await psycopg.AsyncConnection.connect(database) as callers:
        client = AsyncClient(callers)
        await client.insert({"n": 1}, kind="dict")
        await callers.commit()
        with locked(connect) as onlooker:
            await cancelled(onlooker, client.insert_many([{"n": 2}], kind="dict"))
            assert callers.info.transaction_status != psycopg.pq.TransactionStatus.IDLE
            await callers.rollback()
        assert [job.args for job in await client.list_jobs()] == [{"n": 1}]
