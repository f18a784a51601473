"""What becomes of the jobs of workers that die."""

from __future__ import annotations

import os
import random
import signal
from typing import Any

import pytest

from tests.fixtures.supervisor import Shop, Start, Supervisor
from tests.fixtures.waiting import until

pytestmark = [pytest.mark.processes, pytest.mark.postgres]


def lease_with_a_stop(shop: Shop, supervisor: Supervisor, gate: str) -> tuple[list[int], int, list[int]]:
    """Have a worker claim twenty jobs at once, of which it comes to the eleventh and is held up in it.

    Returns the ten before, the one, and the nine behind it.
    """
    known_to_be_short = shop.insert_many([("step", {})] * 100 * len(supervisor.workers()))
    shop.until_state("completed", *known_to_be_short)
    args: list[dict[str, Any]] = [{} for _ in range(20)]
    args[10] = {"gate": gate}
    jobs = shop.insert_many([("step", each) for each in args])
    shop.until_effect("waiting", jobs[10])
    return jobs[:10], jobs[10], jobs[11:]


def owner(shop: Shop, job: int) -> int | None:
    """The worker whose lease a job is in."""
    found = shop.rows("select owner from awa.batch where %s = any (ids)", job)
    return found[0] if found else None


def test_killed_in_the_middle_of_a_lease(shop: Shop, supervise: Start) -> None:
    """What was finished stays so, what ran has spent its attempt, the rest goes on as if it had not been here."""
    supervisor = supervise(processes=1).ready()
    before, running, behind = lease_with_a_stop(shop, supervisor, "gate")
    assert owner(shop, behind[0]) == owner(shop, running)
    (victim,) = supervisor.workers()
    os.kill(victim, signal.SIGKILL)
    shop.open("gate")
    shop.until_state("completed", *before, running, *behind)
    first, second = shop.attempts(running)
    assert (first["attempt"], first["outcome"], second["attempt"], second["outcome"]) == (
        1,
        "retryable",
        2,
        "completed",
    )
    assert first["error"]["error"] == "worker killed by SIGKILL"
    assert first["error"]["type"] == "WorkerDied"
    assert first["peak_kb"] > 1000
    assert shop.effects(running) == ["waiting", "waiting", "ran"]
    assert all(shop.effects(job) == ["ran"] for job in before + behind)
    assert {shop.job(job)["attempt"] for job in before + behind} == {1}
    exited = supervisor.until_event("worker.exited", pid=victim)
    assert (exited["job"], exited["how"], exited["level"]) == (running, "killed by SIGKILL", "warning")
    assert [pid for pid in supervisor.workers() if pid != victim]


def test_others_take_the_untouched_jobs_at_once(shop: Shop, supervise: Start) -> None:
    supervisor = supervise(processes=2).ready()
    _, running, behind = lease_with_a_stop(shop, supervisor, "gate")
    (worker,) = shop.rows("select pid from awa.worker where id = %s", owner(shop, running))
    os.kill(worker, signal.SIGKILL)
    shop.open("gate")  # the one held up there goes on with it, in whichever worker
    shop.until_state("completed", running, *behind)
    assert {shop.job(job)["attempt"] for job in behind} == {1}
    took_s = shop.rows(
        "select extract(epoch from max(a.finished_at) - min(d.finished_at))::float "
        "from awa.attempts a, awa.attempts d where a.job_id = any (%s) and d.job_id = %s",
        behind,
        running,
    )
    assert took_s[0] < 1.0
    until(lambda: len(supervisor.workers()) == 2)


def test_finished_jobs_behind_a_long_one_are_settled_meanwhile(shop: Shop, supervise: Start) -> None:
    supervisor = supervise(processes=1).ready()
    before, running, _ = lease_with_a_stop(shop, supervisor, "gate")
    shop.until_state("completed", *before)
    assert shop.states(running) == ["running"]
    assert shop.effects(running) == ["waiting"]
    shop.open("gate")
    shop.until_state("completed", running)
    assert not supervisor.events("settle.refused")


def test_a_job_that_kills_its_worker_every_time_fails_and_blocks_nobody(shop: Shop, supervise: Start) -> None:
    supervisor = supervise(processes=1)
    killer = shop.insert("die", max_attempts=2)
    others = shop.insert_many([("note", {})] * 10)
    shop.until_state("completed", *others)
    shop.until_state("failed", killer)
    job = shop.job(killer)
    assert [error["error"] for error in job["errors"]] == ["worker killed by SIGKILL"] * 2
    assert [error["signal"] for error in job["errors"]] == [signal.SIGKILL] * 2
    assert shop.effects(killer) == ["ran", "ran"]
    assert supervisor.process.poll() is None


def test_how_a_worker_ended_is_named(shop: Shop, supervise: Start) -> None:
    supervise(processes=1)
    ends: dict[int, str] = {
        shop.insert("die", {"signal": int(signal.SIGSEGV)}, max_attempts=1): "worker killed by SIGSEGV",
        shop.insert("hard_exit", {"code": 0}, max_attempts=1): "worker exited with code 0",
        shop.insert("hard_exit", {"code": 71}, max_attempts=1): "worker exited with code 71",
    }
    shop.until_state("failed", *ends)
    assert {job: [entry["error"] for entry in shop.job(job)["errors"]] for job in ends} == {
        job: [end] for job, end in ends.items()
    }


def test_many_killers_do_not_slow_the_others_down(shop: Shop, supervise: Start) -> None:
    """Deaths in jobs cost attempts; they are no reason to wait with the next worker."""
    supervisor = supervise(processes=2)
    crash_report = shop.insert_many([("die", {})] * 12, max_attempts=1)
    others = shop.insert_many([("note", {})] * 12)
    shop.until_state("failed", *crash_report)
    shop.until_state("completed", *others)
    assert len(supervisor.events("worker.exited")) == 12


def test_killed_while_idle_again_and_again(shop: Shop, supervise: Start) -> None:
    supervisor = supervise(processes=1)
    for _ in range(3):
        pid = until(supervisor.workers)[0]
        os.kill(pid, signal.SIGKILL)
        supervisor.until_event("worker.exited", pid=pid)
    job = shop.insert("note")
    shop.until_state("completed", job)


def test_random_kills_lose_nothing_and_settle_nothing_twice(shop: Shop, supervise: Start) -> None:
    dice = random.Random(20_261_122)
    supervisor = supervise(processes=3).ready()
    jobs = shop.insert_many([("nap", {"ms": dice.choice((0, 0, 1, 5))}) for _ in range(500)])
    kills = 0
    for goal in range(30, 400, 40):
        until(lambda: shop.rows("select count(*) from awa.attempt_log where outcome = 3")[0] >= goal)  # noqa: B023
        os.kill(dice.choice(until(supervisor.workers)), signal.SIGKILL)
        kills += 1
        until(lambda: len(supervisor.events("worker.exited")) >= kills)  # noqa: B023
    shop.until_state("completed", *jobs, timeout=30)
    ended = shop.rows("select count(*) from awa.attempt_log where outcome = 3 group by job_id")
    assert ended == [1] * 500
    # Run more often than recorded would mean: somebody's outcome was thrown away.
    recorded = shop.rows("select count(*) from awa.attempt_log")[0]
    assert recorded - 500 <= kills
    assert shop.rows("select count(*) from effects")[0] <= recorded
    assert shop.rows("select id from awa.batch") == []
