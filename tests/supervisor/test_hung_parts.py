"""Parts of a node that hang: what can be replaced is, and otherwise the node does not claim to be well."""

from __future__ import annotations

import time
from typing import Any

import psutil
import pytest

from awa.processes import silence as module
from awa.processes.exit_codes import ExitCode
from awa.processes.silence import Silence
from tests.fixtures.processes import until_dead
from tests.fixtures.supervisor import Shop, Start, Supervisor
from tests.fixtures.waiting import until

pytestmark = [pytest.mark.processes, pytest.mark.postgres]

IMPATIENT = "tests.fixtures.impatient"


def start(supervise: Start, **settings: Any) -> Supervisor:
    return supervise(**{"processes": 1, "patch": IMPATIENT, **settings}).ready()


def test_a_stopped_forkserver_is_replaced(shop: Shop, supervise: Start) -> None:
    supervisor = start(supervise)
    running = shop.insert("step", {"gate": "gate"})
    shop.until_effect("waiting", running)
    (worker,) = supervisor.workers()
    stopped = supervisor.forkserver()
    stopped.suspend()
    failed = supervisor.until_event("supervisor.service_failed", service="forkserver")
    assert f"process {stopped.pid}" in failed["error"]
    assert "stopped by a signal" in failed["error"]
    until_dead(stopped.pid, worker)
    shop.open("gate")
    shop.until_state("completed", running)
    first, second = shop.attempts(running)
    assert first["error"]["error"].startswith("worker killed by SIGKILL: its forkserver has not answered")
    assert second["outcome"] == "completed"
    assert not supervisor.events("worker.killed")
    assert supervisor.stop() == 0


def test_a_worker_that_is_stopped_between_jobs_is_replaced(shop: Shop, supervise: Start) -> None:
    supervisor = start(supervise)
    shop.until_state("completed", shop.insert("note"))
    (worker,) = supervisor.workers()
    until(lambda: "idle" in " ".join(psutil.Process(worker).cmdline()), message="the worker is idle")
    psutil.Process(worker).suspend()
    killed = supervisor.until_event("worker.killed", pid=worker)
    assert "it is stopped by a signal" in killed["why"]
    assert "job" not in killed
    shop.until_state("completed", shop.insert("note"))
    assert supervisor.stop() == 0


def test_time_limits_are_kept_when_the_forkserver_is_stopped(shop: Shop, supervise: Start) -> None:
    """Nothing is called killed before it is dead."""
    supervisor = start(supervise, app="tests.fixtures.endless:client")
    job = shop.insert("swallow", max_attempts=1)
    supervisor.until_event("run.timed_out")
    stopped = supervisor.forkserver()
    stopped.suspend()
    shop.until_state("failed", job)
    assert shop.job(job)["errors"][0]["type"] == "JobTimeout"
    names = [line["event"] for line in supervisor._lines()]
    assert names.index("supervisor.service_failed") < names.index("worker.killed") < names.index("worker.exited")


def test_a_pause_of_the_whole_node_is_no_hang(shop: Shop, supervise: Start) -> None:
    supervisor = start(supervise, heartbeat_interval_s=10)
    family = supervisor.family()
    for process in family:
        process.suspend()
    time.sleep(2.5)  # longer than any part may say nothing
    for process in reversed(family):
        process.resume()
    shop.until_state("completed", shop.insert("note"))
    assert not supervisor.events("supervisor.service_failed")
    assert not supervisor.events("supervisor.giving_up")
    assert not supervisor.events("worker.exited")


@pytest.mark.parametrize(("how", "reason"), [("hang", "thread proxy has hung"), ("die", "thread proxy has ended")])
def test_a_node_whose_service_does_not_get_on_gives_itself_up(
    shop: Shop, supervise: Start, how: str, reason: str
) -> None:
    supervisor = start(supervise)
    running = shop.insert("step", {"gate": "gate"})
    shop.until_effect("waiting", running)
    (shop.gates / "WorkerDelegate").write_text(how)
    assert reason in supervisor.until_event("supervisor.giving_up")["reason"]
    supervisor.until_event("supervisor.draining")
    shop.open("gate")
    assert supervisor.wait(30) == ExitCode.HUNG
    shop.until_state("completed", running)
    assert shop.effects(running) == ["waiting", "ran"]


def test_a_node_whose_main_thread_hangs_is_rescued_and_ends(shop: Shop, supervise: Start) -> None:
    hung = start(supervise)
    running = shop.insert("step", {"gate": "gate"})
    shop.until_effect("waiting", running)
    (shop.gates / "SupervisorLoop").write_text("hang")
    assert "main thread" in hung.until_event("supervisor.giving_up")["reason"]
    (shop.gates / "SupervisorLoop").unlink()
    family = [process.pid for process in hung.family()]
    supervise(processes=1, patch=IMPATIENT).ready()
    assert hung.wait(30) == ExitCode.HUNG
    until_dead(*family)
    shop.open("gate")
    shop.until_state("completed", running)


def test_silence_is_counted_while_the_listener_is_awake(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(module, "monotonic", lambda: now[0])
    silence = Silence(look_s=1.0)
    for _ in range(3):
        now[0] += 1
        silence.look()
    assert silence.look() == 3
    now[0] += 3600
    assert silence.look() == 4
    silence.beat()
    assert silence.look() == 0
    now[0] += 1
    assert silence.look() == 1


def test_nothing_is_left_when_a_stopped_forkserver_is_to_end(shop: Shop, supervise: Start) -> None:
    supervisor = start(supervise)
    family = [process.pid for process in supervisor.family()]
    supervisor.forkserver().suspend()
    assert supervisor.stop(timeout=30) == 0
    until(lambda: not any(psutil.pid_exists(pid) for pid in family))
