"""What a supervisor does when it is told to stop, to grow, to shrink, or to show what its workers do."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from signal import Signals

import psutil
import pytest

from awa.engine.admin import control
from tests.fixtures.processes import is_alive, until_dead
from tests.fixtures.supervisor import Shop, Start
from tests.fixtures.waiting import until
from tests.supervisor.test_dying_workers import lease_with_a_stop

pytestmark = [pytest.mark.processes, pytest.mark.postgres]

OURS = "application_name like 'awa %%' and datname = current_database()"


@pytest.mark.parametrize("number", [Signals.SIGTERM, Signals.SIGINT])
def test_drain(shop: Shop, supervise: Start, number: Signals) -> None:
    """The running job finishes; what stands behind it in the lease goes to another supervisor in the meantime."""
    first = supervise(processes=1).ready()
    before, running, behind = lease_with_a_stop(shop, first, "gate")
    first.send(number)
    first.until_event("supervisor.draining")
    second = supervise(processes=1).ready()
    later = shop.insert("note")
    shop.until_state("completed", later)
    assert shop.states(running) == ["running"]
    shop.open("gate")
    assert first.wait() == 0
    shop.until_state("completed", *before, running, *behind)
    assert all(shop.effects(job) == ["ran"] for job in before + behind)
    assert shop.effects(running) == ["waiting", "ran"]
    assert {shop.job(job)["attempt"] for job in [*before, running, *behind]} == {1}
    assert first.events("worker.exited")[0]["how"] == "ok"
    assert first.events("supervisor.stopped")
    assert shop.rows("select pid from awa.node") == [second.pid]  # it has signed out, its workers with it


def test_a_handler_sees_why_it_is_to_stop_and_hands_its_job_back(shop: Shop, supervise: Start) -> None:
    """At a shutdown, with no attempt spent; told apart from a cancellation."""
    first = supervise(processes=2, drain_timeout_s=60).ready()
    shut, cancelled = (shop.insert("hand_back", {"gate": "open"}, max_attempts=1) for _ in range(2))
    shop.until_effect("waiting", shut, cancelled)
    control.cancel(shop.db, cancelled)
    shop.until_effect("cancelled True", cancelled)
    assert first.stop() == 0
    assert shop.effects(shut) == ["waiting", "shutting_down True"]
    assert not shop.attempts(shut)
    shop.open("open")
    supervise(processes=1).ready()
    shop.until_state("completed", shut)
    assert [each["attempt"] for each in shop.attempts(shut)] == [1]


def test_an_idle_supervisor_stops_at_once_and_leaves_nothing(shop: Shop, supervise: Start) -> None:
    supervisor = supervise().ready()
    family = [process.pid for process in supervisor.family()]
    assert len(family) == 4
    assert supervisor.stop() == 0
    assert not any(map(is_alive, family))
    assert shop.rows("select id from awa.node") == []
    assert shop.rows("select id from awa.worker") == []
    assert shop.rows("select node_id from awa.leader") == [None]
    until(lambda: not shop.rows(f"select pid from pg_stat_activity where {OURS}"))


@pytest.mark.parametrize(
    "numbers",
    [[Signals.SIGQUIT], [Signals.SIGINT, Signals.SIGINT], [Signals.SIGTERM, Signals.SIGTERM, Signals.SIGQUIT]],
)
def test_stop_at_once(shop: Shop, supervise: Start, numbers: list[Signals]) -> None:
    supervisor = supervise(processes=1).ready()
    before, running, behind = lease_with_a_stop(shop, supervisor, "gate")
    for count, number in enumerate(numbers):
        assert supervisor.process.poll() is None
        supervisor.send(number)
        until(lambda: len(supervisor.events("supervisor.signal")) > count)  # noqa: B023
    assert supervisor.wait() == 0
    assert shop.states(*before) == ["completed"] * len(before)
    assert shop.states(running, *behind) == ["available"] * (1 + len(behind))  # given back before it left
    (attempt,) = shop.attempts(running)
    assert attempt["error"]["error"] == f"worker killed by SIGKILL: {numbers[-1].name} asked to stop at once"
    assert all(shop.attempts(job) == [] for job in behind)


def test_a_job_that_outlasts_the_drain_time_is_killed_and_given_back(shop: Shop, supervise: Start) -> None:
    supervisor = supervise(processes=1, drain_timeout_s=0.3).ready()
    job = shop.insert("step", {"gate": "never"})
    shop.until_effect("waiting", job)
    assert supervisor.stop() == 0
    assert shop.states(job) == ["available"]
    (error,) = shop.job(job)["errors"]
    assert error["error"] == "worker killed by SIGKILL: still running 0.3 s after shutdown began"


def test_what_a_worker_has_not_begun_is_given_to_others_while_its_job_goes_on(shop: Shop, supervise: Start) -> None:
    """At once, though the job has not run for long: nothing of the lease is kept until the job ends."""
    first = supervise(processes=1, stuck_after_ms=3_600_000).ready()
    _, running, behind = lease_with_a_stop(shop, first, "gate")
    second = supervise(processes=1).ready()
    assert set(shop.states(*behind)) == {"running"}
    first.send(Signals.SIGTERM)
    shop.until_state("completed", *behind)
    assert shop.states(running) == ["running"]
    shop.open("gate")
    assert first.wait() == 0
    shop.until_state("completed", running)
    assert {shop.job(job)["attempt"] for job in [running, *behind]} == {1}
    assert second.workers()


def test_a_job_killed_by_the_shutdown_runs_elsewhere_at_once_whichever_attempt_it_was(
    shop: Shop, supervise: Start
) -> None:
    first = supervise(processes=1, drain_timeout_s=0.3).ready()
    job = shop.insert("step", {"gate": "gate"})
    shop.until_effect("waiting", job)
    shop.db.execute("update awa.batch set attempts = '{7}' where owner is not null")
    second = supervise(processes=1).ready()
    first.stop()
    until(lambda: len(shop.effects(job)) == 2)
    (wait_s,) = shop.rows(
        "select extract(epoch from j.attempted_at - a.finished_at)::float from awa.jobs j, awa.attempts a "
        "where j.id = %s and a.job_id = j.id",
        job,
    )
    assert wait_s < 8, "the back-off would be four minutes"
    assert shop.job(job)["errors"][0]["type"] == "Shutdown"
    shop.open("gate")
    shop.until_state("completed", job)
    assert second.workers()


def test_told_to_stop_while_the_application_loads(shop: Shop, supervise: Start, tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(
        "import time, pathlib\npathlib.Path('loading').touch()\ntime.sleep(60)\n", encoding="utf-8"
    )
    supervisor = supervise(app="slow:client")
    until((tmp_path / "loading").exists)
    supervisor.send(Signals.SIGHUP)  # means nothing yet
    family = [process.pid for process in supervisor.family()]
    assert supervisor.stop(timeout=3) == 0
    until_dead(*family)


def test_more_and_fewer_workers(shop: Shop, supervise: Start) -> None:
    supervisor = supervise(processes=1).ready()
    supervisor.send(Signals.SIGTTIN)
    until(lambda: len(supervisor.workers()) == 2)
    supervisor.send(Signals.SIGTTOU)
    until(lambda: len(supervisor.workers()) == 1)
    supervisor.send(Signals.SIGTTOU)  # one always stays
    supervisor.until_event("supervisor.signal", 3)
    job = shop.insert("note")
    shop.until_state("completed", job)
    assert len(supervisor.workers()) == 1


def test_no_more_workers_than_there_is_room_for(shop: Shop, supervise: Start) -> None:
    supervisor = supervise(processes=1).ready()
    for count in range(1, 11):
        supervisor.send(Signals.SIGTTIN)
        supervisor.until_event("supervisor.signal", count)
    warning = supervisor.until_event("supervisor.warning", 2)["warning"]
    assert warning == "8 workers are the most this supervisor has room for"
    until(lambda: len(supervisor.workers()) == 8)
    job = shop.insert("note")
    shop.until_state("completed", job)


def test_show_stacks(shop: Shop, supervise: Start) -> None:
    supervisor = supervise(processes=1).ready()
    job = shop.insert("step", {"gate": "gate"})
    shop.until_effect("waiting", job)
    supervisor.send(Signals.SIGUSR1)
    until(lambda: "in wait_at" in supervisor.text(), message=supervisor.text())
    shop.open("gate")
    shop.until_state("completed", job)


def test_asked_for_its_stack_a_worker_that_is_only_starting_lives(shop: Shop, supervise: Start) -> None:
    supervisor = supervise(processes=1).ready()
    for count in range(1, 6):
        supervisor.send(Signals.SIGTTIN)
        while len(supervisor.events("worker.started")) <= count:
            supervisor.send(Signals.SIGUSR1)
            time.sleep(0.003)
        supervisor.send(Signals.SIGUSR1)
        supervisor.send(Signals.SIGTTOU)
        supervisor.until_event("worker.exited", count)
    assert not [line for line in supervisor.events("worker.exited") if not line["expected"]]


@pytest.mark.slow
def test_a_forkserver_that_hangs_does_not_keep_the_jobs_of_its_workers(shop: Shop, supervise: Start) -> None:
    supervisor = supervise(processes=1, drain_timeout_s=0).ready()
    job = shop.insert("step", {"gate": "never"})
    shop.until_effect("waiting", job)
    supervisor.forkserver().send_signal(Signals.SIGSTOP)
    assert supervisor.stop(timeout=45) == 0
    assert shop.states(job) == ["available"]


def test_a_worker_told_to_end_by_hand_is_replaced(shop: Shop, supervise: Start) -> None:
    supervisor = supervise(processes=1).ready()
    _, running, behind = lease_with_a_stop(shop, supervisor, "gate")
    (pid,) = supervisor.workers()
    os.kill(pid, signal.SIGTERM)
    shop.open("gate")
    shop.until_state("completed", running, *behind)
    assert supervisor.until_event("worker.exited", pid=pid)["how"] == "ok"
    assert {shop.job(job)["attempt"] for job in [running, *behind]} == {1}
    until(supervisor.workers)


def test_titles_say_what_each_process_does(shop: Shop, supervise: Start) -> None:
    supervisor = supervise(processes=1).ready()

    def title(pid: int) -> str:
        return " ".join(psutil.Process(pid).cmdline()).strip()

    (worker,) = supervisor.workers()
    until(lambda: title(worker) == "awa: worker 0 idle", message=title(worker))
    until(lambda: title(supervisor.pid).endswith(": 1 worker, leading"), message=title(supervisor.pid))
    assert title(supervisor.forkserver().pid) == "awa: forkserver"
    job = shop.insert("step", {"gate": "gate"})
    shop.until_effect("waiting", job)
    assert title(worker) == "awa: worker 0 running step from default"
    supervisor.send(Signals.SIGTERM)
    until(lambda: title(supervisor.pid).endswith(": 1 worker, draining"), message=title(supervisor.pid))
    shop.open("gate")
    assert supervisor.wait() == 0


def test_the_supervisor_stays_small(shop: Shop, supervise: Start) -> None:
    supervisor = supervise().ready()
    jobs = shop.insert_many([("noop", {})] * 200)
    shop.until_state("completed", *jobs)
    assert supervisor.process.memory_info().rss < 60 * 2**20


def test_text_log(shop: Shop, supervise: Start) -> None:
    supervisor = supervise(processes=1, log_format="text", log_level="debug")
    job = shop.insert("boom", max_attempts=1)
    shop.until_state("failed", job)
    assert supervisor.stop() == 0
    text = supervisor.text()
    assert (
        f" WARNING worker 0[{shop.rows('select pid from effects')[0]}] run.finished job={job} attempt=1 kind=boom"
        in text
    )
    assert " state=failed " in text
    assert " error='ValueError: it broke'" in text
    assert f" INFO    supervisor[{supervisor.pid}] supervisor.ready processes=1 kinds=" in text
    assert "None" not in text
    heads = [line for line in text.splitlines() if not line.startswith(" ")]
    assert {len(line.split(" ")[1]) for line in heads} == {len("10:00:00.123")}  # every line is one of Awa's
