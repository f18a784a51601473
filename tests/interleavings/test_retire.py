"""Retire while others are at work: it gives up within its lock time-out, holds nobody up longer, succeeds later."""

import time
from collections.abc import Callable

import pytest

from awa.engine import retire
from awa.engine.admin import control
from awa.engine.claim import bodies
from awa.engine.leaving import Retention
from awa.engine.seal import seal
from awa.engine.settle import settle
from awa.engine.short import LOCK_TIMEOUT_MS
from awa.job.model import JobState
from tests.engine.helpers import (
    Connection,
    add,
    add_sealed,
    all_in,
    ids_of,
    outcomes,
    sign_in,
    small_segments,
    state,
    take,
)
from tests.fixtures.postgres import both_servers
from tests.fixtures.waiting import Session

Open = Callable[..., Session]
AT_ONCE = Retention(0.0, 0.0)
HELD_UP_S_MAX = 20 * LOCK_TIMEOUT_MS / 1000
"""Far more than the time-out, for slow machines; far less than for ever."""


def drop(connection: Connection) -> int:
    return retire.retire(connection, AT_ONCE, recheck_s=0.0)


def ripe_segment(db: Connection) -> list[int]:
    """Ten jobs that ended, in a segment that may go."""
    small_segments(db, 10)
    worker, ids = sign_in(db), add_sealed(db, 10)
    take(db, worker)
    settle(db, worker, outcomes(ids))
    add_sealed(db, 2, kind="next")
    for _ in range(4):
        retire.watch(db)
    return ids


def lists_jobs(session: Session) -> None:
    session.run("declare c cursor for select * from awa.jobs")
    assert session.run("fetch 1 from c")


def inserts(session: Session) -> None:
    session.run(add)


def claims(session: Session) -> None:
    worker = session.run(sign_in, "claimer")
    ids = ids_of(session.run(take, worker, 10, "next"))
    assert session.run(bodies, ids)


def settles(session: Session) -> None:
    session.run("insert into awa.attempt_log (job_id, finished_at, lane, retry_round, attempt, outcome) "
                "values (11, now(), 1, 0, 1, 3)")  # fmt: skip


@both_servers
@pytest.mark.parametrize("activity", [lists_jobs, inserts, claims, settles])
def test_retire_gives_way_to_whoever_is_at_work(
    db: Connection, session: Open, activity: Callable[[Session], None]
) -> None:
    ids = ripe_segment(db)
    busy, leader = session("busy"), session("leader")
    busy.run("begin")
    activity(busy)
    assert leader.run(drop) == 0
    assert state(db, ids[0]) == "completed"
    assert leader.value("select count(*) from awa.segment where first_id = 1") == 1
    busy.run("commit")
    assert leader.run(drop) == 1
    assert state(db, ids[0]) is None


@pytest.mark.parametrize("step", [inserts, lists_jobs])
def test_nobody_waits_behind_a_retire_longer_than_its_time_out(
    db: Connection, session: Open, step: Callable[[Session], None]
) -> None:
    """The leader waits for the reader, and whoever comes now would wait behind the leader."""
    ripe_segment(db)
    reader, leader, third = session("reader"), session("leader"), session("third")
    reader.run("begin")
    lists_jobs(reader)
    leader.run(f"set lock_timeout = '{LOCK_TIMEOUT_MS * 100}ms'")  # its own, shorter one must win
    third.run("begin")
    leader.start(drop)
    leader.until_blocked()
    began = time.monotonic()
    step(third)
    assert time.monotonic() - began < HELD_UP_S_MAX
    assert leader.result() == 0
    third.run("commit")
    reader.run("commit")
    assert leader.run(drop) == 1


def test_a_retire_that_gave_up_has_lost_nothing(db: Connection, session: Open) -> None:
    """Survivors are moved before the drop, and can be claimed all the time."""
    small_segments(db, 10)
    ids = add_sealed(db, 10)
    add_sealed(db, 1)
    for _ in range(4):
        retire.watch(db)
    reader = session("reader")
    reader.run("begin")
    lists_jobs(reader)
    assert drop(db) == 0
    assert db.execute("select count(*) from awa.job_archive").fetchone() == (10,)
    assert all_in(db, "ready", ids)
    reader.run("commit")
    assert drop(db) == 1
    assert db.execute("select count(*) from awa.job_archive").fetchone() == (10,)
    assert all_in(db, "ready", ids)


def test_a_leader_that_dies_in_the_middle_of_a_drop(db: Connection, session: Open) -> None:
    ids = ripe_segment(db)
    leader = session("leader")
    ((no,),) = db.execute("select id from awa.segment where first_id = 1").fetchall()
    leader.run("begin")
    leader.run(f"select awa.leave_segment({no})")
    leader.run(f"select awa.drop_segment({no}, '{{}}')")
    leader.kill()
    assert state(db, ids[0]) == "completed"
    assert drop(db) == 1


@both_servers
def test_a_job_retried_between_the_check_and_the_drop_is_run(db: Connection, session: Open) -> None:
    small_segments(db, 10)
    worker, ids = sign_in(db), add_sealed(db, 10)
    take(db, worker)
    settle(db, worker, outcomes(ids, JobState.Failed))
    add_sealed(db, 1, kind="next")
    for _ in range(4):
        retire.watch(db)
    operator, leader = session("operator"), session("leader")
    ((no,),) = db.execute("select id from awa.segment where first_id = 1").fetchall()
    leader.run(f"select awa.leave_segment({no})")
    operator.run("begin")
    operator.run(control.retry, ids[3])
    leader.run("set lock_timeout = 0")
    leader.start(f"select awa.drop_segment({no}, '{{}}')")
    leader.until_blocked()
    operator.run("commit")
    assert leader.result() == [(1,)]
    assert ids_of(take(db, worker)) == [ids[3]]
    assert bodies(db, [ids[3]])
    assert settle(db, worker, outcomes([ids[3]])) == {ids[3]}
    assert state(db, ids[3]) == "completed"


def test_two_leaders_retire_one_segment_once(db: Connection, session: Open) -> None:
    ripe_segment(db)
    first, second = session("first leader"), session("second leader")
    reader = session("reader")
    reader.run("begin")
    lists_jobs(reader)
    first.start(drop)
    first.until_blocked()
    second.start(drop)
    assert (first.result(), second.result()) == (0, 0)
    reader.run("commit")
    assert first.run(drop) + second.run(drop) == 1


@both_servers
def test_new_segments_give_way_to_a_reader_and_ids_go_beside_them(db: Connection, session: Open) -> None:
    """Attaching needs the default partitions for an instant; without them inserts go on all the same."""
    small_segments(db, 10, ahead=1)
    reader, leader = session("reader"), session("leader")
    add(db, 12)
    reader.run("begin")
    lists_jobs(reader)
    assert leader.run(retire.extend, 10, 2) == 0
    db.execute("set lock_timeout = '1ms'")
    ids = [*range(1, 13), *add(db, 5)]
    assert seal(db).jobs == 17
    reader.run("commit")
    assert leader.run(retire.extend, 10, 2) == 3
    assert db.execute("select count(*) from awa.job_log_default").fetchone() == (0,)
    assert all_in(db, "ready", ids)


def test_producers_claims_and_settles_go_on_while_segments_are_made(db: Connection, session: Open) -> None:
    """Far ahead of the sequence. Only whoever reads the whole log (a seal, awa.jobs) waits, for the default partition,
    until that is committed."""
    small_segments(db, 10, ahead=4)
    leader, worker, ids = session("leader"), sign_in(db), add_sealed(db, 3)
    leader.run("begin")
    assert leader.value("select awa.extend_log(10, 8)") == 5
    db.execute("set lock_timeout = '1ms'")
    add(db, 5)
    assert ids_of(take(db, worker)) == ids
    assert settle(db, worker, outcomes(ids)) == set(ids)
    leader.run("commit")
    assert seal(db).jobs == 5
