"""The database goes away, and comes back."""

from __future__ import annotations

from pathlib import Path
from signal import Signals
from time import monotonic

import psycopg
import pytest

from tests.fixtures.supervisor import Shop, Start
from tests.fixtures.tcpproxy import TcpProxy
from tests.fixtures.waiting import until
from tests.trouble.observe import LONG_S, endured, hold, resumed
from tests.trouble.own import END_ALL, OwnServer

pytestmark = [pytest.mark.processes, pytest.mark.postgres]

STALE_S = 3.0
OUTAGE_S = 4.0
"""More than three heartbeats of one second."""


def test_all_connections_are_ended_again_and_again(shop: Shop, supervise: Start) -> None:
    """Nothing is lost or settled twice, and a connection that can be opened again at once is not worth a word."""
    supervisor = supervise().ready()
    jobs = shop.insert_many([("nap", {"ms": 1})] * 300)
    for goal in (20, 80, 140, 200):
        until(lambda: shop.rows("select count(*) from awa.attempt_log")[0] >= goal)  # noqa: B023
        shop.db.execute(END_ALL)
    shop.until_state("completed", *jobs)
    assert shop.rows("select count(*) from awa.attempt_log group by job_id") == [1] * 300
    assert shop.rows("select id from awa.batch") == []
    assert not supervisor.events("worker.exited")
    assert not supervisor.events("supervisor.service_failed")
    assert shop.rows("select count(*) from effects")[0] == 300
    assert supervisor.stop() == 0


def test_the_server_restarts(own_server: OwnServer, supervise: Start, tmp_path: Path) -> None:
    """What was finished meanwhile is settled afterwards, the rest runs on, and it is all said once."""
    shop = Shop(own_server.dsn, tmp_path)
    supervisor = supervise(dsn=own_server.dsn, heartbeat_interval_s=2).ready()
    held = shop.insert_many([("wait", {"gate": "gate"})] * 2)
    until(lambda: shop.states(*held) == ["running"] * 2)
    idle_or_busy = supervisor.workers()
    shop.close()
    own_server.stop()
    supervisor.until_event("database.lost", process="supervisor")
    shop.open("gate")  # they finish now, and cannot say so
    own_server.start()
    shop = Shop(own_server.dsn, tmp_path)
    more = shop.insert_many([("note", {})] * 20)
    shop.until_state("completed", *held, *more, timeout=30)
    supervisor.until_event("database.connected", process="supervisor")
    assert [len(shop.attempts(job)) for job in held] == [1, 1]
    assert supervisor.workers() == idle_or_busy
    assert len(supervisor.events("database.lost", process="supervisor")) == 1
    assert len(supervisor.events("database.lost")) <= 3  # and each worker once
    assert supervisor.stop() == 0
    shop.close()


def test_the_server_crashes(own_server: OwnServer, supervise: Start, tmp_path: Path) -> None:
    """Nobody says goodbye, and the server is busy with its log for a while afterwards."""
    shop = Shop(own_server.dsn, tmp_path)
    supervisor = supervise(dsn=own_server.dsn, heartbeat_interval_s=20).ready()
    held = hold(shop)
    shop.close()
    with endured(supervisor):
        own_server.crash()
        shop.open("gate")
    own_server.start()
    shop = Shop(own_server.dsn, tmp_path)
    resumed(supervisor, shop, held)
    shop.close()


def test_the_network_is_cut(proxy: TcpProxy, shop: Shop, supervise: Start) -> None:
    """Again and again, with everything that was under way."""
    supervisor = supervise(database_url=proxy.dsn, heartbeat_interval_s=20).ready()
    held = hold(shop)
    with endured(supervisor, 8.0):
        proxy.refuse()
        proxy.cut()
        shop.open("gate")
    proxy.resume()
    shop.until_state("completed", *held, timeout=LONG_S)
    jobs = shop.insert_many([("nap", {"ms": 1})] * 300)
    for goal in (20, 80, 140):
        until(lambda: shop.rows("select count(*) from awa.attempt_log")[0] >= goal, LONG_S)  # noqa: B023
        proxy.cut()
    resumed(supervisor, shop, held, lambda shop: jobs)


def test_the_other_side_closes_one_direction(proxy: TcpProxy, shop: Shop, supervise: Start) -> None:
    supervisor = supervise(database_url=proxy.dsn, heartbeat_interval_s=20, response_timeout_s=1.0).ready()
    jobs = shop.insert_many([("nap", {"ms": 1})] * 300)
    for goal, direction in ((20, "to_client"), (80, "to_server")):
        until(lambda: shop.rows("select count(*) from awa.attempt_log")[0] >= goal, LONG_S)  # noqa: B023
        proxy.half_close(direction)  # type: ignore[arg-type]
    resumed(supervisor, shop, [], lambda shop: jobs)


def test_after_a_long_outage_nobody_is_taken_for_dead(own_server: OwnServer, supervise: Start, tmp_path: Path) -> None:
    """Every heartbeat is old then, and who comes back first must not judge by that."""
    shop = Shop(own_server.dsn, tmp_path)
    supervisors = [supervise(dsn=own_server.dsn, processes=1, heartbeat_interval_s=1).ready() for _ in range(3)]
    held = shop.insert_many([("wait", {"gate": "gate"})] * 3)
    until(lambda: shop.states(*held) == ["running"] * 3)
    nodes = shop.rows("select id from awa.node order by id")
    shop.close()
    own_server.stop()
    began = monotonic()
    until(lambda: monotonic() - began > OUTAGE_S)
    own_server.start()
    shop = Shop(own_server.dsn, tmp_path)
    for supervisor in supervisors:
        supervisor.until_event("database.connected", process="supervisor")
    back = monotonic()
    until(lambda: monotonic() - back > STALE_S)  # whoever leads judges again from here on
    shop.open("gate")
    shop.until_state("completed", *held)
    assert [len(shop.attempts(job)) for job in held] == [1, 1, 1]
    assert shop.rows("select id from awa.node order by id") == nodes
    for supervisor in supervisors:
        assert not supervisor.events("supervisor.declared_dead")
        assert not supervisor.events("rescue.node")
    shop.close()


def test_told_to_stop_while_the_database_is_away(own_server: OwnServer, supervise: Start, tmp_path: Path) -> None:
    """It does not wait for it; what its workers had finished and could not say is done again by others."""
    shop = Shop(own_server.dsn, tmp_path)
    supervisor = supervise(dsn=own_server.dsn).ready()
    shop.close()
    own_server.stop()
    supervisor.until_event("database.lost")
    assert supervisor.stop(Signals.SIGTERM, timeout=12) == 0


def test_a_duty_that_fails_does_not_keep_the_others_from_being_done(shop: Shop, supervise: Start) -> None:
    shop.db.execute("revoke delete on awa.job_archive from awa_owner")
    supervisor = supervise(processes=1).ready()
    failed = supervisor.until_event("supervisor.service_failed")
    assert failed["service"] == "retire"
    assert "permission denied for table job_archive" in failed["traceback"]
    for _ in range(3):
        job = shop.insert("once_more")
        shop.until_state("completed", job)
    assert len(supervisor.events("supervisor.service_failed")) == 1


def test_a_statement_that_is_refused_for_a_while(shop: Shop, supervise: Start) -> None:
    """A database that became read-only, as one does that is about to be replaced."""
    supervisor = supervise(processes=1).ready()
    (name,) = shop.rows("select current_database()")
    shop.db.execute(f"alter database {name} set default_transaction_read_only = on")
    shop.db.execute(END_ALL)
    lost = supervisor.until_event("database.lost")
    assert "read-only transaction" in lost["error"]
    shop.db.execute(f"alter database {name} reset default_transaction_read_only")
    shop.db.execute(END_ALL)
    job = shop.insert("note")
    shop.until_state("completed", job)
    assert not supervisor.events("worker.exited")
    with psycopg.connect(shop.dsn) as connection:
        assert connection.execute("show default_transaction_read_only").fetchone() == ("off",)
