"""Several sessions after the same lease: worker, supervisor, leader, operator. One of them gets each job."""

from collections.abc import Callable

import pytest

from awa.engine import nodes
from awa.engine.admin import control
from awa.engine.claim import Claimed
from awa.engine.promote import promote
from awa.engine.rescue import Rescued, WorkerExit, _read, _send, rescue, rescue_stale
from awa.engine.settle import read_settle, release, send_settle, settle
from awa.errors import StateConflict
from awa.job.attempt import Settlement
from awa.job.model import JobState
from tests.engine.helpers import (
    KIND,
    Connection,
    add_sealed,
    all_in,
    batches,
    ids_of,
    outcome,
    outcomes,
    sign_in,
    state,
    take,
)
from tests.fixtures.postgres import both_servers
from tests.fixtures.waiting import Session

Open = Callable[..., Session]
S = JobState
KILLED = "killed by SIGKILL"


@pytest.fixture
def worker(db: Connection) -> int:
    return sign_in(db)


@pytest.fixture
def ids(db: Connection, worker: int) -> list[int]:
    """Six jobs in the worker's lease."""
    add_sealed(db, 6)
    claimed: Claimed = take(db, worker)
    return ids_of(claimed)


@pytest.fixture
def at_work(session: Open) -> Session:
    """The worker's own session."""
    return session("worker")


@pytest.fixture
def other(session: Open) -> Session:
    """Whoever else is after the lease."""
    return session("other")


def in_transaction(session: Session, statements: Callable[..., object], *args: object) -> object:
    """Do something of the engine and leave its transaction open: its own, outermost one becomes a savepoint."""
    session.run("begin")
    return session.run(statements, *args)


def settle_open(connection: Connection, worker: int, settlements: list[Settlement]) -> set[int]:
    """A settle inside the transaction that is open."""
    return read_settle(send_settle(connection, worker, settlements))


def rescue_open(connection: Connection, worker: int, death: WorkerExit) -> Rescued:
    """A rescue inside the transaction that is open."""
    return _read(worker, death, _send(connection, worker, death), None)


def attempts(db: Connection) -> dict[int, int]:
    """Executions recorded for each job."""
    return dict(db.execute("select job_id, count(*) from awa.attempt_log group by 1").fetchall())


# ------------------------------------------------------- settle and rescue


@both_servers
def test_a_settle_after_a_rescue_is_refused(db: Connection, worker: int, ids: list[int], at_work: Session) -> None:
    rescue(db, worker, WorkerExit(KILLED, ids[0]))
    assert at_work.run(settle, worker, outcomes(ids)) == set()
    assert all_in(db, "ready", ids)
    assert attempts(db) == {ids[0]: 1}


@both_servers
def test_a_settle_that_waits_for_a_rescue_is_refused(
    db: Connection, worker: int, ids: list[int], at_work: Session, other: Session
) -> None:
    in_transaction(other, rescue_open, worker, WorkerExit(KILLED, ids[0]))
    at_work.start(settle, worker, outcomes(ids))
    at_work.until_blocked()
    other.run("commit")
    assert at_work.result() == set()
    assert all_in(db, "ready", ids)
    assert attempts(db) == {ids[0]: 1}


def test_a_settle_that_waits_for_a_rescue_which_is_rolled_back_is_accepted(
    worker: int, ids: list[int], at_work: Session, other: Session
) -> None:
    in_transaction(other, rescue_open, worker, WorkerExit(KILLED, ids[0]))
    at_work.start(settle, worker, outcomes(ids))
    at_work.until_blocked()
    other.run("rollback")
    assert at_work.result() == set(ids)


@both_servers
@pytest.mark.parametrize("settled", [2, 6])
def test_a_rescue_that_waits_for_a_settle_takes_only_the_rest(
    db: Connection, worker: int, ids: list[int], at_work: Session, other: Session, settled: int
) -> None:
    in_transaction(at_work, settle_open, worker, outcomes(ids[:settled]))
    other.start(rescue, worker, WorkerExit(KILLED))
    other.until_blocked()
    at_work.run("commit")
    suspect = ids[settled] if settled < 6 else None
    assert other.result() == Rescued(0, suspect, False, max(0, 5 - settled), KIND if suspect else None)
    assert all_in(db, "ended", ids[:settled])
    assert all_in(db, "ready", ids[settled:])


@both_servers
@pytest.mark.parametrize("settled", [1, 6])
def test_a_rescue_reads_nothing_that_it_has_not_locked(
    db: Connection,
    worker: int,
    ids: list[int],
    at_work: Session,
    other: Session,
    settled: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The lease was claimed an instant after the rescuer had locked what was there. Snoozed jobs leave no attempt,
    whose key would refuse what the rescuer writes of them."""
    monkeypatch.setattr("awa.engine.rescue._LOCK", "select 1")
    snoozed = [outcome(job, S.Scheduled, delay_us=60_000_000) for job in ids[:settled]]
    in_transaction(at_work, settle_open, worker, snoozed)
    other.start(rescue, worker, WorkerExit(KILLED))
    other.until_blocked()
    at_work.run("commit")
    other.result()
    assert all_in(db, "deferred", ids[:settled])
    assert all_in(db, "ready", ids[settled:])


def test_two_rescues_at_once_spend_one_attempt(
    db: Connection, worker: int, ids: list[int], at_work: Session, other: Session
) -> None:
    in_transaction(at_work, rescue_open, worker, WorkerExit(KILLED, ids[0]))
    other.start(rescue, worker, WorkerExit(KILLED, ids[0]))
    other.until_blocked()
    at_work.run("commit")
    assert other.result() == Rescued(0, None, False, 0)
    assert attempts(db) == {ids[0]: 1}
    assert sorted(job for _, held, _ in batches(db) for job in held) == ids


@both_servers
def test_two_leaders_rescue_a_stale_node_once_and_neither_waits(db: Connection, session: Open, ids: list[int]) -> None:
    first, second = session("first leader"), session("second leader")
    silent = nodes.beats(db)
    second.run("set lock_timeout = '1ms'")
    first.run("begin")
    assert first.run("select id from awa.node for update") is not None
    assert second.run(rescue_stale, silent) == []
    first.run("commit")
    assert second.run(rescue_stale, silent) == ["node"]
    assert first.run(rescue_stale, silent) == []
    assert attempts(db) == {ids[0]: 1}


def test_a_heartbeat_that_arrives_during_the_rescue_learns_that_it_is_too_late(
    db: Connection, worker: int, ids: list[int], at_work: Session, other: Session
) -> None:
    ((node,),) = db.execute("select id from awa.node").fetchall()
    silent = nodes.beats(db)
    in_transaction(other, rescue_stale, silent)
    at_work.start(nodes.heartbeat, node)
    at_work.until_blocked()
    other.run("commit")
    assert at_work.result() is None
    assert at_work.run(settle, worker, outcomes(ids)) == set()
    assert not at_work.run(take, worker).registered


def test_a_worker_that_enters_during_the_rescue_of_its_node_is_turned_away(
    db: Connection, session: Open, ids: list[int]
) -> None:
    leader, new = session("leader"), session("new worker")
    ((node,),) = db.execute("select id from awa.node").fetchall()
    silent = nodes.beats(db)
    in_transaction(leader, rescue_stale, silent)
    new.start(nodes.register_worker, node)
    new.until_blocked()
    leader.run("commit")
    assert new.result() is None


# ------------------------------------------------------- settle and cancel


def test_a_settle_after_a_cancel_is_refused_for_that_job(
    db: Connection, worker: int, ids: list[int], at_work: Session
) -> None:
    assert control.cancel(db, ids[2]) is True
    assert at_work.run(settle, worker, outcomes(ids)) == set(ids) - {ids[2]}
    assert state(db, ids[2]) == "cancelled"


@both_servers
def test_a_settle_that_waits_for_a_cancel_is_refused_for_that_job(
    db: Connection, worker: int, ids: list[int], at_work: Session, other: Session
) -> None:
    in_transaction(other, control.cancel, ids[2])
    at_work.start(settle, worker, outcomes(ids))
    at_work.until_blocked()
    other.run("commit")
    assert at_work.result() == set(ids) - {ids[2]}
    assert state(db, ids[2]) == "cancelled"
    assert attempts(db) == dict.fromkeys(ids, 1)


@both_servers
def test_a_cancel_that_waits_for_a_settle_of_its_job_comes_too_late(
    db: Connection, worker: int, ids: list[int], at_work: Session, other: Session
) -> None:
    in_transaction(at_work, settle_open, worker, outcomes(ids))
    other.start(control.cancel, ids[2])
    other.until_blocked()
    at_work.run("commit")
    with pytest.raises(StateConflict, match="it is completed already"):
        other.result()
    assert state(db, ids[2]) == "completed"


def test_a_cancel_that_waits_for_a_settle_of_other_jobs_goes_on(
    db: Connection, worker: int, ids: list[int], at_work: Session, other: Session
) -> None:
    in_transaction(at_work, settle_open, worker, outcomes(ids[:2]))
    other.start(control.cancel, ids[3])
    other.until_blocked()
    at_work.run("commit")
    assert other.result() is True
    assert batches(db) == [(worker, [ids[2], *ids[4:]], [0, 0, 0])]


@pytest.mark.parametrize("to", [S.Retryable, S.Scheduled])
def test_a_cancel_that_waits_for_a_settle_finds_its_job_put_aside(
    db: Connection, worker: int, ids: list[int], at_work: Session, other: Session, to: JobState
) -> None:
    in_transaction(at_work, settle_open, worker, [outcome(ids[2], to, delay_us=10**9)])
    other.start(control.cancel, ids[2])
    other.until_blocked()
    at_work.run("commit")
    assert other.result() is False
    assert all_in(db, "ended", [ids[2]])
    db.execute("update awa.deferred set run_at = now()")
    assert promote(db).jobs == 0


def test_two_cancels_at_once(db: Connection, ids: list[int], at_work: Session, other: Session) -> None:
    in_transaction(at_work, control.cancel, ids[2])
    other.start(control.cancel, ids[2])
    other.until_blocked()
    at_work.run("commit")
    with pytest.raises(StateConflict, match="it is cancelled already"):
        other.result()
    assert attempts(db) == {ids[2]: 1}


def test_two_retries_at_once(db: Connection, worker: int, ids: list[int], at_work: Session, other: Session) -> None:
    settle(db, worker, outcomes(ids, S.Failed))
    in_transaction(at_work, control.retry, ids[0])
    other.start(control.retry, ids[0])
    other.until_blocked()
    at_work.run("commit")
    with pytest.raises(StateConflict, match="it is available; only failed"):
        other.result()
    assert batches(db) == [(None, [ids[0]], None)]


# -------------------------------------------------------- settle and settle


@both_servers
def test_worker_and_supervisor_settle_the_same_jobs_at_once(
    db: Connection, worker: int, ids: list[int], at_work: Session, other: Session
) -> None:
    in_transaction(at_work, settle_open, worker, outcomes(ids[:4]))
    other.start(settle, worker, outcomes(ids[1:5]))
    other.until_blocked()
    at_work.run("commit")
    assert other.result() == {ids[4]}
    assert attempts(db) == dict.fromkeys(ids[:5], 1)
    assert batches(db) == [(worker, [ids[5]], [0])]


def test_the_first_of_two_outcomes_counts(
    db: Connection, worker: int, ids: list[int], at_work: Session, other: Session
) -> None:
    in_transaction(at_work, settle_open, worker, [outcome(ids[0], S.Retryable, delay_us=10**9)])
    other.start(settle, worker, [outcome(ids[0], S.Failed)])
    other.until_blocked()
    at_work.run("commit")
    assert other.result() == set()
    assert state(db, ids[0]) == "retryable"


def test_outcomes_of_an_earlier_attempt_do_not_settle_the_present_one_of_another_worker(
    db: Connection, worker: int, ids: list[int], at_work: Session
) -> None:
    rescue(db, worker, WorkerExit(KILLED, ids[0]))
    second = sign_in(db, "second")
    assert sorted(ids_of(take(db, second))) == ids
    assert at_work.run(settle, worker, outcomes(ids)) == set()
    assert settle(db, second, outcomes(ids)) == set(ids)
    assert attempts(db) == {**dict.fromkeys(ids, 1), ids[0]: 2}


# ------------------------------------------------------- settle and release


@both_servers
def test_a_release_that_waits_for_a_settle_hands_back_only_the_rest(
    db: Connection, worker: int, ids: list[int], at_work: Session, other: Session
) -> None:
    in_transaction(at_work, settle_open, worker, outcomes(ids[:2]))
    other.start(release, worker, [ids[2]])
    other.until_blocked()
    at_work.run("commit")
    assert other.result() == 3
    assert all_in(db, "ended", ids[:2])
    assert all_in(db, "leased", [ids[2]])
    assert all_in(db, "ready", ids[3:])


def test_a_settle_that_waits_for_a_release_keeps_to_what_is_left(
    db: Connection, worker: int, ids: list[int], at_work: Session, other: Session
) -> None:
    other.run("begin")
    other.run("select id from awa.batch where owner = %s for update", [worker])
    other.run("update awa.batch set owner = null, ids = ids[3:], attempts = null where owner = %s", [worker])
    part = "select sort_at, now(), lane, %s, %s::bigint[] from awa.batch"
    other.run(f"insert into awa.batch (sort_at, leased_at, lane, owner, ids) {part}", [worker, ids[:2]])
    at_work.start(settle, worker, outcomes(ids))
    at_work.until_blocked()
    other.run("commit")
    assert at_work.result() == set(ids[:2])
    assert all_in(db, "ready", ids[2:])
