"""Dead letters, and queues with a retention of their own, when segments go and time passes."""

from typing import Any

import pytest

from awa.database.statements import statement
from awa.engine import leaving, retire
from awa.engine.admin import control, dlq, queues
from awa.engine.admin.dlq import Scope
from awa.engine.claim import bodies
from awa.engine.seal import seal_all
from awa.engine.settle import settle
from tests.engine.helpers import Connection, add, ids_of, outcomes, sign_in, state, take
from tests.fixtures.postgres import both_servers
from tests.retire.steps import AT_ONCE, S, age, drop, held, pass_by, run, value, watch_until_sealed
from tests.retire.test_closing import Sessions

USUAL = leaving.Retention()
HOUR = 3600.0


def make(db: Connection, jobs: int = 2, state: S = S.Failed, **fields: Any) -> list[int]:
    """Jobs that ended, in a segment that could go."""
    ids = add(db, jobs, **fields)
    seal_all(db)
    run(db, ids, state, fields.get("kind", "work"))
    db.execute("update awa.attempt_log set finished_at = now() where job_id = any(%s)", [ids])
    return ids


def leave(db: Connection) -> None:
    pass_by(db)
    watch_until_sealed(db)
    run(db, kind="filler")


def age_letters(db: Connection, hours: float) -> None:
    db.execute("update awa.dlq set dlq_at = dlq_at - make_interval(secs => %s)", [hours * HOUR])


def letters(db: Connection) -> list[int]:
    return [row[0] for row in db.execute("select job_id from awa.dlq order by job_id")]


def rows(db: Connection, job: int) -> int:
    """How much of a job is left."""
    return sum(
        value(db, f"select count(*) from awa.{table} where {column} = {job}")
        for table, column in (
            ("job_log", "id"),
            ("job_archive", "id"),
            ("attempt_log", "job_id"),
            ("dlq", "job_id"),
            ("job_override", "job_id"),
        )
    )


@both_servers
def test_dead_letters_outlive_their_segment_and_every_other_retention(db: Connection) -> None:
    queues.configure(db, "default", {"dlq": True})
    first, second = make(db)
    leave(db)
    assert drop(db) == 1
    assert held(db) == [first, second]
    assert retire.prune(db, AT_ONCE, recheck_s=0.0) == 0
    assert (state(db, first), letters(db)) == ("failed", [first, second])
    assert len(control.get(db, first)["errors"]) == 0
    assert [row["runs"] for row in dlq.listing(db, Scope(), 10)] == [1, 1]
    assert dlq.retry(db, first)
    assert ids_of(take(db, sign_in(db))) == [first]
    assert bodies(db, [first]).keys() == {first}
    assert dlq.purge(db, second)
    assert rows(db, second) == 0


@both_servers
@pytest.mark.parametrize("dropped", [True, False])
def test_the_leader_forgets_them_when_their_time_has_passed(db: Connection, dropped: bool) -> None:
    queues.configure(db, "slow", {"dlq": True, "retention_dlq_h": 1000.0})
    queues.configure(db, "quick", {"dlq": True, "retention_dlq_h": 1.0})
    queues.configure(db, "default", {"dlq": True})
    slow, quick, usual = (make(db, 1, queue=queue)[0] for queue in ("slow", "quick", "default"))
    if dropped:
        leave(db)
        assert drop(db) == 1
    seen = []
    for hours in (0.9, 0.2, 718.0, 2.0, 270.0, 10.0):
        age_letters(db, hours)
        retire.prune(db, USUAL, recheck_s=0.0)
        seen.append(letters(db))
    assert seen == [[slow, quick, usual], [slow, usual], [slow, usual], [slow], [slow], []]
    assert [rows(db, job) for job in (slow, quick, usual)] == [0, 0, 0]


def test_old_dead_letters_are_forgotten_in_steps(db: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dlq, "BULK_JOBS_MAX", 2)
    queues.configure(db, "default", {"dlq": True})
    ids = make(db, 5)
    assert [dlq.expire(db, 0.0) for _ in range(4)] == [2, 2, 1, 0]
    assert [rows(db, job) for job in ids] == [0] * 5


@both_servers
def test_a_move_under_way_postpones_the_drop(
    db: Connection, session: Sessions, events: list[tuple[str, dict[str, object]]]
) -> None:
    ids = make(db)
    leave(db)
    age(db, 100)
    operator = session("operator")
    operator.run("begin")
    assert operator.run(dlq.move, ids[0], "odd")
    assert drop(db) == 0
    assert "retire.postponed" in [name for name, _ in events]
    operator.run("commit")
    assert drop(db) == 1
    assert (held(db), letters(db)) == (ids[:1], ids[:1])


@both_servers
def test_a_move_between_the_two_looks_is_not_lost(db: Connection) -> None:
    """An old failure is made a dead letter after the leader saw that its segment may go."""
    ids = make(db)
    leave(db)
    age(db, 100)
    no, first_id, end_id = (
        db.execute("select id, first_id, end_id from awa.segment where sealed order by first_id limit 1").fetchone()
        or ()
    )
    db.execute(statement("retire/leave"), {"id": no})
    row = db.execute(
        statement("retire/verify"), {"first_id": first_id, "end_id": end_id, **AT_ONCE._asdict()}
    ).fetchone()
    assert row is not None
    _, fresh, survivors, running = row
    assert (fresh, survivors, running) == (0, [], [])
    assert dlq.move(db, ids[1], "odd")
    db.execute(statement("retire/drop"), {"id": no, "left_over": survivors})
    assert (held(db), letters(db)) == (ids[1:], ids[1:])
    assert state(db, ids[1]) == "failed"


def test_a_move_before_the_second_look_keeps_a_held_job(db: Connection) -> None:
    """As when it committed after the statement that looked for ripe jobs had begun."""
    ids = make(db)
    leave(db)
    db.execute("update awa.attempt_log set finished_at = now()")
    assert drop(db, leaving.Retention(0.0, HOUR)) == 1
    assert dlq.move(db, ids[0], "odd")
    wanted = {**AT_ONCE._asdict(), "ids": ids, "recheck_s": 0.0}
    assert db.execute(statement("retire/prune_archive"), wanted).fetchone() == (1,)
    assert held(db) == ids[:1]


@both_servers
def test_a_purge_in_the_log_leaves_the_segment_in_order(db: Connection) -> None:
    queues.configure(db, "default", {"dlq": True})
    first, second = make(db)
    assert dlq.purge(db, first)
    assert rows(db, first) == 0
    leave(db)
    assert drop(db) == 1
    assert held(db) == [second]


@both_servers
def test_the_way_of_a_job_that_was_moved_goes_with_it(db: Connection) -> None:
    queues.configure(db, "default", {"dlq": True})
    first, second, dead = make(db, 3)
    for job in (first, second, dead):
        assert dlq.retry(db, job, queue="elsewhere", priority=4)
    queues.configure(db, "elsewhere", {"dlq": True})
    assert value(db, "select count(*) from awa.job_override") == 3
    worker = sign_in(db)
    assert sorted(ids_of(take(db, worker))) == [first, second, dead]
    assert settle(db, worker, [*outcomes([first, second]), *outcomes([dead], S.Failed)])
    assert [control.get(db, job)["queue"] for job in (first, second, dead)] == ["elsewhere"] * 3
    assert dlq.get(db, dead)["priority"] == 4  # type: ignore[index]
    leave(db)
    assert drop(db) == 1
    assert held(db) == [dead]
    assert retire.prune_routes(db) == 0
    assert db.execute("select job_id from awa.job_override").fetchall() == [(dead,)]
    assert dlq.expire(db, 0.0) == 1
    assert [rows(db, job) for job in (first, second, dead)] == [0, 0, 0]


def test_the_way_of_a_job_that_is_dropped_with_its_segment_goes_too(db: Connection) -> None:
    (job,) = make(db, 1, S.Completed)
    db.execute("insert into awa.job_override select id, 1 from awa.job_log where id = %s", [job])
    leave(db)
    assert drop(db) == 1
    assert retire.prune_routes(db) == 0
    assert rows(db, job) == 0


@both_servers
def test_a_queue_keeps_its_jobs_for_its_own_time(db: Connection) -> None:
    queues.configure(db, "long", {"retention_completed_h": 100.0, "retention_failed_h": 200.0})
    queues.configure(db, "short", {"retention_failed_h": 1.0})
    done = {queue: make(db, 1, S.Completed, queue=queue)[0] for queue in ("long", "short", "default")}
    failed = {queue: make(db, 1, S.Failed, queue=queue)[0] for queue in ("long", "short", "default")}
    leave(db)
    age(db, 23)
    assert drop(db, USUAL) == 0, "completed jobs of the usual retention are in it"
    age(db, 2)
    assert drop(db, USUAL) == 1
    assert held(db) == sorted([done["long"], failed["long"], failed["default"]])
    assert state(db, done["long"]) == "completed"
    gone = []
    for hours in (40, 40, 100):
        age(db, hours)
        retire.prune(db, USUAL, recheck_s=0.0)
        gone.append([job for job in (done["long"], failed["default"], failed["long"]) if state(db, job) is None])
    assert gone == [[], [done["long"], failed["default"]], [done["long"], failed["default"], failed["long"]]]


@both_servers
def test_a_segment_of_a_queue_that_keeps_little_goes_early(db: Connection) -> None:
    queues.configure(db, "default", {"retention_completed_h": 1.0})
    ids = make(db, 2, S.Completed)
    leave(db)
    db.execute("update awa.attempt_log set finished_at = now()")
    age(db, 0.9)
    assert drop(db, USUAL) == 0
    age(db, 0.2)
    assert drop(db, USUAL) == 1
    assert [state(db, job) for job in ids] == [None, None]


def test_looks_at_young_segments_become_rare(db: Connection) -> None:
    """Most hold jobs of other queues as well, and a look reads all of a segment."""
    queues.configure(db, "little", {"retention_completed_h": 0.0})
    make(db, 2, S.Completed)
    leave(db)
    age(db, 9)
    assert retire.retire(db, USUAL, recheck_s=300) == 0
    looked = "select count(*) from awa.segment where checked_at > now() - interval '1 minute'"
    ripe = "update awa.segment set checked_at = checked_at - interval '40 minutes'"
    assert value(db, looked) == 1
    db.execute(ripe)
    retire.retire(db, USUAL, recheck_s=300)
    assert value(db, looked) == 0
    db.execute(ripe)
    retire.retire(db, USUAL, recheck_s=300)
    assert value(db, looked) == 1
