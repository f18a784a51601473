"""The connection breaks between a commit and its answer."""

from __future__ import annotations

import asyncio
import pickle
import threading
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from awa import AsyncClient, Client, DatabaseError, JobNotFound, JobState, OutcomeUnknown
from tests.fixtures.tcpproxy import TcpProxy
from tests.fixtures.waiting import until

pytestmark = pytest.mark.postgres

HOLD = """
create function public.hold() returns trigger language plpgsql as
$$begin perform pg_advisory_xact_lock_shared(7); return null; end$$;
create constraint trigger hold after insert on awa.job_log deferrable initially deferred
for each row execute function public.hold()
"""
"""A commit waits for whoever has the lock."""
HELD = "pg_locks join pg_database d on d.oid = database and d.datname = current_database() where not granted"
WAITING = f"select from {HELD}"


@pytest.fixture
def proxy(database: str) -> Iterator[TcpProxy]:
    with TcpProxy.to(database) as proxy:
        yield proxy


@pytest.fixture
def gate(database: str) -> Iterator[psycopg.Connection[Any]]:
    """A session at which commits of jobs wait."""
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(HOLD)
        connection.execute("select pg_advisory_lock(7)")
        yield connection


def count(connection: psycopg.Connection[Any]) -> int:
    (found,) = connection.execute("select count(*) from awa.job_log").fetchone() or (0,)
    return int(found)


def lost(call: Callable[[], Any], proxy: TcpProxy, gate: psycopg.Connection[Any], *, committed: int) -> BaseException:
    """Return what `call` raises when its connection breaks at the commit: of `committed` jobs, or before (0)."""
    raised: list[BaseException] = []

    def run() -> None:
        try:
            call()
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    until(lambda: gate.execute(WAITING).fetchone() is not None)
    proxy.stall("to_client")
    if committed:
        gate.execute("select pg_advisory_unlock(7)")
        until(lambda: count(gate) == committed)
    proxy.cut()
    thread.join(30)
    assert raised, "nothing was raised"
    return raised[0]


def in_transaction(client: Client) -> None:
    with client.transaction() as tx:
        tx.insert({}, kind="k")


def from_async(client: Client, dsn: str) -> None:
    async def insert() -> None:
        async with AsyncClient(dsn) as own:
            await own.insert_many([{}] * 3, kind="k")

    asyncio.run(insert())


@pytest.mark.parametrize(
    ("call", "jobs", "said"),
    [
        (lambda client, dsn: client.insert({}, kind="k"), 1, "the job of kind 'k' was inserted: .*list_jobs"),
        (lambda client, dsn: client.insert({}, kind="k", unique_opts={}), 1, "again with the same unique_opts"),
        (lambda client, dsn: client.insert_many([{}] * 3, kind="k"), 3, "whether 3 jobs were inserted"),
        (lambda client, dsn: client.insert_many_copy([{}] * 3, kind="k"), 3, "whether 3 jobs were inserted"),
        (lambda client, dsn: in_transaction(client), 1, "whether the transaction was committed"),
        (from_async, 3, "whether 3 jobs were inserted"),
        (lambda client, dsn: Client(autocommitting(dsn)).insert({}, kind="k"), 1, "the job of kind 'k' was inserted"),
    ],
)
def test_a_commit_that_nobody_answered_is_said_to_be_unknown(
    client: Client, proxy: TcpProxy, gate: psycopg.Connection[Any], call: Any, jobs: int, said: str
) -> None:
    with Client(proxy.dsn) as remote:
        error = lost(lambda: call(remote, proxy.dsn), proxy, gate, committed=jobs)
    assert isinstance(error, OutcomeUnknown), error
    assert not isinstance(error, DatabaseError)
    assert error.__cause__ is not None
    with pytest.raises(OutcomeUnknown, match=said):
        raise pickle.loads(pickle.dumps(error))
    if error.job_ids:
        assert len(error.job_ids) == jobs
        assert client.get_job(error.job_ids[0]).state is JobState.Available


def test_of_jobs_that_were_not_committed_the_ids_find_nothing(
    client: Client, proxy: TcpProxy, gate: psycopg.Connection[Any]
) -> None:
    with Client(proxy.dsn) as remote:
        error = lost(lambda: remote.insert_many([{}] * 3, kind="k"), proxy, gate, committed=0)
    assert isinstance(error, OutcomeUnknown)
    gate.execute("select pg_terminate_backend(pid) from " + HELD)  # it does not see that its client is gone
    until(lambda: gate.execute(WAITING).fetchone() is None)
    assert len(error.job_ids) == 3
    with pytest.raises(JobNotFound):
        client.get_job(error.job_ids[0])


def test_inserts_of_a_transaction_that_breaks_before_its_commit_are_known_to_be_undone(
    client: Client, proxy: TcpProxy
) -> None:
    with Client(proxy.dsn) as remote:
        transaction = remote.transaction()
        transaction.insert({}, kind="k")
        proxy.cut()
        with pytest.raises(DatabaseError, match="could not insert a job"):
            transaction.insert({}, kind="k")
    assert client.list_jobs() == []


def autocommitting(dsn: str) -> psycopg.Connection[Any]:
    return psycopg.connect(dsn, autocommit=True)
