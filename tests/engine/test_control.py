"""Control: look at jobs in every state, count them, cancel, retry, pause."""

from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from awa.engine.admin import control
from awa.engine.promote import promote
from awa.engine.seal import seal_all
from awa.engine.settle import settle
from awa.errors import JobNotFound, StateConflict
from awa.job.model import JobState
from tests.engine.helpers import (
    Connection,
    add,
    add_sealed,
    all_in,
    batches,
    explain,
    ids_of,
    nodes,
    outcome,
    outcomes,
    sign_in,
    state,
    take,
)
from tests.fixtures.postgres import both_servers

S = JobState
HOUR_US = 3_600_000_000


def soon() -> datetime:
    return datetime.now(timezone.utc) + timedelta(hours=1)


def one_in(db: Connection, wanted: JobState, **fields: Any) -> int:
    """A job in this state, alone in its lane's batches."""
    if wanted is S.Scheduled:
        return add_sealed(db, run_at=soon(), **fields)[0]
    (job,) = add_sealed(db, **fields)
    if wanted is S.Available:
        return job
    kind = fields.get("kind", "work")
    worker = sign_in(db)
    assert job in ids_of(take(db, worker, 10_000, kind))
    if wanted is not S.Running:
        assert settle(db, worker, [outcome(job, wanted, delay_us=HOUR_US, payload={"error": str(wanted)})]) == {job}
    return job


def one_of_each(db: Connection, **fields: Any) -> dict[JobState, int]:
    """A job in each state there is a way into; the available one last, so that nobody claims it."""
    order = [S.Scheduled, S.Completed, S.Retryable, S.Failed, S.Cancelled, S.Running, S.Available]
    return {each: one_in(db, each, **fields) for each in order}


# ------------------------------------------------------------- get and list


@both_servers
def test_a_job_is_shown_in_every_state(db: Connection) -> None:
    for wanted, job in one_of_each(db).items():
        row = control.get(db, job)
        assert (row["id"], row["state"]) == (job, str(wanted))
        assert row["attempt"] == (0 if wanted in (S.Scheduled, S.Available) else 1)
        assert (row["finalized_at"] is not None) == (wanted.is_terminal or wanted is S.Retryable)
        assert (row["attempted_at"] is None) == (wanted in (S.Scheduled, S.Available))


def test_an_unsealed_job_is_shown_as_what_it_will_be(db: Connection) -> None:
    (now,), (later,) = add(db), add(db, run_at=soon())
    assert (state(db, now), state(db, later)) == ("available", "scheduled")


def test_an_unknown_job_is_not_found(db: Connection) -> None:
    for ask in (control.get, control.cancel, control.retry):
        with pytest.raises(JobNotFound, match="job not found: 77"):
            ask(db, 77)


@both_servers
def test_every_state_can_be_listed(db: Connection) -> None:
    jobs = one_of_each(db)
    for wanted, job in jobs.items():
        assert [row["id"] for row in control.listing(db, state=wanted)] == [job], wanted
    assert control.listing(db, state=S.WaitingExternal) == []
    assert [row["id"] for row in control.listing(db)] == sorted(jobs.values(), reverse=True)


@pytest.mark.parametrize("wanted", [S.Available, S.Scheduled])
def test_a_job_just_inserted_is_listed(db: Connection, wanted: JobState) -> None:
    (job,) = add(db, run_at=soon() if wanted is S.Scheduled else None)
    assert [row["id"] for row in control.listing(db, state=wanted)] == [job]


def test_a_snoozed_job_is_listed_as_scheduled(db: Connection) -> None:
    worker, (job,) = sign_in(db), add_sealed(db)
    take(db, worker)
    settle(db, worker, [outcome(job, S.Scheduled, delay_us=HOUR_US)])
    assert [row["id"] for row in control.listing(db, state=S.Scheduled)] == [job]


@pytest.mark.parametrize("wanted", [None, S.Scheduled, S.Available, S.Running, S.Completed, S.Retryable, S.Failed])
def test_listing_by_queue_and_kind(db: Connection, wanted: JobState | None) -> None:
    def make(queue: str, kind: str) -> int:
        return one_in(db, S.Completed if wanted is None else wanted, queue=queue, kind=kind)

    jobs = {(queue, kind): make(queue, kind) for queue, kind in [("a", "w"), ("b", "x"), ("a", "y"), ("b", "z")]}
    for (queue, kind), job in jobs.items():
        assert [row["id"] for row in control.listing(db, state=wanted, kind=kind)] == [job]
        assert [row["id"] for row in control.listing(db, state=wanted, queue=queue, kind=kind)] == [job]
        assert control.listing(db, state=wanted, queue="ab".replace(queue, ""), kind=kind) == []
    assert [row["id"] for row in control.listing(db, state=wanted, queue="a")] == [jobs["a", "y"], jobs["a", "w"]]


@pytest.mark.parametrize("wanted", [None, S.Available])
def test_listing_is_limited_and_newest_first(db: Connection, wanted: JobState | None) -> None:
    ids = add_sealed(db, 1_300)
    assert [row["id"] for row in control.listing(db, state=wanted, limit=5)] == ids[:-6:-1]
    assert len(control.listing(db, state=wanted)) == 100
    assert len(control.listing(db, state=wanted, limit=0)) == 1
    assert len(control.listing(db, state=wanted, limit=10**9)) == 1000


def test_a_retried_job_is_not_listed_as_failed_any_more(db: Connection) -> None:
    job = one_in(db, S.Failed)
    control.retry(db, job)
    assert control.listing(db, state=S.Failed) == []
    assert [row["id"] for row in control.listing(db, state=S.Available)] == [job]


def test_attempts_are_listed_oldest_first(db: Connection) -> None:
    job = one_in(db, S.Retryable)
    worker = sign_in(db)
    db.execute("update awa.deferred set run_at = now()")
    promote(db)
    take(db, worker)
    settle(db, worker, [outcome(job, S.Failed)])
    assert [(row["attempt"], row["outcome"]) for row in control.attempts(db, job)] == [(1, "retryable"), (2, "failed")]
    assert control.attempts(db, 77) == []


# -------------------------------------------------------------------- stats


@both_servers
def test_queue_stats_count_every_state_once(db: Connection) -> None:
    one_of_each(db, queue="a")
    for _ in range(3):
        one_in(db, S.Failed, queue="a")
    take(db, sign_in(db), 100)
    add_sealed(db, 7, queue="b")
    control.pause(db, "b")
    a, b = control.queue_stats(db)
    assert a[:9] == ("a", 4, 1, 0, 1, 2, 4, 0, 1)
    assert a.lag_seconds is None
    assert (b.queue, b.total_queued, b.available, b.paused, a.paused) == ("b", 7, 7, True, False)


def test_queue_stats_see_what_was_committed_just_now(db: Connection) -> None:
    add(db, 3)
    (stat,) = control.queue_stats(db)
    assert (stat.available, stat.total_queued) == (3, 3)


@pytest.mark.parametrize("priority", [1, 4])
def test_lag_is_the_age_of_the_oldest_available_job_whatever_its_priority(db: Connection, priority: int) -> None:
    add(db, 2, priority=priority)
    db.execute("update awa.job_log set created_at = created_at - interval '90 seconds' where id = 1")
    (stat,) = control.queue_stats(db)
    assert stat.lag_seconds == pytest.approx(90, abs=20)


def test_completed_last_hour_forgets(db: Connection) -> None:
    one_in(db, S.Completed)
    assert control.queue_stats(db)[0].completed_last_hour == 1
    db.execute("update awa.outcome_count set minute = minute - interval '61 minutes'")
    assert control.queue_stats(db)[0].completed_last_hour == 0


def test_stats_of_an_empty_database(db: Connection) -> None:
    assert control.queue_stats(db) == []


# ------------------------------------------------------------------- cancel


@both_servers
@pytest.mark.parametrize("wanted", [S.Scheduled, S.Available, S.Running, S.Retryable])
def test_a_job_that_has_not_ended_can_be_cancelled(db: Connection, wanted: JobState) -> None:
    job = one_in(db, wanted)
    spent = {S.Running: 1, S.Retryable: 1}.get(wanted, 0)
    assert control.cancel(db, job, "no more") is (wanted is S.Running)
    row = control.get(db, job)
    assert (row["state"], row["attempt"]) == ("cancelled", spent)
    assert all_in(db, "ended", [job])
    assert b'"error": "cancelled: no more"' in row["errors"][-1]
    with pytest.raises(StateConflict, match=f"job {job} cannot be cancelled: it is cancelled already"):
        control.cancel(db, job)


@pytest.mark.parametrize("wanted", [S.Completed, S.Failed, S.Cancelled])
def test_a_job_that_has_ended_cannot_be_cancelled(db: Connection, wanted: JobState) -> None:
    job = one_in(db, wanted)
    with pytest.raises(StateConflict, match=f"it is {wanted} already"):
        control.cancel(db, job)
    assert state(db, job) == str(wanted)


@pytest.mark.parametrize("later", [False, True])
def test_an_unsealed_job_can_be_cancelled(db: Connection, later: bool) -> None:
    (job,) = add(db, run_at=soon() if later else None)
    assert control.cancel(db, job) is False
    assert all_in(db, "ended", [job])
    assert seal_all(db) == 0


@pytest.mark.parametrize("attempts", ["null", "'{1,2,3,4,5}'"])
@pytest.mark.parametrize("at", [0, 2, 4])
def test_cancelling_one_of_a_batch_leaves_the_others(db: Connection, at: int, attempts: str) -> None:
    ids = add_sealed(db, 5)
    db.execute(f"update awa.batch set attempts = {attempts}".encode())
    control.cancel(db, ids[at])
    left = [n for n in range(5) if n != at]
    expected = None if attempts == "null" else [n + 1 for n in left]
    assert batches(db) == [(None, [ids[n] for n in left], expected)]
    assert state(db, ids[at]) == "cancelled"
    assert control.get(db, ids[at])["attempt"] == (0 if expected is None else at + 1)


def test_a_cancelled_job_is_out_of_its_workers_lease(db: Connection) -> None:
    worker, ids = sign_in(db), add_sealed(db, 3)
    take(db, worker)
    assert control.cancel(db, ids[1]) is True
    assert settle(db, worker, [outcome(job) for job in ids]) == {ids[0], ids[2]}
    assert [state(db, job) for job in ids] == ["completed", "cancelled", "completed"]
    assert batches(db) == []


def test_cancelled_jobs_are_tallied(db: Connection) -> None:
    control.cancel(db, one_in(db, S.Available))
    assert db.execute("select outcome, jobs from awa.outcome_count").fetchall() == [(6, 1)]


# -------------------------------------------------------------------- retry


@both_servers
@pytest.mark.parametrize("ended", [S.Failed, S.Cancelled])
def test_a_retried_job_starts_over_and_keeps_its_errors(db: Connection, ended: JobState) -> None:
    job = one_in(db, ended)
    before = control.get(db, job)["errors"]
    control.retry(db, job)
    row = control.get(db, job)
    assert (row["state"], row["attempt"], row["errors"]) == ("available", 0, before)
    assert (row["finalized_at"], row["attempted_at"]) == (None, None)
    worker = sign_in(db)
    (lease,) = take(db, worker).leases
    assert (lease.ids, lease.retry_round, (lease.attempts or [0])[0]) == ([job], 1, 0)
    assert control.get(db, job)["attempt"] == 1
    settle(db, worker, [outcome(job)])
    assert state(db, job) == "completed"
    assert [(each["retry_round"], each["attempt"]) for each in control.attempts(db, job)] == [(0, 1), (1, 1)]


def test_rounds_go_on_as_often_as_somebody_retries(db: Connection) -> None:
    job, worker = one_in(db, S.Failed), sign_in(db)
    for _ in range(4):
        control.retry(db, job)
        take(db, worker)
        assert settle(db, worker, [outcome(job, S.Failed, payload={"error": "again"})]) == {job}
    assert [(each["retry_round"], each["attempt"]) for each in control.attempts(db, job)] == [(n, 1) for n in range(5)]
    assert state(db, job) == "failed"


@pytest.mark.parametrize("way", ["available", "running", "scheduled", "retryable"])
def test_a_retried_job_can_be_cancelled_and_retried_again(db: Connection, way: str) -> None:
    job, worker = one_in(db, S.Failed), sign_in(db)
    control.retry(db, job)
    if way != "available":
        take(db, worker)
    if way in ("scheduled", "retryable"):
        settle(db, worker, [outcome(job, S.parse(way), delay_us=HOUR_US)])
    assert state(db, job) == way
    control.cancel(db, job)
    assert state(db, job) == "cancelled"
    control.retry(db, job)
    assert state(db, job) == "available"
    (lease,) = take(db, worker).leases
    assert (lease.ids, lease.retry_round) == ([job], 2)


@pytest.mark.parametrize("wanted", [S.Scheduled, S.Available, S.Running, S.Completed, S.Retryable])
def test_only_failed_and_cancelled_jobs_can_be_retried(db: Connection, wanted: JobState) -> None:
    job = one_in(db, wanted)
    with pytest.raises(StateConflict, match=f"it is {wanted}; only failed and cancelled jobs can"):
        control.retry(db, job)
    assert state(db, job) == str(wanted)


def test_a_job_is_retried_once_however_often_it_is_asked_for(db: Connection) -> None:
    job = one_in(db, S.Failed)
    control.retry(db, job)
    with pytest.raises(StateConflict, match="it is available"):
        control.retry(db, job)
    assert batches(db) == [(None, [job], None)]


# -------------------------------------------------------------------- pause


def test_pausing_and_resuming_can_be_repeated(db: Connection) -> None:
    for _ in range(2):
        control.pause(db, "q", "me")
    assert db.execute("select name, paused_by from awa.queue where paused_at is not null").fetchall() == [("q", "me")]
    for _ in range(2):
        control.resume(db, "q")
    control.resume(db, "never heard of")
    assert db.execute("select name from awa.queue").fetchall() == []  # nothing is set for either of them


def test_pausing_keeps_the_queues_other_settings(db: Connection) -> None:
    db.execute("insert into awa.queue (name, ageing_s) values ('q', 5)")
    control.pause(db, "q")
    assert db.execute("select ageing_s from awa.queue").fetchall() == [(5,)]


def test_a_leased_job_of_a_paused_queue_is_finished(db: Connection) -> None:
    worker, ids = sign_in(db), add_sealed(db, 2)
    take(db, worker)
    control.pause(db, "default")
    assert settle(db, worker, [outcome(ids[0]), outcome(ids[1])]) == set(ids)


@pytest.mark.parametrize("step", [control.cancel, control.retry])
def test_what_cannot_be_done_leaves_the_connection_usable(db: Connection, step: Callable[..., Any]) -> None:
    job = one_in(db, S.Completed)
    with pytest.raises(StateConflict):
        step(db, job)
    assert db.info.transaction_status.name == "IDLE"


def test_a_bulk_operation_looks_at_no_more_jobs_than_a_step_has(db: Connection) -> None:
    """Whatever the statistics say, here nothing: else each of its steps would take as long as all should together."""
    worker = sign_in(db)
    add_sealed(db, 500)
    ids = ids_of(take(db, worker))
    assert settle(db, worker, outcomes(ids, S.Failed)) == set(ids)
    wanted = {"kind": None, "queue": "default", "above": 0, "upto": 10**9, "jobs_max": 20}
    for generic in (False, True):
        plan = explain(db, "ended/failed", wanted, generic=generic)
        assert max(node["Actual Loops"] for node in nodes(plan)) <= 20
    assert control.retry_failed(db, queue="default")
    assert all_in(db, "ready", ids)
