"""A job whose time is up: an exception in its handler, and if that does not help, the end of its worker."""

from __future__ import annotations

import os
import signal
import time
from datetime import datetime
from time import monotonic

import psutil
import pytest

from tests.fixtures.endless import TIMEOUT_S
from tests.fixtures.supervisor import Row, Shop, Start, Supervisor
from tests.fixtures.waiting import until

pytestmark = [pytest.mark.processes, pytest.mark.postgres]

ENDLESS = "tests.fixtures.endless:client"
HEARD = (
    "spin",
    "sleep",
    "receive",
    "deadlock",
    "wait_async",
    "spin_async",
    "wait_beside_a_busy_task",
    "wait_beside_callbacks",
)
DEAF = ("hold_the_gil", "swallow", "family", "change_the_group")


@pytest.fixture
def supervisor(supervise: Start) -> Supervisor:
    return supervise(app=ENDLESS, processes=2).ready()


def only_attempt(shop: Shop, job: int) -> Row:
    (attempt,) = shop.attempts(job)
    return attempt


def test_an_exception_is_raised_in_the_handler(shop: Shop, supervisor: Supervisor) -> None:
    jobs = {kind: shop.insert(kind, max_attempts=1) for kind in HEARD}
    shop.until_state("failed", *jobs.values(), timeout=30)
    for kind, job in jobs.items():
        error = only_attempt(shop, job)["error"]
        assert error["type"] == "JobTimeout", kind
        assert error["error"].startswith(f"JobTimeout: job {job} has run for longer than the 0.5 s it may take")
        assert f"in {kind}" in error["error"]  # the traceback
        assert "interrupts.py" not in error["error"], kind
        assert supervisor.until_event("run.timed_out", job=job)
        assert shop.effects(job) == (["begun", "cleaned up"] if kind == "wait_async" else ["begun"]), kind
    assert not supervisor.events("worker.exited")


def test_a_handler_that_does_not_heed_it_is_killed_and_tells_where_it_was(shop: Shop, supervisor: Supervisor) -> None:
    jobs = {kind: shop.insert(kind, max_attempts=1) for kind in DEAF}
    shop.until_state("failed", *jobs.values(), timeout=30)
    for kind, job in jobs.items():
        attempt = only_attempt(shop, job)
        error = attempt["error"]
        assert error["type"] == "JobTimeout", kind
        said = "worker killed by SIGKILL: out of time: still running 0.5 s after the 0.5 s it may take"
        assert error["error"] == said, kind
        assert error["signal"] == signal.SIGKILL, kind
        assert f"in {kind}" in error["stack"], kind
        assert "most recent call first" in error["stack"], kind
        assert attempt["worker"] is not None, kind
        assert supervisor.until_event("worker.killed", job=job)
    until(lambda: len(supervisor.workers()) == 2, 30)
    started = int(shop.effects(jobs["family"])[0].removeprefix("child "))
    until(lambda: not psutil.pid_exists(started), message="what the handler has started ends with it")


def test_a_task_that_refuses_to_end_takes_no_time_of_later_jobs(shop: Shop, supervise: Start) -> None:
    supervisor = supervise(app=ENDLESS, processes=1).ready()
    job = shop.insert("leave_a_task", max_attempts=1)
    shop.until_state("failed", job)
    assert only_attempt(shop, job)["error"]["type"] == "JobTimeout"
    calm = shop.insert_many([("calm", {})] * 3, max_attempts=1)
    shop.until_state("completed", *calm)
    assert not supervisor.events("worker.exited")
    assert supervisor.stop() == 0
    assert not supervisor.events("worker.killed"), "it waits for nothing at its end"


def test_a_timer_that_a_handler_leaves_goes_off_in_no_other_job(shop: Shop, supervise: Start) -> None:
    supervisor = supervise(app=ENDLESS, processes=1).ready()
    jobs = [shop.insert("leave_a_timer", {"s": 0.05}, max_attempts=1)]
    shop.until_state("completed", *jobs)
    jobs += [shop.insert("step", {"gate": "timer"}, max_attempts=1)]
    shop.until_effect("waiting", jobs[1])
    time.sleep(0.1)  # longer than the timer would take
    shop.open("timer")
    shop.until_state("completed", *jobs)
    assert not supervisor.events("worker.exited")


def test_a_handler_that_the_signal_itself_kills_is_out_of_time_too(shop: Shop, supervisor: Supervisor) -> None:
    job = shop.insert("reset_the_signal", max_attempts=1)
    shop.until_state("failed", job, timeout=30)
    error = only_attempt(shop, job)["error"]
    assert error["type"] == "JobTimeout"
    words = "worker killed by SIGUSR2: out of time, and its handler has reset the signal that tells it so"
    assert error["error"] == words


def test_a_query_is_cancelled_and_its_connection_goes_on(shop: Shop, supervise: Start) -> None:
    supervisor = supervise(app=ENDLESS, processes=1).ready()
    job, next_job = shop.insert("query", max_attempts=1), shop.insert("step")
    shop.until_state("failed", job, timeout=30)
    assert only_attempt(shop, job)["error"]["type"] == "JobTimeout"
    sleeping = "select pid from pg_stat_activity where query like 'select pg_sleep%%' and state = 'active'"
    until(lambda: not shop.rows(sleeping), message="the query has been cancelled")
    shop.until_state("completed", next_job, timeout=30)
    assert shop.job(next_job)["attempt"] == 1
    assert not supervisor.events("worker.exited")


def test_a_process_that_cannot_even_tell_its_stack_is_killed(shop: Shop, supervisor: Supervisor) -> None:
    job = shop.insert("stop_itself", max_attempts=1)
    shop.until_state("failed", job, timeout=30)
    error = only_attempt(shop, job)["error"]
    assert error["type"] == "JobTimeout"
    assert "stack" not in error


def test_a_handler_may_clean_up_and_return_a_result(shop: Shop, supervisor: Supervisor) -> None:
    job = shop.insert("clean_up")
    shop.until_state("completed", job, timeout=30)
    assert shop.job(job)["result"].startswith("cleaned up: job")
    assert not supervisor.events("worker.exited")


def test_a_job_out_of_time_is_retried_after_the_backoff(shop: Shop, supervisor: Supervisor) -> None:
    killed, raised = shop.insert("swallow"), shop.insert("spin")
    shop.until_state("retryable", killed, raised, timeout=30)
    for job in (killed, raised):
        (wait_s,) = shop.rows(
            "select extract(epoch from run_at - now())::float from awa.deferred where job_id = %s", job
        )
        assert 0 < wait_s <= 2.5


def test_a_task_may_refuse_to_retry_it(shop: Shop, supervisor: Supervisor) -> None:
    jobs = [shop.insert(kind) for kind in ("once", "swallow_once")]
    shop.until_state("failed", *jobs, timeout=30)
    assert [only_attempt(shop, job)["error"]["type"] for job in jobs] == ["JobTimeout"] * 2


def test_the_next_job_of_the_worker_is_not_hit(shop: Shop, supervise: Start) -> None:
    supervise(app=ENDLESS, processes=1).ready()
    jobs = shop.insert_many([("sleep" if i % 3 == 0 else "step", {}) for i in range(12)], max_attempts=1)
    shop.until_state("failed", *jobs[::3], timeout=30)
    others = [job for i, job in enumerate(jobs) if i % 3]
    shop.until_state("completed", *others, timeout=30)
    assert all(shop.effects(job) == ["ran"] for job in others)


def test_the_job_s_own_limit_goes_before_its_task_s(shop: Shop, supervisor: Supervisor) -> None:
    short, long = shop.insert("unlimited", max_attempts=1, timeout_ms=200), shop.insert("sleep", timeout_ms=0)
    shop.until_state("failed", short, timeout=30)
    assert "the 0.2 s it may take" in only_attempt(shop, short)["error"]["error"]
    timed_out = shop.insert("sleep", max_attempts=1)
    shop.until_state("failed", timed_out, timeout=30)
    assert shop.states(long) == ["running"]


def test_a_queue_gives_its_jobs_five_minutes_or_what_its_policy_says(shop: Shop, supervisor: Supervisor) -> None:
    told = shop.insert("tell_deadline")
    shop.until_state("completed", told)
    row = shop.job(told)
    deadline = datetime.fromisoformat(row["result"])
    assert 290 < (deadline - row["attempted_at"]).total_seconds() < 310
    shop.db.execute("insert into awa.queue (name, deadline_s) values ('patient', 1)")
    job = shop.insert("patient", max_attempts=1, queue="patient")
    shop.until_state("failed", job, timeout=30)
    assert "the 1 s it may take" in only_attempt(shop, job)["error"]["error"]
    shop.db.execute("update awa.queue set deadline_s = 0 where name = 'patient'")
    until(lambda: shop.rows("select deadline_s from awa.queue where name = 'patient'") == [0])
    # Workers read it anew about once a second.
    jobs = []

    def runs_without_limit() -> bool:
        jobs.append(shop.insert("patient", max_attempts=1, queue="patient"))
        shop.until_effect("begun", jobs[-1], timeout=30)
        timed_out = len(supervisor.events("run.timed_out"))
        shop.insert("sleep", max_attempts=1)
        supervisor.until_event("run.timed_out", timed_out + 1, timeout=30)
        return shop.states(jobs[-1]) == ["running"]

    until(runs_without_limit, 60)


def test_the_time_limit_of_a_dead_worker_s_job_is_forgotten(shop: Shop, supervise: Start) -> None:
    supervisor = supervise(app=ENDLESS, processes=1).ready()
    job = shop.insert("sleep")
    shop.until_effect("begun", job)
    began = monotonic()
    (victim,) = supervisor.workers()
    os.kill(victim, signal.SIGKILL)
    other = shop.insert("step", {"gate": "gate"})
    shop.until_effect("waiting", other, timeout=30)  # before the job that is run again, or behind it
    until(lambda: monotonic() - began > 2 * TIMEOUT_S)
    shop.open("gate")
    shop.until_state("completed", other, timeout=30)
    assert shop.job(other)["attempt"] == 1
    supervisor.until_event("run.timed_out", job=job, timeout=30)  # it was run again, at once
