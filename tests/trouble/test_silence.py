"""The database is connected and says nothing: a network, proxy or pooler that hangs, or a machine that is frozen."""

from __future__ import annotations

from time import monotonic

import pytest

from tests.fixtures.supervisor import Shop, Start
from tests.fixtures.tcpproxy import TcpProxy
from tests.fixtures.waiting import until
from tests.trouble.observe import endured

pytestmark = [pytest.mark.processes, pytest.mark.postgres]

RESPONSE_TIMEOUT_S = 1.0
LONG_S = 45.0
A_MOMENT_S = 0.8
SILENT = ("no answer from the server", "cannot connect")
"""The second where the server was the first to give up, in the middle of a transaction, and a new try is as silent."""
SILENCE_S = 5.0
"""More than the three heartbeats after which a node is taken for dead."""


def dsn_of(proxy: TcpProxy) -> str:
    """The application's handlers reach the database another way; only Awa goes through the proxy."""
    return f"{proxy.dsn} connect_timeout=2"


@pytest.mark.parametrize("direction", ["both", "to_server", "to_client"])
def test_silence_is_left_behind(proxy: TcpProxy, shop: Shop, supervise: Start, direction: str) -> None:
    """Everybody gives up and tries anew; what was finished meanwhile is settled afterwards, once."""
    supervisor = supervise(
        database_url=dsn_of(proxy), response_timeout_s=RESPONSE_TIMEOUT_S, heartbeat_interval_s=20
    ).ready()
    held = shop.insert_many([("wait", {"gate": "gate"})] * 2)
    until(lambda: shop.states(*held) == ["running"] * 2, LONG_S)
    with endured(supervisor, 5.0, process="supervisor"):
        proxy.stall(direction)  # type: ignore[arg-type]
        shop.open("gate")
    assert supervisor.events("database.lost", process="supervisor")[0]["error"].startswith(SILENT)
    if direction != "to_client":  # there the server may have done what it was told, and nobody knows
        assert shop.states(*held) == ["running"] * 2
    proxy.resume()
    more = shop.insert_many([("note", {})] * 20)
    shop.until_state("completed", *held, *more, timeout=LONG_S)
    supervisor.until_event("database.connected", process="supervisor", timeout=LONG_S)
    assert [len(shop.attempts(job)) for job in held] == [1, 1]
    assert not supervisor.events("settle.refused")
    assert shop.rows("select count(*) from effects group by job") == [1] * 20
    assert shop.rows("select id from awa.batch") == []
    assert supervisor.stop() == 0


def test_after_a_silence_nobody_is_taken_for_dead(proxy: TcpProxy, shop: Shop, supervise: Start) -> None:
    """Nothing broke, so nobody was told; every heartbeat is old, and one node gets through before the others do."""
    with TcpProxy.to(shop.dsn) as others:
        settings = {"processes": 1, "heartbeat_interval_s": 1}
        supervisors = [supervise(database_url=dsn_of(way), **settings).ready() for way in (proxy, others, others)]
        held = shop.insert_many([("wait", {"gate": "gate"})] * 3)
        until(lambda: shop.states(*held) == ["running"] * 3, LONG_S)
        nodes = shop.rows("select id from awa.node order by id")
        pause(SILENCE_S)  # from here on whoever leads may judge
        for way in (others, proxy):
            way.stall()
        pause(SILENCE_S)
        for way in (proxy, others):
            way.resume()
            pause(A_MOMENT_S)
        pause(SILENCE_S)
        shop.open("gate")
        shop.until_state("completed", *held, timeout=LONG_S)
        assert [len(shop.attempts(job)) for job in held] == [1, 1, 1]
        assert shop.rows("select id from awa.node order by id") == nodes
        for supervisor in supervisors:
            assert not supervisor.events("rescue.node")


def pause(seconds: float) -> None:
    """Let time pass: what is tested here is that nothing happens."""
    began = monotonic()
    until(lambda: monotonic() - began > seconds, LONG_S)


def test_connections_that_are_silent_for_good(proxy: TcpProxy, shop: Shop, supervise: Start) -> None:
    """As after a cut that nobody was told of: only new connections work. The old ones are given up."""
    supervisor = supervise(
        database_url=dsn_of(proxy), response_timeout_s=RESPONSE_TIMEOUT_S, heartbeat_interval_s=20
    ).ready()
    jobs = shop.insert_many([("nap", {"ms": 2})] * 200)
    until(lambda: shop.rows("select count(*) from awa.attempt_log")[0] >= 20, LONG_S)
    for _ in range(2):
        proxy.freeze()
        shop.insert("note")
        until(lambda: shop.states(*jobs) == ["completed"] * 200 or proxy.connections > proxy.frozen, LONG_S)
    shop.until_state("completed", *jobs, timeout=LONG_S)
    assert shop.rows("select count(*) from awa.attempt_log where job_id = any (%s) group by job_id", jobs) == [1] * 200
    assert not supervisor.events("worker.exited")
    assert supervisor.stop() == 0
