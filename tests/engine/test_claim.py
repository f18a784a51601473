"""Claim: batches in key order, whole or split, merged over the lanes a worker can serve."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from hashlib import sha256
from time import monotonic

import psycopg
import pytest

from awa.database.open import connect, dsn_of
from awa.engine import claim as claiming
from awa.engine import nodes, rescue
from awa.engine.admin import control
from awa.engine.claim import FROM_THE_START, NOT_READ, LaneRequest, StoredJob, bodies, claim, contents, lanes
from awa.engine.seal import seal, seal_all
from awa.engine.settle import release, settle
from tests.engine.helpers import (
    COST_US,
    Connection,
    add,
    add_sealed,
    add_unsealed,
    all_in,
    batches,
    buffers,
    entries_read,
    explain,
    ids_of,
    outcomes,
    scans,
    sign_in,
    state,
    take,
    wants,
)
from tests.fixtures.postgres import both_servers
from tests.fixtures.waiting import Session


@both_servers
def test_a_claim_takes_the_oldest_batches_whole(db: Connection) -> None:
    ids = add(db, 30)
    seal(db, batch_max=10)
    worker = sign_in(db)
    claimed = take(db, worker, 20)
    assert [lease.ids for lease in claimed.leases] == [ids[:10], ids[10:20]]
    assert (claimed.jobs, claimed.registered) == (20, True)
    assert all_in(db, "leased", ids[:20])
    assert all_in(db, "ready", ids[20:])
    assert {owner for owner, *_ in batches(db)} == {worker, None}


def test_claimed_jobs_are_running_for_whoever_looks(db: Connection) -> None:
    (job,) = add_sealed(db)
    assert state(db, job) == "available"
    take(db, sign_in(db))
    row = control.get(db, job)
    assert (row["state"], row["attempt"]) == ("running", 1)
    assert row["attempted_at"] is not None


def test_a_claim_says_how_much_it_left_and_how_many_workers_there_are(db: Connection) -> None:
    add(db, 25)
    seal(db, batch_max=10)
    worker = sign_in(db, "a")
    sign_in(db, "b")
    claimed = take(db, worker, 14)
    assert [(len(lease.ids), lease.left) for lease in claimed.leases] == [(10, 0), (4, 6)]
    assert len(claimed.seen) == 3
    assert claimed.workers == 2


@both_servers
def test_the_last_batch_is_split_to_fit_the_budget(db: Connection) -> None:
    ids = add_sealed(db, 10)
    first, second = sign_in(db, "a"), sign_in(db, "b")
    assert ids_of(take(db, first, 3)) == ids[:3]
    assert ids_of(take(db, second, 3)) == ids[3:6]
    assert sorted(row[1] for row in batches(db)) == [ids[:3], ids[3:6], ids[6:]]
    assert ids_of(take(db, first)) == ids[6:]


def test_a_split_deals_out_attempts_with_their_jobs(db: Connection) -> None:
    ids = add_sealed(db, 6)
    worker = sign_in(db)
    db.execute("update awa.batch set attempts = '{0,1,2,3,4,5}', retry_round = 3")
    (lease,) = take(db, worker, 2).leases
    assert (lease.ids, lease.attempts, lease.retry_round) == (ids[:2], [0, 1], 3)
    (rest,) = take(db, worker).leases
    assert (rest.ids, rest.attempts, rest.retry_round) == (ids[2:], [2, 3, 4, 5], 3)


@pytest.mark.parametrize("budget_us", [0.0, 1.0, COST_US / 2])
def test_one_job_is_claimed_however_small_the_budget(db: Connection, budget_us: float) -> None:
    ids = add_sealed(db, 5)
    claimed = claim(db, sign_in(db), wants(db), budget_us=budget_us)
    assert ids_of(claimed) == ids[:1]


def test_the_budget_counts_what_each_lane_costs(db: Connection) -> None:
    slow, quick = add_sealed(db, 4, kind="slow"), add_sealed(db, 100, kind="quick")
    by_kind = {lane.kind: lane.id for lane in lanes(db, ["slow", "quick"])}
    both = [
        LaneRequest(by_kind["slow"], FROM_THE_START, 50_000.0),
        LaneRequest(by_kind["quick"], FROM_THE_START, 100.0),
    ]
    claimed = claim(db, sign_in(db), both, budget_us=205_000.0)
    assert ids_of(claimed) == slow + quick[:50]


def test_a_cost_of_zero_is_taken_for_a_microsecond(db: Connection) -> None:
    ids = add_sealed(db, 20)
    (lane,) = lanes(db, ["work"])
    assert ids_of(claim(db, sign_in(db), [LaneRequest(lane.id, FROM_THE_START, 0.0)], budget_us=5)) == ids[:5]


def test_no_more_batches_than_asked_for(db: Connection) -> None:
    ids = add(db, 50)
    seal(db, batch_max=5)
    assert ids_of(take(db, sign_in(db), batches_max=3)) == ids[:15]


@both_servers
def test_lanes_are_merged_by_key(db: Connection) -> None:
    expected = []
    for n in range(12):
        expected += add_sealed(db, 2, queue=f"q{n % 3}", kind="xy"[n % 2], priority=1)
    claimed = take(db, sign_in(db), 10_000, "x", "y")
    assert ids_of(claimed) == expected
    assert [lease.sort_at for lease in claimed.leases] == sorted(lease.sort_at for lease in claimed.leases)


def test_urgent_jobs_first_and_older_ones_overtake_in_time(db: Connection) -> None:
    """With an ageing interval of 60 s a job of priority 3 comes level with one of priority 1 after two minutes."""
    now = datetime.now(timezone.utc)
    ids = {}
    for priority, age_s in [(1, 0), (2, 0), (4, 0), (3, 119), (3, 121), (4, 240)]:
        ids[priority, age_s] = add(db, priority=priority, kind=f"k{len(ids)}")[0]
        created = now - timedelta(seconds=age_s)
        db.execute("update awa.job_log set created_at = %s where id = %s", [created, ids[priority, age_s]])
    seal(db)
    order = ids_of(take(db, sign_in(db), 100, *(f"k{n}" for n in range(6))))
    assert [next(case for case in ids if ids[case] == job) for job in order] == [
        (4, 240), (3, 121), (1, 0), (3, 119), (2, 0), (4, 0)
    ]  # fmt: skip


def test_unknown_kinds_and_other_queues_are_left_alone(db: Connection) -> None:
    mine, alien = add_sealed(db, 3), add_sealed(db, 3, kind="alien")
    elsewhere = add_sealed(db, 3, queue="other")
    worker = sign_in(db)
    assert [lane.queue for lane in lanes(db, ["work"], ["default"])] == ["default"]
    here = wants(db, queues=["default"])
    assert ids_of(claim(db, worker, here, budget_us=1e9)) == mine
    assert claim(db, worker, here, budget_us=1e9).seen == []
    assert all_in(db, "ready", alien + elsewhere)
    assert lanes(db, ["nobody"]) == []
    assert lanes(db, []) == []


def test_without_lanes_a_claim_brings_nothing(db: Connection) -> None:
    claimed = claim(db, sign_in(db), [], budget_us=1e9)
    assert (claimed.leases, claimed.seen, claimed.registered) == ([], [], True)


def test_a_paused_queue_keeps_its_jobs(db: Connection) -> None:
    paused, open_ = add_sealed(db, 3, queue="p"), add_sealed(db, 3, queue="o")
    worker = sign_in(db)
    control.pause(db, "p", "me")
    assert ids_of(take(db, worker)) == open_
    claimed = take(db, worker)
    assert (claimed.leases, claimed.seen) == ([], [])
    control.resume(db, "p")
    assert ids_of(take(db, worker)) == paused


def test_a_claim_starts_where_the_last_one_ended(db: Connection) -> None:
    ids = add(db, 30)
    for job in ids:  # one batch a job, each with a key of its own
        db.execute("update awa.job_log set kind = 'k', created_at = created_at + %s where id = %s",
                   [timedelta(milliseconds=job), job])  # fmt: skip
    seal(db, batch_max=1)
    worker = sign_in(db)
    lease = take(db, worker, 10, "k").leases[-1]
    assert release(db, worker) == 10
    (lane,) = lanes(db, ["k"])
    onward = [LaneRequest(lane.id, lease.sort_at, COST_US)]
    assert ids_of(claim(db, worker, onward, budget_us=5 * COST_US, batches_max=64)) == ids[9:14]
    assert ids_of(take(db, worker, 3, "k")) == ids[:3], "from the beginning, what came back is found"


@both_servers
def test_a_worker_that_is_not_registered_gets_nothing(db: Connection) -> None:
    ids = add_sealed(db, 3)
    claimed = take(db, 999)
    assert (claimed.leases, claimed.registered) == ([], False)
    worker = sign_in(db)
    rescue.rescue(db, worker, rescue.WorkerExit("gone"))
    assert not take(db, worker).registered
    assert all_in(db, "ready", ids)


def test_depth_limits_what_a_claim_looks_at(db: Connection) -> None:
    add(db, 30)
    seal(db, batch_max=1)
    claimed = take(db, sign_in(db), batches_max=2, depth=7)
    assert (len(claimed.leases), len(claimed.seen)) == (2, 7)


def test_a_claim_tells_which_lanes_come_next_as_far_as_it_is_asked(db: Connection) -> None:
    for queue in ("a", "b", "a", "c"):
        add_sealed(db, queue=queue)
    lane = {known.queue: known.id for known in lanes(db, ["work"])}
    assert take(db, sign_in(db, "one"), batches_max=1, ahead=3).ahead == [lane["a"], lane["b"], lane["a"]]
    claimed = take(db, sign_in(db, "two"), batches_max=1, depth=2, ahead=9)
    assert (len(claimed.seen), claimed.ahead) == (2, [lane["b"], lane["a"], lane["c"]])
    assert take(db, sign_in(db, "three"), batches_max=1).ahead == []


def test_bodies_are_what_was_inserted(db: Connection) -> None:
    run_at = datetime(2020, 2, 3, tzinfo=timezone.utc)
    rich = add(
        db, args=b'{"a": [1, "\\\\"]}', metadata=b'{"m": 1}', tags=["t"], run_at=run_at, max_attempts=3, timeout_ms=0
    )[0]
    (plain,) = add(db)
    move = "with j as (delete from awa.job_log where id = %s returning *) insert into awa.job_archive select * from j"
    db.execute(move, [plain])
    found = bodies(db, [rich, plain])
    assert found[rich] == StoredJob(
        rich, found[rich].created_at, run_at, 2, 3, 0, "default", "work", b'{"a": [1, "\\\\"]}', b'{"m": 1}', ["t"]
    )
    assert (found[plain].metadata, found[plain].timeout_ms) == (None, None)
    assert bodies(db, [123_456]) == {}


def test_bodies_leave_out_what_is_too_large_to_be_read_together(
    db: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claiming, "READ_BYTES_MAX", 100_000)
    noise = "".join(sha256(bytes([n])).hexdigest() for n in range(250))  # 16,000 characters, as stored a little less
    (large,) = add(db, args=f'{{"n": "{noise * 3}"}}'.encode(), metadata=b'{"m": 1}')
    (beside,) = add(db, args=b'{"n": 1}', metadata=f'{{"n": "{noise * 2}"}}'.encode())
    (packed,) = add(db, args=f'{{"n": "{"x" * 200_000}"}}'.encode())
    (plain,) = add(db, args=f'{{"n": "{noise}"}}'.encode())
    db.execute(
        "with j as (delete from awa.job_log where id = %s returning *) insert into awa.job_archive select * from j",
        [large],
    )
    found = bodies(db, [plain, large, beside, packed])
    assert {job for job, body in found.items() if body.args == NOT_READ} == {large, beside, packed}
    assert [body.metadata for body in found.values()] == [None] * 4
    assert len(bodies(db, [large])[large].args) > 48_000
    assert bodies(db, [plain])[plain].args == found[plain].args
    # Whatever is the first one comes, and others behind it as long as they fit.
    assert contents(db, [beside, plain, large]).keys() == {beside, plain, large}
    assert contents(db, [large, beside, plain]).keys() == {large, beside, plain}
    assert contents(db, [packed, plain]).keys() == {packed, plain}
    assert contents(db, [packed, large, plain]).keys() == {packed}
    monkeypatch.setattr(claiming, "READ_BYTES_MAX", 1)
    (args, metadata) = contents(db, [large, beside])[large]
    assert (len(args) > 48_000, metadata) == (True, b'{"m": 1}')
    assert contents(db, [beside, large]).keys() == {beside}
    assert contents(db, [123_456]) == {}


def test_claims_settles_and_claims_on_until_all_is_done(db: Connection) -> None:
    ids = add_sealed(db, 500)
    worker, met = sign_in(db), []
    while (claimed := take(db, worker, 37)).leases:
        met += ids_of(claimed)
        assert settle(db, worker, outcomes(ids_of(claimed))) == set(ids_of(claimed))
    assert met == ids
    assert all_in(db, "ended", ids)
    assert batches(db) == []


# -------------------------------------------------------------------- plans


@pytest.mark.parametrize("generic", [False, True])
@pytest.mark.parametrize("statistics", ["none", "of an empty table", "fresh"])
@both_servers
def test_a_claim_probes_its_index_once_a_lane_at_any_backlog(db: Connection, generic: bool, statistics: str) -> None:
    if statistics == "of an empty table":
        db.execute("vacuum analyze awa.batch")
    for queue in ("a", "b"):
        add_unsealed(db, 20_000, queue)
    while seal(db, batch_max=8).more:
        pass
    if statistics == "fresh":
        db.execute("vacuum analyze awa.batch")
    front = wants(db)
    assert len(front) == 2
    wanted = {
        "worker": sign_in(db),
        "lanes": "{" + ",".join(str(want.lane) for want in front) + "}",
        "starts": "{-infinity,-infinity}",
        "costs": "{1,1}",
        "budget": 10.0,
        "depth": 20,
        "batches_max": 4,
        "ahead": 0,
    }
    with db.transaction(force_rollback=True):
        plan = explain(db, "claim/claim", wanted, generic=generic)
    assert {index for _, index in scans(plan, "batch")} == {"batch_ready", "batch_pkey"}
    assert buffers(plan) < 250


@pytest.mark.parametrize("generic", [False, True])
@both_servers
def test_the_look_for_free_batches_ends_at_the_first_one(db: Connection, generic: bool) -> None:
    add_unsealed(db, 5_000, "a")
    add_unsealed(db, 5_000, "b")
    seal(db, batch_max=1)
    wanted = {"lanes": "{" + ",".join(str(want.lane) for want in wants(db)) + "}", "starts": "{-infinity,-infinity}"}
    with db.transaction(force_rollback=True):
        plan = explain(db, "claim/free", wanted, generic=generic)
    assert {index for _, index in scans(plan, "batch")} == {"batch_ready"}
    assert buffers(plan) < 100


@both_servers
def test_a_claim_that_was_planned_while_nothing_waited_is_as_good(db: Connection) -> None:
    add_sealed(db)  # so that there is a lane
    first = sign_in(db, "a")
    settle(db, first, outcomes(ids_of(take(db, first))))
    db.execute("vacuum analyze awa.batch")
    with connect(dsn_of(db), role="worker", plan_once=True) as session:
        worker = sign_in(session, "b")
        assert take(session, worker).seen == []
        add_unsealed(db, 20_000)
        while seal(db, batch_max=8).more:
            pass
        before = rows_read(session)
        assert take(session, worker, 10, batches_max=4).jobs == 10
        assert rows_read(session) - before < 500


def rows_read(session: Connection) -> int:
    """Rows of `awa.batch` that have been read so far."""
    session.execute("select pg_stat_force_next_flush()")
    row = session.execute(
        "select seq_tup_read + idx_tup_fetch from pg_stat_user_tables where relid = 'awa.batch'::regclass"
    ).fetchone()
    assert row is not None
    return int(row[0])


def test_a_claim_planned_before_anything_was_inserted_reads_no_dead_batches(db: Connection, database: str) -> None:
    """While somebody's snapshot keeps them, they are still in the index of those that are ready."""
    with connect(database, role="worker", plan_once=True) as session, psycopg.connect(database) as pinning:
        worker = sign_in(session)
        assert claim(session, worker, [LaneRequest(1, FROM_THE_START, COST_US)], budget_us=COST_US).leases == []
        pinning.execute("set transaction isolation level repeatable read")
        pinning.execute("select 1 from awa.batch")
        add_unsealed(db, 300)
        seal(db, batch_max=1)
        while taken := ids_of(take(db, worker)):
            settle(db, worker, outcomes(taken))
        add_sealed(db)
        front = db.execute("select lane, sort_at::text from awa.batch").fetchall()
        before = entries_read(session, "batch_ready")
        wanted = [LaneRequest(lane, start, COST_US) for lane, start in front]
        assert claim(session, worker, wanted, budget_us=COST_US).jobs == 1
        assert entries_read(session, "batch_ready") - before < 10


@pytest.mark.parametrize("generic", [False, True])
@both_servers
def test_bodies_are_read_by_primary_key_from_their_segment_alone(db: Connection, generic: bool) -> None:
    ids = add(db, 20_000)
    seal_all(db)
    db.execute("analyze awa.job_log")
    wanted = {
        "ids": "{" + ",".join(map(str, ids[500:628])) + "}",
        "first_id": ids[500],
        "end_id": ids[627],
        "light": 8000,
        "sure": 250,
    }
    plan = explain(db, "claim/bodies", wanted, generic=generic)
    read = {index for _, index in scans(plan, "job_log")}
    assert len(read) == 1
    assert read.pop().endswith("_pkey")
    assert {kind for kind, _ in scans(plan, "job_log")} <= {"Index Scan", "Bitmap Heap Scan", "Bitmap Index Scan"}
    assert buffers(plan) < 600


def test_a_node_that_leaves_takes_its_workers_along(db: Connection) -> None:
    node = nodes.register_node(db, "n")
    worker = nodes.register_worker(db, node)
    assert worker is not None
    nodes.leave_node(db, node)
    assert not take(db, worker).registered


def test_a_batch_that_stays_locked_is_not_waited_for(db: Connection, session: Callable[[str], Session]) -> None:
    """Somebody left a transaction open, with a cancel in it. What was seen tells the queue from an empty one."""
    (job,) = add_sealed(db)
    other = session("other")
    other.run("begin")
    other.run("select id from awa.batch for update")
    db.execute("set lock_timeout = '20s'")
    worker, began = sign_in(db), monotonic()
    claimed = take(db, worker)
    assert (claimed.leases, len(claimed.seen), claimed.registered) == ([], 1, True)
    assert 0.04 < monotonic() - began < 5
    assert db.execute("show lock_timeout").fetchone() == ("20s",)
    other.run("commit")
    assert ids_of(take(db, worker)) == [job]


def test_a_batch_that_is_locked_for_a_moment_is_waited_for(db: Connection, session: Callable[[str], Session]) -> None:
    (job,) = add_sealed(db)
    other = session("other")
    other.run("begin")
    other.run("select id from awa.batch for update")
    worker = sign_in(db)
    other.start("select pg_sleep(0.01)")
    with ThreadPoolExecutor(1) as thread:
        claiming = thread.submit(take, db, worker)
        other.result()
        other.run("commit")
        assert ids_of(claiming.result(10)) == [job]
