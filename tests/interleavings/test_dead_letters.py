"""Several sessions after one dead letter: retry, purge, move, the leader. One of them gets it, the others see that."""

from collections.abc import Callable
from typing import Any

import pytest

from awa.engine import nodes
from awa.engine.admin import control, dlq, queues
from awa.engine.admin.dlq import Scope
from awa.engine.rescue import NODE_LOST, WorkerExit, rescue
from awa.engine.settle import read_settle, send_settle, settle
from awa.errors import JobNotFound, StateConflict
from awa.job.model import JobState
from tests.engine.helpers import Connection, add_sealed, batches, ids_of, outcome, outcomes, sign_in, state, take
from tests.fixtures.postgres import both_servers
from tests.fixtures.waiting import Session

Open = Callable[..., Session]
S = JobState


@pytest.fixture
def worker(db: Connection) -> int:
    return sign_in(db)


@pytest.fixture
def letters(db: Connection, worker: int) -> list[int]:
    """Four dead letters."""
    queues.configure(db, "default", {"dlq": True})
    return failed_jobs(db, worker)


@pytest.fixture
def one(session: Open) -> Session:
    """Who comes first, and holds what he does open."""
    return session("one")


@pytest.fixture
def other(session: Open) -> Session:
    """Who comes second."""
    return session("other")


def failed_jobs(db: Connection, worker: int) -> list[int]:
    ids = add_sealed(db, 4)
    assert ids_of(take(db, worker)) == ids
    assert settle(db, worker, outcomes(ids, S.Failed)) == set(ids)
    return ids


def hold(session: Session, step: Callable[..., Any], *args: Any) -> Any:
    """Do a step, and do not commit it yet."""
    session.run("begin")
    return session.run(step, *args)


def dead(db: Connection) -> list[int]:
    return [row[0] for row in db.execute("select job_id from awa.dlq order by job_id")]


def rows_of(db: Connection, job: int) -> int:
    """In how many rows of any table there is something of a job."""
    row = db.execute(
        "select (select count(*) from awa.job_log where id = %(id)s) "
        "+ (select count(*) from awa.job_archive where id = %(id)s) "
        "+ (select count(*) from awa.every_attempt where job_id = %(id)s) "
        "+ (select count(*) from awa.dlq where job_id = %(id)s) "
        "+ (select count(*) from awa.job_override where job_id = %(id)s)",
        {"id": job},
    ).fetchone()
    assert row is not None
    return int(row[0])


@both_servers
def test_two_retries(db: Connection, letters: list[int], one: Session, other: Session) -> None:
    assert hold(one, dlq.retry, letters[0]) is True
    other.start(dlq.retry, letters[0])
    other.until_blocked()
    one.run("commit")
    assert other.result() is False
    assert batches(db) == [(None, letters[:1], None)]
    assert dead(db) == letters[1:]


def test_two_retries_of_which_the_first_is_rolled_back(
    db: Connection, letters: list[int], one: Session, other: Session
) -> None:
    hold(one, dlq.retry, letters[0])
    other.start(dlq.retry, letters[0])
    other.until_blocked()
    one.kill()
    assert other.result() is True
    assert batches(db) == [(None, letters[:1], None)]


@both_servers
def test_a_retry_while_it_is_purged(db: Connection, letters: list[int], one: Session, other: Session) -> None:
    assert hold(one, dlq.purge, letters[0]) is True
    other.start(dlq.retry, letters[0])
    other.until_blocked()
    one.run("commit")
    assert other.result() is False
    assert rows_of(db, letters[0]) == 0
    assert batches(db) == []


@both_servers
def test_a_purge_while_it_is_retried(db: Connection, letters: list[int], one: Session, other: Session) -> None:
    hold(one, dlq.retry, letters[0])
    other.start(dlq.purge, letters[0])
    other.until_blocked()
    one.run("commit")
    assert other.result() is False
    assert state(db, letters[0]) == "available"


def test_a_plain_retry_while_it_is_purged(db: Connection, letters: list[int], one: Session, other: Session) -> None:
    hold(one, dlq.purge, letters[0])
    other.start(control.retry, letters[0])
    other.until_blocked()
    one.run("commit")
    with pytest.raises(JobNotFound):
        other.result()
    assert rows_of(db, letters[0]) == 0


def test_a_purge_while_it_is_plainly_retried(db: Connection, letters: list[int], one: Session, other: Session) -> None:
    hold(one, control.retry, letters[0])
    other.start(dlq.purge, letters[0])
    other.until_blocked()
    one.run("commit")
    assert other.result() is False
    assert (state(db, letters[0]), dead(db)) == ("available", letters[1:])


@both_servers
def test_a_retry_while_it_is_moved(db: Connection, worker: int, one: Session, other: Session) -> None:
    job = failed_jobs(db, worker)[0]
    assert hold(one, dlq.move, job, "odd") is True
    other.start(control.retry, job)
    other.until_blocked()
    one.run("commit")
    other.result()
    assert (state(db, job), dead(db)) == ("available", [])


@both_servers
def test_a_move_while_it_is_retried(db: Connection, worker: int, one: Session, other: Session) -> None:
    job = failed_jobs(db, worker)[0]
    hold(one, control.retry, job)
    other.start(dlq.move, job, "odd")
    other.until_blocked()
    one.run("commit")
    assert other.result() is False
    assert (state(db, job), dead(db)) == ("available", [])


def test_two_moves(db: Connection, worker: int, one: Session, other: Session) -> None:
    job = failed_jobs(db, worker)[0]
    hold(one, dlq.move, job, "first")
    other.start(dlq.move, job, "second")
    other.until_blocked()
    one.run("commit")
    assert other.result() is False
    assert db.execute("select reason from awa.dlq").fetchall() == [("first",)]


@both_servers
@pytest.mark.parametrize("bulk", [dlq.retry_all, dlq.purge_all])
def test_bulk_operations_leave_what_somebody_has(
    db: Connection, letters: list[int], one: Session, other: Session, bulk: Callable[..., int]
) -> None:
    """And wait for nobody: the transaction of one may be open for hours."""
    hold(one, dlq.purge, letters[1])
    assert other.run(bulk, Scope()) == 3
    one.run("rollback")
    assert dead(db) == [letters[1]]


def test_two_bulk_operations_share_the_work(db: Connection, letters: list[int], one: Session, other: Session) -> None:
    assert hold(one, dlq.retry_all, Scope(before_id=letters[2])) == 2
    assert other.run(dlq.purge_all, Scope()) == 2
    one.run("commit")
    assert dead(db) == []
    assert {state(db, job) for job in letters[:2]} == {"available"}
    assert {rows_of(db, job) for job in letters[2:]} == {0}


def test_a_bulk_move_leaves_what_is_being_retried(db: Connection, worker: int, one: Session, other: Session) -> None:
    ids = failed_jobs(db, worker)
    hold(one, control.retry, ids[1])
    assert other.run(dlq.move_failed, None, None, "odd") == 3
    one.run("commit")
    assert dead(db) == [ids[0], *ids[2:]]


@both_servers
def test_the_leader_leaves_a_dead_letter_that_is_being_retried(
    db: Connection, letters: list[int], one: Session, other: Session
) -> None:
    hold(one, dlq.retry, letters[0])
    assert other.run(dlq.expire, 0.0) == 3
    one.run("commit")
    assert other.run(dlq.expire, 0.0) == 0
    assert state(db, letters[0]) == "available"


@both_servers
def test_a_retry_of_a_dead_letter_that_the_leader_forgets(
    db: Connection, letters: list[int], one: Session, other: Session
) -> None:
    assert hold(one, dlq.expire, 0.0) == 4
    other.start(control.retry, letters[0])
    other.until_blocked()
    one.run("commit")
    with pytest.raises(JobNotFound):
        other.result()
    assert [rows_of(db, job) for job in letters] == [0, 0, 0, 0]


@both_servers
def test_a_job_fails_and_is_a_dead_letter_in_one_transaction(db: Connection, worker: int, one: Session) -> None:
    queues.configure(db, "default", {"dlq": True})
    ids = add_sealed(db, 3)
    take(db, worker)
    terminal = outcome(ids[1], S.Failed, payload={"error": "no", "terminal": True})
    one.run("begin")
    one.run(lambda connection: settle_open(connection, worker, [outcome(ids[0], S.Failed), terminal]))
    assert (dead(db), {state(db, job) for job in ids}) == ([], {"running"})
    one.kill()
    assert (dead(db), {state(db, job) for job in ids}) == ([], {"running"})
    assert settle(db, worker, [outcome(ids[0], S.Failed), terminal, outcome(ids[2])]) == set(ids)
    found = db.execute("select job_id, reason, runs from awa.dlq order by job_id").fetchall()
    assert found == [(ids[0], "max_attempts_exhausted", 1), (ids[1], "terminal_error", 1)]


def settle_open(connection: Connection, worker: int, settlements: Any) -> None:
    """Settle within the transaction that is open."""
    assert read_settle(send_settle(connection, worker, settlements))


def test_a_settle_that_comes_again_does_not_bring_a_dead_letter_back(
    db: Connection, letters: list[int], worker: int
) -> None:
    """As when the worker's connection broke before it heard the answer."""
    dlq.purge(db, letters[0])
    dlq.retry(db, letters[1])
    control.retry(db, letters[2])
    assert settle(db, worker, outcomes(letters, S.Failed)) == set()
    assert dead(db) == letters[3:]


@both_servers
def test_a_job_that_dies_with_its_worker_for_the_last_time_is_a_dead_letter(db: Connection, worker: int) -> None:
    queues.configure(db, "default", {"dlq": True})
    (job,) = add_sealed(db, 1, max_attempts=2)
    (plain,) = add_sealed(db, 1, max_attempts=1, queue="other")
    assert ids_of(take(db, worker)) == [job, plain]
    rescue(db, worker, WorkerExit("killed by SIGKILL", running=job), outcomes([plain], S.Failed))
    assert dead(db) == []
    second = sign_in(db)
    assert ids_of(take(db, second)) == [job]
    rescue(db, second, NODE_LOST)
    assert db.execute("select job_id, reason, runs from awa.dlq").fetchall() == [(job, NODE_LOST.reason, 2)]
    with pytest.raises(StateConflict):
        control.cancel(db, job)


@pytest.mark.parametrize(
    "step",
    [
        dlq.retry,
        lambda db, job: dlq.retry_all(db, Scope()),
        control.retry,
    ],
)
def test_who_runs_jobs_again_wakes_idle_nodes(
    db: Connection, letters: list[int], connect: Callable[..., Any], step: Callable[[Connection, int], Any]
) -> None:
    listener = connect()
    listener.execute('listen "awa:wake"')
    nodes.idle(db, nodes.register_node(db, "idle"))
    step(db, letters[0])
    assert len(list(listener.notifies(timeout=30, stop_after=1))) == 1
