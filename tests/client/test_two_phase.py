"""Two-phase commit: a transaction that inserts jobs is prepared while workers are idle."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest

from awa import AsyncClient, Client, ValidationError
from awa.bridge import insert_job_sync
from tests.fixtures.supervisor import Shop, Supervisor
from tests.fixtures.waiting import until

pytestmark = pytest.mark.postgres

Insert = Callable[[psycopg.Connection[Any]], Any]


@pytest.fixture
def prepared(database: str) -> Iterator[psycopg.Connection[Any]]:
    """A connection with a transaction that is going to be prepared; whatever is prepared in the end is undone."""
    with closing(psycopg.connect(database)) as connection:
        connection.tpc_begin(connection.info.dbname)  # such names are the server's, which other tests share
        yield connection
    with psycopg.connect(database) as left:
        if any(xid.gtrid == left.info.dbname for xid in left.tpc_recover()):
            left.tpc_rollback(left.info.dbname)


@pytest.fixture
def idle(database: str, connection: psycopg.Connection[Any]) -> None:
    """A node with an idle worker, by what the database knows."""
    connection.execute("""
        with made as (insert into awa.node (name, pid, version) values ('here', 1, '1') returning id)
        insert into awa.idle_node (node_id) select id from made""")


def ways(database: str) -> dict[str, Insert]:
    """What inserts one job or more without waking anybody, by name."""
    quiet, plain = Client(database, wake=False), Client(database)
    sql = "select awa.insert_job('k', opts => '{\"wake\": false}')"
    many = """select awa.insert_jobs('[{"kind": "k", "wake": false}, {"kind": "k", "wake": false}]')"""
    return {
        "insert": lambda c: plain.insert({}, kind="k", connection=c, wake=False),
        "insert_many": lambda c: plain.insert_many([{}, {}], kind="k", connection=c, wake=False),
        "copy": lambda c: Client(c).insert_many([{}] * 1_000, kind="k", wake=False),
        "opts": lambda c: Client(c).insert_many([{}], kind="k", opts=[{"wake": False}]),
        "a client's": lambda c: quiet.insert({}, kind="k", connection=c),
        "bridge": lambda c: insert_job_sync(c, {}, kind="k", wake=False),
        "function": lambda c: c.execute(sql),
        "function of many": lambda c: c.execute(many),
    }


@pytest.mark.usefixtures("idle")
@pytest.mark.parametrize("way", ways("postgresql://").keys())
def test_a_transaction_that_wakes_nobody_can_be_prepared(
    database: str, prepared: psycopg.Connection[Any], way: str
) -> None:
    ways(database)[way](prepared)
    prepared.tpc_prepare()
    prepared.tpc_commit()
    with Client(database) as client:
        assert {job.kind for job in client.list_jobs()} == {"k"}


@pytest.mark.usefixtures("idle")
def test_the_environment_says_it_for_all(
    database: str, prepared: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWA_WAKE", "off")
    with Client(database) as client:
        client.insert({}, kind="k", connection=prepared)
        client.insert_many([{}], kind="k", connection=prepared)
    insert_job_sync(prepared, {}, kind="k")
    prepared.tpc_prepare()
    prepared.tpc_commit()
    assert not AsyncClient(database).registry.wakes


@pytest.mark.usefixtures("idle")
@pytest.mark.parametrize("environment", ["", "on", "off"])
def test_what_a_call_says_counts_more(
    database: str, prepared: psycopg.Connection[Any], environment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWA_WAKE", environment)
    with Client(database, wake=False) as client:
        client.insert({}, kind="k", connection=prepared, wake=True)
    with pytest.raises(psycopg.errors.FeatureNotSupported, match="NOTIFY"):
        prepared.tpc_prepare()


def test_what_is_neither_on_nor_off_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWA_WAKE", "of")
    with pytest.raises(ValidationError, match=r"AWA_WAKE='of'; it must be on \(the default\) or off"):
        Client("postgresql://")
    monkeypatch.delenv("AWA_WAKE")
    with pytest.raises(ValidationError, match=r"wake is 'off'; it must be True, False or None"):
        Client("postgresql://", wake="off")  # type: ignore[arg-type]
    with pytest.raises(ValidationError, match=r"wake is 0; it must be"):
        Client("postgresql://").insert({}, kind="k", wake=0)  # type: ignore[arg-type]


def test_an_asynchronous_insert_wakes_nobody_either(database: str, idle: None) -> None:
    async def main() -> None:
        async with await psycopg.AsyncConnection.connect(database) as connection:
            await connection.tpc_begin(connection.info.dbname)
            await AsyncClient(database).insert({}, kind="k", connection=connection, wake=False)
            await connection.tpc_prepare()
            await connection.tpc_commit()

    asyncio.run(main())


def test_an_idle_worker_runs_it_after_the_commit(
    database: str, prepared: psycopg.Connection[Any], tmp_path: Path
) -> None:
    shop = Shop(database, tmp_path)
    supervisor = Supervisor(tmp_path, {"SHOP_DSN": database, "SHOP_GATES": str(tmp_path)}, "supervisor")
    try:
        supervisor.ready()
        until(lambda: shop.rows("select from awa.idle_node"), message="the node is idle")
        with Client(database, wake=False) as client:
            job = client.insert({}, kind="note", connection=prepared)
        prepared.tpc_prepare()
        assert shop.states(job.id) == []
        prepared.tpc_commit()
        until(lambda: shop.states(job.id) == ["completed"], message="the job is completed")
        assert shop.effects(job.id) == ["ran"]
    finally:
        supervisor.close()
        shop.close()
