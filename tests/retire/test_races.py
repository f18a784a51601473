"""What happens to a segment or a held job while somebody else is busy with it."""

import psycopg
import pytest

from awa.database.statements import statement
from awa.engine import leaving, retire
from awa.engine.admin import control
from awa.engine.claim import bodies
from awa.engine.promote import promote
from awa.engine.seal import seal_all
from awa.engine.settle import settle
from awa.errors import JobNotFound
from tests.engine.helpers import Connection, add, ids_of, outcomes, sign_in, state, take
from tests.fixtures.postgres import both_servers
from tests.retire.steps import AT_ONCE, S, age, drop, held, pass_by, run, value, watch_until_sealed
from tests.retire.test_closing import Sessions

LONG = {"completed_s": 0.0, "failed_s": 0.0, "recheck_s": 0.0}


def hold_failed(db: Connection, jobs: int = 2) -> list[int]:
    """Make jobs that failed, and whose segment is gone."""
    ids = add(db, jobs)
    seal_all(db)
    run(db, state=S.Failed)
    db.execute("update awa.attempt_log set finished_at = now()")
    pass_by(db)
    watch_until_sealed(db)
    assert drop(db, leaving.Retention(0.0, 3600.0)) == 1
    assert set(ids) <= set(held(db))
    return ids


@both_servers
def test_a_retry_under_way_is_not_pruned(db: Connection, session: Sessions) -> None:
    first, second = hold_failed(db)
    operator = session("operator")
    operator.run("begin")
    operator.run(control.retry, first)
    assert retire.prune(db, AT_ONCE, recheck_s=0.0) == 1
    operator.run("commit")
    assert retire.prune(db, AT_ONCE, recheck_s=0.0) == 0
    assert (state(db, first), state(db, second)) == ("available", None)
    assert first in ids_of(take(db, sign_in(db)))
    assert bodies(db, [first]).keys() == {first}


@both_servers
def test_a_retry_that_comes_while_its_job_is_pruned_finds_no_job(db: Connection, session: Sessions) -> None:
    first, _ = hold_failed(db)
    leader, operator = session("leader"), session("operator")
    leader.run("begin")
    rows = leader.run(lambda c: c.execute(statement("retire/prune_ripe"), {**LONG, "jobs_max": 10}).fetchall())
    assert (first,) in rows
    operator.start(control.retry, first)
    operator.until_blocked()
    leader.run(lambda c: c.execute(statement("retire/prune_archive"), {**LONG, "ids": [row[0] for row in rows]}))
    leader.run("commit")
    with pytest.raises(JobNotFound):
        operator.result()
    assert value(db, "select count(*) from awa.every_attempt where job_id = %s", first) == 0
    assert not ids_of(take(db, sign_in(db)))


def test_a_retry_that_came_before_the_second_look_is_kept(db: Connection) -> None:
    """As when the retry committed after the statement that looked for ripe jobs had begun."""
    ids = hold_failed(db)
    control.retry(db, ids[0])
    row = db.execute(statement("retire/prune_archive"), {**LONG, "ids": ids}).fetchone()
    assert row == (1,)
    assert (state(db, ids[0]), state(db, ids[1])) == ("available", None)


@both_servers
def test_a_retry_under_way_postpones_the_drop(
    db: Connection, session: Sessions, events: list[tuple[str, dict[str, object]]]
) -> None:
    ids = add(db, 3)
    seal_all(db)
    run(db, state=S.Failed)
    pass_by(db)
    watch_until_sealed(db)
    operator = session("operator")
    operator.run("begin")
    operator.run(control.retry, ids[0])
    assert drop(db) == 0
    assert "retire.postponed" in [name for name, _ in events]
    operator.run("commit")
    assert drop(db) == 1
    assert state(db, ids[0]) == "available"
    assert ids_of(take(db, sign_in(db))) == ids[:1]


def test_a_reader_with_an_open_transaction_sees_its_jobs_or_postpones_the_drop(
    db: Connection, session: Sessions
) -> None:
    ids = add(db, 3)
    seal_all(db)
    run(db)
    pass_by(db)
    watch_until_sealed(db)
    reader = session("reader")
    reader.run("begin isolation level repeatable read")
    assert reader.value("select count(*) from awa.jobs where kind = 'work'") == 3
    assert drop(db) == 0
    assert reader.value("select count(*) from awa.jobs where id = any(%s)", [ids]) == 3
    reader.run("commit")
    assert drop(db) == 1


@both_servers
def test_a_lease_survives_the_drop_of_its_segment(db: Connection) -> None:
    """Bodies are read when a lease is claimed; settling and retrying go on when the log's segment is gone."""
    ids = add(db, 6)
    seal_all(db)
    worker = sign_in(db)
    assert ids_of(take(db, worker)) == ids
    pass_by(db)
    watch_until_sealed(db)
    assert drop(db) == 1
    assert settle(db, worker, outcomes(ids[:2])) == set(ids[:2])
    assert settle(db, worker, [outcomes([ids[2]], S.Retryable)[0]._replace(delay_us=0)]) == {ids[2]}
    assert control.cancel(db, ids[3]) is True
    assert settle(db, worker, outcomes(ids[3:])) == set(ids[4:])
    promote(db)
    assert ids_of(take(db, worker)) == [ids[2]]
    assert bodies(db, [ids[2]]).keys() == {ids[2]}
    assert {row["state"] for row in control.listing(db, kind="work")} == {"completed", "cancelled", "running"}


@both_servers
def test_each_outcome_is_kept_for_its_own_time(db: Connection) -> None:
    """Completed and cancelled jobs for 24 hours, failed ones for 72: those live on when their segment goes."""
    done, failed, cancelled = add(db, 1, kind="d")[0], add(db, 1, kind="f")[0], add(db, 1, kind="c")[0]
    seal_all(db)
    run(db, kind="d")
    run(db, kind="f", state=S.Failed)
    run(db, kind="c", state=S.Cancelled)
    pass_by(db)
    watch_until_sealed(db)
    run(db, kind="filler")
    db.execute("update awa.attempt_log set finished_at = now()")
    usual = leaving.Retention()
    gone = []
    for hours in (23, 25, 71, 73):
        age(db, hours - sum(gone))
        gone.append(hours - sum(gone))
        drop(db, usual)
        retire.prune(db, usual, recheck_s=0.0)
        seen = [state(db, job) for job in (done, failed, cancelled)]
        expected = {
            23: ["completed", "failed", "cancelled"],
            25: [None, "failed", None],
            71: [None, "failed", None],
            73: [None, None, None],
        }
        assert seen == expected[hours], f"after {hours} hours"


def test_jobs_of_a_paused_queue_wait_in_held(db: Connection) -> None:
    control.pause(db, "slow")
    ids = add(db, 3, queue="slow")
    seal_all(db)
    worker = sign_in(db)
    pass_by(db)
    watch_until_sealed(db)
    run(db, kind="filler")
    assert drop(db) == 1
    assert held(db) == ids
    assert not ids_of(take(db, worker))
    assert {row["id"] for row in control.listing(db, queue="slow")} == set(ids)
    control.resume(db, "slow")
    assert ids_of(take(db, worker)) == ids
    assert settle(db, worker, outcomes(ids)) == set(ids)
    assert retire.prune(db, AT_ONCE, recheck_s=0.0) == 3
    assert held(db) == []


def test_a_rotation_by_age_lets_a_small_installation_forget(db: Connection) -> None:
    ids = add(db, 2)
    seal_all(db)
    run(db)
    retire.watch(db)
    assert not retire.rotate(db, 24 * 3600.0)
    age(db, 25)
    assert retire.rotate(db, 24 * 3600.0)
    watch_until_sealed(db)
    age(db, 25)
    assert drop(db, leaving.Retention()) == 1
    assert [state(db, job) for job in ids] == [None, None]
    assert not retire.rotate(db, 24 * 3600.0), "nobody uses the new one yet"


def waiting_in_a_segment_to_go(db: Connection) -> list[int]:
    """Make jobs that wait in a segment all others of which have ended long ago."""
    ids = add(db, 7)
    seal_all(db)
    pass_by(db)
    watch_until_sealed(db)
    run(db, kind="filler")
    return ids


@pytest.mark.usefixtures("small_steps")
@both_servers
def test_survivors_of_any_number_move_out_in_slices(db: Connection) -> None:
    ids = waiting_in_a_segment_to_go(db)
    before = [control.get(db, job) for job in ids]
    assert drop(db) == 1
    assert held(db) == ids
    assert [control.get(db, job) for job in ids] == before
    assert ids_of(take(db, sign_in(db))) == ids


@pytest.mark.usefixtures("small_steps")
@pytest.mark.parametrize("steps", range(16))
def test_a_segment_whose_leader_ends_at_any_step_goes_with_the_next(db: Connection, steps: int) -> None:
    """Between the two, jobs that have been moved, and that have not, are run, fail, and are cancelled."""
    ids = waiting_in_a_segment_to_go(db)
    answers = iter([True] * steps)
    retire.retire(db, AT_ONCE, recheck_s=0.0, goes_on=lambda: next(answers, False))
    assert {control.get(db, job)["state"] for job in ids} == {"available"}
    worker = sign_in(db)
    assert ids_of(take(db, worker)) == ids
    settle(db, worker, outcomes([ids[0], ids[5]], S.Failed))
    settle(db, worker, outcomes([ids[1]]))
    assert control.cancel(db, ids[2]) is True
    control.retry(db, ids[0])
    db.execute("update awa.attempt_log set finished_at = now() + interval '1 hour' where outcome = 5")
    db.execute("update awa.attempt_archive set finished_at = now() + interval '1 hour' where outcome = 5")
    retire.retire(db, AT_ONCE, recheck_s=0.0)
    assert value(db, "select min(first_id) from awa.segment") > ids[-1]
    assert state(db, ids[0]) == "available"
    assert [row["attempt"] for row in control.attempts(db, ids[5])] == [1]
    assert ids_of(take(db, worker)) == ids[:1]
    left = [ids[0], *ids[3:5], ids[6]]
    assert settle(db, worker, outcomes(left)) == set(left)
    assert value(db, "select count(*) from awa.changed") == 0


@pytest.mark.usefixtures("small_steps")
def test_a_slice_is_bounded_by_bytes(db: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leaving, "SLICE_JOBS", 100)
    monkeypatch.setattr(leaving, "MOVE_BYTES_MAX", 1)
    ids = waiting_in_a_segment_to_go(db)
    no = value(db, "select id from awa.segment where sealed")
    db.execute("select awa.leave_segment(%s)", [no])
    assert value(db, "select awa.hold_jobs(%s, %s, 1)", no, ids) == ids[:1]
    assert drop(db) == 1
    assert held(db) == ids


@pytest.mark.usefixtures("small_steps")
def test_a_job_that_is_locked_while_others_are_moved_comes_later(db: Connection, session: Sessions) -> None:
    ids = waiting_in_a_segment_to_go(db)
    db.execute("select awa.leave_segment(id) from awa.segment where sealed")
    operator = session("operator")
    operator.run("begin")
    operator.run(control.cancel, ids[3])
    assert drop(db) == 0
    assert held(db) == [job for job in ids if job != ids[3]]
    operator.run("commit")
    assert drop(db) == 1
    assert state(db, ids[3]) == "cancelled"
    assert retire.prune(db, AT_ONCE, recheck_s=0.0) == 1


@both_servers
def test_who_waits_for_a_job_that_is_being_moved_finds_it(db: Connection, session: Sessions) -> None:
    ids = waiting_in_a_segment_to_go(db)
    no = value(db, "select id from awa.segment where sealed")
    db.execute("select awa.leave_segment(%s)", [no])
    leader, operator = session("leader"), session("operator")
    leader.run("begin")
    leader.run(lambda c: c.execute("select awa.hold_jobs(%s, %s, 1000)", [no, ids]))
    assert {control.get(db, job)["state"] for job in ids} == {"available"}
    assert bodies(db, ids).keys() == set(ids)
    operator.start(control.cancel, ids[0])
    operator.until_blocked()
    leader.run("commit")
    assert operator.result() is False, "it was not running"
    assert bodies(db, ids).keys() == set(ids)
    assert state(db, ids[0]) == "cancelled"


def test_jobs_of_a_segment_that_is_not_sealed_are_not_moved(db: Connection) -> None:
    """From a worker's role nothing can be lost by these functions."""
    ids = add(db, 3)
    no = value(db, "select min(id) from awa.segment")
    db.execute("select awa.leave_segment(%s)", [no])
    for call in ("hold_jobs(%s, %s, 1)", "drop_segment(%s, %s)"):
        with pytest.raises(psycopg.Error, match="is not leaving"):
            db.execute(f"select awa.{call}", [no, ids])
    assert held(db) == []


def test_what_was_noted_of_other_segments_is_forgotten(db: Connection) -> None:
    db.execute("insert into awa.changed values (5)")
    retire.prune(db, AT_ONCE, recheck_s=0.0)
    assert value(db, "select count(*) from awa.changed") == 0


def test_held_jobs_are_not_looked_at_again_before_their_time(db: Connection) -> None:
    """However many there are: a round reads those it is time for."""
    hold_failed(db)
    assert retire.prune(db, leaving.Retention(3600.0, 3600.0)) == 0
    assert value(db, "select min(look_at) > clock_timestamp() from awa.job_archive")
    age(db, 2)
    assert retire.prune(db, leaving.Retention(3600.0, 3600.0)) == 0
    db.execute("update awa.job_archive set look_at = clock_timestamp()")
    assert retire.prune(db, leaving.Retention(3600.0, 3600.0)) == 2


def test_where_jobs_had_been_overridden_to_is_forgotten_with_them(db: Connection) -> None:
    (job,) = add(db)
    db.execute(
        "insert into awa.job_override (job_id, lane) select id, 1 from unnest(%s::bigint[]) as r(id)", [[job, 99]]
    )
    assert retire.prune_routes(db, 0, jobs_max=1) == job
    assert retire.prune_routes(db, job) == 0
    assert db.execute("select job_id from awa.job_override").fetchall() == [(job,)]
