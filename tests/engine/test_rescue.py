"""Rescue: a dead worker's finished jobs are settled, the one it died in is spent, the rest goes back."""

from collections.abc import Callable
from datetime import datetime, timezone

import psycopg
import pytest

from awa.engine import leaving, nodes, retire
from awa.engine.admin import control
from awa.engine.promote import promote
from awa.engine.rescue import HEARTBEAT_STALE, Rescued, WorkerExit, rescue, rescue_stale
from awa.engine.settle import settle
from tests.engine.helpers import (
    EPOCH_US,
    KIND,
    Connection,
    add_sealed,
    all_in,
    batches,
    ids_of,
    outcomes,
    sign_in,
    state,
    take,
)
from tests.fixtures.postgres import both_servers
from tests.fixtures.waiting import Session

KILLED = "killed by SIGKILL"


@pytest.fixture
def worker(db: Connection) -> int:
    return sign_in(db)


def leased(db: Connection, worker: int, jobs: int, **fields: object) -> list[int]:
    add_sealed(db, jobs, **fields)
    return ids_of(take(db, worker))


def errors(db: Connection, job: int) -> list[dict[str, object]]:
    with psycopg.connect(db.info.dsn) as plain:
        row = plain.execute("select errors from awa.jobs where id = %s", [job]).fetchone()
    assert row is not None
    return list(row[0])


def workers(db: Connection) -> list[int]:
    return [row[0] for row in db.execute("select id from awa.worker order by id")]


@both_servers
def test_the_lease_is_taken_apart_as_the_board_says(db: Connection, worker: int) -> None:
    ids = leased(db, worker, 10)
    worker_exit = WorkerExit(KILLED, ids[3], EPOCH_US, 1_250_000, 70_000, {"type": "WorkerDied", "signal": 9})
    assert rescue(db, worker, worker_exit, outcomes(ids[:3])) == Rescued(3, ids[3], False, 6, KIND)
    assert all_in(db, "ended", ids[:3])
    assert all_in(db, "ready", ids[3:])
    assert workers(db) == []
    (attempt,) = control.attempts(db, ids[3])
    assert (attempt["outcome"], attempt["worker"], attempt["cpu_s"]) == ("retryable", worker, 1.25)
    assert attempt["peak_kb"] == 70_000
    assert attempt["started_at"] == datetime.fromtimestamp(EPOCH_US / 1e6, timezone.utc)
    (error,) = errors(db, ids[3])
    assert {name: error[name] for name in ("error", "type", "signal", "attempt")} == {
        "error": KILLED, "type": "WorkerDied", "signal": 9, "attempt": 1
    }  # fmt: skip
    assert datetime.fromisoformat(str(error["at"]).replace("Z", "+00:00")).tzinfo is not None


def test_a_first_death_is_retried_at_once_with_the_attempt_spent(db: Connection, worker: int) -> None:
    ids = leased(db, worker, 3)
    rescue(db, worker, WorkerExit(KILLED, ids[1]))
    got = {job: (lease.attempts or [0] * 9)[n] for lease in take(db, sign_in(db, "next")).leases
           for n, job in enumerate(lease.ids)}  # fmt: skip
    assert got == {ids[0]: 0, ids[1]: 1, ids[2]: 0}
    assert control.get(db, ids[1])["attempt"] == 2


def test_the_job_of_a_first_death_does_not_queue_up_behind_those_inserted_with_it(db: Connection, worker: int) -> None:
    ids = leased(db, worker, 300)  # several batches, all of the same moment
    rescue(db, worker, WorkerExit(KILLED, ids[0]))
    assert ids_of(take(db, sign_in(db, "next"), 1))[0] == ids[0]


def test_a_later_death_is_put_off_by_the_backoff(db: Connection, worker: int) -> None:
    ids = leased(db, worker, 2)
    db.execute("update awa.batch set attempts = '{3,0}'")
    assert rescue(db, worker, WorkerExit(KILLED, ids[0])) == Rescued(0, ids[0], False, 1, KIND)
    assert state(db, ids[0]) == "retryable"
    row = db.execute("select attempt, why, extract(epoch from run_at - now())::float8 from awa.deferred").fetchone()
    assert row is not None
    assert row[:2] == (4, "retry")
    assert 14 < row[2] <= 20, "2 to the power of 4 seconds and up to a quarter more"
    db.execute("update awa.deferred set run_at = now()")
    assert promote(db).jobs == 1


@both_servers
def test_a_last_attempt_fails_the_job(db: Connection, worker: int) -> None:
    (job,) = leased(db, worker, 1, max_attempts=1)
    assert rescue(db, worker, WorkerExit(KILLED, job)) == Rescued(0, job, True, 0, KIND)
    assert state(db, job) == "failed"
    assert batches(db) == []
    assert errors(db, job)[0]["error"] == KILLED
    assert db.execute("select outcome, jobs from awa.outcome_count").fetchall() == [(5, 1)]


@pytest.mark.parametrize("attempts", ["null", "'{0,0,0,0,0}'"])
def test_with_nobody_to_tell_the_first_unsettled_job_is_the_suspect(db: Connection, worker: int, attempts: str) -> None:
    ids = leased(db, worker, 5)
    db.execute(f"update awa.batch set attempts = {attempts}".encode())
    settle(db, worker, outcomes(ids[:2]))
    assert rescue(db, worker, WorkerExit(KILLED)) == Rescued(0, ids[2], False, 2, KIND)


def test_the_first_job_of_the_first_lease_is_the_suspect_whatever_the_ids(db: Connection, worker: int) -> None:
    """A lease is worked through in the order of lease_pos, which is that of keys, not of ids."""
    low, high = add_sealed(db, 2, kind="low", priority=4), add_sealed(db, 2, kind="high", priority=1)
    assert ids_of(take(db, worker, 100, "low", "high")) == high + low
    assert rescue(db, worker, WorkerExit(KILLED)).suspect == high[0]


def test_a_worker_that_ran_nothing_spends_nothing(db: Connection, worker: int) -> None:
    ids = leased(db, worker, 5)
    assert rescue(db, worker, WorkerExit("exited", 0)) == Rescued(0, None, False, 5)
    assert all_in(db, "ready", ids)
    assert [control.attempts(db, job) for job in ids] == [[]] * 5


def test_a_suspect_that_has_left_the_lease_is_nobody(db: Connection, worker: int) -> None:
    ids = leased(db, worker, 3)
    control.cancel(db, ids[0])
    assert rescue(db, worker, WorkerExit(KILLED, ids[0])) == Rescued(0, None, False, 2)
    assert state(db, ids[0]) == "cancelled"


def test_results_of_jobs_that_left_the_lease_are_void(db: Connection, worker: int) -> None:
    ids = leased(db, worker, 3)
    control.cancel(db, ids[0])
    assert rescue(db, worker, WorkerExit(KILLED, 0), outcomes(ids[:2])).settled == 1
    assert (state(db, ids[0]), state(db, ids[1])) == ("cancelled", "completed")


def test_a_rescue_can_be_repeated(db: Connection, worker: int) -> None:
    ids = leased(db, worker, 3)
    rescue(db, worker, WorkerExit(KILLED, ids[0]), outcomes(ids[:0]))
    assert rescue(db, worker, WorkerExit(KILLED, ids[0])) == Rescued(0, None, False, 0)
    assert len(control.attempts(db, ids[0])) == 1


def test_a_rescue_of_several_leases_keeps_rounds_and_attempts(db: Connection, worker: int) -> None:
    a, b = add_sealed(db, 2, kind="a", priority=1), add_sealed(db, 2, kind="b", priority=1)
    take(db, worker, 100, "a", "b")
    db.execute("update awa.batch set retry_round = 2, attempts = '{5,6}'")
    assert rescue(db, worker, WorkerExit(KILLED, b[1])) == Rescued(0, b[1], False, 3, "b")
    assert db.execute("select retry_round, attempt from awa.deferred").fetchall() == [(2, 7)]
    assert {(row[1][0], tuple(row[2])) for row in batches(db)} == {(a[0], (5, 6)), (b[0], (5,))}


def test_rescued_jobs_keep_their_place_in_the_queue(db: Connection, worker: int) -> None:
    first = leased(db, worker, 3)
    second = add_sealed(db, 3)
    rescue(db, worker, WorkerExit(KILLED, 0))
    assert ids_of(take(db, sign_in(db, "next"))) == first + second


def test_other_workers_leases_are_not_touched(db: Connection, worker: int) -> None:
    other = sign_in(db, "other")
    mine, others = leased(db, worker, 3), leased(db, other, 3)
    rescue(db, worker, WorkerExit(KILLED, 0))
    assert all_in(db, "ready", mine)
    assert all_in(db, "leased", others)
    assert workers(db) == [other]


# -------------------------------------------------------------- stale nodes


def test_attempts_left_open_are_those_that_workers_have_told(db: Connection) -> None:
    for said, exhausted in ((1, True), (2, False)):
        worker = sign_in(db)
        nodes.tell_tasks(db, {KIND: said, "other": 9})
        (job,) = leased(db, worker, 1)
        db.execute("update awa.job_log set max_attempts = null where id = %s", [job])
        assert rescue(db, worker, WorkerExit(KILLED, job)).exhausted is exhausted
        db.execute("delete from awa.batch")


def silent(db: Connection, *names: str) -> dict[int, int]:
    """What somebody holds against nodes that have said nothing since now."""
    return dict(db.execute("select id, beat from awa.node where name = any(%s)", [list(names)]).fetchall())


@both_servers
def test_a_silent_node_is_rescued_with_all_its_workers(db: Connection) -> None:
    node = nodes.register_node(db, "silent")
    pair = [nodes.register_worker(db, node) for _ in range(2)]
    living = sign_in(db, "living")
    add_sealed(db, 9)
    ids = [ids_of(take(db, each or 0, 3)) for each in (*pair, living)]
    assert rescue_stale(db, {}) == []
    assert rescue_stale(db, held := silent(db, "silent")) == ["silent"]
    assert all_in(db, "ready", ids[0] + ids[1])
    assert all_in(db, "leased", ids[2])
    assert workers(db) == [living]
    assert not nodes.heartbeat(db, node)
    assert [errors(db, each[0])[0]["error"] for each in ids[:2]] == [HEARTBEAT_STALE] * 2
    assert [control.attempts(db, job) for each in ids[:2] for job in each[1:]] == [[]] * 4
    assert rescue_stale(db, held) == []


def test_a_heartbeat_keeps_a_node_alive(db: Connection) -> None:
    node = nodes.register_node(db, "n")
    held = silent(db, "n")
    assert nodes.heartbeat(db, node)
    assert rescue_stale(db, held) == []


def test_a_worker_cannot_enter_through_a_dead_node(db: Connection) -> None:
    node = nodes.register_node(db, "n")
    rescue_stale(db, silent(db, "n"))
    assert nodes.register_worker(db, node) is None


@both_servers
def test_leases_of_nobody_are_rescued_too(db: Connection) -> None:
    """A claim that was under way when its worker was taken apart commits after it: none of its jobs was ever begun."""
    ids = leased(db, sign_in(db, "gone"), 4)
    db.execute("delete from awa.node where name = 'gone'")
    assert all_in(db, "leased", ids)
    rescue_stale(db, {})
    assert all_in(db, "ready", ids)
    assert all(control.attempts(db, job) == [] for job in ids)


def test_a_lease_that_somebody_keeps_locked_does_not_keep_other_nodes_waiting(
    db: Connection, session: Callable[..., Session]
) -> None:
    first, second = sign_in(db, "first"), sign_in(db, "second")
    locked_ids, free_ids = leased(db, first, 2), leased(db, second, 2)
    held = silent(db, "first", "second")
    other = session("other")
    other.run("begin")
    other.run("select from awa.batch where owner = %s for update", [first])
    db.execute("set lock_timeout = '20ms'")
    with pytest.raises(psycopg.errors.LockNotAvailable):
        rescue_stale(db, held)
    assert all_in(db, "ready", free_ids)
    assert all_in(db, "leased", locked_ids)
    other.run("commit")
    assert rescue_stale(db, held) == ["first"]
    assert all_in(db, "ready", locked_ids)


def die(db: Connection, *, kind: str = KIND, queue: str = "default", is_of_the_job: bool = True) -> Rescued:
    """Have a worker die in a job."""
    worker = sign_in(db)
    (job,) = add_sealed(db, kind=kind, queue=queue, max_attempts=1)
    take(db, worker, 1, kind)
    return rescue(db, worker, WorkerExit(KILLED, job, is_of_the_job=is_of_the_job))


@both_servers
def test_deaths_are_counted_by_kind_for_ten_minutes_and_shown_for_a_week(db: Connection) -> None:
    assert [die(db).deaths, die(db, queue="other").deaths, die(db, kind="else").deaths] == [1, 2, 1]
    assert die(db, is_of_the_job=False).deaths is None
    assert die(db).deaths == 3
    db.execute("update awa.outcome_count set minute = minute - interval '11 minutes'")
    retire.prune(db, leaving.Retention(3600, 3600), recheck_s=0.0)  # folds the minutes that are over
    assert die(db).deaths == 1
    found = [each[:-1] for each in control.worker_deaths(db)]
    assert found == [(KIND, "default", 1, 3, 3, 3), ("else", "default", 0, 1, 1, 1), (KIND, "other", 0, 1, 1, 1)]
    db.execute("update awa.outcome_count set minute = minute - interval '3 days'")
    assert [each.last_week for each in control.worker_deaths(db)] == [3, 1, 1]
    db.execute("update awa.outcome_count set minute = minute - interval '5 days'")
    assert control.worker_deaths(db) == []
