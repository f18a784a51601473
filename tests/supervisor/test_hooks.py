"""What an application wants around its jobs and at the start of its workers, in real workers."""

from __future__ import annotations

from pathlib import Path

import pytest

from awa.processes.memory import can_cap
from tests.fixtures.supervisor import Row, Shop, Start, Supervisor

pytestmark = [pytest.mark.processes, pytest.mark.postgres]

HOOKED = "tests.fixtures.hooked:client"
AROUND = ["outer in", "inner out", "outer out"]


@pytest.fixture
def supervisor(supervise: Start) -> Supervisor:
    return supervise(app=HOOKED, processes=2).ready()


def error_of(shop: Shop, job: int) -> Row:
    """How the only attempt of a job went wrong."""
    (attempt,) = shop.attempts(job)
    error: Row = attempt["error"]
    return error


def test_a_handler_is_called_inside_and_after_the_start(shop: Shop, supervisor: Supervisor) -> None:
    job, later = shop.insert_many([("plain", {}), ("later", {})])
    shop.until_state("completed", job, later)
    result = shop.job(job)["result"]
    assert result == {"where": "inside", "started": [result["pid"]], "pid": result["pid"]}
    assert result["pid"] in supervisor.workers()
    assert shop.job(later)["result"] == "inside"
    assert shop.effects(job) == shop.effects(later) == AROUND


def test_a_time_out_passes_through(shop: Shop, supervisor: Supervisor) -> None:
    jobs = {kind: shop.insert(kind, max_attempts=1) for kind in ("sleep", "sleep_async")}
    shop.until_state("failed", *jobs.values())
    for kind, job in jobs.items():
        assert shop.effects(job) == ["outer in", "inner out", "outer saw JobTimeout", "outer out"]
        error = error_of(shop, job)
        assert error["type"] == "JobTimeout", kind
        assert f"in {kind}" in error["error"]
        assert "hooks.py" not in error["error"], kind
    assert not supervisor.events("worker.exited")


def test_a_time_out_does_not_disturb_the_way_in(shop: Shop, supervisor: Supervisor) -> None:
    """It is raised when the way in is done, before the handler begins."""
    job = shop.insert("brief", {"at": "enter", "gate": "in"}, max_attempts=1)
    supervisor.until_event("run.timed_out", job=job)
    shop.open("in")
    shop.until_state("failed", job)
    assert error_of(shop, job)["type"] == "JobTimeout"
    assert "interrupts.py" not in error_of(shop, job)["error"]
    assert shop.effects(job) == ["outer in", "waiting at enter", "inner out", "outer saw JobTimeout", "outer out"]


def test_a_time_out_does_not_disturb_the_way_out(shop: Shop, supervisor: Supervisor) -> None:
    """The handler has done its work by then."""
    job = shop.insert("brief", {"at": "exit", "gate": "out"})
    supervisor.until_event("run.timed_out", job=job)
    shop.open("out")
    shop.until_state("completed", job)
    assert shop.job(job)["result"] == "done"
    assert shop.effects(job) == ["outer in", "handler", "waiting at exit", "inner out", "outer out"]


@pytest.mark.usefixtures("supervisor")
def test_what_fails_around_a_job_is_its_error(shop: Shop) -> None:
    jobs = {at: shop.insert("plain", {"fail": at}) for at in ("enter", "exit")}
    shop.until_state("retryable", *jobs.values())
    for at, job in jobs.items():
        error = error_of(shop, job)
        assert error["type"] == "LookupError", at
        assert error["error"].startswith(f"LookupError: failed at {at}\n")
        assert shop.effects(job) == ["outer in", "outer saw LookupError", "outer out"], at


@pytest.mark.usefixtures("supervisor")
def test_a_child_that_a_handler_forked_does_not_leave_by_the_same_way(shop: Shop) -> None:
    jobs = {code: shop.insert("fork_and_exit", {"returns": code == 0}) for code in (0, 7)}
    shop.until_state("completed", *jobs.values())
    assert {code: shop.job(job)["result"] for code, job in jobs.items()} == {0: 0, 7: 7}
    assert [shop.effects(job) for job in jobs.values()] == [AROUND, AROUND]


@pytest.mark.skipif(not can_cap(), reason="this system does not limit the memory of a process")
def test_a_memory_limit_is_that_of_the_handler(shop: Shop, supervisor: Supervisor) -> None:
    job = shop.insert("hog", max_attempts=1)
    shop.until_state("failed", job)
    assert "the job needs more than the 50 MiB" in error_of(shop, job)["error"]
    assert shop.effects(job) == ["outer in", "inner out", "outer saw MemoryError", "outer out"]


APP = """
from tests.fixtures.shop import client

def open_pool():
    {}

client.registry.add_start(open_pool)
"""


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ("raise LookupError('no such pool')", "LookupError: no such pool"),
        ("raise SystemExit('no use')", "SystemExit: no use"),
    ],
)
def test_a_start_that_fails_is_said_and_not_tried_in_a_tight_loop(
    shop: Shop, supervise: Start, tmp_path: Path, body: str, error: str
) -> None:
    (tmp_path / "app.py").write_text(APP.format(body), encoding="utf-8")
    supervisor = supervise(app="app:client", processes=1)
    said = supervisor.until_event("worker.start_failed", 4)
    assert (said["hook"], said["error"], said["level"]) == ("app.open_pool", error, "error")
    assert said["traceback"].startswith('Traceback (most recent call last):\n  File "')
    assert "hooks.py" not in said["traceback"]
    assert "in open_pool" in said["traceback"]
    exited = supervisor.until_event("worker.exited", 4)
    assert (exited["how"], exited["expected"], exited["level"]) == ("boot_failed", False, "warning")
    assert not supervisor.events("worker.ready")
    assert supervisor.until_event("supervisor.warning")["warning"].startswith("4 workers in a row came to nothing")
    assert supervisor.stop() == 0


def test_a_child_that_a_start_forked_is_no_second_worker(shop: Shop, supervise: Start, tmp_path: Path) -> None:
    body = "import os; pid = os.fork(); pid and os.waitpid(pid, 0)"
    (tmp_path / "app.py").write_text(APP.format(body), encoding="utf-8")
    supervisor = supervise(app="app:client", processes=1).ready()
    shop.until_state("completed", shop.insert("noop"))
    assert len(supervisor.workers()) == len(shop.rows("select id from awa.worker")) == 1


def test_a_start_that_hangs_is_named_and_tried_again(shop: Shop, supervise: Start) -> None:
    supervisor = supervise(
        app="tests.fixtures.slow_start:client",
        processes=1,
        start_timeout_s=0.5,
        patch="tests.fixtures.no_death_is_quick",
    )
    first = supervisor.until_event("worker.start_failed")
    assert first["hook"] == "tests.fixtures.slow_start.reach_the_service"
    assert "has not returned for the 0.5 s" in first["error"]
    assert "start_timeout_s" in first["error"]
    assert "in reach_the_service" in first["traceback"]
    killed = supervisor.until_event("worker.killed", pid=first["pid"])
    assert first["hook"] in killed["why"]
    warning = supervisor.until_event("supervisor.warning", timeout=60)  # the pauses grow
    assert "4 workers in a row came to nothing" in warning["warning"]
    shop.open("service")
    shop.until_state("completed", shop.insert("note"))
    assert supervisor.stop() == 0
