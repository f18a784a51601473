"""Promote: what is due comes back into batches, at its time's place, with its attempts."""

from datetime import datetime, timedelta, timezone

import pytest

from awa.engine.claim import FROM_THE_START
from awa.engine.promote import PROMOTE_JOBS_MAX, promote
from awa.engine.seal import BATCH_JOBS_MAX, seal_all
from tests.engine.helpers import (
    Connection,
    add,
    add_sealed,
    all_in,
    buffers,
    explain,
    ids_of,
    scans,
    sign_in,
    take,
)
from tests.fixtures.postgres import both_servers

NOW = datetime.now(timezone.utc)
LATER = NOW + timedelta(days=30)


def put_aside(db: Connection, jobs: int, **fields: object) -> list[int]:
    return add_sealed(db, jobs, **{"run_at": LATER, **fields})


def make_due(db: Connection, ids: list[int], ago_s: float = 1.0) -> None:
    db.execute("update awa.deferred set run_at = now() - %s where job_id = any(%s)", [timedelta(seconds=ago_s), ids])


@both_servers
def test_what_is_due_comes_back_and_the_rest_waits(db: Connection) -> None:
    due, waiting = put_aside(db, 5), put_aside(db, 5)
    make_due(db, due)
    step = promote(db)
    assert (step.jobs, step.more) == (5, False)
    assert all_in(db, "ready", due)
    assert all_in(db, "deferred", waiting)
    assert promote(db).jobs == 0


def test_attempts_and_rounds_come_back_with_the_jobs(db: Connection) -> None:
    ids = put_aside(db, 4)
    make_due(db, ids)
    db.execute("update awa.deferred set attempt = job_id % 3, retry_round = job_id % 2, why = 'retry'")
    promote(db)
    for lease in take(db, sign_in(db)).leases:
        assert all(job % 2 == lease.retry_round for job in lease.ids)
        assert lease.attempts == [job % 3 for job in lease.ids]


def test_batches_hold_one_lane_and_are_bounded(db: Connection) -> None:
    a, b = put_aside(db, 25, kind="a"), put_aside(db, 5, kind="b")
    make_due(db, a + b)
    promote(db, batch_max=10)
    rows = db.execute("select l.kind, cardinality(b.ids) from awa.batch b join awa.lane l on l.id = b.lane")
    assert sorted(rows) == [("a", 5), ("a", 10), ("a", 10), ("b", 5)]


def test_promoted_jobs_are_ordered_by_when_they_were_due(db: Connection) -> None:
    ids = put_aside(db, 5)
    for job in ids:
        make_due(db, [job], ago_s=float(job % 3 * 100 + job))
    promote(db)
    assert ids_of(take(db, sign_in(db))) == sorted(ids, key=lambda job: -(job % 3 * 100 + job))


def test_the_key_of_a_promoted_batch_is_its_due_time_and_ageing(db: Connection) -> None:
    first = put_aside(db, 1, priority=3)
    make_due(db, first, ago_s=300)
    promote(db)
    row = db.execute("select extract(epoch from now() - sort_at)::float8 from awa.batch").fetchone()
    assert row is not None
    assert row[0] == pytest.approx(300 - 2 * 60, abs=30)


@both_servers
def test_a_step_is_bounded_and_the_next_one_goes_on(db: Connection) -> None:
    ids = put_aside(db, 25)
    for job in ids:
        make_due(db, [job], ago_s=1000.0 - job)
    first = promote(db, jobs_max=10)
    assert (first.jobs, first.more) == (10, True)
    assert all_in(db, "ready", ids[:10])
    second = promote(db, first.last, jobs_max=10)
    third = promote(db, second.last, jobs_max=10)
    assert (second.jobs, third.jobs, third.more) == (10, 5, False)
    assert promote(db, third.last).last == third.last, "nothing found: the start stays"


def test_equal_times_across_a_step_are_not_passed_over(db: Connection) -> None:
    ids = put_aside(db, 30)
    db.execute("update awa.deferred set run_at = now() - interval '1 minute'")
    start, total = FROM_THE_START, 0
    for _ in range(3):
        step = promote(db, start, jobs_max=10)
        start, total = step.last, total + step.jobs
    assert total == 30
    assert all_in(db, "ready", ids)


def test_an_earlier_time_set_meanwhile_is_found_from_the_start(db: Connection) -> None:
    early, late = put_aside(db, 1), put_aside(db, 1)
    make_due(db, late, ago_s=10)
    step = promote(db)
    make_due(db, early, ago_s=1000)
    assert promote(db, step.last).jobs == 0
    assert promote(db, FROM_THE_START).jobs == 1


@pytest.mark.parametrize("generic", [False, True])
@pytest.mark.parametrize("statistics", ["none", "of an empty table", "fresh"])
@both_servers
def test_promotion_reads_its_index_at_any_number_of_deferred_jobs(
    db: Connection, generic: bool, statistics: str
) -> None:
    if statistics == "of an empty table":
        db.execute("vacuum analyze awa.deferred")
    add(db, 30_000, run_at=LATER)
    seal_all(db)
    if statistics == "fresh":
        db.execute("vacuum analyze awa.deferred")
    wanted = {"start": FROM_THE_START, "jobs_max": PROMOTE_JOBS_MAX, "batch_max": BATCH_JOBS_MAX}
    plan = explain(db, "promote/promote", wanted, generic=generic)
    assert buffers(plan) < 20, "nothing is due: next to nothing is read"
    assert buffers(explain(db, "promote/any", {"start": FROM_THE_START}, generic=generic)) < 20
    make_due(db, put_aside(db, 5))
    with db.transaction(force_rollback=True):
        plan = explain(db, "promote/promote", wanted, generic=generic)
    assert {index for _, index in scans(plan, "deferred") if index} <= {"deferred_due", "deferred_pkey"}
    assert not any(kind == "Seq Scan" for kind, _ in scans(plan, "deferred"))
    assert buffers(plan) < 200
