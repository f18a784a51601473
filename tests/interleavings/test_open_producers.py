"""A producer keeps its transaction open while others insert: nobody waits for it, and only its own jobs are late."""

import threading
from collections.abc import Callable

import pytest

from awa.engine.insert.single import insert
from awa.engine.seal import seal, seal_all
from awa.engine.settle import settle
from tests.engine.helpers import (
    KIND,
    Connection,
    add,
    all_in,
    batches,
    ids_of,
    new,
    outcomes,
    places,
    sign_in,
    state,
    take,
)
from tests.fixtures.postgres import both_servers
from tests.fixtures.waiting import Session

Open = Callable[..., Session]
INSERT = f"insert into awa.job_log (kind) values ('{KIND}') returning id"


def nobody_waits(connection: Connection) -> None:
    """From now on, this session fails as soon as it has to wait for a lock."""
    connection.execute("set lock_timeout = '1ms'")


def waiting(db: Connection) -> int:
    row = db.execute(
        "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
    ).fetchone()
    assert row is not None
    return int(row[0])


@both_servers
def test_everything_goes_on_around_an_open_producer(db: Connection, session: Open) -> None:
    slow, bulk, worker = session("slow producer"), session("bulk producer"), session("worker")
    slow.run("begin")
    held_up = slow.value(INSERT)
    for each in (db, bulk.connection, worker.connection):
        nobody_waits(each)
    me = sign_in(worker.connection)
    for _ in range(5):
        slow.run(INSERT)
        ids = add(db) + bulk.run(add, 50)
        assert worker.run(seal_all) == 51
        assert sorted(ids_of(worker.run(take, me))) == sorted(ids)
        assert worker.run(settle, me, outcomes(ids)) == set(ids)
        assert all_in(db, "ended", ids)
        assert waiting(db) == 0
    assert state(db, held_up) is None
    slow.run("commit")
    assert seal(db).jobs == 6
    assert ids_of(take(db, me))[0] == held_up


def test_jobs_of_an_old_transaction_take_the_place_of_their_insert(db: Connection, session: Open) -> None:
    """Not of their commit, and not of the transaction's beginning."""
    slow = session("slow producer")
    slow.run("begin")
    slow.run("select now()")
    (before,) = add(db)
    held_up = slow.value(INSERT)
    (after,) = add(db)
    seal(db, batch_max=1)
    slow.run("commit")
    seal(db)
    assert ids_of(take(db, sign_in(db))) == [before, held_up, after]


@both_servers
def test_producers_that_commit_in_any_order_are_each_sealed_once(db: Connection, session: Open) -> None:
    producers = [session(f"p{n}") for n in range(6)]
    ids = []
    for producer in producers:
        producer.run("begin")
        ids.append(producer.value(INSERT))
    for n in (3, 5, 0, 4, 1, 2):
        producers[n].run("commit")
        assert seal(db).jobs == 1
        assert all_in(db, "ready", [ids[n]])
        assert seal(db).jobs == 0
    assert sorted(job for _, held, _ in batches(db) for job in held) == ids


def test_a_producer_that_begins_before_and_inserts_after_a_seal(db: Connection, session: Open) -> None:
    producer = session("producer")
    producer.run("begin")
    producer.run("select pg_current_xact_id()")
    add(db)
    seal(db)
    job = producer.value(INSERT)
    add(db)
    seal(db)
    producer.run("commit")
    assert seal(db).jobs == 1
    assert all_in(db, "ready", [job])


@both_servers
def test_a_rolled_back_producer_leaves_nothing(db: Connection, session: Open) -> None:
    producer = session("producer")
    producer.run("begin")
    job = producer.value(INSERT)
    add(db)
    assert seal(db).jobs == 1
    producer.run("rollback")
    assert seal(db, force=True).jobs == 0
    assert job not in places(db)


@both_servers
def test_savepoints_keep_what_was_released_and_forget_what_was_rolled_back(db: Connection, session: Open) -> None:
    producer = session("producer")
    producer.run("begin")
    kept = [producer.value(INSERT)]
    producer.run("savepoint a")
    kept.append(producer.value(INSERT))
    producer.run("savepoint b")
    lost = producer.value(INSERT)
    producer.run("rollback to b")
    kept.append(producer.value(INSERT))
    producer.run("release b")
    producer.run("release a")
    seal(db, force=True)
    producer.run("savepoint c")
    kept.append(producer.value(INSERT))
    assert seal(db, force=True).jobs == 0
    producer.run("commit")
    assert seal(db).jobs == 4
    assert all_in(db, "ready", kept)
    assert lost not in places(db)
    assert seal(db, force=True).jobs == 0


def test_more_savepoints_than_a_snapshot_can_hold(db: Connection, session: Open) -> None:
    """Beyond 64 subtransactions a snapshot overflows; but the xid of a job is that of its whole transaction."""
    producer = session("producer")
    producer.run("begin")
    for n in range(100):
        producer.run(f"savepoint s{n}")
        producer.run(INSERT)
    add(db)
    assert seal(db).jobs == 1
    producer.run("commit")
    assert seal(db).jobs == 100
    assert seal_all(db) == 0


@both_servers
@pytest.mark.parametrize("end", ["commit prepared 'p'", "rollback prepared 'p'"])
def test_a_prepared_transaction_is_sealed_when_it_is_committed(db: Connection, session: Open, end: str) -> None:
    producer = session("producer")
    producer.run("begin")
    job = producer.value(INSERT)
    producer.run("prepare transaction 'p'")
    for _ in range(3):
        add(db)
        assert seal(db).jobs == 1
    session("coordinator").run(end)
    assert seal(db).jobs == (1 if end.startswith("commit") else 0)
    assert places(db).get(job) == (["ready"] if end.startswith("commit") else None)
    assert seal(db, force=True).jobs == 0


def test_a_reader_with_an_old_snapshot_delays_nothing(db: Connection, session: Open) -> None:
    reader = session("report")
    reader.run("begin isolation level repeatable read")
    assert reader.value("select count(*) from awa.jobs") == 0
    me = sign_in(db)
    nobody_waits(db)
    for _ in range(3):
        ids = add(db, 10)
        seal(db)
        assert ids_of(take(db, me)) == ids
        settle(db, me, outcomes(ids))
    assert reader.value("select count(*) from awa.jobs") == 0


def test_a_connection_with_another_default_isolation_seals_all_the_same(db: Connection, session: Open) -> None:
    other = session("strict", f"{db.info.dsn} options='-c default_transaction_isolation=serializable'")
    ids = add(db, 5)
    assert other.run(seal_all) == 5
    assert all_in(db, "ready", ids)


def test_sixteen_producers_at_once_lose_and_double_nothing(db: Connection, session: Open) -> None:
    """Sealed by two sealers all the while: what every single interleaving promises, many times over."""
    producers, sealers = [session(f"p{n}") for n in range(14)], [session("s1"), session("s2")]
    over = threading.Event()

    def produce(connection: Connection, n: int) -> list[int]:
        ids: list[int] = []
        for turn in range(25):
            with connection.transaction(force_rollback=(turn + n) % 5 == 4):
                some = [insert(connection, new()).id for _ in range(1 + (turn * 7 + n) % 4)]
            ids += some if (turn + n) % 5 != 4 else []
        return ids

    def keep_sealing(connection: Connection) -> int:
        jobs = 0
        while not over.is_set():
            jobs += seal(connection, jobs_max=7).jobs
        return jobs

    for each in sealers:
        each.start(keep_sealing)
    for n, each in enumerate(producers):
        each.start(produce, n)
    ids = [job for each in producers for job in each.result(60)]
    over.set()
    sealed = sum(each.result() for each in sealers)
    while (step := seal(db, jobs_max=7)).more:
        sealed += step.jobs
    assert sealed + step.jobs == len(ids)
    assert sorted(job for _, held, _ in batches(db) for job in held) == sorted(ids)
