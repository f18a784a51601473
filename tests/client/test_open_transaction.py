"""In one transaction all that a client says and does agrees about the jobs inserted in it."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import psycopg
import pytest

from awa import Client, Job, JobState, StateConflict, ValidationError
from awa.engine.seal import seal, seal_all
from tests.engine.helpers import add_unsealed, places

pytestmark = pytest.mark.postgres


@pytest.fixture
def held(database: str) -> Any:
    """A connection whose transaction stays open."""
    with psycopg.connect(database) as connection:
        yield connection


def ids(jobs: list[Job]) -> list[int]:
    return [job.id for job in jobs]


def test_what_was_inserted_in_this_transaction_is_seen_by_everything(
    held: psycopg.Connection[Any], database: str
) -> None:
    ours = Client(held)
    due = ours.insert({}, kind="a", queue="fresh")
    later = ours.insert({}, kind="a", queue="fresh", run_at=datetime.now(timezone.utc) + timedelta(days=1))
    many = ours.insert_many([{}] * 300, kind="b", queue="fresh").ids
    assert ours.get_job(due.id).state is JobState.Available
    assert set(ids(ours.list_jobs(limit=1000))) == {due.id, later.id, *many}
    assert set(ids(ours.list_jobs(state="available", limit=1000))) == {due.id, *many}
    assert ids(ours.list_jobs(state="scheduled")) == [later.id]
    assert ids(ours.list_jobs(state="available", kind="a")) == [due.id]
    (stat,) = ours.queue_stats()
    assert (stat.queue, stat.available, stat.scheduled, stat.total_queued) == ("fresh", 301, 1, 302)
    assert stat.lag_seconds is not None
    with Client(database) as others:
        assert others.list_jobs() == []
        assert others.queue_stats() == []
    held.rollback()
    with Client(database) as others:
        assert others.queue_stats() == []


@pytest.mark.parametrize("when", ["due", "later", "many", "unique", "ordered", "in a savepoint"])
def test_a_job_of_this_transaction_can_be_cancelled(
    held: psycopg.Connection[Any], connection: psycopg.Connection[Any], when: str
) -> None:
    ours = Client(held)
    if when == "many":
        job = ours.insert_many([{}] * 300, kind="a").ids[7]
        assert job is not None
    elif when == "in a savepoint":
        held.execute("select 1")
        with held.transaction():
            job = ours.insert({}, kind="a").id
    else:
        options: dict[str, Any] = {
            "due": {},
            "later": {"run_at": datetime.now(timezone.utc) + timedelta(days=1)},
            "unique": {"unique_opts": {"by_args": True, "states": 0b10001111}},
            "ordered": {"ordering_key": "k"},
        }[when]
        job = ours.insert({}, kind="a", **options).id
    assert ours.cancel(job).state is JobState.Cancelled
    assert job not in ids(ours.list_jobs(state="available", limit=1000))
    assert job not in ids(ours.list_jobs(state="scheduled"))
    assert ids(ours.list_jobs(state="cancelled")) == [job]
    with pytest.raises(StateConflict, match="cancelled already"):
        ours.cancel(job)
    if when == "unique":
        again = ours.insert({}, kind="a", **options)
        assert again.id != job
        ours.cancel(again.id)
    held.commit()
    seal_all(connection)
    assert places(connection)[job] == ["ended"]
    assert Client(held).retry(job).state is JobState.Available
    held.commit()
    seal_all(connection)
    assert places(connection)[job] == ["ready"]


def test_a_cancel_that_is_rolled_back_leaves_the_job(
    held: psycopg.Connection[Any], connection: psycopg.Connection[Any]
) -> None:
    ours = Client(held)
    job = ours.insert({}, kind="a").id
    held.execute("savepoint before")
    ours.cancel(job)
    held.execute("rollback to savepoint before")
    held.commit()
    seal_all(connection)
    assert places(connection)[job] == ["ready"]


def test_what_is_not_sealed_and_not_ours_is_named_as_such(
    held: psycopg.Connection[Any], connection: psycopg.Connection[Any], database: str
) -> None:
    with Client(database) as others:
        job = others.insert({}, kind="a")
    ours = Client(held)
    held.execute("select 1")
    with pytest.raises(StateConflict, match="not sealed yet.*end it, then cancel"):
        ours.cancel(job.id)
    held.rollback()
    assert ours.cancel(job.id).state is JobState.Cancelled


def test_jobs_that_nobody_seals_count(connection: psycopg.Connection[Any], held: psycopg.Connection[Any]) -> None:
    """While a transaction holds the sealer's lock, the queue's figures go on."""
    client = Client(connection)
    for n in range(3):
        client.insert({}, kind="a", queue="q", run_at=None if n else datetime.now(timezone.utc) + timedelta(days=1))
    connection.execute("update awa.job_log set created_at = now() - interval '90 s'")
    held.execute("lock table awa.seal_lock in share update exclusive mode")
    assert not seal(connection).locked
    (stat,) = client.queue_stats()
    assert (stat.available, stat.scheduled, stat.total_queued) == (2, 1, 3)
    assert stat.lag_seconds == pytest.approx(90, abs=20)
    assert len(client.list_jobs(state="available")) == 2
    held.rollback()
    (stat,) = client.queue_stats()
    assert (stat.available, stat.scheduled, stat.total_queued) == (2, 1, 3)
    assert places(connection).keys()


def test_a_seal_half_done_counts_every_job_once(connection: psycopg.Connection[Any]) -> None:
    client = Client(connection)
    for _ in range(30):
        client.insert({}, kind="a", queue="q")
    assert seal(connection, jobs_max=12).more
    rows = connection.execute("select id from awa.unsealed(1000) order by id").fetchall()
    assert [job for (job,) in rows] == list(range(13, 31))


def test_due_jobs_that_nobody_promotes_count_as_late(connection: psycopg.Connection[Any]) -> None:
    client = Client(connection)
    client.insert({}, kind="a", queue="q", run_at=datetime.now(timezone.utc) + timedelta(days=1))
    seal_all(connection)
    (stat,) = client.queue_stats()
    assert (stat.scheduled, stat.lag_seconds) == (1, None)
    connection.execute("update awa.deferred set run_at = now() - interval '90 s'")
    (stat,) = client.queue_stats()
    assert stat.scheduled == 1
    assert stat.lag_seconds == pytest.approx(90, abs=20)


@pytest.mark.parametrize("state", [None, "available", "scheduled", "completed"])
def test_pages_meet_each_job_once(connection: psycopg.Connection[Any], state: str | None) -> None:
    """Also where an old job came back lately, and stands in the newest batch."""
    client = Client(connection)
    client.task(None, kind="a")(lambda _: None)
    at = datetime.now(timezone.utc) + timedelta(days=1) if state == "scheduled" else None
    expected = [client.insert({}, kind="a", run_at=at).id for _ in range(25)]
    seal_all(connection)
    if state == "completed":
        assert client.work() == 25
    else:
        client.cancel(expected[3])
        client.retry(expected[3])
    found: list[int] = []
    before = None
    while page := ids(client.list_jobs(state=state, limit=7, before_id=before)):
        found += page
        before = page[-1]
    if state == "scheduled":
        expected = [job for job in expected if job != expected[3]]
    assert found == sorted(expected, reverse=True)


@pytest.mark.parametrize("before_id", [-(2**63) - 1, 2**63])
def test_a_page_begins_behind_a_job(connection: psycopg.Connection[Any], before_id: int) -> None:
    with pytest.raises(ValidationError, match=f"before_id is {before_id}; no job has such an id"):
        Client(connection).list_jobs(before_id=before_id)


@pytest.mark.parametrize("analyzed", [False, True])
def test_looking_for_jobs_that_are_not_sealed_does_not_read_the_log(
    connection: psycopg.Connection[Any], analyzed: bool
) -> None:
    add_unsealed(connection, 20_000)
    seal_all(connection)
    if analyzed:
        connection.execute("analyze awa.job_log")
    Client(connection).insert({}, kind="a")
    before = rows_read(connection)
    assert connection.execute("select count(*) from awa.unsealed(100)").fetchone() == (1,)
    assert rows_read(connection) - before < 10


def rows_read(connection: psycopg.Connection[Any]) -> int:
    """Rows of the log that have been read so far."""
    connection.execute("select pg_stat_force_next_flush()")
    row = connection.execute(
        "select sum(seq_tup_read + idx_tup_fetch)::int from pg_stat_user_tables where relname like 'job_log%'"
    ).fetchone()
    assert row is not None
    return int(row[0])
