"""Where an asynchronous client's connections come from, and which event loop and process they belong to."""

import asyncio
import gc
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import psycopg_pool
import pytest
from psycopg.rows import dict_row, kwargs_row

from awa import AsyncClient, DatabaseError, JobState
from awa.database.aio import pool as aio_pool
from tests.client.loops import on_a_loop, until
from tests.client.test_async_cancel import LOCK
from tests.client.test_fork import in_child
from tests.fixtures.waiting import until as wait_until

Connection = psycopg.Connection[Any]
IDLE = psycopg.pq.TransactionStatus.IDLE


def backends(onlooker: Connection) -> int:
    row = onlooker.execute(
        "select count(*) from pg_stat_activity where datname = current_database() and application_name = 'awa client'"
    ).fetchone()
    assert row is not None
    return int(row[0])


def jobs_seen_by(onlooker: Connection) -> int:
    row = onlooker.execute("select count(*) from awa.job_log").fetchone()
    assert row is not None
    return int(row[0])


def script(database: str, code: str) -> tuple[int, str]:
    """Run a script, with all warnings; return its exit code and what it complained of."""
    env = {**os.environ, "DATABASE_URL": database}
    done = subprocess.run([sys.executable, "-X", "dev", "-c", code], env=env, stderr=subprocess.PIPE, check=False)
    return done.returncode, done.stderr.decode()


async def backend(client: AsyncClient) -> int:
    async with client.transaction() as tx:
        return tx.connection.info.backend_pid


# Its own connections


@on_a_loop
async def test_nothing_is_connected_before_the_first_use(database: str, connection: Connection) -> None:
    async with AsyncClient(database) as client:
        assert backends(connection) == 0
        await client.list_jobs()
        assert backends(connection) == 1
    await until(lambda: backends(connection) == 0, message="the client's connection is closed")


@on_a_loop
async def test_fifty_tasks_on_five_connections(database: str, connection: Connection) -> None:
    async with AsyncClient(database, max_connections=5) as client:

        async def produce(n: int) -> None:
            for _ in range(4):
                await client.insert({"n": n}, kind="a")
                await client.insert_many([{"n": n}] * 5, kind="b")
                async with client.transaction() as tx:
                    await tx.insert({"n": n}, kind="c")
                await client.list_jobs(limit=3)

        await asyncio.gather(*(produce(n) for n in range(50)))
        assert backends(connection) == 5
        assert jobs_seen_by(connection) == 50 * 4 * 7


@on_a_loop
async def test_they_are_lent_in_the_order_of_asking(database: str) -> None:
    async with AsyncClient(database, max_connections=1) as client:
        order: list[str] = []

        async def greedy() -> None:
            for _ in range(5):
                await client.queue_stats()
                order.append("greedy")

        async def modest() -> None:
            await client.queue_stats()
            order.append("modest")

        await asyncio.gather(greedy(), modest())
        assert order.index("modest") == 1


@on_a_loop
async def test_waiting_too_long_for_one_says_what_to_do(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aio_pool, "WAIT_S", 0.05)
    async with AsyncClient(database, max_connections=1) as client:
        async with client.transaction() as tx:
            await tx.insert({}, kind="dict")
            with pytest.raises(DatabaseError, match="all 1 connections of this client were in use.*max_connections"):
                await client.insert({}, kind="dict")
        assert len(await client.list_jobs()) == 1


@on_a_loop
async def test_one_that_died_idle_is_replaced_unseen(database: str, connection: Connection) -> None:
    async with AsyncClient(database, max_connections=1) as client:
        before = await backend(client)
        connection.execute("select pg_terminate_backend(%s, 5000)", [before])
        assert await backend(client) != before


@on_a_loop
async def test_those_long_idle_are_closed(
    database: str, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with AsyncClient(database) as client:
        async with client.transaction() as a, client.transaction() as b:
            await asyncio.gather(a.insert({}, kind="dict"), b.insert({}, kind="dict"))
        assert backends(connection) == 2
        monkeypatch.setattr(aio_pool, "IDLE_S", -1.0)
        await client.list_jobs()
        await until(lambda: backends(connection) == 0)


@on_a_loop
async def test_connecting_fails_and_later_succeeds(database: str, connection: Connection) -> None:
    name = connection.info.dbname
    async with AsyncClient(database, max_connections=1) as client:
        connection.execute(f"alter database {name} connection limit 0")
        for _ in range(3):  # more often than there are connections: none is lost
            with pytest.raises(DatabaseError, match="too many connections"):
                await client.insert({}, kind="dict")
        connection.execute(f"alter database {name} connection limit -1")
        assert (await client.insert({}, kind="dict")).state is JobState.Available


# Event loops


def test_each_of_several_loops_one_after_another(database: str, connection: Connection) -> None:
    client = AsyncClient(database)
    pids = [asyncio.run(backend(client)) for _ in range(3)]
    assert len(set(pids)) == 3
    wait_until(lambda: backends(connection) == 1, message="those of loops that have ended are closed at the next use")
    asyncio.run(client.close())
    wait_until(lambda: backends(connection) == 0, message="all are closed")


def test_several_loops_at_the_same_time(database: str) -> None:
    client = AsyncClient(database, max_connections=2)
    together = threading.Barrier(4, timeout=20)

    async def produce() -> int:
        together.wait()
        await asyncio.gather(*(client.insert({}, kind="dict") for _ in range(20)))
        return await backend(client)

    with ThreadPoolExecutor(4) as threads:
        pids = [each.result() for each in [threads.submit(asyncio.run, produce()) for _ in range(4)]]
    assert len(set(pids)) == 4
    assert len(asyncio.run(client.list_jobs())) == 80
    asyncio.run(client.close())


def test_a_loop_that_ends_in_the_middle_of_a_call_harms_nobody(database: str, connect: Any) -> None:
    client = AsyncClient(database, max_connections=1)
    holder, onlooker = connect(autocommit=False), connect()
    holder.execute(LOCK)
    loop = asyncio.new_event_loop()
    task = loop.create_task(client.insert({}, kind="dict"))
    waits = "select 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
    while not onlooker.execute(waits).fetchone():
        loop.run_until_complete(asyncio.sleep(0.005))
    loop.close()
    loop.set_exception_handler(lambda *_: None)  # "Task was destroyed but it is pending": that is what we do
    del task
    gc.collect()
    holder.rollback()
    assert asyncio.run(client.insert({"n": 2}, kind="dict")).args == {"n": 2}
    asyncio.run(client.close())


def test_a_client_nobody_closes_leaves_quietly(database: str, connection: Connection) -> None:
    once = "asyncio.run(client.insert({}, kind='dict'))"
    code = f"import asyncio, awa\nclient = awa.AsyncClient()\nfor _ in range(2): {once}"
    assert script(database, code) == (0, "")
    assert jobs_seen_by(connection) == 2


# Forks


@pytest.mark.processes
def test_a_child_has_connections_of_its_own_and_the_parent_keeps_its(database: str) -> None:
    client = AsyncClient(database)
    loop = asyncio.new_event_loop()
    before = loop.run_until_complete(backend(client))

    def child() -> int:
        theirs = asyncio.run(backend(client))
        asyncio.run(client.close())
        gc.collect()
        return theirs

    for _ in range(2):
        theirs = in_child(child)
        assert theirs.isdecimal(), theirs
        assert int(theirs) != before
    assert loop.run_until_complete(backend(client)) == before
    loop.run_until_complete(client.close())
    loop.close()


@pytest.mark.processes
def test_an_orderly_end_of_a_child_leaves_the_parents_transaction_alone(database: str) -> None:
    code = """
import asyncio, os, sys, awa
client = awa.AsyncClient()
loop = asyncio.new_event_loop()
do = loop.run_until_complete
tx = client.transaction()
do(tx.insert({}, kind="dict"))
before = tx.connection.info.backend_pid
child = os.fork()
if not child:
    asyncio.run(client.insert({}, kind="dict"))
    sys.exit(0)  # through all an interpreter does at its end
assert os.waitpid(child, 0)[1] == 0
assert tx.connection.info.backend_pid == before
do(tx.insert({}, kind="dict"))
do(tx.commit())
assert len(do(client.list_jobs())) == 3
do(client.close())
loop.close()
"""
    exit_code, said = script(database, code)  # the child's may be that connections of the parent are open
    assert exit_code == 0, said


@pytest.mark.processes
def test_what_is_the_parents_is_refused_in_a_child(database: str) -> None:
    loop = asyncio.new_event_loop()
    callers = loop.run_until_complete(psycopg.AsyncConnection.connect(database))
    client = AsyncClient(callers)
    loop.run_until_complete(client.insert({}, kind="dict"))
    for use in (lambda: client.insert({}, kind="dict"), client.list_jobs, lambda: client.transaction().__aenter__()):
        said = in_child(lambda: asyncio.run(use()))  # noqa: B023 - called at once
        assert said.startswith(f"DatabaseError: this client was made from a connection of process {os.getpid()}"), said
    loop.run_until_complete(callers.close())
    loop.close()


@pytest.mark.processes
def test_a_client_of_a_pool_opens_its_own_connections_in_a_child(database: str) -> None:
    loop = asyncio.new_event_loop()

    async def made() -> psycopg_pool.AsyncConnectionPool[Any]:
        pool = psycopg_pool.AsyncConnectionPool(database, min_size=1, max_size=2, open=False)
        await pool.open(wait=True)
        return pool

    pool = loop.run_until_complete(made())
    client = AsyncClient(pool)
    before = loop.run_until_complete(backend(client))
    theirs = in_child(lambda: asyncio.run(backend(client)))
    assert theirs.isdecimal(), theirs
    assert int(theirs) != before
    assert loop.run_until_complete(client.list_jobs()) == []
    loop.run_until_complete(pool.close())
    loop.close()


# A pool of the caller's


@on_a_loop
async def test_a_pool_of_the_callers_is_used_and_left_as_it_was(database: str, connection: Connection) -> None:
    kwargs = {"row_factory": dict_row}
    async with psycopg_pool.AsyncConnectionPool(database, min_size=1, max_size=3, kwargs=kwargs, open=False) as pool:
        client = AsyncClient(pool)
        await asyncio.gather(*(client.insert_many([{"n": n}] * 3, kind="dict") for n in range(20)))
        async with client.transaction() as tx:
            await tx.insert({}, kind="dict")
            assert (await tx.fetch_one("select 1 as n")) == {"n": 1}
        assert backends(connection) == 0
        assert (await client.cancel((await client.list_jobs())[0].id)).state is JobState.Cancelled
        await client.close()
        async with pool.connection() as theirs:
            assert (theirs.autocommit, theirs.row_factory) == (False, dict_row)
            assert theirs.isolation_level is None
        assert jobs_seen_by(connection) == 61


# A connection of the caller's


@pytest.fixture(params=["plain", "dict rows", "kwargs rows", "server cursor", "binary"])
def options(request: pytest.FixtureRequest) -> dict[str, Any]:
    """How the caller may have set up a connection."""
    ways: dict[str, dict[str, Any]] = {
        "plain": {},
        "dict rows": {"row_factory": dict_row},
        "kwargs rows": {"row_factory": kwargs_row(dict)},
        "server cursor": {"cursor_factory": psycopg.AsyncRawCursor},
        "binary": {"prepare_threshold": 0},
    }
    return ways[request.param]


@on_a_loop
async def test_it_joins_the_callers_transaction_and_never_commits(
    database: str, connection: Connection, options: dict[str, Any]
) -> None:
    async with await psycopg.AsyncConnection.connect(database, **options) as callers:
        client = AsyncClient(callers)
        job = await client.insert({"a": 1}, kind="dict", tags=["t"], metadata={"m": 1})
        assert (await client.insert_many([{"n": 1}] * 3, kind="dict")).inserted == 3
        assert [each.kind for each in await client.insert_many_copy([{}], kind="dict")] == ["dict"]
        assert await client.get_job(job.id) == job
        assert len(await client.list_jobs(kind="dict")) == 5
        await client.close()
        assert (callers.closed, jobs_seen_by(connection)) == (False, 0)
        await callers.rollback()
        assert jobs_seen_by(connection) == 0
        client = AsyncClient(callers)
        job = await client.insert({}, kind="dict")
        await client.insert_many([{}], kind="dict")
        await callers.commit()
        assert jobs_seen_by(connection) == 2
        assert (await client.cancel(job.id)).state is JobState.Cancelled
        assert callers.isolation_level is None


@on_a_loop
async def test_a_bulk_insert_that_begins_the_callers_transaction_does_not_commit_it(
    database: str, connection: Connection
) -> None:
    async with await psycopg.AsyncConnection.connect(database) as callers:
        await AsyncClient(callers).insert_many([{}], kind="dict")
        assert callers.info.transaction_status != IDLE
        assert jobs_seen_by(connection) == 0
        await callers.commit()
        assert jobs_seen_by(connection) == 1


@on_a_loop
async def test_a_refused_bulk_insert_leaves_the_callers_transaction_usable(
    database: str, connection: Connection
) -> None:
    async with await psycopg.AsyncConnection.connect(database) as callers:
        client = AsyncClient(callers)
        await client.insert({}, kind="dict")
        with pytest.raises(Exception, match="args"):
            await client.insert_many([*[{}] * 20_000, {"a": {1}}])
        await callers.commit()
        assert jobs_seen_by(connection) == 1


@on_a_loop
async def test_inside_the_callers_block_a_transaction_is_a_savepoint(database: str, connection: Connection) -> None:
    async with await psycopg.AsyncConnection.connect(database, autocommit=True) as callers:
        client = AsyncClient(callers)
        async with callers.transaction():
            async with client.transaction() as tx:
                await tx.insert({}, kind="dict")
            async with client.transaction() as tx:
                await tx.insert({}, kind="dict")
                await tx.rollback()
            assert jobs_seen_by(connection) == 0
        assert jobs_seen_by(connection) == 1


@on_a_loop
async def test_calls_gathered_on_one_connection_take_turns(database: str, connection: Connection) -> None:
    async with await psycopg.AsyncConnection.connect(database) as callers:
        client = AsyncClient(callers)
        await asyncio.gather(*(client.insert_many([{"n": n}] * 3, kind="dict") for n in range(20)))
        await callers.commit()
        assert jobs_seen_by(connection) == 60


Call = Callable[[AsyncClient], Coroutine[Any, Any, Any]]


@pytest.mark.parametrize(
    "call", [lambda client: client.insert({}, kind="dict"), lambda client: client.insert_many([{}], kind="dict")]
)
@on_a_loop
async def test_a_failed_transaction_of_the_callers_says_to_roll_back(database: str, call: Call) -> None:
    async with await psycopg.AsyncConnection.connect(database) as callers:
        with pytest.raises(psycopg.errors.UndefinedTable):
            await callers.execute("select * from nowhere")
        with pytest.raises(DatabaseError, match="the transaction has failed already; roll it back"):
            await call(AsyncClient(callers))
        await callers.rollback()
