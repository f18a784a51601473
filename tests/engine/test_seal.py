"""Seal: newly committed jobs go into batches, or aside until they are due, once each."""

from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from awa.database.statements import statement
from awa.engine import retire
from awa.engine.admin import control
from awa.engine.insert.bulk import insert_many
from awa.engine.seal import BATCH_JOBS_MAX, SEAL_JOBS_MAX, reseal, seal, seal_all
from tests.engine.helpers import (
    Connection,
    add,
    add_unsealed,
    all_in,
    batches,
    buffers,
    explain,
    new,
    nodes,
    places,
    scans,
    small_segments,
)
from tests.fixtures.postgres import both_servers
from tests.fixtures.waiting import Session

SOON = timedelta(hours=1)


def now() -> datetime:
    return datetime.now(timezone.utc)


def one(connection: Connection, query: str, *wanted: Any) -> Any:
    row = connection.execute(query.encode(), *wanted).fetchone()
    return row and row[0]


@both_servers
def test_due_jobs_go_into_a_batch_and_later_ones_aside(db: Connection) -> None:
    due, past = add(db, 3), add(db, 2, run_at=now() - SOON)
    later = add(db, 2, run_at=now() + SOON)
    sealed = seal(db)
    assert (sealed.jobs, sealed.batches, sealed.more, sealed.locked) == (7, 1, False, True)
    assert all_in(db, "ready", due + past)
    assert all_in(db, "deferred", later)
    assert db.execute("select distinct why, attempt, retry_round from awa.deferred").fetchall() == [("scheduled", 0, 0)]


def test_a_seal_says_how_many_jobs_can_be_claimed_now_and_where(db: Connection) -> None:
    add(db, 150)
    add(db, 2, queue="other")
    add(db, 2, queue="paused")
    add(db, 2, run_at=now() + SOON)
    add(db, 2, ordering_key=b"k")
    control.pause(db, "paused")
    sealed = seal(db)
    lanes = dict(db.execute("select id, queue from awa.lane").fetchall())
    assert {lanes[lane]: jobs for lane, jobs in sealed.claimable.items()} == {"default": 150, "other": 2}
    first = dict(db.execute("select lane, min(sort_at)::text from awa.batch group by lane").fetchall())
    assert sealed.fronts == {lane: first[lane] for lane in sealed.claimable}
    assert sealed.headed == 1
    assert seal(db).claimable == {}


def test_nothing_is_sealed_twice_and_an_empty_seal_writes_nothing(db: Connection) -> None:
    add(db, 3)
    assert seal(db).jobs == 3
    before = one(db, "select pg_current_wal_insert_lsn()"), one(db, "select max(generation) from awa.seal_ledger")
    again = seal(db)
    assert (again.jobs, again.batches, again.more, again.locked) == (0, 0, False, True)
    assert one(db, "select max(generation) from awa.seal_ledger") == before[1]


def test_force_moves_the_cursor_on_without_jobs(db: Connection) -> None:
    gen = one(db, "select max(generation) from awa.seal_ledger")
    seal(db, force=True)
    assert one(db, "select max(generation) from awa.seal_ledger") == gen + 1


def test_batches_hold_one_queue_kind_and_priority_in_order_and_are_bounded(db: Connection) -> None:
    mixed = [
        new(queue=queue, kind=kind, priority=priority)
        for _ in range(20)
        for queue in ("a", "b")
        for kind in ("x", "y")
        for priority in (1, 4)
    ]
    with db.transaction():
        ids = insert_many(db, mixed).ids
    assert seal(db, batch_max=8).batches == 8 * 3
    rows = db.execute(
        """select l.queue, l.kind, l.priority, b.ids from awa.batch b join awa.lane l on l.id = b.lane order by b.id"""
    ).fetchall()
    by_lane: dict[tuple[str, str, int], list[int]] = {}
    for queue, kind, priority, held in rows:
        assert len(held) <= 8
        by_lane.setdefault((queue, kind, priority), []).extend(held)
    for lane, held in by_lane.items():
        expected = [job for job, given in zip(ids, mixed, strict=True) if given.envelope[:3] == lane]
        assert held == expected


def test_a_seal_makes_known_the_queues_and_lanes_it_meets(db: Connection) -> None:
    add(db, 2, queue="q1")
    add(db, 2, queue="q2", kind="other", priority=3)
    seal(db)
    assert [stat.queue for stat in control.queue_stats(db)] == ["q1", "q2"]
    assert db.execute("select queue, kind, priority from awa.lane order by 1").fetchall() == [
        ("q1", "work", 2),
        ("q2", "other", 3),
    ]


def test_order_key_is_enqueue_time_plus_the_queues_ageing_per_priority(db: Connection) -> None:
    db.execute("insert into awa.queue (name, ageing_s) values ('slow', 600), ('never', 0)")
    run_at = now() - timedelta(minutes=5)
    cases = {("default", 1): 0, ("default", 4): 180, ("slow", 1): 0, ("slow", 3): 1200}
    ids = {case: add(db, 1, queue=case[0], priority=case[1])[0] for case in cases}
    never = add(db, 1, queue="never", priority=2)[0]
    past = add(db, 1, run_at=run_at, priority=1, kind="overdue")[0]
    seal(db)

    def shift(job: int) -> timedelta:
        batched = "awa.batch b join awa.job_log j on j.id = any (b.ids)"
        return one(db, f"select b.sort_at - j.created_at from {batched} where j.id = %s", [job])

    for case, seconds in cases.items():
        assert shift(ids[case]) == timedelta(seconds=seconds), case
    assert shift(never) > timedelta(days=300_000)
    assert shift(past) >= timedelta(0), "a run time in the past does not let a job jump the queue"


@both_servers
def test_a_large_transaction_is_sealed_in_bounded_steps(db: Connection) -> None:
    ids = add(db, 95)
    steps = []
    while (step := seal(db, jobs_max=20)).more:
        steps.append(step.jobs)
    assert [*steps, step.jobs] == [20, 20, 20, 20, 15, 0]
    assert all_in(db, "ready", ids)


def test_a_step_that_ends_exactly_at_the_limit_closes_with_the_next(db: Connection) -> None:
    ids = add(db, 40)
    full, closing, nothing = (20, 1, True, True), (0, 0, True, True), (0, 0, False, True)
    assert [seal(db, jobs_max=20)[:4] for _ in range(4)] == [full, full, closing, nothing]
    assert one(db, "select target is null from awa.seal_ledger order by generation desc limit 1")
    assert all_in(db, "ready", ids)


def test_jobs_committed_between_the_steps_are_sealed_once_and_afterwards(db: Connection) -> None:
    first = add(db, 50)
    assert seal(db, jobs_max=20).more
    second = add(db, 30)
    assert [seal(db, jobs_max=20)[:3] for _ in range(2)] == [(20, 1, True), (10, 1, True)]
    assert all_in(db, "ready", first)
    assert all_in(db, "unsealed", second)
    assert seal_all(db) == 30
    assert all_in(db, "ready", first + second)


def test_seal_all_goes_on_behind_what_an_earlier_step_began(db: Connection) -> None:
    first = add(db, 25)
    assert seal(db, jobs_max=20).more
    second = add(db, 5)
    assert seal_all(db) == 10
    assert all_in(db, "ready", first + second)


def test_seal_all_seals_everything_committed_before(db: Connection) -> None:
    ids = [job for _ in range(3) for job in add_unsealed(db, 9_000)]
    assert len(ids) > SEAL_JOBS_MAX
    assert seal_all(db) == len(ids)
    assert all_in(db, "ready", ids)
    assert len(batches(db)) == -(-SEAL_JOBS_MAX // BATCH_JOBS_MAX) + -(-(len(ids) - SEAL_JOBS_MAX) // BATCH_JOBS_MAX)


def test_floor_is_the_first_segment_that_may_still_get_jobs(db: Connection) -> None:
    small_segments(db, 100)
    assert seal(db).floor == 1
    add(db, 150)
    assert seal(db).floor == 1
    for _ in range(4):
        retire.watch(db)
    floor = seal(db).floor
    assert floor == 101
    late = add(db, 10)
    assert seal(db, floor).jobs == 10
    assert all_in(db, "ready", late)


def test_jobs_of_the_default_partition_are_sealed(db: Connection) -> None:
    small_segments(db, 10, ahead=1)
    ids = add(db, 30)
    assert one(db, "select count(*) from awa.job_log_default") == 20
    assert seal(db).jobs == 30
    assert retire.extend(db, 10, 2) == 4
    assert one(db, "select count(*) from awa.job_log_default") == 0
    assert seal(db).jobs == 0
    assert all_in(db, "ready", ids)


# ------------------------------------------------------------------ restore


def restored_elsewhere(connection: Connection) -> None:
    """Make the ledger look as if it came, with all tables, from the dump of another cluster."""
    connection.execute("update awa.seal_ledger set system_id = system_id + 1")


@both_servers
def test_after_a_restore_only_jobs_that_are_nowhere_are_sealed(db: Connection) -> None:
    ready, later = add(db, 5), add(db, 2, run_at=now() + SOON)
    seal(db)
    db.execute("insert into awa.attempt_log (job_id, finished_at, lane, retry_round, attempt, outcome) "
               "select unnest(ids[:2]), now(), lane, 0, 1, 3 from awa.batch")  # fmt: skip
    db.execute("update awa.batch set ids = ids[3:]")
    unsealed, unsealed_later = add(db, 4), add(db, 1, run_at=now() + SOON)
    restored_elsewhere(db)
    assert seal(db).jobs == 5
    assert all_in(db, "ended", ready[:2])
    assert all_in(db, "ready", ready[2:] + unsealed)
    assert all_in(db, "deferred", later + unsealed_later)
    assert seal_all(db) == 0


def test_restored_jobs_whose_xids_lie_ahead_are_not_met_again(db: Connection) -> None:
    """A dump of a busier cluster: its xids are in this one's future, which arrives some day."""
    add(db, 5)
    db.execute("update awa.job_log set xid = (xid::text::bigint + 20)::text::xid8")
    restored_elsewhere(db)
    assert seal(db).jobs == 5
    for _ in range(40):
        assert add(db, 1)
    assert seal_all(db) == 40
    assert {place for where in places(db).values() for place in where} == {"ready"}
    assert all(len(where) == 1 for where in places(db).values())


def resealing(db: Connection) -> bool:
    return bool(one(db, "select exists (select from awa.restored)"))


@pytest.mark.parametrize("jobs_max", [2, 3, 7])
def test_a_restore_is_sealed_in_steps_and_new_jobs_beside_it(db: Connection, jobs_max: int) -> None:
    """Each step goes on where the last one ended, whoever made that; a job inserted meanwhile waits for one step."""
    sealed = add_unsealed(db, 6)
    seal_all(db)
    unsealed = add_unsealed(db, 20)
    restored_elsewhere(db)
    step, steps, new = seal(db, jobs_max=jobs_max), 1, list[int]()
    assert step.jobs == jobs_max
    while step.more:
        new += add(db, 1)
        step = seal(db, jobs_max=jobs_max)
        assert all_in(db, "ready", new)
        steps += 1
    assert steps > 20 / jobs_max
    assert not resealing(db)
    assert all_in(db, "ready", sealed + unsealed + new)


def test_a_step_of_a_restore_that_is_rolled_back_is_made_again(db: Connection, session: Callable[..., Session]) -> None:
    unsealed = add_unsealed(db, 10)
    restored_elsewhere(db)
    for _ in range(4):
        dying = session("dying")
        dying.run("begin")
        dying.run(statement("seal/lock").decode())
        for name in ("restored", "reseal_open"):
            dying.run(lambda c, name=name: c.execute(statement(f"seal/{name}")))
        dying.run(lambda c: c.execute(statement("seal/reseal"), {"batch_max": 128, "jobs_max": 4, "rows_max": 4}))
        dying.kill()
        assert seal(db, jobs_max=4).locked
    assert not resealing(db)
    assert all_in(db, "ready", unsealed)


def test_a_restore_rewrites_no_row_of_the_log(db: Connection) -> None:
    add_unsealed(db, 50)
    restored_elsewhere(db)
    before = db.execute("select id, ctid, xid from awa.job_log order by id").fetchall()
    assert seal_all(db) == 50
    assert db.execute("select id, ctid, xid from awa.job_log order by id").fetchall() == before


def test_a_restore_of_a_database_whose_restore_was_not_done(db: Connection) -> None:
    first = add_unsealed(db, 10)
    restored_elsewhere(db)
    seal(db, jobs_max=4)
    second = add_unsealed(db, 10)
    seal(db, jobs_max=2)
    restored_elsewhere(db)
    assert seal(db, jobs_max=2).more
    third = add_unsealed(db, 3)
    seal_all(db)
    assert not resealing(db)
    assert all_in(db, "ready", first + second + third)
    assert seal_all(db) == 0


def test_a_segment_is_not_called_sealed_while_a_restore_is(db: Connection) -> None:
    small_segments(db, 10)
    add_unsealed(db, 12)
    restored_elsewhere(db)
    seal(db, jobs_max=2)
    for _ in range(4):
        db.execute(statement("retire/sealed"))
        for name in ("exhaust", "note_open_writers", "close", "note_closed_seal"):
            db.execute(statement(f"retire/{name}"))
        db.execute("""insert into awa.seal_ledger (generation, base_generation, snapshot, jobs, system_id, foreign_id)
                      select generation + 2, generation + 2, snapshot, 0, system_id, foreign_id from awa.seal_ledger
                      order by generation desc limit 1""")
    assert resealing(db)
    assert not one(db, "select bool_or(sealed) from awa.segment")
    seal_all(db)
    db.execute(statement("retire/sealed"))
    assert one(db, "select sealed from awa.segment where first_id = 1")


def test_a_ledger_of_this_cluster_is_not_resealed(db: Connection) -> None:
    ids = add(db, 3)
    seal(db)
    db.execute("delete from awa.batch")
    assert reseal(db).jobs == 0
    assert all_in(db, "unsealed", ids)


# -------------------------------------------------------------------- plans


@pytest.mark.parametrize("generic", [False, True])
@pytest.mark.parametrize("analyzed", [False, True])
@both_servers
def test_sealing_reads_its_index_and_an_empty_seal_next_to_nothing(
    db: Connection, session: Callable[..., Session], generic: bool, analyzed: bool
) -> None:
    """Also while a transaction is open that took its xid before the last seal: its jobs would be found by index."""
    late = session("late")
    late.run("begin")
    late.value("select pg_current_xact_id()::text")
    add_unsealed(db, 50_000)
    seal_all(db)
    if analyzed:
        db.execute("analyze awa.job_log")
    wanted = {"floor": 0, "jobs_max": SEAL_JOBS_MAX, "batch_max": BATCH_JOBS_MAX, "force": False}
    with db.transaction():
        db.execute(statement("seal/lock"))
        plan = explain(db, "seal/seal", wanted, generic=generic)
    used = {index for _, index in scans(plan, "job_log")}
    assert used, plan
    assert all(index and index.endswith(("xid_id_idx", "job_log_xid")) for index in used), used
    assert buffers(plan) < 60
    add(db, 10)
    with db.transaction():
        db.execute(statement("seal/lock"))
        plan = explain(db, "seal/seal", wanted, generic=generic)
    assert buffers(plan) < 150


@pytest.mark.parametrize("generic", [False, True])
@pytest.mark.parametrize("analyzed", [False, True])
@both_servers
def test_a_step_of_a_restore_reads_what_it_seals_and_not_the_rest(
    db: Connection, generic: bool, analyzed: bool
) -> None:
    """Neither what was sealed in the other cluster nor what later steps seal; nor, in the second pass, either."""
    add_unsealed(db, 20_000)
    seal_all(db)
    add_unsealed(db, 20_000)
    restored_elsewhere(db)
    if analyzed:
        db.execute("analyze awa.job_log")
    wanted = {"jobs_max": 100, "rows_max": 100, "batch_max": BATCH_JOBS_MAX}
    with db.transaction():
        for name in ("lock", "restored", "reseal_open"):
            db.execute(statement(f"seal/{name}"))
        first = explain(db, "seal/reseal", wanted, generic=generic)
        db.execute("update awa.restored set foreign_done = true, at_xid = '0', at_id = 0, own_done = false")
        second = explain(db, "seal/reseal", wanted, generic=generic)
    for plan in (first, second):
        used = {index for _, index in scans(plan, "job_log")}
        assert used, plan
        assert all(index and index.endswith(("xid_id_idx", "job_log_xid")) for index in used), used
        read = [n["Actual Rows"] for n in nodes(plan) if str(n.get("Relation Name", "")).startswith("job_log_")]
        assert sum(read) <= 200, read
