"""Clocks that are wrong: of the machines that work, and of the server, which is set while all run."""

from __future__ import annotations

import signal
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from awa.client.client import Client
from awa.engine import nodes
from awa.processes.clock import ServerClock
from tests.fixtures.clock import REASON, Clock
from tests.fixtures.processes import ROOT
from tests.fixtures.supervisor import Shop, Start
from tests.fixtures.waiting import until
from tests.trouble.own import OwnServer

HOUR_S = 3600


@pytest.mark.processes
@pytest.mark.postgres
@pytest.mark.parametrize("skew_s", [HOUR_S, -HOUR_S])
def test_a_worker_goes_by_the_servers_clock(shop: Shop, supervise: Start, skew_s: int) -> None:
    """Two hours from one end to the other: jobs start in time, are not put aside, and end at the right moment."""
    path = f"{ROOT}/tests/chaos/skew:{ROOT}"
    now = datetime.now(timezone.utc)
    with Client(shop.dsn) as client:
        jobs = [
            client.insert({}, kind="note", expires_at=now + timedelta(minutes=30)).id,
            client.insert({}, kind="note", run_at=now - timedelta(minutes=5), unique_opts={"by_args": True}).id,
        ]
    boom, die = shop.insert("boom", max_attempts=1), shop.insert("die", {"signal": int(signal.SIGKILL)}, max_attempts=1)
    supervisor = supervise(processes=1, env={"PYTHONPATH": path, "CHAOS_SKEW_S": str(skew_s)}).ready()
    shop.until_state("completed", *jobs)
    shop.until_state("failed", boom, die)
    for job in (*jobs, boom, die):
        (attempt,) = shop.attempts(job)
        for moment in (attempt["started_at"], attempt["finished_at"]):
            assert abs(moment - now) < timedelta(minutes=5), (job, moment)
        if attempt["error"] is not None:
            at = datetime.fromisoformat(attempt["error"]["at"].replace("Z", "+00:00"))
            assert abs(at - now) < timedelta(minutes=5)
    assert supervisor.stop() == 0


def test_the_servers_clock_lies_between_two_bounds() -> None:
    clock = ServerClock()
    clock.ahead_us = 0
    clock.learn(1_000_000, asked_us=100, answered_us=200)
    assert clock.ahead_us == 999_800
    clock.learn(1_000_000 + 60_000_000, asked_us=150, answered_us=60_000_200)  # its answer was long on its way
    assert clock.ahead_us >= 60_999_800 - 60_000_000
    clock.learn(5_000, asked_us=70_000_000, answered_us=70_000_100)  # it was set back
    assert clock.ahead_us == 5_000 - 70_000_000


@pytest.mark.processes
@pytest.mark.postgres
@pytest.mark.skipif(REASON is not None, reason=REASON or "")
def test_a_step_of_the_servers_clock_harms_nobody(own_server: OwnServer, supervise: Start, tmp_path: Path) -> None:
    """A step deposes no leader and has no live node rescued; and one that dies behind it is rescued all the same."""
    clock = Clock(own_server.path.parent)
    own_server.stop()
    with clock.preloaded():
        own_server.start()
    dsn = own_server.dsn
    shop = Shop(dsn, tmp_path)
    first = supervise(dsn=dsn, processes=1).ready()
    first.until_event("lead.elected")
    second = supervise(dsn=dsn, processes=1).ready()
    gated = [shop.insert("step", {"gate": "open"}) for _ in range(2)]
    for job in gated:
        shop.until_effect("waiting", job)
    for step_s in (HOUR_S, -2 * HOUR_S):
        clock.step(step_s)
        shown = datetime.fromtimestamp(nodes.clock_us(shop.db) / 1e6, timezone.utc)
        assert abs(shown - datetime.now(timezone.utc) - timedelta(seconds=step_s)) < timedelta(minutes=1)
        before = nodes.beats(shop.db)
        until(lambda seen=before: all(n >= seen[node] + 8 for node, n in nodes.beats(shop.db).items()))
    for supervisor in (first, second):
        assert not supervisor.events("rescue.node")
        assert not supervisor.events("lead.lost")
        assert not supervisor.events("supervisor.declared_dead")
    assert not second.events("lead.elected")
    for process in first.family():
        process.send_signal(signal.SIGSTOP)  # silent, with its connections open
    second.until_event("lead.elected")
    second.until_event("rescue.node")
    first.close()
    shop.open("open")
    shop.until_state("completed", *gated)
    shop.db.close()
