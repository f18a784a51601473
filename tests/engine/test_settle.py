"""Settle: outcomes of what is still in the lease, and of nothing else. Release: hand back what was not begun."""

from datetime import datetime, timedelta, timezone

import psycopg
import pytest

from awa.database.pipeline import pipeline
from awa.engine.admin import control
from awa.engine.claim import claim, read_claim, send_claim
from awa.engine.promote import promote
from awa.engine.rescue import WorkerExit, rescue
from awa.engine.seal import seal, seal_all
from awa.engine.settle import read_settle, release, send_settle, settle
from awa.job.model import JobState
from tests.engine.helpers import (
    EPOCH_US,
    Connection,
    add,
    add_sealed,
    all_in,
    batches,
    buffers,
    entries_read,
    explain,
    ids_of,
    outcome,
    outcomes,
    scans,
    sign_in,
    state,
    take,
    wants,
)
from tests.fixtures.postgres import both_servers


@pytest.fixture
def worker(db: Connection) -> int:
    return sign_in(db)


def leased(db: Connection, worker: int, jobs: int) -> list[int]:
    """Ten or whatever many jobs in one lease."""
    add_sealed(db, jobs)
    return ids_of(take(db, worker, jobs))


@both_servers
def test_completed_jobs_leave_one_attempt_and_no_batch(db: Connection, worker: int) -> None:
    ids = leased(db, worker, 10)
    assert settle(db, worker, outcomes(ids)) == set(ids)
    assert batches(db) == []
    assert all_in(db, "ended", ids)
    (attempt,) = control.attempts(db, ids[0])
    begun = datetime.fromtimestamp(EPOCH_US / 1e6, timezone.utc)
    assert (attempt["outcome"], attempt["attempt"], attempt["retry_round"], attempt["worker"]) == (
        "completed",
        1,
        0,
        worker,
    )
    assert (attempt["started_at"], attempt["finished_at"]) == (begun, begun + timedelta(seconds=2.5))
    assert (attempt["cpu_s"], attempt["peak_kb"]) == (1.5, 4096)
    assert (attempt["error"], attempt["result"]) == (None, None)


def test_part_of_a_lease_can_be_settled_and_the_rest_stays_leased(db: Connection, worker: int) -> None:
    ids = leased(db, worker, 10)
    assert settle(db, worker, outcomes(ids[2:5] + ids[9:])) == {*ids[2:5], ids[9]}
    assert batches(db) == [(worker, ids[:2] + ids[5:9], [0] * 6)]
    assert settle(db, worker, outcomes(ids[:2] + ids[5:9])) == {*ids[:2], *ids[5:9]}
    assert batches(db) == []


def test_several_leases_settle_in_one_call(db: Connection, worker: int) -> None:
    for kind in ("x", "y", "z"):
        add_sealed(db, 4, kind=kind)
    ids = ids_of(take(db, worker, 100, "x", "y", "z"))
    assert settle(db, worker, outcomes(ids[:-1])) == set(ids[:-1])
    assert [row[1] for row in batches(db)] == [[ids[-1]]]


def test_payloads_go_to_their_jobs(db: Connection, worker: int) -> None:
    ids = leased(db, worker, 5)
    awkward = {"text": "tab\t, \"quote\" 'single' \\ {brace} , Māori", "list": [None, True, 1.5]}
    error = {"error": "E: no", "type": "E", "attempt": 1}
    settle(
        db,
        worker,
        [
            outcome(ids[0], payload=awkward),
            outcome(ids[1]),
            outcome(ids[2], JobState.Failed, payload=error),
            outcome(ids[3], payload="NULL"),
            outcome(ids[4], payload=None),
        ],
    )
    with psycopg.connect(db.info.dsn) as plain:
        rows = {row[0]: row[1:] for row in plain.execute("select id, state::text, result, errors from awa.jobs")}
    assert rows[ids[0]] == ("completed", awkward, [])
    assert rows[ids[1]] == ("completed", None, [])
    assert rows[ids[2]] == ("failed", None, [error])
    assert rows[ids[3]] == ("completed", "NULL", [])
    assert rows[ids[4]] == ("completed", None, [])


@both_servers
def test_a_retry_is_put_aside_with_its_attempt_spent_and_comes_back(db: Connection, worker: int) -> None:
    (job,) = leased(db, worker, 1)
    settle(db, worker, [outcome(job, JobState.Retryable, delay_us=60_000_000, payload={"error": "x"})])
    row = control.get(db, job)
    assert (row["state"], row["attempt"]) == ("retryable", 1)
    assert timedelta(seconds=50) < row["run_at"] - datetime.now(timezone.utc) <= timedelta(seconds=60)
    assert promote(db).jobs == 0
    db.execute("update awa.deferred set run_at = now()")
    assert promote(db).jobs == 1
    (lease,) = take(db, worker).leases
    assert (lease.ids, lease.attempts) == ([job], [1])
    assert control.get(db, job)["attempt"] == 2
    settle(db, worker, outcomes([job]))
    assert [row["attempt"] for row in control.attempts(db, job)] == [1, 2]
    assert control.get(db, job)["state"] == "completed"


def test_a_snooze_leaves_no_attempt(db: Connection, worker: int) -> None:
    (job,) = leased(db, worker, 1)
    settle(db, worker, [outcome(job, JobState.Scheduled, delay_us=3_600_000_000)])
    row = control.get(db, job)
    assert (row["state"], row["attempt"]) == ("scheduled", 0)
    assert control.attempts(db, job) == []
    db.execute("update awa.deferred set run_at = now()")
    promote(db)
    (lease,) = take(db, worker).leases
    assert lease.attempts == [0]
    assert settle(db, worker, outcomes([job])) == {job}


def test_failed_and_cancelled_jobs_have_ended(db: Connection, worker: int) -> None:
    failed, cancelled = leased(db, worker, 2)
    reason = {"error": "c"}
    settle(db, worker, [outcome(failed, JobState.Failed), outcome(cancelled, JobState.Cancelled, payload=reason)])
    assert (state(db, failed), state(db, cancelled)) == ("failed", "cancelled")
    assert control.get(db, cancelled)["attempt"] == 1
    assert all_in(db, "ended", [failed, cancelled])


def test_mixed_outcomes_of_one_lease(db: Connection, worker: int) -> None:
    ids = leased(db, worker, 6)
    S = JobState
    states = [S.Completed, S.Retryable, S.Failed, S.Scheduled, S.Cancelled]
    given = [outcome(job, each, delay_us=10**9) for job, each in zip(ids, states, strict=False)]
    assert settle(db, worker, given) == set(ids[:5])
    assert [state(db, job) for job in ids] == ["completed", "retryable", "failed", "scheduled", "cancelled", "running"]


def test_outcomes_are_tallied_per_lane_and_minute(db: Connection, worker: int) -> None:
    ids = leased(db, worker, 5)
    settle(db, worker, [*outcomes(ids[:3]), outcome(ids[3], JobState.Failed), outcome(ids[4], JobState.Scheduled)])
    assert db.execute("select outcome, jobs from awa.outcome_count order by 1").fetchall() == [(3, 3), (5, 1)]


def test_ids_that_are_not_in_the_lease_are_refused(db: Connection, worker: int) -> None:
    mine = leased(db, worker, 3)
    other = sign_in(db, "other")
    others = leased(db, other, 3)
    waiting = add_sealed(db, 2)
    assert settle(db, worker, outcomes([*mine[:1], *others, *waiting, 999_999])) == set(mine[:1])
    assert all_in(db, "leased", mine[1:] + others)
    assert all_in(db, "ready", waiting)


def test_settling_twice_is_refused_the_second_time(db: Connection, worker: int) -> None:
    ids = leased(db, worker, 3)
    assert settle(db, worker, outcomes(ids)) == set(ids)
    assert settle(db, worker, outcomes(ids, JobState.Failed)) == set()
    assert {state(db, job) for job in ids} == {"completed"}


def test_settling_nothing_is_no_error(db: Connection, worker: int) -> None:
    assert settle(db, worker, []) == set()


def test_a_thousand_outcomes_of_eight_leases(db: Connection, worker: int) -> None:
    ids = leased(db, worker, 1000)
    assert len(batches(db)) == 8
    assert settle(db, worker, outcomes(ids)) == set(ids)
    assert db.execute("select count(*) from awa.attempt_log").fetchone() == (1000,)


def test_attempts_of_a_long_retried_job_fit(db: Connection, worker: int) -> None:
    (job,) = leased(db, worker, 1)
    db.execute("update awa.batch set attempts = '{998}', retry_round = 12")
    settle(db, worker, [outcome(job, JobState.Retryable, delay_us=0)])
    assert [(row["retry_round"], row["attempt"]) for row in control.attempts(db, job)] == [(12, 999)]
    assert db.execute("select retry_round, attempt from awa.deferred").fetchone() == (12, 999)


# ------------------------------------------------------------------ release


@both_servers
def test_release_hands_everything_back_with_no_attempt_spent(db: Connection, worker: int) -> None:
    ids = leased(db, worker, 10)
    assert release(db, worker) == 10
    assert batches(db) == [(None, ids, [0] * 10)]
    (lease,) = take(db, sign_in(db, "other")).leases
    assert (lease.ids, set(lease.attempts or [0])) == (ids, {0})


def test_release_keeps_what_it_is_told(db: Connection, worker: int) -> None:
    ids = leased(db, worker, 10)
    assert release(db, worker, keep=[ids[0], ids[4]]) == 8
    assert all_in(db, "leased", [ids[0], ids[4]])
    assert all_in(db, "ready", ids[1:4] + ids[5:])
    assert settle(db, worker, outcomes(ids)) == {ids[0], ids[4]}
    assert ids_of(take(db, worker)) == ids[1:4] + ids[5:]


def test_release_keeps_whole_batches_as_they_are(db: Connection, worker: int) -> None:
    kept, freed = add_sealed(db, 3, kind="a"), add_sealed(db, 3, kind="b")
    take(db, worker, 100, "a", "b")
    assert release(db, worker, keep=kept) == 3
    assert all_in(db, "leased", kept)
    assert all_in(db, "ready", freed)


def test_released_jobs_go_back_to_their_old_place(db: Connection, worker: int) -> None:
    first = add_sealed(db, 3, kind="a")
    take(db, worker, 100, "a")
    second = add_sealed(db, 3, kind="a")
    release(db, worker)
    assert ids_of(take(db, worker, 100, "a")) == first + second


def test_release_keeps_spent_attempts_and_the_round(db: Connection, worker: int) -> None:
    leased(db, worker, 3)
    db.execute("update awa.batch set attempts = '{2,0,1}', retry_round = 4")
    release(db, worker)
    (lease,) = take(db, worker).leases
    assert (lease.attempts, lease.retry_round) == ([2, 0, 1], 4)


def test_release_of_nothing(db: Connection, worker: int) -> None:
    assert release(db, worker) == 0
    ids = leased(db, worker, 2)
    assert release(db, worker, keep=ids) == 0
    assert all_in(db, "leased", ids)


# ---------------------------------------------------------------- one trip


def test_a_settle_with_a_claim_behind_it_is_one_transaction(db: Connection, worker: int) -> None:
    """What a worker does all day: the last lease is settled and the next one claimed, or neither."""
    ids = leased(db, worker, 5)
    waiting = add_sealed(db, 5)
    wanted = wants(db)
    with pipeline(db) as pipe:
        settled = send_settle(pipe, worker, outcomes(ids))
        claimed = send_claim(pipe, worker, wanted, budget_us=1e9)
    assert read_settle(settled) == set(ids)
    assert ids_of(read_claim(claimed)) == waiting


def test_a_follow_up_job_commits_with_its_settle_or_not_at_all(db: Connection, worker: int) -> None:
    (job,) = leased(db, worker, 1)

    def settle_follow_up_and_fail() -> None:
        with pipeline(db) as pipe:
            send_settle(pipe, worker, outcomes([job]))
            pipe.execute(b"insert into awa.job_log (kind) values ('next')")
            pipe.execute(b"select 1 / 0")

    with pytest.raises(psycopg.errors.DivisionByZero):
        settle_follow_up_and_fail()
    assert all_in(db, "leased", [job])
    assert claim(db, worker, wants(db, "next"), budget_us=1).leases == []


@pytest.mark.parametrize("generic", [False, True])
@pytest.mark.parametrize("statistics", ["none", "before the burst", "fresh"])
@both_servers
def test_a_settle_finds_its_lease_by_owner_at_any_backlog(
    db: Connection, worker: int, generic: bool, statistics: str
) -> None:
    ids = leased(db, worker, 300)
    if statistics == "before the burst":
        db.execute("vacuum analyze awa.batch")  # one owner, and every batch is leased to it
    burst = "select now(), 1, array[n] from generate_series(1, 20000) n"
    db.execute(f"insert into awa.batch (sort_at, lane, ids) {burst}".encode())
    if statistics == "fresh":
        db.execute("vacuum analyze awa.batch")
    given = dict.fromkeys(("started", "finished", "cpu", "peak", "delays"), "{1,1}")
    given |= {"ids": f"{{{ids[0]},{ids[-1]}}}", "outcomes": "{3,3}", "payload_ids": "{}", "payloads": "{}"}
    since = db.execute("select min(leased_at)::text from awa.batch").fetchall()[0][0]
    with db.transaction(force_rollback=True):
        plan = explain(
            db, "settle/settle", {**given, "worker": worker, "since": since, "within": False}, generic=generic
        )
    assert {index for _, index in scans(plan, "batch") if index} <= {"batch_leased", "batch_pkey"}
    assert not any(kind == "Seq Scan" for kind, _ in scans(plan, "batch"))
    assert buffers(plan) < 150


def test_a_settle_does_not_read_the_leases_its_worker_had_before(db: Connection, worker: int, database: str) -> None:
    """While somebody's snapshot keeps them, they are still in the index."""
    with psycopg.connect(database) as pinning:
        pinning.execute("set transaction isolation level repeatable read")
        pinning.execute("select 1 from awa.batch")
        add(db, 200)
        seal(db, batch_max=1)
        for _ in range(199):
            settle(db, worker, outcomes(ids_of(take(db, worker, 1))))
        claimed = take(db, worker, 1)
        before = entries_read(db, "batch_leased")
        assert settle(db, worker, outcomes(ids_of(claimed)), since=claimed.since) == set(ids_of(claimed))
        assert entries_read(db, "batch_leased") - before < 10


@both_servers
def test_what_a_cancelled_attempt_cost_is_added_once_and_to_no_other(db: Connection) -> None:
    worker, other = sign_in(db), sign_in(db)
    add_sealed(db, 3)
    first, second, third = ids_of(take(db, worker))
    control.cancel(db, first)
    settle(db, other, [outcome(first)])  # not the one that ran it
    assert control.attempts(db, first)[0]["cpu_s"] is None
    settle(db, worker, [outcome(first), outcome(second)])
    settle(db, worker, [outcome(first)._replace(cpu_us=9)])
    (cancelled,), (completed,) = control.attempts(db, first), control.attempts(db, second)
    assert (cancelled["worker"], cancelled["cpu_s"], cancelled["peak_kb"]) == (worker, 1.5, 4096)
    assert (completed["outcome"], completed["cpu_s"]) == ("completed", 1.5)
    control.cancel(db, third)
    rescue(db, worker, WorkerExit("killed", third, EPOCH_US, 2_000_000, None))
    (cancelled,) = control.attempts(db, third)
    assert (cancelled["outcome"], cancelled["cpu_s"], cancelled["peak_kb"]) == ("cancelled", 2.0, None)


@both_servers
def test_notes_of_jobs_that_expire_go_with_them_and_others_do_not_look(db: Connection) -> None:
    def looks() -> int:
        db.execute("select pg_stat_force_next_flush()")
        row = db.execute("select idx_scan from pg_stat_user_indexes where indexrelname = 'job_expiry_job'").fetchone()
        assert row is not None
        return int(row[0])

    worker, soon = sign_in(db), datetime.now(timezone.utc) + timedelta(hours=1)
    plain, limited = add_sealed(db, 30), [add(db, expires_at=soon)[0] for _ in range(30)]
    seal_all(db)
    assert db.execute("select is_expiring from awa.lane order by id").fetchall() == [(False,), (True,)]
    take(db, worker)
    before = looks()
    settle(db, worker, outcomes(plain))
    assert looks() == before
    assert db.execute("select count(*) from awa.job_expiry").fetchone() == (30,)
    settle(db, worker, outcomes(limited[:20]))
    assert db.execute("select count(*) from awa.job_expiry").fetchone() == (10,)
    # A worker that puts a job aside before it starts it has not started it.
    settle(db, worker, [outcome(limited[20], JobState.Scheduled, delay_us=1)._replace(started_us=-1)])
    assert db.execute("select count(*) from awa.job_expiry").fetchone() == (10,)
