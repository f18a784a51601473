"""Rows written with `job.transaction()` and `job.complete()` are there exactly once, whoever dies and whenever."""

from __future__ import annotations

import contextlib
import os
import random
import signal
from collections import Counter
from itertools import product
from time import monotonic, sleep

import psutil
import pytest

from awa.engine.admin import control
from tests.fixtures.ledger import COMMITTED, PLACES, TABLE, WRITERS
from tests.fixtures.processes import until_dead
from tests.fixtures.supervisor import Shop, Start, Supervisor
from tests.fixtures.waiting import until
from tests.supervisor.test_nodes import freeze, frozen, thaw

pytestmark = [pytest.mark.processes, pytest.mark.postgres]

LEDGER = "tests.fixtures.ledger:client"
PATIENCE_S = 60.0

__all__ = ["frozen"]


@pytest.fixture(autouse=True)
def ledger(shop: Shop) -> None:
    shop.db.execute(TABLE)


def written(shop: Shop, job: int) -> list[str]:
    return shop.rows("select what from ledger where job = %s order by what", job)


def outcomes(shop: Shop, job: int) -> list[str]:
    return [attempt["outcome"] for attempt in shop.attempts(job)]


def test_killed_at_every_point(shop: Shop, supervise: Start) -> None:
    """By each library, one job dies at each place, and between them are jobs that nothing happens to."""
    supervisor = supervise(app=LEDGER, processes=4).ready()
    args = [arg for by in WRITERS for place in PLACES for arg in ({"die_at": place, "by": by}, {"by": by})]
    jobs = shop.insert_many([("entry", each) for each in args])
    shop.until_state("completed", *jobs, timeout=PATIENCE_S)
    until(lambda: len(supervisor.events("worker.exited")) >= len(WRITERS) * len(PLACES), PATIENCE_S)
    for job, given in zip(jobs, args, strict=True):
        place = given.get("die_at")
        died_before = place is not None and PLACES.index(place) < COMMITTED
        assert written(shop, job) == ["first", "second"], given
        assert outcomes(shop, job) == (["retryable"] if died_before else []) + ["completed"], given
        assert shop.effects(job).count("ran") == 1 + died_before, given
        assert shop.job(job)["attempt"] == 1 + died_before, given
    assert shop.rows("select count(*) from awa.batch") == [0]
    assert not supervisor.events("settle.refused")


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_killed_at_any_moment(shop: Shop, supervise: Start, seed: int) -> None:
    """Workers are killed from outside every few milliseconds, in the middle of a commit too, for a few seconds."""
    supervisor = supervise(app=LEDGER, processes=2).ready()
    chance = random.Random(seed)
    jobs = shop.insert_many([("entry", {"by": by}) for _ in range(150) for by in ("own", "psycopg")])
    end = monotonic() + 3
    while monotonic() < end:
        sleep(chance.uniform(0.002, 0.12))
        for pid in supervisor.workers()[:1]:
            with contextlib.suppress(ProcessLookupError):  # it has ended since the last one was killed
                os.kill(pid, signal.SIGKILL)
    shop.until_state("completed", *jobs, timeout=PATIENCE_S)
    rows = Counter(shop.rows("select job from ledger"))
    assert {job: rows[job] for job in jobs if rows[job] != 2} == {}
    completed = "select job_id, count(*) from awa.attempt_log where outcome = 3 group by 1 having count(*) <> 1"
    assert shop.rows(completed) == []


def stopped_worker(supervisor: Supervisor) -> int:
    """The only worker, once it has stopped itself, which it says before it does."""
    (worker,) = supervisor.workers()
    until(lambda: psutil.Process(worker).status() == psutil.STATUS_STOPPED, PATIENCE_S)
    return worker


def test_a_zombie_cannot_commit(shop: Shop, supervise: Start, frozen: list[psutil.Process]) -> None:
    first = supervise(app=LEDGER, processes=1).ready()
    job = shop.insert("entry", {"stop_at": "second"})
    shop.until_effect("stops second", job, timeout=PATIENCE_S)
    zombie = stopped_worker(first)
    freeze(shop, first, frozen)
    second = supervise(app=LEDGER, processes=1).ready()
    shop.until_state("completed", job, timeout=PATIENCE_S)
    psutil.Process(zombie).resume()  # before its supervisor could tell it
    refused = first.until_event("settle.refused", timeout=PATIENCE_S)
    assert refused["jobs"] == [job]
    assert "LeaseLost" in first.events("run.finished")[0]["error"]
    assert written(shop, job) == ["first", "second"]
    assert outcomes(shop, job) == ["retryable", "completed"]
    assert "after" in shop.effects(job)
    assert shop.effects(job).count("after") == 1  # the zombie's handler did not come there
    thaw(frozen)
    assert second.stop() == 0


@pytest.mark.slow
def test_a_zombie_between_its_last_statement_and_its_commit(
    shop: Shop, supervise: Start, frozen: list[psutil.Process]
) -> None:
    """It holds the lease locked; after ten seconds without a word from it the server ends its session."""
    first = supervise(app=LEDGER, processes=1).ready()
    job = shop.insert("entry", {"stop_at": "settled"})
    shop.until_effect("stops settled", job, timeout=PATIENCE_S)
    zombie = stopped_worker(first)
    freeze(shop, first, frozen)
    supervise(app=LEDGER, processes=1).ready()
    shop.until_state("completed", job, timeout=PATIENCE_S)
    psutil.Process(zombie).resume()
    first.until_event("settle.refused", timeout=PATIENCE_S)
    assert "idle-in-transaction" in first.events("run.finished")[0]["error"]
    assert written(shop, job) == ["first", "second"]
    assert outcomes(shop, job) == ["retryable", "completed"]
    thaw(frozen)


def test_a_zombie_behind_its_commit_does_not_go_on_with_the_lease(
    shop: Shop, supervise: Start, frozen: list[psutil.Process]
) -> None:
    """What it has committed stands; what was behind it in its lease is others' by the time it wakes up."""
    first = supervise(app=LEDGER, processes=1).ready()
    short = shop.insert_many([("entry", {})] * 200)  # so that the next lease is of several jobs
    shop.until_state("completed", *short, timeout=PATIENCE_S)
    job, *behind = shop.insert_many([("entry", {"stop_at": "committed"})] + [("entry", {})] * 5)
    shop.until_effect("stops committed", job, timeout=PATIENCE_S)
    zombie = stopped_worker(first)
    freeze(shop, first, frozen)
    supervise(app=LEDGER, processes=1).ready()
    shop.until_state("completed", job, *behind, timeout=PATIENCE_S)
    psutil.Process(zombie).resume()
    until(lambda: "after" in shop.effects(job), PATIENCE_S)
    until_dead(zombie, timeout=PATIENCE_S)
    assert all(written(shop, each) == ["first", "second"] for each in (job, *behind))
    assert [shop.effects(each).count("ran") for each in (job, *behind)] == [1] * 6
    assert outcomes(shop, job) == ["completed"]
    thaw(frozen)


def test_the_workers_connection_is_cut_meanwhile(shop: Shop, supervise: Start) -> None:
    """It cannot ask what became of the transaction; it settles later, and makes nothing of a refusal."""
    supervisor = supervise(app=LEDGER, processes=1).ready()
    for by, place in product(("own", "psycopg", "django"), ("second", "committed", "after")):
        job = shop.insert("entry", {"cut_at": place, "by": by})
        shop.until_state("completed", job, timeout=PATIENCE_S)
        until(lambda job=job: shop.effects(job)[-1] == "after", PATIENCE_S)
        assert written(shop, job) == ["first", "second"], (by, place)
        assert shop.effects(job) == ["ran", "after"], (by, place)
    note = shop.insert("entry")
    shop.until_state("completed", note, timeout=PATIENCE_S)
    assert not supervisor.events("settle.refused")
    assert len(supervisor.workers()) == 1
    assert not supervisor.events("worker.exited")


def test_time_is_up(shop: Shop, supervise: Start) -> None:
    libraries = ("own", "psycopg2", "sqlalchemy")
    supervisor = supervise(app=LEDGER, processes=5).ready()
    given = [
        {what: place, "by": by}
        for by in libraries
        for what, place in (
            ("sleep_at", "second"),
            ("sleep_at", "settled"),
            ("hang_at", "second"),
            ("sleep_at", "committed"),
            ("hang_at", "committed"),
        )
    ]
    jobs = shop.insert_many([("entry", each) for each in given], timeout_ms=1500)
    shop.until_state("completed", *jobs, timeout=PATIENCE_S)
    hanging = [each for each in given if "hang_at" in each]
    until(lambda: len(supervisor.events("worker.exited")) == len(hanging), PATIENCE_S)
    for job, each in zip(jobs, given, strict=True):
        assert written(shop, job) == ["first", "second"], each
        if "committed" in each.values():
            assert outcomes(shop, job) == ["completed"], each
        else:
            assert outcomes(shop, job) == ["retryable", "completed"], each
            assert shop.attempts(job)[0]["error"]["type"] == "JobTimeout", each


def test_cancelled_in_the_block(shop: Shop, supervise: Start) -> None:
    supervisor = supervise(app=LEDGER, processes=2).ready()
    jobs = [shop.insert("entry", {"wait_at": "second", "by": by}) for by in ("own", "psycopg")]
    shop.until_effect("waits second", *jobs, timeout=PATIENCE_S)
    assert all(control.cancel(shop.db, job) for job in jobs)
    shop.open("gate")
    supervisor.until_event("settle.refused", 2, timeout=PATIENCE_S)
    assert [written(shop, job) for job in jobs] == [[], []]
    assert shop.states(*jobs) == ["cancelled"] * 2


def test_others_of_the_lease_go_on(shop: Shop, supervise: Start) -> None:
    """Their worker is held up for so long that its supervisor gives the rest of the lease to another."""
    supervise(app=LEDGER, processes=2).ready()
    jobs = shop.insert_many([("entry", {})] * 20 + [("entry", {"wait_at": "second"})] + [("entry", {})] * 20)
    shop.until_effect("waits second", jobs[20], timeout=PATIENCE_S)
    shop.until_state("completed", *jobs[:20], *jobs[21:], timeout=PATIENCE_S)
    shop.open("gate")
    shop.until_state("completed", *jobs, timeout=PATIENCE_S)
    assert all(written(shop, job) == ["first", "second"] for job in jobs)
    assert {shop.job(job)["attempt"] for job in jobs} == {1}


def test_a_transaction_left_open_ends_the_worker(shop: Shop, supervise: Start) -> None:
    supervisor = supervise(app=LEDGER, processes=1).ready()
    job = shop.insert("forgets")
    behind = shop.insert_many([("entry", {})] * 5)
    began = monotonic()
    shop.until_state("completed", job, *behind, timeout=PATIENCE_S)
    assert supervisor.events("run.transaction_left_open")[0]["job"] == job
    assert supervisor.until_event("worker.exited")["how"] == "recycled"
    assert written(shop, job) == ["2"]
    spent, _ = shop.attempts(job)
    assert spent["outcome"] == "retryable"
    assert spent["error"]["type"] == "NotCommitted"
    assert monotonic() - began < 9  # nobody had to wait for the server's patience to end
