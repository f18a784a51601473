"""Several supervisors on one database: one leads, all work, and the jobs of one that is gone go to the others."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator

import psutil
import pytest

from tests.fixtures.processes import until_dead
from tests.fixtures.supervisor import Shop, Start, Supervisor
from tests.fixtures.waiting import until
from tests.supervisor.test_dying_workers import lease_with_a_stop

pytestmark = [pytest.mark.processes, pytest.mark.postgres]


@pytest.fixture
def frozen() -> Iterator[list[psutil.Process]]:
    """Processes that were stopped; nobody could end them otherwise."""
    processes: list[psutil.Process] = []
    yield processes
    thaw(processes)


IS_AT_IT = """select exists (select from pg_stat_activity
where datname = current_database() and application_name = 'awa leader' and state <> 'idle')"""


def freeze(shop: Shop, supervisor: Supervisor, frozen: list[psutil.Process]) -> None:
    """Stop a supervisor with all its processes, as a paused virtual machine does.

    Not while it leads and makes or drops a segment: whoever reads jobs would wait a minute for what it has locked.
    """
    frozen += supervisor.family()
    running = [process for process in frozen if process.status() != psutil.STATUS_STOPPED]

    def is_done() -> bool:
        for process in running:
            process.suspend()
        if shop.rows(IS_AT_IT) == [False]:
            return True
        thaw(running)
        return False

    until(is_done, message="the leader has no transaction open")


def thaw(frozen: list[psutil.Process]) -> None:
    """Let them go on, those that still exist."""
    for process in frozen:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.resume()


def test_a_killed_supervisor_takes_its_workers_along_and_is_rescued(shop: Shop, supervise: Start) -> None:
    first = supervise(processes=1).ready()
    before, running, behind = lease_with_a_stop(shop, first, "gate")
    second = supervise(processes=1).ready()
    family = [process.pid for process in first.family()]
    first.send(signal.SIGKILL)
    until_dead(*family)
    shop.open("gate")
    shop.until_state("completed", *before, running, *behind)
    spent, done = shop.attempts(running)
    assert (spent["outcome"], done["outcome"]) == ("retryable", "completed")
    assert spent["error"]["error"] == "heartbeat stale: node presumed dead"
    assert spent["error"]["type"] == "NodeLost"
    assert {shop.job(job)["attempt"] for job in before + behind} == {1}
    assert shop.effects(running) == ["waiting", "waiting", "ran"]
    assert second.until_event("rescue.node")["workers"] == 1
    assert shop.rows("select pid from awa.node") == [second.pid]


def test_declared_dead_and_alive_all_the_same(shop: Shop, supervise: Start, frozen: list[psutil.Process]) -> None:
    """What it still did after it had been declared dead counts for nothing, and it starts afresh."""
    first = supervise(processes=1).ready()
    _, running, behind = lease_with_a_stop(shop, first, "gate")
    (zombie,) = first.workers()
    second = supervise(processes=1).ready()
    freeze(shop, first, frozen)
    second.until_event("rescue.node")
    shop.open("gate")
    shop.until_state("completed", running, *behind)
    psutil.Process(zombie).resume()  # before its supervisor could tell it
    until_dead(zombie)
    thaw(frozen)
    first.until_event("supervisor.declared_dead")
    first.until_event("worker.exited", pid=zombie)
    until(first.workers)
    assert first.events("settle.refused") or shop.effects(running) == ["waiting", "waiting", "ran"]
    assert all(shop.effects(job) == ["ran"] for job in behind)  # it did not go on with what others had by then
    completed = shop.rows("select count(*) from awa.attempt_log where outcome = 3 group by job_id")
    assert set(completed) == {1}
    assert [attempt["outcome"] for attempt in shop.attempts(running)] == ["retryable", "completed"]
    nodes = shop.rows("select pid from awa.node")
    assert sorted(nodes) == sorted([first.pid, second.pid])
    assert second.stop() == 0
    job = shop.insert("note")
    shop.until_state("completed", job)  # by the one that came back
    assert first.stop() == 0


def test_idle_workers_of_a_node_declared_dead_are_replaced(shop: Shop, supervise: Start) -> None:
    """Somebody removed the node, and nobody was to be rescued: no storm of forks, and work goes on."""
    supervisor = supervise(heartbeat_interval_s=1).ready()
    shop.db.execute("delete from awa.node")
    supervisor.until_event("supervisor.declared_dead")
    job = shop.insert("note")
    shop.until_state("completed", job)
    until(lambda: len(supervisor.workers()) == 2)
    assert len(supervisor.events("worker.started")) <= 6


def test_workers_that_notice_first_do_not_start_in_a_tight_loop(shop: Shop, supervise: Start) -> None:
    supervisor = supervise(heartbeat_interval_s=60).ready()
    shop.db.execute("delete from awa.node")
    job = shop.insert("note")
    shop.until_state("completed", job)
    supervisor.until_event("supervisor.declared_dead")
    assert len(supervisor.events("worker.started")) <= 8


def test_one_leads_and_another_takes_over(shop: Shop, supervise: Start) -> None:
    first = supervise(processes=1).ready()
    first.until_event("lead.elected")
    second = supervise(processes=1).ready()
    assert not second.events("lead.elected")
    first.send(signal.SIGKILL)
    second.until_event("lead.elected")
    job = shop.insert("once_more")  # is brought back by the leader
    shop.until_state("completed", job)


def test_a_leader_that_leaves_gives_its_place_up(shop: Shop, supervise: Start) -> None:
    """Without waiting for its leadership to lapse."""
    first = supervise(processes=1, leader_interval_s=30).ready()
    first.until_event("lead.elected")
    second = supervise(processes=1).ready()
    assert first.stop() == 0
    second.until_event("lead.elected", timeout=5)


def test_two_supervisors_share_the_work(shop: Shop, supervise: Start) -> None:
    """Jobs of a kind nobody has seen before, all sealed by one of them, reach the workers of the other."""
    first, second = supervise(processes=1), supervise(processes=1)
    first.ready()
    second.ready()
    jobs = shop.insert_many([("step", {"gate": "gate"})] * 6)
    until(lambda: len(shop.rows("select job from effects where what = 'waiting'")) == 2)  # each is in one
    shop.open("gate")
    shop.until_state("completed", *jobs)
    pids = shop.rows("select distinct pid from effects")
    assert set(pids) == {*first.workers(), *second.workers()}
