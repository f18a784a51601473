"""Leases that are not as a worker expects them."""

from __future__ import annotations

import os
import signal

import pytest

from awa.engine.admin import control
from awa.engine.seal import seal_all
from tests.fixtures.supervisor import Shop, Start

pytestmark = [pytest.mark.processes, pytest.mark.postgres]


def test_jobs_whose_rows_were_deleted_do_not_stop_the_others(shop: Shop, supervise: Start) -> None:
    jobs = shop.insert_many([("note", {})] * 10)
    seal_all(shop.db)
    shop.db.execute("delete from awa.job_log where id = any (%s)", [jobs[2:8]])
    supervisor = supervise(processes=1).ready()
    shop.until_state("completed", *jobs[:2], *jobs[8:])
    assert sorted(job for line in supervisor.events("settle.row_missing") for job in line["jobs"]) == jobs[2:8]
    assert not supervisor.events("worker.exited")
    assert shop.rows("select id from awa.batch") == []


def test_an_outcome_that_the_server_refuses_holds_up_no_other(shop: Shop, supervise: Start) -> None:
    """Settled by the worker, by the proxy while the worker is stuck, and for a worker that has died."""
    jobs = shop.insert_many([("add", {"a": 1, "b": n}) for n in range(20)])
    stuck = shop.insert_many([("add", {"a": 1, "b": n}) for n in range(5)] + [("step", {"gate": "open"})])
    shop.db.execute(
        f"alter table awa.attempt_log add check (result is null or job_id not in ({jobs[7]}, {stuck[2]}))".encode()
    )
    supervisor = supervise(processes=1).ready()
    shop.until_state("completed", *jobs, *stuck[:-1])
    shop.until_effect("waiting", stuck[-1])
    assert {line["job"] for line in supervisor.events("settle.stand_in")} == {jobs[7], stuck[2]}
    (pid,) = supervisor.workers()
    shop.db.execute(f"alter table awa.attempt_log add check (error is null or job_id <> {stuck[-1]})".encode())
    os.kill(pid, signal.SIGKILL)
    shop.open("open")
    shop.until_state("completed", stuck[-1])  # its death cannot be recorded: it runs again
    assert not supervisor.events("supervisor.service_failed")
    assert shop.rows("select id from awa.batch") == []


def test_a_claim_that_arrives_after_its_connection_broke_is_handed_back(shop: Shop, supervise: Start) -> None:
    """What was sent before a cut may reach the server late: a lease the worker knows nothing of."""
    supervise(processes=1).ready()
    (worker,) = shop.rows("select id from awa.worker")
    (pid,) = shop.rows(
        "select pid from pg_stat_activity where application_name = 'awa worker 0' and datname = current_database()"
    )
    shop.db.execute("select pg_terminate_backend(%s, 5000)", [pid])
    shop.until_state("completed", shop.insert("note"))  # it has another one
    control.pause(shop.db, "default")
    late = shop.insert_many([("note", {})] * 5)
    seal_all(shop.db)
    shop.db.execute("update awa.batch set owner = %s, leased_at = now(), lease_pos = 1", [worker])
    control.resume(shop.db, "default")
    shop.insert("note")
    shop.until_state("completed", *late)
    assert [shop.effects(job) for job in late] == [["ran"]] * 5
