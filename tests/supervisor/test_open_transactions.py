"""Somebody leaves a transaction open that holds locks: what needs them waits, and everything else goes on."""

from __future__ import annotations

import os
import signal
from time import monotonic

import psutil
import psycopg
import pytest

from awa.engine.admin import control
from awa.engine.seal import seal_all
from tests.fixtures.supervisor import Shop, Start
from tests.fixtures.waiting import until
from tests.supervisor.test_dying_workers import lease_with_a_stop

pytestmark = [pytest.mark.processes, pytest.mark.postgres]

LOOK_ON_S = 3.0
CPU_SHARE_MAX = 0.25
"""Of one core, of the supervisor with two idle workers: a busy loop takes it whole."""


def cpu_s(processes: list[psutil.Process]) -> float:
    return sum(sum(process.cpu_times()[:2]) for process in processes)


def test_a_cancel_that_is_not_committed_stops_nobody(shop: Shop, supervise: Start) -> None:
    control.pause(shop.db, "default")
    job, beside = shop.insert_many([("note", {})] * 2)
    seal_all(shop.db)
    supervisor = supervise(processes=2).ready()
    with psycopg.connect(shop.dsn) as other:
        control.cancel(other, job)
        control.resume(shop.db, "default")
        shop.until_state("completed", *shop.insert_many([("noop", {})] * 3))
        family, began, used_s = supervisor.family(), monotonic(), cpu_s(supervisor.family())
        until(lambda: monotonic() - began > LOOK_ON_S)
        assert cpu_s(family) - used_s < CPU_SHARE_MAX * LOOK_ON_S
        shop.until_state("completed", shop.insert("noop"))
        other.rollback()
    shop.until_state("completed", job, beside)
    assert not supervisor.events("worker.exited")
    assert not supervisor.events("database.lost")


def test_many_cancels_that_are_not_committed_stop_nobody(shop: Shop, supervise: Start) -> None:
    """More batches than a claim looks at are locked, in front of all others."""
    control.pause(shop.db, "default")
    cancelled = [shop.insert("note") for _ in range(24)]
    seal_all(shop.db)
    shop.db.execute("update awa.batch set ids = ids[:1]")
    shop.db.execute(
        "insert into awa.batch (lane, sort_at, ids) select lane, sort_at, array[job] "
        "from awa.batch, unnest(%s::bigint[]) as job where not job = any (ids)",
        [cancelled],
    )
    others = shop.insert_many([("note", {})] * 6 + [("noop", {})] * 6)
    supervisor = supervise(processes=2).ready()
    with psycopg.connect(shop.dsn, application_name="careless") as other:
        for job in cancelled:
            control.cancel(other, job)
        control.resume(shop.db, "default")
        shop.until_state("completed", *others)
        said = supervisor.until_event("claim.locked")
        assert f"process {other.info.backend_pid} (application careless" in said["held_by"]
        shop.until_state("completed", shop.insert("note"))
        other.commit()
    shop.until_state("cancelled", *cancelled)
    assert not supervisor.events("worker.exited")
    assert not supervisor.events("database.lost")


def test_a_burial_that_has_to_wait_lets_the_others_go_first(shop: Shop, supervise: Start) -> None:
    supervisor = supervise(processes=2).ready()
    jobs = [shop.insert("until_cancelled") for _ in range(2)]
    shop.until_effect("waiting", *jobs)
    first, second = (shop.rows("select pid from effects where job = %s", job)[0] for job in jobs)
    with psycopg.connect(shop.dsn) as other:
        other.execute("select id from awa.batch where ids[1] = %s for update", [jobs[0]])
        os.kill(first, signal.SIGKILL)
        supervisor.until_event("worker.exited", pid=first)
        os.kill(second, signal.SIGKILL)
        until(lambda: len(shop.attempts(jobs[1])) >= 1)
        warning = supervisor.until_event("supervisor.warning")
        assert "the rescue of worker" in warning["warning"]
        assert shop.attempts(jobs[0]) == []
        other.rollback()
    until(lambda: len(shop.attempts(jobs[0])) == 1)
    assert len(supervisor.events("supervisor.warning")) == 1
    assert not supervisor.events("database.lost")
    assert not supervisor.events("supervisor.service_failed")


def test_a_locked_lease_does_not_hold_up_the_help_for_others(shop: Shop, supervise: Start) -> None:
    """As by a handler that goes on for a while behind `job.complete`, of the first worker on the board."""
    supervisor = supervise(processes=2, stuck_after_ms=6_000).ready()
    first_pid = next(line["pid"] for line in supervisor.events("worker.ready") if line["slot"] == 0)
    leases = [lease_with_a_stop(shop, supervisor, f"gate {n}") for n in range(2)]
    leases.sort(key=lambda lease: shop.rows("select pid from effects where job = %s", lease[1]) != [first_pid])
    (before, stuck, rest), (before_others, other, others) = leases
    shop.until_state("completed", *before, *before_others, timeout=5)
    with psycopg.connect(shop.dsn) as holder:
        held = holder.execute("select ids from awa.batch where %s = any (ids) for update", [stuck]).fetchall()
        assert held == [([stuck, *rest],)]
        assert set(shop.states(*others)) == {"running"}
        shop.until_state("available", *others, timeout=30)
        warning = supervisor.until_event("supervisor.warning", timeout=30)
        assert "the help for worker" in warning["warning"]
        assert set(shop.states(*rest)) == {"running"}
        holder.rollback()
    shop.until_state("available", *rest, timeout=30)
    for gate in ("gate 0", "gate 1"):
        shop.open(gate)
    shop.until_state("completed", stuck, other, *rest, *others, timeout=30)
    assert len(supervisor.events("supervisor.warning")) == 1
    assert not supervisor.events("supervisor.service_failed")


def test_what_could_not_be_handed_back_at_the_end_is_said_and_left_to_others(shop: Shop, supervise: Start) -> None:
    supervisor = supervise(processes=1).ready()
    before, running, behind = lease_with_a_stop(shop, supervisor, "gate")
    shop.until_state("completed", *before)
    with psycopg.connect(shop.dsn) as other:
        other.execute("select id from awa.batch for update")
        (worker,) = supervisor.workers()
        os.kill(worker, signal.SIGKILL)
        supervisor.until_event("worker.exited", pid=worker)
        assert supervisor.stop(timeout=25) == 0
        assert [
            line for line in supervisor.events("supervisor.warning") if "could not be handed back" in line["warning"]
        ]
    supervise(processes=1).ready()
    shop.open("gate")
    shop.until_state("completed", running, *behind)
    assert [attempt["outcome"] for attempt in shop.attempts(running)] == ["retryable", "completed"]
    assert {shop.job(job)["attempt"] for job in behind} == {1}
