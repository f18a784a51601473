"""A handler completes its job in its own transaction while others are after its lease: one of them gets the job."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import psycopg
import pytest

from awa.engine.admin import control
from awa.engine.rescue import WorkerExit, rescue
from awa.engine.settle import identity, recorded, release, settle, settle_within, stands
from awa.errors import StateConflict
from awa.job.attempt import Settlement
from awa.job.model import JobState
from tests.engine.helpers import Connection, add_sealed, all_in, ids_of, outcome, outcomes, sign_in, state, take
from tests.fixtures.postgres import both_servers
from tests.fixtures.waiting import Session, until
from tests.interleavings.test_settlers import in_transaction, rescue_open, settle_open

Open = Callable[..., Session]
KILLED = "killed by SIGKILL"
EFFECTS = "create table public.effects (job bigint)"


@pytest.fixture
def worker(db: Connection) -> int:
    db.execute(EFFECTS)
    return sign_in(db)


@pytest.fixture
def ids(db: Connection, worker: int) -> list[int]:
    """Three jobs in the worker's lease."""
    add_sealed(db, 3)
    return ids_of(take(db, worker))


@pytest.fixture
def handler(session: Open) -> Session:
    """The handler's own connection."""
    return session("handler")


@pytest.fixture
def other(session: Open) -> Session:
    """Whoever else is after the lease."""
    return session("other")


def executing(connection: Connection) -> Callable[[bytes, Mapping[str, Any]], list[Any]]:
    """How the engine works in the transaction of a connection."""
    return lambda sql, parameters: connection.execute(sql, parameters).fetchall()


def complete(connection: Connection, worker: int, job: int) -> str | None:
    return settle_within(executing(connection), worker, outcome(job, payload={"by": "the handler"}))


def begin(handler: Session, worker: int, job: int, isolation: str = "read committed") -> None:
    """Have the handler write its row, in a transaction that it leaves open."""
    handler.run(f"begin isolation level {isolation}")
    handler.run("insert into public.effects values (%s)", [job])


def failures(ids: list[int]) -> list[Settlement]:
    return outcomes(ids, JobState.Failed)


def effects(db: Connection) -> list[int]:
    return [job for (job,) in db.execute("select job from public.effects order by 1").fetchall()]


def attempts(db: Connection) -> dict[int, int]:
    """Executions recorded for each job."""
    return dict(db.execute("select job_id, count(*) from awa.attempt_log group by 1").fetchall())


# ------------------------------------------------------- alone


@both_servers
def test_job_and_rows_are_one(db: Connection, worker: int, ids: list[int], handler: Session) -> None:
    begin(handler, worker, ids[1])
    xid = handler.run(complete, worker, ids[1])
    assert recorded(executing(db), worker, ids[1], 1, xid) == ("in progress", False)
    assert (state(db, ids[1]), effects(db)) == ("running", [])
    handler.run("commit")
    assert recorded(executing(db), worker, ids[1], 1, xid) == ("committed", True)
    assert (state(db, ids[1]), effects(db)) == ("completed", [ids[1]])
    assert all_in(db, "leased", [ids[0], ids[2]])
    assert settle(db, worker, outcomes(ids)) == {ids[0], ids[2]}
    assert attempts(db) == dict.fromkeys(ids, 1)


def test_a_rollback_leaves_the_job_where_it_was(db: Connection, worker: int, ids: list[int], handler: Session) -> None:
    begin(handler, worker, ids[0])
    xid = handler.run(complete, worker, ids[0])
    handler.run("rollback")
    assert recorded(executing(db), worker, ids[0], 1, xid) == ("aborted", False)
    assert all_in(db, "leased", ids)
    assert settle(db, worker, outcomes(ids)) == set(ids)


def test_a_savepoint_rolled_back_takes_the_completion_along(
    db: Connection, worker: int, ids: list[int], handler: Session
) -> None:
    begin(handler, worker, ids[0])
    handler.run("savepoint s")
    xid = handler.run(complete, worker, ids[0])
    handler.run("rollback to s")
    handler.run("commit")
    assert recorded(executing(db), worker, ids[0], 1, xid) == ("committed", False)
    assert all_in(db, "leased", ids)


def test_whether_the_lease_stands(db: Connection, worker: int, ids: list[int]) -> None:
    assert stands(db, worker)
    assert not stands(db, worker + 1)
    rescue(db, worker, WorkerExit(KILLED, 0))
    assert not stands(db, worker)


def test_the_same_database_is_told_from_others(db: Connection, session: Open, superuser_dsn: str) -> None:
    here = identity(executing(db))
    assert session("same").run(lambda connection: identity(executing(connection))) == here
    cluster, database = session("other", superuser_dsn).run(lambda connection: identity(executing(connection)))
    assert (cluster == here[0], database == here[1]) == (True, False)


# ------------------------------------------------------- silence


@both_servers
@pytest.mark.parametrize(
    ("own", "then"),
    [("0", "10s"), ("1h", "10s"), ("10001ms", "10s"), ("10s", "10s"), ("2500ms", "2500ms"), ("3s", "3s")],
)
def test_the_transaction_may_not_fall_silent(
    worker: int, ids: list[int], handler: Session, own: str, then: str
) -> None:
    handler.run(f"set idle_in_transaction_session_timeout = '{own}'")
    begin(handler, worker, ids[0])
    handler.run(complete, worker, ids[0])
    assert handler.value("show idle_in_transaction_session_timeout") == then
    handler.run("commit")
    assert handler.value("show idle_in_transaction_session_timeout") == ("10001ms" if own == "10001ms" else own)


def test_one_that_does_is_ended(db: Connection, worker: int, ids: list[int], handler: Session) -> None:
    handler.run("set idle_in_transaction_session_timeout = '500ms'")
    handler.run("begin; insert into public.effects values (1)")
    handler.run(complete, worker, ids[0])
    until(lambda: not db.execute("select from pg_stat_activity where pid = %s", [handler.pid]).fetchall())
    assert rescue(db, worker, WorkerExit(KILLED, ids[0]))[:4] == (0, ids[0], False, 2)
    with pytest.raises(psycopg.Error, match="idle-in-transaction"):
        handler.run("commit")
    assert effects(db) == []


# ------------------------------------------------------- and a rescue


@both_servers
def test_after_a_rescue_it_is_refused(db: Connection, worker: int, ids: list[int], handler: Session) -> None:
    begin(handler, worker, ids[0])
    rescue(db, worker, WorkerExit(KILLED, ids[0]))
    assert handler.run(complete, worker, ids[0]) is None
    handler.run("rollback")
    assert all_in(db, "ready", ids)
    assert attempts(db) == {ids[0]: 1}


def test_a_rescue_waits_for_it_and_takes_the_rest(
    db: Connection, worker: int, ids: list[int], handler: Session, other: Session
) -> None:
    begin(handler, worker, ids[0])
    handler.run(complete, worker, ids[0])
    other.start(rescue, worker, WorkerExit(KILLED, ids[0]))
    other.until_blocked()
    handler.run("commit")
    assert other.result()[:4] == (0, None, False, 2)
    assert all_in(db, "ended", ids[:1])
    assert all_in(db, "ready", ids[1:])
    assert effects(db) == [ids[0]]


@both_servers
def test_a_rescue_waits_for_it_and_takes_all_when_its_client_dies(
    db: Connection, worker: int, ids: list[int], handler: Session, other: Session
) -> None:
    begin(handler, worker, ids[0])
    handler.run(complete, worker, ids[0])
    other.start(rescue, worker, WorkerExit(KILLED, ids[0]))
    other.until_blocked()
    handler.kill()
    assert other.result()[:4] == (0, ids[0], False, 2)
    assert all_in(db, "ready", ids)
    assert effects(db) == []


def test_it_waits_for_a_rescue_and_is_refused(
    db: Connection, worker: int, ids: list[int], handler: Session, other: Session
) -> None:
    begin(handler, worker, ids[0])
    in_transaction(other, rescue_open, worker, WorkerExit(KILLED, ids[0]))
    handler.start(complete, worker, ids[0])
    handler.until_blocked()
    other.run("commit")
    assert handler.result() is None


@pytest.mark.parametrize("isolation", ["repeatable read", "serializable"])
def test_with_an_old_snapshot_a_rescue_is_not_overlooked(
    db: Connection, worker: int, ids: list[int], handler: Session, isolation: str
) -> None:
    begin(handler, worker, ids[0], isolation)
    handler.run("select count(*) from awa.batch")
    rescue(db, worker, WorkerExit(KILLED, ids[0]))
    with pytest.raises(psycopg.errors.SerializationFailure):
        handler.run(complete, worker, ids[0])
    handler.run("rollback")
    assert attempts(db) == {ids[0]: 1}


# ------------------------------------------------------- and a cancellation


@both_servers
def test_after_a_cancellation_it_is_refused(db: Connection, worker: int, ids: list[int], handler: Session) -> None:
    begin(handler, worker, ids[0])
    assert control.cancel(db, ids[0]) is True
    assert handler.run(complete, worker, ids[0]) is None
    assert all_in(db, "leased", ids[1:])


def test_a_cancellation_waits_for_it_and_comes_too_late(
    db: Connection, worker: int, ids: list[int], handler: Session, other: Session
) -> None:
    begin(handler, worker, ids[0])
    handler.run(complete, worker, ids[0])
    other.start(control.cancel, ids[0])
    other.until_blocked()
    handler.run("commit")
    with pytest.raises(StateConflict):
        other.result()
    assert (state(db, ids[0]), effects(db)) == ("completed", [ids[0]])


def test_it_waits_for_a_cancellation_and_is_refused(
    worker: int, ids: list[int], handler: Session, other: Session
) -> None:
    begin(handler, worker, ids[0])
    other.run("begin")
    assert other.run(control.cancel, ids[0]) is True
    handler.start(complete, worker, ids[0])
    handler.until_blocked()
    other.run("commit")
    assert handler.result() is None


# ------------------------------------------------------- and the worker, or whoever acts for it


@both_servers
@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_a_settle_of_the_whole_lease_waits_for_it(
    db: Connection, worker: int, ids: list[int], handler: Session, other: Session, end: str
) -> None:
    """As by a worker that does not know how its handler's transaction ended: each job gets one outcome."""
    begin(handler, worker, ids[0])
    handler.run(complete, worker, ids[0])
    other.start(settle, worker, failures(ids))
    other.until_blocked()
    handler.run(end)
    assert other.result() == set(ids[end == "commit" :])
    assert attempts(db) == dict.fromkeys(ids, 1)
    assert state(db, ids[0]) == ("completed" if end == "commit" else "failed")
    assert effects(db) == ([ids[0]] if end == "commit" else [])


def test_it_waits_for_a_settle_of_others_in_its_lease(
    db: Connection, worker: int, ids: list[int], handler: Session, other: Session
) -> None:
    begin(handler, worker, ids[2])
    assert in_transaction(other, settle_open, worker, outcomes(ids[:2])) == set(ids[:2])
    handler.start(complete, worker, ids[2])
    handler.until_blocked()
    other.run("commit")
    assert handler.result() is not None
    handler.run("commit")
    assert all_in(db, "ended", ids)


def test_the_rest_of_its_lease_can_be_given_away_meanwhile(
    db: Connection, worker: int, ids: list[int], handler: Session, other: Session
) -> None:
    begin(handler, worker, ids[0])
    assert other.run(release, worker, ids[:1]) == 2
    assert handler.run(complete, worker, ids[0]) is not None
    handler.run("commit")
    assert all_in(db, "ended", ids[:1])
    assert all_in(db, "ready", ids[1:])
