"""A producer takes its id early and commits late: after later ids were sealed, run, and their segment could have gone.

Segments hold ten ids here. The leader watches and retires after every step; what must not go must not go.
"""

from collections.abc import Callable

import psycopg
import pytest

from awa.database.statements import statement
from awa.engine import retire
from awa.engine.leaving import Retention
from awa.engine.seal import seal, seal_all
from awa.engine.settle import settle
from tests.engine.helpers import (
    KIND,
    Connection,
    add,
    all_in,
    ids_of,
    outcomes,
    places,
    sign_in,
    small_segments,
    state,
    take,
)
from tests.fixtures.postgres import both_servers
from tests.fixtures.waiting import Session

Open = Callable[..., Session]


class River:
    """Everybody but the late producer: others insert, one worker runs everything, the leader seals and retires."""

    def __init__(self, db: Connection) -> None:
        self.db = db
        self.floor = 0
        self.worker = sign_in(db)
        small_segments(db, 10, ahead=3)

    def flow(self, jobs: int = 12, rounds: int = 6) -> list[int]:
        """Insert jobs (more than a segment holds), seal, run all there is, and let the leader do what it can."""
        add(self.db, jobs)
        self.seal()
        ran = self.run()
        retire.extend(self.db, 10, 3)
        for _ in range(rounds):
            retire.watch(self.db, self.floor)
            retire.retire(self.db, Retention(0.0, 0.0), recheck_s=0.0)
            self.seal()
        return ran

    def seal(self) -> None:
        while (step := seal(self.db, self.floor)).more:
            self.floor = step.floor
        self.floor = step.floor

    def run(self) -> list[int]:
        ran: list[int] = []
        while ids := ids_of(take(self.db, self.worker)):
            assert settle(self.db, self.worker, outcomes(ids)) == set(ids)
            ran += ids
        return ran

    def has_segment_of(self, job: int) -> bool:
        return bool(
            self.db.execute("select 1 from awa.segment where first_id <= %s and end_id > %s", [job, job]).fetchall()
        )

    def runs_and_forgets(self, job: int) -> None:
        """The job comes through after all, once, and only then its segment goes."""
        assert places(self.db).get(job) == ["unsealed"]
        assert job in self.flow()
        assert not self.has_segment_of(job)
        assert state(self.db, job) is None


@pytest.fixture
def river(db: Connection) -> River:
    return River(db)


def insert(session: Session, job: int | None = None) -> int:
    """Insert into the session's transaction; with an id that it took before, or with a new one."""
    if job is None:
        return int(session.value("insert into awa.job_log (kind) values (%s) returning id", [KIND]))
    return int(session.value("insert into awa.job_log (id, kind) values (%s, %s) returning id", [job, KIND]))


@both_servers
def test_a_job_committed_after_its_segment_was_left_is_run(river: River, session: Open) -> None:
    late = session("late producer")
    late.run("begin")
    job = insert(late)
    for _ in range(3):
        assert job not in river.flow()
        assert river.has_segment_of(job)
    late.run("commit")
    river.runs_and_forgets(job)


def test_without_anybody_late_the_same_segment_goes_at_once(river: River) -> None:
    (job,) = add(river.db)
    river.flow()
    assert not river.has_segment_of(job), "the other tests here would prove nothing"


@both_servers
def id_without_xid(late: Session) -> int:
    """Begin a transaction that has taken an id and has no xid. A nextval that writes WAL, as every 32nd does, gets one;
    then another transaction tries."""
    for _ in range(5):
        late.run("begin")
        job: int = late.value("select nextval('awa.job_id')")
        if late.value("select pg_current_xact_id_if_assigned()") is None:
            return job
        late.run("rollback")
    raise AssertionError("every nextval was given an xid")


def test_an_id_taken_before_its_transaction_has_an_xid(river: River, session: Open) -> None:
    """No snapshot shows such a transaction, and no xid horizon waits for it: only its lock on the sequence tells."""
    add(river.db)
    late = session("late producer")
    job = id_without_xid(late)
    for _ in range(3):
        river.flow()
        assert river.has_segment_of(job)
    assert river.floor <= job
    insert(late, job)
    river.flow()
    assert river.has_segment_of(job)
    late.run("commit")
    river.runs_and_forgets(job)


def test_ids_taken_for_a_bulk_insert_that_takes_its_time(river: River, session: Open) -> None:
    late = session("late producer")
    late.run("begin")
    first = late.value(f"select first from ({statement('insert/take_ids').decode()}) taken", {"jobs": 4})
    ids = range(first, first + 4)
    river.flow()
    for job in ids:
        insert(late, job)
        river.flow()
    late.run("commit")
    assert set(ids) <= set(river.flow())
    assert not any(river.has_segment_of(job) for job in ids)


def test_an_id_taken_in_a_savepoint_that_was_rolled_back(river: River, session: Open) -> None:
    """The savepoint's lock must outlive it: the id may still be used."""
    late = session("late producer")
    late.run("begin")
    late.run("savepoint s")
    job = late.value("select nextval('awa.job_id')")
    late.run("rollback to s")
    river.flow()
    river.flow()
    insert(late, job)
    late.run("commit")
    river.runs_and_forgets(job)


@both_servers
def test_a_producer_prepared_before_its_segment_is_left(river: River, session: Open) -> None:
    late = session("late producer")
    late.run("begin")
    job = insert(late)
    late.run("prepare transaction 'late'")
    for _ in range(3):
        river.flow()
        assert river.has_segment_of(job)
    session("somebody else").run("commit prepared 'late'")
    river.runs_and_forgets(job)


@both_servers
def test_a_producer_prepared_after_its_segment_was_left(river: River, session: Open) -> None:
    """The leader has noted it by its virtual id; that must still be there when its session goes on with another one."""
    late = session("late producer")
    late.run("begin")
    job = insert(late)
    river.flow()
    late.run("prepare transaction 'late'")
    for _ in range(3):
        add(late.connection)
        river.flow()
        assert river.has_segment_of(job)
    late.run("commit prepared 'late'")
    river.runs_and_forgets(job)


def test_prepared_transactions_that_come_and_go_do_not_keep_a_segment(river: River, session: Open) -> None:
    late, others = session("late producer"), session("two-phase application")
    late.run("begin")
    job = insert(late)
    river.flow()
    late.run("rollback")
    for n in range(4):  # at every look of the leader another prepared transaction holds the sequence
        others.run("begin")
        insert(others)
        others.run(f"prepare transaction 'p{n}'")
        if n:
            others.run(f"commit prepared 'p{n - 1}'")
        river.flow(jobs=2, rounds=1)
    others.run("commit prepared 'p3'")
    river.flow(jobs=2)
    assert not river.has_segment_of(job)


@pytest.mark.parametrize("first", [0, 1])
def test_a_segment_waits_for_the_last_of_several_producers(river: River, session: Open, first: int) -> None:
    producers = [session("p0"), session("p1")]
    jobs = []
    for producer in producers:
        producer.run("begin")
        jobs.append(insert(producer))
    river.flow()
    producers[first].run("commit")
    assert jobs[first] in river.flow()
    assert river.has_segment_of(jobs[1 - first])
    producers[1 - first].run("commit")
    river.runs_and_forgets(jobs[1 - first])


def test_a_producer_that_comes_after_the_segment_was_left_does_not_hold_it(river: River, session: Open) -> None:
    (job,) = add(river.db)
    add(river.db, 12)
    retire.watch(river.db)
    late = session("producer of the next segment")
    late.run("begin")
    assert late.value("select nextval('awa.job_id')") > 10
    river.flow()
    assert not river.has_segment_of(job)


def test_a_late_producer_that_rolls_back_lets_its_segment_go(river: River, session: Open) -> None:
    late = session("late producer")
    late.run("begin")
    job = insert(late)
    river.flow()
    late.run("rollback")
    river.flow()
    assert not river.has_segment_of(job)


def test_a_late_producer_whose_connection_is_lost_lets_its_segment_go(river: River, session: Open) -> None:
    late = session("late producer")
    late.run("begin")
    job = insert(late)
    river.flow()
    late.kill()
    with pytest.raises(psycopg.OperationalError):
        late.run("select 1")
    river.flow()
    assert not river.has_segment_of(job)


def test_a_seal_begun_before_the_last_commit_does_not_count(db: Connection, session: Open) -> None:
    """Sealer begins, producer commits, leader closes the segment, sealer commits: it has not read that job."""
    small_segments(db, 10)
    late, sealer = session("late producer"), session("slow sealer")
    late.run("begin")
    job = insert(late)
    add(db, 12)
    for _ in range(3):
        retire.watch(db)
    sealer.run("begin")
    sealer.run(statement("seal/lock").decode())
    sealer.run(statement("seal/seal").decode(), {"floor": 0, "jobs_max": 100, "batch_max": 100, "force": True})
    late.run("commit")
    retire.watch(db)
    assert db.execute("select first_id from awa.segment where closed_seal is not null").fetchall() == [(1,)]
    sealer.run("commit")
    retire.watch(db)
    sealer.run("begin")
    sealer.run(statement("seal/lock").decode())
    told = seal(db)  # somebody else is sealing, so this one only learns the floor
    sealer.run("rollback")
    assert not told.locked
    seal(db, told.floor)
    assert all_in(db, "ready", [job])
    assert retire.watch(db) == 0
    assert seal(db).floor == 11


def test_the_floor_does_not_rise_above_a_job_that_may_come(db: Connection, session: Open) -> None:
    small_segments(db, 10)
    late = session("late producer")
    late.run("begin")
    job = late.value("select nextval('awa.job_id')")
    add(db, 25)
    for _ in range(5):
        retire.watch(db)
        assert seal(db).floor == 1
    insert(late, job)
    late.run("commit")
    assert seal(db, 1).jobs == 1
    for _ in range(5):
        retire.watch(db)
    assert seal(db).floor == 21
    assert seal_all(db) == 0
