"""When is a segment closed: when nobody can commit a job into it any more. Only then may sealing pass it by."""

from collections.abc import Callable

import pytest

from awa.database.open import connect
from awa.database.schema import chain
from awa.embedded.binaries import find_wheel
from awa.engine import retire
from awa.engine.seal import seal
from tests.engine.helpers import Connection, add, all_in, small_segments
from tests.fixtures.clusters import own_cluster
from tests.fixtures.postgres import both_servers
from tests.fixtures.waiting import Session
from tests.retire.steps import drop, pass_by, value, watch_until_sealed

Sessions = Callable[..., Session]
INSERT = "insert into awa.job_log (kind) values ('late') returning id"


def watch(db: Connection) -> None:
    for _ in range(6):
        retire.watch(db)


def unsealed(db: Connection) -> int:
    """How many segments that the sequence has left are not sealed."""
    return int(value(db, "select count(*) from awa.segment where exhausted_at is not null and not sealed"))


@both_servers
@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_a_segment_waits_for_whoever_took_an_id_of_it(db: Connection, session: Sessions, end: str) -> None:
    late = session("late")
    late.run("begin")
    late.run("savepoint s")
    early = late.value("select nextval('awa.job_id')")
    late.run("rollback to savepoint s")
    pass_by(db)
    watch(db)
    assert unsealed(db) == 1
    assert seal(db).floor <= early
    late.run("insert into awa.job_log (id, kind) values (%s, 'late')", [early])
    watch(db)
    assert unsealed(db) == 1
    late.run(end)
    watch_until_sealed(db)
    assert seal(db).floor > early
    assert drop(db) == 1
    assert [row[0] for row in db.execute("select id from awa.job_archive where kind = 'late'")] == [early] * (
        end == "commit"
    )
    if end == "commit":
        assert all_in(db, "ready", [early])


@both_servers
@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_a_transaction_prepared_while_its_segment_waits_still_counts(
    db: Connection, session: Sessions, end: str
) -> None:
    """Preparing a transaction gives its locks another name."""
    late = session("late")
    late.run("begin")
    early = late.value(INSERT)
    pass_by(db)
    watch(db)
    late.run("prepare transaction 'while_waiting'")
    watch(db)
    assert unsealed(db) == 1
    assert seal(db).floor <= early
    late.run(f"{end} prepared 'while_waiting'")
    floor = seal(db).floor
    assert floor <= early
    watch_until_sealed(db)
    assert seal(db).floor > early
    if end == "commit":
        assert all_in(db, "ready", [early])


def test_a_transaction_prepared_before_its_segment_was_left_counts(db: Connection, session: Sessions) -> None:
    late = session("late")
    late.run("begin")
    early = late.value(INSERT)
    late.run("prepare transaction 'before'")
    pass_by(db)
    watch(db)
    assert unsealed(db) == 1
    late.run("commit prepared 'before'")
    watch_until_sealed(db)
    assert all_in(db, "ready", [early])


def test_transactions_prepared_later_do_not_keep_a_segment_open_for_ever(db: Connection, session: Sessions) -> None:
    """There may always be one that is prepared: only those count that may have been there when the segment was left."""
    pass_by(db)
    retire.watch(db)
    later = session("later")
    later.run("begin")
    later.run(INSERT)
    later.run("prepare transaction 'later'")
    watch_until_sealed(db)
    later.run("commit prepared 'later'")


@pytest.mark.slow
def test_a_prepared_transaction_that_outlives_a_restart_counts() -> None:
    """It comes back holding its locks under another name; one that is prepared after the restart does not matter."""
    programs = find_wheel()
    assert programs is not None
    with own_cluster(programs) as cluster:
        dsn = cluster.create_database("restarted")
        with connect(dsn, role="test") as db, connect(dsn, role="late") as late:
            chain.migrate(db)
            small_segments(db, 10, 3)
            late.execute("begin")
            early = late.execute(INSERT).fetchone()
            pass_by(db)
            watch(db)
            late.execute("prepare transaction 'outlives'")
        cluster.restart()
        with connect(dsn, role="test") as db, connect(dsn, role="new") as new:
            new.execute("begin")
            new.execute(INSERT)
            new.execute("prepare transaction 'new'")
            watch(db)
            assert unsealed(db) == 1
            db.execute("commit prepared 'outlives'")
            watch_until_sealed(db)
            assert early is not None
            assert all_in(db, "ready", early)
            db.execute("commit prepared 'new'")


def test_transactions_begun_after_a_segment_was_left_do_not_hold_it(db: Connection, session: Sessions) -> None:
    pass_by(db)
    retire.watch(db)
    busy = session("busy")
    busy.run("begin")
    busy.run(INSERT)
    watch_until_sealed(db)


def test_an_open_transaction_delays_a_drop_and_nobody_waits_for_the_leader(
    db: Connection, session: Sessions, events: list[tuple[str, dict[str, object]]]
) -> None:
    pass_by(db)
    add(db, 3)
    watch_until_sealed(db)
    db.execute("delete from awa.batch")
    db.execute("""insert into awa.attempt_log (job_id, started_at, finished_at, lane, retry_round, attempt, outcome)
                  select id, now(), now(), 1, 0, 1, 3 from awa.job_log""")
    busy = session("busy")
    busy.run("begin")
    busy.run(INSERT)
    assert drop(db) == 0
    assert "retire.postponed" in [name for name, _ in events]
    assert add(db), "the lock it could not have is not left behind"
    busy.run("commit")
    assert drop(db) == 1
