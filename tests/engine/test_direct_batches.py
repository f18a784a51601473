"""Direct batches: plain jobs that come many at once are in ready batches when they are committed; all others are
sealed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from awa.engine import retire
from awa.engine.insert.bulk import insert_many
from awa.engine.insert.direct_batches import JOBS_MIN
from awa.engine.insert.single import NewJob, Unique
from awa.engine.seal import BATCH_JOBS_MAX, seal
from tests.engine.helpers import (
    Connection,
    add,
    add_sealed,
    all_in,
    batches,
    ids_of,
    new,
    sign_in,
    small_segments,
    take,
)
from tests.fixtures.postgres import both_servers
from tests.retire.steps import age, drop, held, run, value, watch_until_sealed

MANY = JOBS_MIN
NOON = datetime(2099, 1, 1, 12, tzinfo=timezone.utc)
ORDER = """
    select b.ids, l.queue, l.kind, l.priority
    from awa.batch b join awa.lane l on l.id = b.lane order by b.sort_at, b.id"""


def put(connection: Connection, jobs: list[NewJob], *, ahead: bool = False) -> list[int]:
    """Insert jobs in one transaction; return their ids."""
    with connection.transaction():
        return [job for job in insert_many(connection, jobs, ahead=ahead).ids if job is not None]


@both_servers
def test_many_plain_jobs_are_ready_when_they_are_committed(db: Connection) -> None:
    ids = add(db, MANY + 10)
    assert all_in(db, "ready", ids)
    assert [batch for _, batch, _ in batches(db)] == [
        ids[at : at + BATCH_JOBS_MAX] for at in range(0, len(ids), BATCH_JOBS_MAX)
    ]
    assert seal(db).jobs == 0
    assert ids_of(take(db, sign_in(db))) == ids


@both_servers
def test_fewer_are_left_to_a_seal(db: Connection) -> None:
    ids = add(db, MANY - 1)
    assert all_in(db, "unsealed", ids)
    assert seal(db).jobs == MANY - 1


def test_of_many_the_last_few_are_filed_too(db: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("awa.engine.insert.bulk.CHUNK_JOBS", MANY)
    for ahead in (False, True):
        monkeypatch.setattr("awa.engine.insert.bulk.FIRST_JOBS" if ahead else "awa.engine.insert.bulk.ALONE_JOBS", MANY)
        ids = put(db, [new(args=b'{"n":%d}' % n) for n in range(2 * MANY + 3)], ahead=ahead)
        assert len(ids) == 2 * MANY + 3
        assert all_in(db, "ready", ids)
        bodies = db.execute("select (args ->> 'n')::int from awa.job_log where id = any (%s) order by id", [ids])
        assert [n for (n,) in bodies] == list(range(2 * MANY + 3))


@both_servers
@pytest.mark.parametrize("queues", [1, 3])
def test_batches_are_full_however_the_jobs_are_cut_into_chunks(
    db: Connection, queues: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("awa.engine.insert.bulk.CHUNK_JOBS", MANY)
    monkeypatch.setattr("awa.engine.insert.bulk.FIRST_JOBS", MANY)
    monkeypatch.setattr("awa.engine.insert.direct_batches.FILE_JOBS_MIN", 3 * MANY)
    ids = put(db, [new(queue=f"q{n % queues}") for n in range(7 * MANY + 30)], ahead=True)
    assert all_in(db, "ready", ids)
    found = db.execute(ORDER).fetchall()
    for queue in range(queues):
        mine = [batch for batch, name, _, _ in found if name == f"q{queue}"]
        assert [job for batch in mine for job in batch] == ids[queue::queues]
        assert {len(batch) for batch in mine[:-1]} == {BATCH_JOBS_MAX}
    late = "select count(*) from awa.batch b join awa.job_log j on j.id = b.ids[1] where b.sort_at - j.created_at <> %s"
    assert db.execute(late, [timedelta(seconds=60)]).fetchone() == (0,)


@both_servers
@pytest.mark.parametrize(
    "said",
    [
        {"run_at": NOON},
        {"run_at": NOON - timedelta(days=40_000)},
        {"delay_s": 3600.0},
        {"expires_at": NOON},
        {"ordering_key": b"line"},
        {"unique": True},
    ],
    ids=lambda said: next(iter(said)),
)
def test_who_is_not_plain_is_left_to_a_seal_and_so_are_those_beside_it(db: Connection, said: dict[str, Any]) -> None:
    if "unique" in said:
        said = {"unique": Unique(b"key", 0b1111)}
    ids = put(db, [new(**said), *[new()] * MANY])
    assert all_in(db, "unsealed", ids)
    sealed = seal(db)
    assert sealed.jobs - sealed.headed == MANY + 1  # a job that comes to the head of its line is counted again
    assert all_in(db, "ready", ids[1:])


def test_nothing_is_left_of_those_rolled_back(db: Connection) -> None:
    with db.transaction(force_rollback=True):
        insert_many(db, [new(kind="never")] * MANY)
    for table in ("job_log", "batch", "lane"):
        assert value(db, f"select count(*) from awa.{table}") == 0


@both_servers
def test_nobody_claims_them_before_they_are_committed(db: Connection, connect: Callable[..., Connection]) -> None:
    add_sealed(db)
    producer = connect()
    with producer.transaction():
        insert_many(producer, [new()] * MANY)
        assert seal(db).jobs == 0
        assert take(db, sign_in(db)).jobs == 1
    assert take(db, sign_in(db)).jobs == MANY


@both_servers
def test_each_batch_has_one_queue_kind_and_priority(db: Connection) -> None:
    said = [{"queue": f"q{n % 3}", "kind": f"k{n % 2}", "priority": 1 + n % 2} for n in range(MANY)]
    ids = put(db, [new(**each) for each in said])
    assert all_in(db, "ready", ids)
    found = db.execute(ORDER).fetchall()
    assert len(found) == 6
    for jobs, queue, kind, priority in found:
        assert jobs == [
            job for job, each in zip(ids, said, strict=True) if tuple(each.values()) == (queue, kind, priority)
        ]


def test_names_in_any_writing_are_kept(db: Connection) -> None:
    names = ['a "b"', "back\\slash", "{c,d}", "null", "Māori", "'"]
    put(db, [new(queue=name, kind=name) for name in names for _ in range(MANY)])
    found = db.execute("select queue, kind from awa.lane order by id").fetchall()
    assert sorted(found) == sorted((name, name) for name in names)
    assert value(db, "select count(*) from awa.batch") == len(names) * -(-MANY // BATCH_JOBS_MAX)


@both_servers
def test_a_lane_that_there_is_is_used(db: Connection) -> None:
    add_sealed(db)
    add_sealed(db, unique=Unique(b"key", 0b1111))  # another lane of the same name, for jobs with keys
    lanes = db.execute("table awa.lane").fetchall()
    add(db, MANY)
    assert db.execute("table awa.lane").fetchall() == lanes
    assert {lane for (lane,) in db.execute("select lane from awa.batch where cardinality(ids) > 1")} == {lanes[0][0]}


@both_servers
def test_the_order_key_is_the_one_a_seal_would_give(db: Connection) -> None:
    db.execute("insert into awa.queue (name, ageing_s) values ('slow', 600)")
    jobs = {
        (queue, priority): add(db, MANY, queue=queue, priority=priority)
        for queue in ("slow", "other")
        for priority in (1, 3)
    }
    for (queue, priority), ids in jobs.items():
        shifts = db.execute(
            "select distinct b.sort_at - j.created_at from awa.batch b join awa.job_log j on j.id = any (b.ids)"
            " where j.id = any (%s)",
            [ids],
        ).fetchall()
        assert shifts == [(timedelta(seconds=(priority - 1) * (600 if queue == "slow" else 60)),)]


def test_ids_that_others_have_taken_in_between_are_theirs(db: Connection) -> None:
    db.execute("alter sequence awa.job_id increment by 3")
    ids = add(db, MANY)
    assert ids[1] - ids[0] == 3
    assert all_in(db, "ready", ids)
    assert sorted(job for _, batch, _ in batches(db) for job in batch) == ids


@both_servers
def test_an_open_insert_is_in_nobodys_way(db: Connection, connect: Callable[..., Connection]) -> None:
    """Not in that of who makes a segment: he locks the partition of those ids that have none."""
    small_segments(db, 1000)
    producer = connect()
    with producer.transaction():
        insert_many(producer, [new()] * MANY)
        assert retire.extend(db, 1000, 5) == 3
        locked = """
            select relation::regclass::text from pg_locks
            where pid = %s and relation::regclass::text like 'awa.job_log_%%' and mode <> 'RowExclusiveLock'"""
        assert db.execute(locked, [producer.info.backend_pid]).fetchall() == []


def test_whoever_gives_the_jobs_may_undo_what_was_inserted(db: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("awa.engine.insert.bulk.ALONE_JOBS", MANY + 10)

    def jobs() -> Iterator[NewJob]:
        db.execute("savepoint before")
        yield from [new(kind="undone")] * (MANY + 20)
        db.execute("rollback to before")
        yield from [new()] * (2 * MANY)

    with db.transaction():
        insert_many(db, jobs())
    seal(db)
    inserted = [job for (job,) in db.execute("select id from awa.job_log order by id")]
    assert sorted(job for _, batch, _ in batches(db) for job in batch) == inserted
    assert len(inserted) >= 2 * MANY
    assert ids_of(take(db, sign_in(db), 10_000, "work", "undone")) != []


@both_servers
def test_serializable_transactions_insert_side_by_side(db: Connection, connect: Callable[..., Connection]) -> None:
    add_sealed(db)
    pair = [connect(), connect()]
    for producer in pair:
        producer.execute("begin isolation level serializable")
    for producer in pair * 3:
        insert_many(producer, [new()] * MANY)
    for producer in pair:
        producer.execute("commit")
    assert value(db, "select count(*) from awa.job_log") == 6 * MANY + 1


@pytest.mark.parametrize("encoding", ["LATIN1", "WIN1252", "SQL_ASCII"])
@pytest.mark.parametrize("queue", ["plain", "M\u0101ori"])
def test_names_survive_a_connection_with_another_encoding(
    db: Connection, connect: Callable[..., Connection], encoding: str, queue: str
) -> None:
    producer = connect(client_encoding=encoding)
    with producer.transaction():
        insert_many(producer, [new(queue=queue)] * MANY)
    assert db.execute("select queue from awa.lane").fetchall() == [(queue,)]
    assert value(db, "select sum(cardinality(ids)) from awa.batch") == MANY


@pytest.mark.parametrize(
    "right", ["insert on awa.batch", "select on awa.batch", "insert on awa.lane", "select on awa.lane"]
)
def test_who_may_not_write_batches_leaves_them_to_a_seal(db: Connection, right: str) -> None:
    db.execute(f"revoke {right} from current_user".encode())
    ids = add(db, MANY)
    db.execute(f"grant {right} to current_user".encode())
    assert all_in(db, "unsealed", ids)


@both_servers
@pytest.mark.parametrize("have_ended", [True, False])
def test_their_segments_go_and_those_that_have_not_ended_live_on(db: Connection, have_ended: bool) -> None:
    small_segments(db, 100)
    ids = add(db, MANY)
    if have_ended:
        run(db)
    watch_until_sealed(db)
    age(db, 1000)
    assert drop(db) == 2
    assert held(db) == ([] if have_ended else ids[:200])
    assert all_in(db, "ended" if have_ended else "ready", ids[200:] if have_ended else ids)
