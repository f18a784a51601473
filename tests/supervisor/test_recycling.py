"""Workers that have run enough jobs, or taken enough memory, make room for fresh ones, and nothing is lost by it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fixtures.supervisor import Shop, Start
from tests.fixtures.waiting import until

pytestmark = [pytest.mark.processes, pytest.mark.postgres]


def test_after_so_many_jobs_a_fresh_worker_goes_on(shop: Shop, supervise: Start) -> None:
    supervisor = supervise(processes=2, max_jobs=20)
    jobs = shop.insert_many([("note", {})] * 300)
    shop.until_state("completed", *jobs, timeout=60)
    per_worker = shop.rows("select count(*) from effects group by pid order by 1")
    assert max(per_worker) <= 20
    assert sum(per_worker) == 300  # each once
    assert {shop.job(job)["attempt"] for job in jobs} == {1}
    recycled = supervisor.events("worker.recycled", reason="jobs")
    assert len(recycled) >= 13
    assert all(18 <= event["jobs"] <= 20 for event in recycled)
    until(lambda: len(supervisor.events("worker.exited")) >= len(recycled))
    for exited in supervisor.events("worker.exited"):
        assert (exited["how"], exited["expected"]) == ("recycled", True)
    assert not supervisor.events("rescue.jobs")


def test_a_worker_without_descriptors_makes_room(shop: Shop, supervise: Start) -> None:
    """Before the jobs of others fail for want of them: at the next claim, or when a job has failed."""
    shop.insert_many([("descriptors", {})] * 10)
    jobs = shop.insert_many([("descriptors", {"leak": True, "fails": True})] + [("descriptors", {})] * 10)
    supervisor = supervise(processes=1).ready()
    shop.until_state("completed", *jobs[1:])
    assert [each["attempt"] for job in jobs[1:] for each in shop.attempts(job)] == [1] * 10
    event = supervisor.until_event("worker.recycled")
    assert event["reason"] == "descriptors"


@pytest.mark.parametrize("replace", [False, True])
def test_a_worker_whose_descriptors_were_closed_touches_no_file(shop: Shop, supervise: Start, replace: bool) -> None:
    """It writes into none that has got one of their numbers, and no other job fails for it."""
    before = [shop.insert("note") for _ in range(3)]
    job = shop.insert("close_all", {"replace": replace})
    after = [shop.insert("note") for _ in range(3)]
    supervisor = supervise(processes=1).ready()
    shop.until_state("completed", *before, job, *after)
    last = shop.insert("note")  # the idle worker is woken for it
    shop.until_state("completed", last)
    assert Path(shop.job(job)["result"]).read_bytes() == b"mine"
    assert {len(shop.attempts(each)) for each in (*before, job, *after, last)} == {1}
    event = supervisor.until_event("worker.recycled")
    assert event["reason"].startswith("a handler has closed what the worker needs")
    exited = supervisor.until_event("worker.exited")
    assert (exited["how"], exited["expected"]) == ("recycled", True)
    assert supervisor.stop() == 0


def test_one_job_a_process(shop: Shop, supervise: Start) -> None:
    """Its successor comes without delay."""
    supervise(processes=1, max_jobs=1)
    jobs = shop.insert_many([("note", {})] * 12)
    shop.until_state("completed", *jobs, timeout=60)
    assert shop.rows("select count(distinct pid) from effects") == [12]
    gaps = shop.rows(
        "select extract(epoch from started_at - lag(finished_at) over (order by started_at))::float "
        "from awa.attempts where job_id = any (%s)",
        jobs,
    )
    assert sorted(gap for gap in gaps if gap is not None)[5] < 1.0


def test_a_worker_claims_no_more_than_it_will_run(shop: Shop, supervise: Start) -> None:
    """Of short jobs it would claim more with each lease, the third time dozens."""
    args = [{"gate": "gate"} if position == 9 else {} for position in range(100)]
    jobs = shop.insert_many([("step", each) for each in args])
    supervise(processes=1, max_jobs=12)
    shop.until_effect("waiting", jobs[9], timeout=60)
    (ready,) = shop.rows("select sum(cardinality(ids))::int from awa.batch where owner is null")
    assert ready >= 100 - 12
    shop.open("gate")
    shop.until_state("completed", *jobs, timeout=60)


def test_a_leak_ends_a_worker_and_the_rest_of_its_lease_is_not_kept_waiting(shop: Shop, supervise: Start) -> None:
    supervisor = supervise(processes=1, max_memory_mb=60).ready()
    known_to_be_short = shop.insert_many([("leak", {"mb": 0})] * 200)
    shop.until_state("completed", *known_to_be_short, timeout=60)
    args = [{"mb": 0} for _ in range(40)]
    args[10] = {"mb": 100}
    jobs = shop.insert_many([("leak", each) for each in args])
    shop.until_state("completed", *jobs, timeout=60)
    event = supervisor.until_event("worker.recycled")
    assert event["reason"] == "memory"
    assert 90 <= event["grown_mb"] <= 130
    assert {shop.job(job)["attempt"] for job in jobs} == {1}
    before, after = (shop.rows("select pid from effects where job = %s", job) for job in (jobs[10], jobs[-1]))
    assert before != after
    assert supervisor.until_event("worker.exited", pid=before[0])["how"] == "recycled"
    assert shop.rows("select count(*) from effects where job = any (%s)", jobs) == [40]


def test_memory_that_stays_within_the_limit_ends_nobody(shop: Shop, supervise: Start) -> None:
    supervisor = supervise(processes=1, max_memory_mb=200)
    jobs = shop.insert_many([("leak", {"mb": 1})] * 30)
    shop.until_state("completed", *jobs, timeout=60)
    assert not supervisor.events("worker.recycled")
    assert len(shop.rows("select distinct pid from effects")) == 1
