"""Segments ahead of the id sequence, and what happens when there are none."""

import pytest

from awa.engine import retire, short
from awa.engine.admin import control
from awa.engine.claim import bodies
from awa.engine.seal import seal_all
from awa.engine.settle import settle
from awa.job.model import JobState
from tests.engine.helpers import Connection, add, all_in, ids_of, outcomes, places, sign_in, take
from tests.fixtures.postgres import both_servers
from tests.retire.conftest import SEGMENT_IDS
from tests.retire.steps import S, drop, run, value, watch_until_sealed
from tests.retire.test_closing import INSERT, Sessions

HOMES = "select id, tableoid::regclass::text from awa.job_log where id = any(%s)"


def partition_of(db: Connection, job: int) -> str:
    """The partition of the segment an id belongs to."""
    return f"awa.job_log_{value(db, 'select id from awa.segment where first_id <= %s and %s < end_id', job, job)}"


def homes(db: Connection, ids: list[int]) -> dict[int, str]:
    """The partition each body is in."""
    return dict(db.execute(HOMES, [ids]).fetchall())


@both_servers
def test_ids_beyond_the_last_segment_live_in_the_default_partition(db: Connection) -> None:
    """A leader that was away for long must not stop anybody, whatever they do."""
    ids = add(db, 45)
    assert set(homes(db, ids[30:]).values()) == {"awa.job_log_default"}
    assert seal_all(db) == 45
    worker = sign_in(db)
    claimed = ids_of(take(db, worker, 40))
    assert bodies(db, claimed).keys() == set(claimed)
    assert settle(db, worker, outcomes(claimed[:39])) == set(claimed[:39])
    settle(db, worker, outcomes(claimed[39:], S.Failed))
    control.retry(db, claimed[39])
    assert control.cancel(db, ids[44]) is False
    assert len(control.listing(db, state=S.Completed)) == 39
    assert sorted(place for (place,) in places(db).values()) == ["ended"] * 40 + ["ready"] * 5


@both_servers
def test_what_fell_beside_is_moved_into_its_segment_whatever_its_state(db: Connection) -> None:
    ids = add(db, 35)
    seal_all(db)
    worker = sign_in(db)
    claimed = ids_of(take(db, worker, 33))
    settle(db, worker, outcomes(claimed[:32]))
    unsealed = add(db, 3)
    before = places(db)
    assert retire.extend(db, SEGMENT_IDS, 2) == 3
    assert places(db) == before
    fourth = partition_of(db, ids[30])
    assert set(homes(db, ids[30:] + unsealed).values()) == {fourth}
    assert value(db, f"select count(*) from {fourth.replace('job', 'attempt')}") == 2
    assert value(db, "select count(*) from awa.job_log_default") == 0
    assert seal_all(db) == 3
    assert all_in(db, "ready", unsealed)


def test_sealing_finds_jobs_beside_the_segments_whatever_its_floor(db: Connection) -> None:
    add(db, 30)
    seal_all(db)
    run(db)
    beside = add(db, 5)
    floor = watch_all(db)
    assert floor == 31, "all segments are sealed; only what is beside them can be unsealed"
    assert all_in(db, "ready", beside)
    more = add(db, 2)
    assert seal_all(db, floor) == 2
    assert all_in(db, "ready", more)


def watch_all(db: Connection) -> int:
    """Let the leader watch; return the floor of sealing."""
    watch_until_sealed(db)
    floor: int = value(
        db,
        "select coalesce((select min(first_id) from awa.segment where not sealed), "
        "(select max(end_id) from awa.segment))",
    )
    return floor


def test_an_insert_beside_the_segments_that_commits_while_they_are_made(
    db: Connection, session: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(short, "LOCK_TIMEOUT_MS", 5_000)
    add(db, 30)
    late, leader = session("late"), session("leader")
    late.run("begin")
    beside = late.value(INSERT)
    leader.start(retire.extend, SEGMENT_IDS, 2)
    leader.until_blocked()
    late.run("commit")
    assert leader.result() == 3
    assert homes(db, [beside]) == {beside: partition_of(db, beside)}


def test_an_open_insert_beside_the_segments_postpones_new_ones(
    db: Connection, session: Sessions, events: list[tuple[str, dict[str, object]]]
) -> None:
    add(db, 30)
    late = session("late")
    late.run("begin")
    late.run(INSERT)
    assert retire.extend(db, SEGMENT_IDS, 2) == 0
    assert [name for name, _ in events] == ["retire.postponed", "retire.overflow"]
    late.run("commit")
    assert retire.extend(db, SEGMENT_IDS, 2) == 3


def test_the_newest_segment_stays_so_that_the_next_continues_behind_it(db: Connection) -> None:
    """Without it the next would begin at id 1, and make a segment of every ten ids there have ever been."""
    add(db, 45)
    seal_all(db)
    run(db)
    watch_until_sealed(db)
    assert drop(db) == 2
    assert drop(db) == 0
    assert db.execute("select first_id, end_id from awa.segment").fetchall() == [(21, 31)]
    assert retire.extend(db, SEGMENT_IDS, 1) == 3
    assert db.execute("select first_id from awa.segment order by first_id").fetchall() == [(21,), (31,), (41,), (51,)]


@both_servers
def test_two_leaders_make_each_segment_once(db: Connection, session: Sessions) -> None:
    one, other = session("one"), session("other")
    one.run("begin")
    one.run("lock table awa.extend_lock in share update exclusive mode")
    other.start("select awa.extend_log(10, 5)")
    other.until_blocked()
    assert one.value("select awa.extend_log(10, 5)") == 2
    one.run("commit")
    assert other.result() == [(0,)]
    assert db.execute("select first_id from awa.segment order by first_id").fetchall() == [
        (first_id,) for first_id in (1, 11, 21, 31, 41)
    ]


def test_states_are_the_same_before_and_after(db: Connection) -> None:
    """The view reads the same, job by job, on both sides of a move."""
    ids = add(db, 40)
    seal_all(db)
    run(db, ids[:20])
    run(db, ids[20:38], JobState.Failed)
    query = "select id, state, attempt, errors, finalized_at from awa.jobs order by id"
    before = db.execute(query).fetchall()
    retire.extend(db, SEGMENT_IDS, 1)
    assert db.execute(query).fetchall() == before
