"""Two sealers, a sealer that dies half-way, and a seal that takes many steps."""

from collections.abc import Callable

import pytest

from awa.database.statements import statement
from awa.engine.admin import control
from awa.engine.seal import SEAL_JOBS_MAX, Sealed, reseal, seal, wait_for_sealer
from awa.errors import StateConflict
from tests.engine.helpers import Connection, add, add_sealed, add_unsealed, all_in, batches, places
from tests.fixtures.postgres import both_servers
from tests.fixtures.waiting import Session, until

Open = Callable[..., Session]
STEP = {"floor": 0, "jobs_max": 1000, "batch_max": 128, "force": False}


def begin_seal(session: Session, **step: int) -> int:
    """Seal a step in a transaction that stays open; return the jobs."""
    session.run("begin")
    ((locked, *_),) = session.run(statement("seal/lock").decode())
    assert locked == "true"
    ((_, _, jobs, *_),) = session.run(statement("seal/seal").decode(), {**STEP, **step})
    return int(jobs)


def sealed(db: Connection) -> list[int]:
    """Every id in a batch, as often as it is in one."""
    return sorted(job for _, ids, _ in batches(db) for job in ids)


@both_servers
def test_the_second_of_two_sealers_does_nothing_and_does_not_wait(db: Connection, session: Open) -> None:
    first, second = session("first"), session("second")
    ids = add(db, 10)
    assert begin_seal(first) == 10
    second.run("set lock_timeout = '1ms'")
    step = second.run(seal)
    assert (step.locked, step.jobs, step.batches, step.more) == (False, 0, 0, False)
    first.run("commit")
    assert second.run(seal)[:4] == (0, 0, False, True)
    assert sealed(db) == ids


def test_a_sealer_reads_what_the_one_before_it_wrote(db: Connection, session: Open) -> None:
    """Its snapshot is taken behind the lock; taken together with it, it might miss the other's ledger row."""
    first, second = session("first"), session("second")
    ids = add(db, 10)
    second.run("begin")
    second.run("select 1")
    assert begin_seal(first) == 10
    first.run("commit")
    ((locked, *_),) = second.run(statement("seal/lock").decode())
    ((_, _, jobs, *_),) = second.run(statement("seal/seal").decode(), STEP)
    second.run("commit")
    assert (locked, jobs) == ("true", 0)
    assert sealed(db) == ids


def test_a_seal_without_the_lock_does_nothing(db: Connection) -> None:
    ids = add(db, 3)
    row = db.execute(statement("seal/seal"), STEP).fetchone()
    assert row is not None
    assert row[0] is None or row[0] is False
    assert row[2] == 0
    assert all_in(db, "unsealed", ids)


@both_servers
def test_what_a_sealer_did_dies_with_it(db: Connection, session: Open) -> None:
    dying = session("dying sealer")
    ids = add(db, 10)
    assert begin_seal(dying) == 10
    dying.kill()
    step = seal(db)
    assert (step.locked, step.jobs) == (True, 10)
    assert sealed(db) == ids


@both_servers
def test_a_sealer_that_dies_between_two_steps_leaves_the_rest_to_the_next(db: Connection, session: Open) -> None:
    dying = session("dying sealer")
    ids = add(db, 95)
    assert dying.run(seal, jobs_max=30).more
    assert begin_seal(dying, jobs_max=30) == 30
    later = add(db, 5)
    dying.kill()
    steps = [seal(db, jobs_max=30) for _ in range(4)]
    assert [step.jobs for step in steps] == [30, 30, 5, 5]
    assert sealed(db) == ids + later


def test_two_sealers_share_the_steps_of_one_large_seal(db: Connection, session: Open) -> None:
    first, second = session("first"), session("second")
    ids = add(db, 70)
    for sealer in (first, second, first, second):
        assert sealer.run(seal, jobs_max=20).locked
    assert sealed(db) == ids


def test_late_and_new_jobs_meet_in_the_steps_of_a_large_seal(db: Connection, session: Open) -> None:
    """Jobs of transactions that were open at the last seal come first, and a step may end among them."""
    late = [session(f"late {n}") for n in range(3)]
    expected = []
    for n, producer in enumerate(late):
        producer.run("begin")
        expected += producer.run(add, 15 + n)
    expected += add(db, 10)
    assert seal(db).jobs == 10
    expected += add(db, 20)
    late[0].run("commit")
    late[2].run("commit")
    steps: list[Sealed] = []
    while not steps or steps[-1].more:
        steps.append(seal(db, jobs_max=8))
        if len(steps) == 2:
            late[1].run("commit")
            expected += add(db, 5)
    assert [step.jobs for step in steps] == [8] * 6 + [4] + [8, 8, 5] + [0], "first 52 jobs, then 21 more"
    assert sealed(db) == sorted(expected)


def test_a_transaction_that_commits_between_two_steps_is_sealed_behind_them(db: Connection, session: Open) -> None:
    """It was open when the seal began, so the seal's aim leaves it out; met on the way, it would be met again later."""
    producer = session("producer")
    ids = add(db, 20)
    producer.run("begin")
    ids += producer.run(add)
    ids += add(db, 3)
    assert seal(db, jobs_max=8).jobs == 8
    producer.run("commit")
    steps = [seal(db, jobs_max=8).jobs for _ in range(4)]
    assert steps == [8, 7, 1, 0]
    assert sealed(db) == ids


@pytest.mark.slow
def test_three_hundred_thousand_jobs_of_one_transaction(db: Connection, session: Open) -> None:
    """In bounded steps; what others commit between them is sealed once, behind it."""
    producer = session("producer")
    producer.start(add_unsealed, 300_000)
    ids = producer.result(120)
    between: list[int] = []
    steps = [seal(db)]
    while steps[-1].more:
        if len(steps) % 4 == 0:
            between += add(db, 3)
        steps.append(seal(db, steps[-1].floor))
    assert [step.jobs for step in steps] == [SEAL_JOBS_MAX] * 15 + [0, len(between)]
    assert sealed(db) == ids + between
    assert len(batches(db)) < 300_000 / 128 + 20


def test_two_reseals_at_once_seal_once(db: Connection, session: Open) -> None:
    first = session("first")
    ids = add(db, 10)
    db.execute("update awa.seal_ledger set system_id = system_id + 1")
    first.run("begin")
    for name in ("lock", "restored", "reseal_open"):
        first.run(statement(f"seal/{name}").decode())
    ((jobs, *_),) = first.run(statement("seal/reseal").decode(), {"jobs_max": 100, "rows_max": 100, "batch_max": 128})
    assert not seal(db).locked
    assert reseal(db).jobs == 0
    first.run("commit")
    while (step := seal(db)).more:
        jobs += step.jobs
    assert jobs + step.jobs == len(ids)
    assert sealed(db) == ids


def test_a_job_can_be_cancelled_while_somebody_seals_it(db: Connection, session: Open) -> None:
    sealer, operator = session("slow sealer"), session("operator")
    ids = add(db, 3)
    begin_seal(sealer)
    operator.start(control.cancel, ids[1])
    operator.until_blocked()
    sealer.run("commit")
    assert operator.result() is False
    assert places(db) == {ids[0]: ["ready"], ids[1]: ["ended"], ids[2]: ["ready"]}


def test_a_cancel_that_cannot_be_done_names_who_is_in_the_way(
    db: Connection, session: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "CANCEL_WAIT_MS", 300)
    holder, operator = session("careless"), session("operator")
    (sealed_job,) = add_sealed(db)
    (unsealed_job,) = add(db)
    holder.run("begin")
    holder.run("select id from awa.batch for update")
    with pytest.raises(StateConflict, match=rf"probably that of process {holder.pid} \(application careless"):
        operator.run(control.cancel, sealed_job)
    holder.run("rollback")

    holder.run("begin")
    holder.run("select awa.become_sealer()")
    with pytest.raises(StateConflict, match=rf"which is held up by process {holder.pid} \(application careless"):
        operator.run(control.cancel, unsealed_job)
    holder.run("rollback")
    assert operator.run(control.cancel, unsealed_job) is False


def test_the_server_ends_a_sealer_that_says_no_more(db: Connection, session: Open) -> None:
    """Its client may be frozen: within seconds another one can seal."""
    frozen = session("frozen sealer")
    ids = add(db, 3)
    frozen.run("begin")
    frozen.run(statement("seal/lock").decode().replace("'10s'", "'200ms'"))
    assert not seal(db).locked
    until(lambda: seal(db).jobs == 3)
    assert sealed(db) == ids


@both_servers
@pytest.mark.parametrize("setting", ["lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout"])
def test_each_seal_has_limits_of_its_own(db: Connection, session: Open, setting: str) -> None:
    sealer = session("sealer")
    sealer.run("begin")
    sealer.run(statement("seal/lock").decode())
    assert sealer.value(f"select setting::int > 0 from pg_settings where name = '{setting}'")
    sealer.run("rollback")
    assert sealer.value(f"select setting::int from pg_settings where name = '{setting}'") == 0


@both_servers
def test_an_operator_that_waits_for_a_sealer_lets_others_seal_afterwards(db: Connection, session: Open) -> None:
    sealer, operator = session("sealer"), session("operator")
    ids = add(db, 2)
    begin_seal(sealer)
    operator.start(wait_for_sealer, 5000)
    operator.until_blocked()
    sealer.run("commit")
    operator.result()
    more = add(db, 2)
    step = seal(db)
    assert (step.locked, step.jobs) == (True, 2)
    assert sealed(db) == ids + more
