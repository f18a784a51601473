"""A running job that is cancelled: ended at once, and its handler is told."""

from __future__ import annotations

import signal

import pytest

from awa.engine.admin import control
from awa.engine.rescue import WorkerExit, rescue
from tests.fixtures.supervisor import Shop, Start
from tests.fixtures.waiting import until

pytestmark = [pytest.mark.processes, pytest.mark.postgres]


def test_the_handler_of_a_cancelled_job_hears_of_it_and_its_result_does_not_count(shop: Shop, supervise: Start) -> None:
    supervisor = supervise(processes=2).ready()
    cancelled, other = shop.insert("until_cancelled"), shop.insert("until_cancelled")
    shop.until_effect("waiting", cancelled)
    shop.until_effect("waiting", other)
    assert control.cancel(shop.db, cancelled) is True
    assert shop.states(cancelled) == ["cancelled"]
    shop.until_effect("heard", cancelled)
    refused = supervisor.until_event("settle.refused")
    assert (refused["level"], refused["expected"]) == ("info", True)
    assert shop.states(cancelled) == ["cancelled"]
    assert shop.effects(other) == ["waiting"]  # only that job is hit
    control.cancel(shop.db, other)
    shop.until_effect("heard", other)


ENDLESS = "tests.fixtures.endless:client"


def test_an_exception_is_raised_if_the_task_asks_for_it(shop: Shop, supervise: Start) -> None:
    supervisor = supervise(app=ENDLESS).ready()
    job, other = shop.insert("leave_when_cancelled"), shop.insert("leave_when_cancelled")
    shop.until_effect("begun", job, other)
    control.cancel(shop.db, job)
    shop.until_effect("heard", job)
    assert supervisor.until_event("run.cancelled", job=job)
    until(lambda: supervisor.events("settle.refused"))
    assert shop.states(job, other) == ["cancelled", "running"]
    assert not supervisor.events("worker.exited")


def test_a_handler_that_does_not_heed_it_is_killed_after_its_grace(shop: Shop, supervise: Start) -> None:
    supervisor = supervise(app=ENDLESS, processes=1).ready()
    job = shop.insert("unlimited")
    shop.until_effect("begun", job)
    control.cancel(shop.db, job)
    killed = supervisor.until_event("worker.killed", job=job)
    assert killed["why"] == "cancelled, and still running 0.5 s later"
    exited = supervisor.until_event("worker.exited")
    assert exited["how"] == f"killed by SIGKILL: {killed['why']}"
    next_job = shop.insert("step")
    shop.until_state("completed", next_job)
    assert shop.states(job) == ["cancelled"]
    until(lambda: shop.attempts(job)[0]["error"].get("signal") == signal.SIGKILL)
    (attempt,) = shop.attempts(job)
    assert attempt["error"]["type"] == "Cancel"
    assert "endless.py" in attempt["error"]["stack"]
    assert shop.job(next_job)["attempt"] == 1


def test_what_is_behind_it_in_the_lease_goes_on(shop: Shop, supervise: Start) -> None:
    supervisor = supervise(app=ENDLESS, processes=1, stuck_after_ms=3_600_000).ready()
    short = shop.insert_many([("step", {})] * 100)
    shop.until_state("completed", *short)
    jobs = shop.insert_many([("step", {"gate": "never"} if i == 3 else {}) for i in range(8)])
    shop.until_effect("waiting", jobs[3])
    control.cancel(shop.db, jobs[3])
    supervisor.until_event("worker.killed", job=jobs[3], timeout=30)
    others = jobs[:3] + jobs[4:]
    shop.until_state("completed", *others)
    assert {shop.job(job)["attempt"] for job in others} == {1}


def test_a_lost_notification_only_delays_it(shop: Shop, supervise: Start) -> None:
    """As when the connection that listens was broken at that moment: the job is ended without telling anybody."""
    supervise(app=ENDLESS).ready()
    job = shop.insert("leave_when_cancelled")
    shop.until_effect("begun", job)
    with shop.db.transaction():
        (leased,) = shop.rows("delete from awa.batch where ids = array[%s::bigint] returning lane, owner", job)
        shop.db.execute(
            "insert into awa.attempt_log (job_id, finished_at, lane, worker, retry_round, attempt, outcome) "
            "values (%s, now(), %s, %s, 0, 1, 6)",
            [job, *leased],
        )
    shop.until_effect("heard", job)


def test_a_job_given_to_others_is_stopped_too(shop: Shop, supervise: Start) -> None:
    """Its node had been declared dead, and did not know: the work is done elsewhere."""
    supervisor = supervise(app=ENDLESS, processes=2).ready()
    job = shop.insert("leave_when_cancelled")
    shop.until_effect("begun", job)
    (owner,) = shop.rows("select owner from awa.batch where %s = any (ids)", job)
    rescue(shop.db, owner, WorkerExit("taken for dead", job))
    until(lambda: shop.effects(job).count("begun") == 2)
    shop.until_effect("heard", job)
    supervisor.until_event("run.cancelled", job=job)
    assert shop.states(job) == ["running"]
    assert shop.effects(job).count("heard") == 1


def test_a_client_that_names_no_database_means_that_of_the_command_line(
    shop: Shop, supervise: Start, database: str
) -> None:
    supervise(database_url=database).ready()
    job = shop.insert("own_client")
    shop.until_state("completed", job)
    assert shop.job(job)["result"] == database
