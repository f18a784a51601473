"""Behind a pooler that lends a connection for one transaction only: no LISTEN, no settings, no prepared statements."""

from __future__ import annotations

import os
import signal

import psycopg
import pytest

import awa
from tests.fixtures.supervisor import Shop, Start
from tests.trouble.observe import LONG_S, endured, hold, resumed
from tests.trouble.pooler import Pooler

pytestmark = [pytest.mark.processes, pytest.mark.postgres]


def test_jobs_run_behind_a_transaction_pooler(pooler: Pooler, shop: Shop, supervise: Start) -> None:
    supervisor = supervise(database_url=pooler.dsn).ready()
    first = shop.insert_many([("note", {})] * 50)
    shop.until_state("completed", *first, timeout=LONG_S)
    for _ in range(5):
        shop.until_state("completed", shop.insert("noop"), timeout=LONG_S)
    again = shop.insert_many([("nap", {"ms": 1})] * 300)
    shop.until_state("completed", *again, timeout=LONG_S)
    assert shop.rows("select count(*) from effects group by job") == [1] * 350
    assert shop.rows("select count(*) from awa.idle_node") == [0]
    assert not supervisor.events("worker.exited")
    warnings = [each["warning"] for each in supervisor.events("supervisor.warning")]
    assert [warning for warning in warnings if "polling" in warning] == warnings[:1] != []
    assert supervisor.stop() == 0


def test_applications_insert_through_it(pooler: Pooler, shop: Shop) -> None:
    with awa.Client(pooler.dsn) as client:
        for number in range(20):
            client.insert({"number": number}, kind="noop")
        client.insert_many([{"number": number} for number in range(100)], kind="noop")
        assert client.queue_stats()[0].available == 120


def test_nothing_stays_behind_for_others_who_share_its_connections(
    pooler: Pooler, shop: Shop, supervise: Start
) -> None:
    supervisor = supervise(database_url=pooler.dsn).ready()
    shop.until_state("completed", shop.insert("noop"), timeout=LONG_S)
    for _ in range(20):
        with psycopg.connect(pooler.dsn, autocommit=True) as other:
            assert other.execute("show lock_timeout").fetchone() == ("0",)
            assert other.execute("select pg_listening_channels()").fetchall() == []
    assert supervisor.stop() == 0


def test_a_pooler_that_freezes(pooler: Pooler, shop: Shop, supervise: Start) -> None:
    supervisor = supervise(
        database_url=f"{pooler.dsn} connect_timeout=2", response_timeout_s=1.0, heartbeat_interval_s=20
    ).ready()
    held = hold(shop)
    with endured(supervisor, 5.0):
        os.kill(pooler.pid, signal.SIGSTOP)
        shop.open("gate")
    os.kill(pooler.pid, signal.SIGCONT)
    resumed(supervisor, shop, held)
