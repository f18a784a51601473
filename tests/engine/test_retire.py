"""Retire: segments ahead, segments watched on their way out, dropped whole, survivors moved to held."""

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from awa.engine import retire
from awa.engine.admin import control
from awa.engine.claim import bodies
from awa.engine.leaving import Retention
from awa.engine.promote import promote
from awa.engine.seal import seal_all
from awa.engine.settle import settle
from awa.job.model import JobState
from awa.telemetry import events as telemetry_events
from tests.engine.helpers import (
    Connection,
    add,
    add_sealed,
    all_in,
    ids_of,
    outcome,
    outcomes,
    places,
    sign_in,
    small_segments,
    state,
    take,
)
from tests.fixtures.postgres import both_servers

S = JobState
AT_ONCE = Retention(0.0, 0.0)


@pytest.fixture
def events() -> Iterator[list[tuple[str, dict[str, Any]]]]:
    heard: list[tuple[str, dict[str, Any]]] = []

    def hear(event: str, fields: dict[str, Any]) -> None:
        heard.append((event, fields))

    unsubscribe = telemetry_events.subscribe(hear)
    yield heard
    unsubscribe()


def segments(db: Connection) -> list[int]:
    return [row[0] for row in db.execute("select first_id from awa.segment order by first_id")]


def one(db: Connection, query: str) -> Any:
    row = db.execute(query.encode()).fetchone()
    return row and row[0]


def leave_segment(db: Connection) -> None:
    """Use up the ids of the present segment, as rotation does, and let the leader watch until it is sealed."""
    retire.watch(db)
    retire.rotate(db, 0.0)
    add_sealed(db, 1, kind="first of the next")
    seen = [retire.watch(db) for _ in range(4)]
    assert seen[-1] == 0, seen


def drop(db: Connection, retention: Retention = AT_ONCE) -> int:
    return retire.retire(db, retention, recheck_s=0.0)


def run_all(db: Connection, ids: list[int], outcome_: JobState = S.Completed) -> None:
    worker = sign_in(db)
    assert set(ids_of(take(db, worker))) == set(ids)
    settle(db, worker, outcomes(ids, outcome_))


# -------------------------------------------------------------------- ahead


@both_servers
def test_segments_are_kept_ahead_of_the_sequence(db: Connection) -> None:
    small_segments(db, 10, ahead=2)
    assert segments(db) == [1, 11]
    assert retire.extend(db, 10, 2) == 0
    add(db, 5)
    assert retire.extend(db, 10, 2) == 1
    assert segments(db) == [1, 11, 21]
    assert retire.extend(db, 1000, 3) == 1
    assert (segments(db)[-1], one(db, "select max(end_id) from awa.segment")) == (31, 1031)


@both_servers
def test_ids_that_ran_ahead_are_moved_into_their_segment(db: Connection) -> None:
    small_segments(db, 10, ahead=1)
    ids = add_sealed(db, 45)
    run_all(db, ids)
    assert one(db, "select count(*) from awa.job_log_default") == 35
    assert retire.extend(db, 10, 1) == 5
    assert one(db, "select count(*) from awa.job_log_default") == 0
    assert one(db, "select count(*) from awa.attempt_log_default") == 0
    assert segments(db) == [1, 11, 21, 31, 41, 51]
    assert all_in(db, "ended", ids)


def test_an_id_from_long_ago_does_not_stop_new_segments(db: Connection) -> None:
    """Somebody inserts with an id of his own, of a range that is gone: it stays in the default partition."""
    small_segments(db, 10, ahead=2)
    run_all(db, add_sealed(db, 10))
    leave_segment(db)
    assert drop(db) == 1
    db.execute("insert into awa.job_log (id, kind) values (3, 'work')")
    assert retire.extend(db, 10, 5) > 0
    assert db.execute("select id from awa.job_log_default").fetchall() == [(3,)]


@pytest.mark.parametrize("used", [0, 1, 9, 10, 11])
def test_rotation_enters_the_next_segment_when_its_time_is_up(db: Connection, used: int) -> None:
    small_segments(db, 10)
    for _ in range(used):
        add(db)
    retire.watch(db)
    assert not retire.rotate(db, 3600.0)
    db.execute("update awa.segment set opened_at = opened_at - interval '2 hours'")
    rotated = retire.rotate(db, 3600.0)
    assert rotated is (used not in (0, 10))
    (job,) = add(db)
    assert job == {0: 1, 1: 11, 9: 11, 10: 11, 11: 21}[used]


# ------------------------------------------------------------- on their way


def test_a_segment_is_sealed_only_after_it_was_left_and_a_later_seal(db: Connection) -> None:
    small_segments(db, 10)
    add_sealed(db, 9)
    for _ in range(3):
        assert retire.watch(db) == 0
    assert not one(db, "select bool_or(sealed) from awa.segment")
    add_sealed(db, 1)
    while retire.watch(db):
        pass
    assert db.execute("select first_id from awa.segment where sealed").fetchall() == [(1,)]


def test_a_segment_whose_end_was_only_just_reached_counts_as_left(db: Connection) -> None:
    small_segments(db, 10)
    add(db, 9)
    retire.watch(db)
    assert one(db, "select exhausted_at from awa.segment where first_id = 1") is None
    add(db, 1)
    retire.watch(db)
    assert one(db, "select exhausted_at from awa.segment where first_id = 1") is not None


# ------------------------------------------------------------------ dropped


@both_servers
def test_a_segment_goes_with_its_jobs_and_their_attempts(db: Connection) -> None:
    small_segments(db, 10)
    ids = add_sealed(db, 10)
    run_all(db, ids)
    leave_segment(db)
    tables = one(db, "select count(*) from pg_class where relnamespace = 'awa'::regnamespace and relkind = 'r'")
    assert drop(db) == 1
    assert tables - 2 == one(
        db, "select count(*) from pg_class where relnamespace = 'awa'::regnamespace and relkind = 'r'"
    )
    assert state(db, ids[0]) is None
    assert one(db, "select count(*) from awa.job_archive") == 0
    assert one(db, "select count(*) from awa.every_attempt") == 0
    assert segments(db)[0] == 11


def test_retention_keeps_a_segment(db: Connection) -> None:
    small_segments(db, 10)
    run_all(db, ids := add_sealed(db, 10))
    leave_segment(db)
    db.execute("update awa.attempt_log set finished_at = now()")
    assert drop(db, Retention(3600.0, 0.0)) == 0
    db.execute("update awa.segment set exhausted_at = exhausted_at - interval '2 hours'")
    assert drop(db, Retention(3600.0, 0.0)) == 0, "it was left long ago, but its jobs have just ended"
    db.execute("update awa.attempt_log set finished_at = now() - interval '2 hours'")
    assert drop(db, Retention(3600.0, 0.0)) == 1
    assert state(db, ids[0]) is None


def test_a_segment_just_looked_at_is_not_looked_at_again(db: Connection) -> None:
    small_segments(db, 10)
    run_all(db, add_sealed(db, 10))
    leave_segment(db)
    db.execute("update awa.segment set checked_at = clock_timestamp()")
    assert retire.retire(db, AT_ONCE, recheck_s=60.0) == 0
    assert retire.retire(db, AT_ONCE, recheck_s=0.0) == 1


@both_servers
def test_jobs_that_are_not_done_live_on_in_held(db: Connection) -> None:
    small_segments(db, 10)
    soon = datetime.now(timezone.utc) + timedelta(hours=1)
    ready, done, running = add_sealed(db, 1, kind="r")[0], add_sealed(db)[0], add_sealed(db, 1, kind="l")[0]
    (later,) = add_sealed(db, 1, run_at=soon, kind="later")
    retryable, failed = add_sealed(db, 1, kind="y")[0], add_sealed(db, 1, kind="f")[0]
    worker = sign_in(db)
    take(db, worker, 100, "work", "l", "y", "f")
    states = {done: S.Completed, retryable: S.Retryable, failed: S.Failed}
    settle(db, worker, [outcome(job, to, delay_us=10**10, payload={"error": "e"}) for job, to in states.items()])
    db.execute("update awa.attempt_log set finished_at = now() where outcome = 5")
    before = {job: control.get(db, job) for job in (ready, running, later, retryable, failed)}
    leave_segment(db)
    assert drop(db, Retention(0.0, 3600.0)) == 1
    assert state(db, done) is None
    assert {job: control.get(db, job) for job in before} == before
    assert sorted(row[0] for row in db.execute("select id from awa.job_archive")) == sorted(before)
    assert bodies(db, [ready])[ready].kind == "r"


def test_held_jobs_go_on_living(db: Connection) -> None:
    small_segments(db, 10)
    worker, ids = sign_in(db), add_sealed(db, 3)
    (failed,) = add_sealed(db, 1, kind="f")
    take(db, worker, 10, "f")
    settle(db, worker, [outcome(failed, S.Failed)])
    db.execute("update awa.attempt_log set finished_at = now()")
    leave_segment(db)
    assert drop(db, Retention(0.0, 3600.0)) == 1
    assert ids_of(take(db, worker)) == ids
    settle(db, worker, [outcome(ids[0]), outcome(ids[1], S.Retryable, delay_us=0), outcome(ids[2], S.Failed)])
    promote(db)
    assert ids_of(take(db, worker)) == [ids[1]]
    assert settle(db, worker, [outcome(ids[1])]) == {ids[1]}
    control.retry(db, failed)
    assert ids_of(take(db, worker, 10, "f")) == [failed]
    control.cancel(db, failed)
    assert [state(db, job) for job in [*ids, failed]] == ["completed", "completed", "failed", "cancelled"]
    assert [row["attempt"] for row in control.attempts(db, ids[1])] == [1, 2]


def test_a_job_that_is_nowhere_keeps_its_segment_and_raises_an_alarm(db: Connection, events: list[Any]) -> None:
    small_segments(db, 10)
    run_all(db, ids := add_sealed(db, 5))
    db.execute("delete from awa.attempt_log where job_id = %s", [ids[2]])
    leave_segment(db)
    assert drop(db) == 0
    assert (telemetry_events.RETIRE_REFUSED, {"segment": 5, "lost": 1, "jobs": 5}) in events


def test_a_job_retried_by_hand_after_the_check_survives_the_drop(db: Connection) -> None:
    """Between the check and the drop anybody may retry a failed job of the segment."""
    small_segments(db, 10)
    run_all(db, ids := add_sealed(db, 5), S.Failed)
    leave_segment(db)
    (no,) = db.execute("select id from awa.segment where first_id = 1").fetchone() or ()
    db.execute("select awa.leave_segment(%s)", [no])
    control.retry(db, ids[0])
    # However long ago the retry was begun: its transaction may have been open for hours.
    db.execute("update awa.attempt_log set finished_at = now() - interval '1 day' where outcome = 1")
    assert one(db, f"select awa.drop_segment({no}, '{{}}')") == 1
    assert state(db, ids[0]) == "available"
    assert ids_of(take(db, sign_in(db))) == ids[:1]


def test_several_segments_go_in_one_round(db: Connection) -> None:
    small_segments(db, 10, ahead=6)
    run_all(db, add_sealed(db, 35))
    leave_segment(db)
    assert drop(db) == 4
    assert segments(db)[0] == 41


# --------------------------------------------------------------------- held


@both_servers
def test_held_jobs_are_forgotten_when_their_retention_has_passed(db: Connection) -> None:
    small_segments(db, 10)
    worker, ids = sign_in(db), add_sealed(db, 4)
    leave_segment(db)
    assert drop(db) == 1
    assert ids_of(take(db, worker)) == ids
    settle(db, worker, [outcome(ids[0]), outcome(ids[1], S.Failed), outcome(ids[2], S.Cancelled)])
    db.execute("update awa.attempt_log set finished_at = now() - interval '2 hours'")
    assert retire.prune(db, Retention(3600.0 * 3, 3600.0 * 3), recheck_s=0.0) == 0
    assert retire.prune(db, Retention(3600.0, 3600.0 * 3), recheck_s=0.0) == 2
    assert {job: state(db, job) for job in ids} == dict(zip(ids, [None, "failed", None, "running"], strict=True))
    assert retire.prune(db, Retention(3600.0, 3600.0), recheck_s=0.0) == 1
    assert one(db, "select count(*) from awa.every_attempt where job_id < 11") == 0
    assert places(db)[ids[3]] == ["leased"]


def test_pruning_is_bounded(db: Connection) -> None:
    small_segments(db, 10)
    worker, ids = sign_in(db), add_sealed(db, 8)
    leave_segment(db)
    drop(db)
    take(db, worker)
    settle(db, worker, outcomes(ids))
    assert [retire.prune(db, AT_ONCE, jobs_max=3, recheck_s=0.0) for _ in range(4)] == [3, 3, 2, 0]


def test_the_ledger_is_trimmed_but_never_loses_its_cursor(db: Connection) -> None:
    for _ in range(120):
        db.execute("""insert into awa.seal_ledger (generation, base_generation, snapshot, jobs, system_id)
                      select generation + 1, generation + 1, snapshot, 0, system_id from awa.seal_ledger order by
                      generation desc limit 1""")
    retire.prune(db, AT_ONCE, recheck_s=0.0)
    assert one(db, "select max(generation) - min(generation) from awa.seal_ledger") == 100
    ids = add(db, 3)
    assert seal_all(db) == 3
    assert all_in(db, "ready", ids)


def test_tallies_are_folded_by_the_minute_without_changing_a_sum(db: Connection) -> None:
    for _ in range(5):
        run_all(db, add_sealed(db, 2))
    db.execute("update awa.outcome_count set minute = minute - interval '5 minutes'")
    run_all(db, add_sealed(db, 3))
    for _ in range(2):
        retire.prune(db, AT_ONCE, recheck_s=0.0)
    rows = db.execute("select jobs, folded from awa.outcome_count order by minute").fetchall()
    assert rows == [(10, True), (3, False)]
    assert control.queue_stats(db)[0].completed_last_hour == 13
