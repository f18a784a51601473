"""The asynchronous client: inserting, looking, steering, dead letters, waiting, and what it says when it cannot."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

import awa
from awa import (
    AsyncClient,
    Client,
    DatabaseError,
    JobState,
    SchemaNotMigrated,
    SerializationError,
    StateConflict,
    TerminalError,
    UniqueConflict,
    ValidationError,
)
from awa.worker import app
from tests.client.kinds import SendEmail
from tests.client.loops import on_a_loop

NOWHERE = "postgresql://nobody:secret@127.0.0.1:1/nowhere"


def fail(job: object) -> None:
    raise TerminalError("no")


@pytest.fixture
def worker(client: Client) -> Client:
    """A client that runs jobs: kind "good" completes, kind "bad" fails."""
    client.task(kind="good")(lambda job: {"n": job.args["n"] + 1})
    client.task(kind="bad")(fail)
    return client


@on_a_loop
async def test_jobs_are_inserted_as_tasks_and_options_say(database: str, worker: Client) -> None:
    async with AsyncClient(database) as client:
        client.task(SendEmail, queue="email", max_attempts=3)(print)
        job = await client.insert(SendEmail("a"), priority=1, tags=["t"], metadata={"m": [1]})
        assert (job.kind, job.queue, job.max_attempts, job.tags) == ("send_email", "email", 3, ["t"])
        assert worker.get_job(job.id) == job == await client.get_job(job.id)
        later = await client.insert({}, kind="dict", run_at="2040-01-01T00:00:00Z")
        assert later.state is JobState.Scheduled
        many = await client.insert_many((SendEmail(str(n)) for n in range(25_000)), queue="bulk")
        assert (many.inserted, many.ids) == (25_000, sorted(many.ids))
        copied = await client.insert_many_copy([{"n": 1}, {"n": 2}], kind="good")
        assert [each.args for each in copied] == [{"n": 1}, {"n": 2}]
        assert await client.enqueue_many_copy([{}] * 3, kind="good") == 3
        assert (await client.get_job(many.ids[-1])).queue == "bulk"


@on_a_loop
async def test_unique_keys_lines_and_delays(database: str, worker: Client) -> None:
    async with AsyncClient(database, payload_bytes_max=100) as client:
        first = await client.insert({"n": 1}, kind="good", unique_opts={}, ordering_key="a", delay=3600)
        assert (first.state, worker.get_job(first.id)) == (JobState.Scheduled, await client.get_job(first.id))
        async with client.transaction() as tx:
            with pytest.raises(UniqueConflict) as caught:
                await tx.insert({"n": 1}, kind="good", unique_opts={})
            assert caught.value.job_id == first.id
            many = await tx.insert_many([{"n": 1}, {"n": 2}, {"n": 2}], kind="good", unique_opts={})
        assert (many.inserted, many.skipped) == (1, 2)
        cancelled = await client.cancel_by_unique_key("good", args={"n": 2})
        assert cancelled is not None
        assert cancelled.id == many.ids[0]
        with pytest.raises(ValidationError, match="100"):
            await client.insert({"text": "x" * 100}, kind="dict")


@on_a_loop
async def test_looking_and_steering(database: str, worker: Client) -> None:
    async with AsyncClient(database) as client:
        good, bad = await client.insert({"n": 1}, kind="good"), await client.insert({}, kind="bad")
        assert [each.id for each in await client.list_jobs(state="available")] == [bad.id, good.id]
        worker.work()
        assert (await client.wait(good.id)).result == {"n": 2}
        assert [each["outcome"] for each in await client.attempts(bad.id)] == ["failed"]
        assert (await client.retry(bad.id)).state is JobState.Available
        assert (await client.cancel(bad.id)).state is JobState.Cancelled
        with pytest.raises(StateConflict, match="it is cancelled already"):
            await client.cancel(bad.id)
        await client.pause_queue("default", "me")
        (stat,) = await client.queue_stats()
        assert (stat.queue, stat.paused) == ("default", True)
        await client.resume_queue("default")
        assert [each.paused for each in await client.queue_stats()] == [False]
        assert (await client.configure_queue("default", deadline=7)).deadline == 7
        assert await client.queue_policy("default") == worker.queue_policy("default")
        assert await client.worker_deaths() == []


@on_a_loop
async def test_dead_letters(database: str, worker: Client) -> None:
    async with AsyncClient(database) as client:
        await client.configure_queue("default", dlq=True)
        ids = (await client.insert_many([{}] * 4, kind="bad", tags=["t"])).ids
        plain = (await client.insert_many([{}] * 4, kind="bad", queue="plain")).ids
        worker.work(["default", "plain"])
        assert sorted(each.job.id for each in await client.list_dlq(tag="t")) == ids
        assert (await client.dlq_depth(), await client.dlq_depth_by_queue()) == (4, [("default", 4)])
        entry = await client.get_dlq_job(ids[0])
        assert entry is not None
        assert entry.reason == "terminal_error"
        again = await client.retry_from_dlq(ids[0], priority=4)
        assert again is not None
        assert (again.state, again.priority) == (JobState.Available, 4)
        assert await client.purge_dlq_job(ids[1])
        assert await client.bulk_retry_from_dlq(tag="t") == 2
        assert await client.purge_dlq(allow_all=True) == 0
        moved = await client.move_failed_to_dlq(plain[0], "why")
        assert moved is not None
        assert moved.reason == "why"
        assert (await client.retry_failed(queue="plain")).matched == 3
        worker.work(["plain"])
        assert await client.bulk_move_failed_to_dlq(queue="plain") == 3
        assert await client.discard_failed("bad") == 0
        with pytest.raises(ValidationError, match="names no scope"):
            await client.purge_dlq()


@on_a_loop
async def test_waiting_leaves_the_loop_to_others(database: str, worker: Client) -> None:
    async with AsyncClient(database) as client:
        ids = (await client.insert_many([{"n": n} for n in range(20)], kind="good")).ids
        waiting = asyncio.gather(*(client.wait(job_id, timeout=30) for job_id in ids))
        await asyncio.to_thread(worker.work)
        assert [job.result["n"] for job in await waiting] == list(range(1, 21))
        job = await client.insert({}, kind="nobody's")
        with pytest.raises(TimeoutError, match=f"job {job.id} has not ended after 0.02 s .* available"):
            await client.wait(job.id, timeout=0.02)
        worker.task(kind="odd")(lambda job: {1})
        odd = await client.insert({}, kind="odd")
        await asyncio.to_thread(worker.work)
        with pytest.raises(SerializationError, match="its result was not stored"):
            await client.wait(odd.id)


@on_a_loop
async def test_errors_are_those_of_the_synchronous_client(database: str, client: Client) -> None:
    async with AsyncClient(database) as ours:
        for call, args, options in (
            ("get_job", (404,), {}),
            ("get_job", ("x",), {}),
            ("insert", ({"a": {1}},), {}),
            ("insert", ({},), {"priority": 9}),
            ("insert", ({},), {"priority": 2**40}),
            ("insert_many", ([{}, {"a": float("nan")}],), {}),
            ("list_jobs", (), {"state": "nothing"}),
            ("retry_failed", (), {}),
        ):
            with pytest.raises(Exception) as theirs:  # noqa: PT011 - whatever it is
                getattr(client, call)(*args, **options)
            with pytest.raises(type(theirs.value)) as mine:
                await getattr(ours, call)(*args, **options)
            assert (type(mine.value), str(mine.value)) == (type(theirs.value), str(theirs.value))
        with pytest.raises(TypeError, match="no_such_option"):
            await ours.insert({}, kind="dict", no_such_option=1)  # type: ignore[call-arg]


@on_a_loop
async def test_a_database_that_cannot_be_had_is_named_and_its_password_is_not() -> None:
    client = AsyncClient(NOWHERE)
    assert client.dsn == NOWHERE
    with pytest.raises(DatabaseError, match=r"database nowhere at 127\.0\.0\.1:1 as nobody.*Check that") as caught:
        await client.insert({}, kind="dict")
    assert "secret" not in str(caught.value)
    with pytest.raises(DatabaseError, match="the database URL cannot be read"):
        await AsyncClient("nonsense").list_jobs()


@on_a_loop
async def test_nothing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    with pytest.raises(DatabaseError, match="no database is named.*DATABASE_URL"):
        await AsyncClient().list_jobs()


@on_a_loop
async def test_a_closed_client_refuses(database: str) -> None:
    client = AsyncClient(database)
    tx = client.transaction()
    await client.insert({}, kind="dict")
    await client.close()
    await client.close()
    for use in (client.list_jobs, client.migrate, tx.__aenter__):
        with pytest.raises(DatabaseError, match="this client has been closed"):
            await use()


@pytest.mark.parametrize("given", [b"x", 7, object()])
def test_what_no_client_can_be_made_from(given: Any) -> None:
    with pytest.raises(ValidationError, match="made from a database URL, a psycopg.AsyncConnection"):
        AsyncClient(given)
    with pytest.raises(ValidationError, match="max_connections is 0"):
        AsyncClient("", 0)


@on_a_loop
async def test_each_kind_of_client_names_the_other_for_the_others_connections(
    database: str, connection: psycopg.Connection[Any]
) -> None:
    async with await psycopg.AsyncConnection.connect(database) as theirs:
        with pytest.raises(ValidationError, match=r"psycopg\.AsyncConnection; for that there is awa\.AsyncClient$"):
            Client(theirs)  # type: ignore[arg-type]
    with pytest.raises(ValidationError, match=r"not from psycopg\.Connection; for that there is awa\.Client$"):
        AsyncClient(connection)  # type: ignore[arg-type]


@on_a_loop
async def test_the_schema_is_installed_and_its_absence_told(empty_database: str) -> None:
    async with AsyncClient(empty_database) as client:
        with pytest.raises(SchemaNotMigrated, match="Run `awa migrate`"):
            await client.insert({}, kind="dict")
        assert await awa.migrate(empty_database) == [1]
        assert await client.migrate() == []
        assert (await client.insert({}, kind="dict")).id == 1


@pytest.fixture
def jobs_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The name of a module with an asynchronous client and a task."""
    (tmp_path / "async_jobs.py").write_text(
        "import os, awa\n"
        "client = awa.AsyncClient(os.environ['SHOP_DSN'])\n"
        "@client.task(kind='double', queue='sums')\n"
        "async def double(job):\n"
        "    return 2 * job.args['n']\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("SHOP_DSN", "postgresql://somewhere/shop")
    yield "async_jobs"
    sys.modules.pop("async_jobs", None)


def test_a_supervisor_finds_tasks_and_database(jobs_module: str) -> None:
    found = app.load(f"{jobs_module}:client")
    assert (found.registry.kinds, found.registry.queues) == (["double"], ["sums"])
    assert found.dsn == "postgresql://somewhere/shop"


@pytest.mark.processes
def test_a_supervisor_runs_its_tasks(jobs_module: str, supervise: Any, database: str) -> None:
    supervise(app=f"{jobs_module}:client").ready()

    @on_a_loop
    async def ask() -> None:
        async with AsyncClient(database) as client:
            client.task(kind="double", queue="sums")(print)
            job = await client.insert({"n": 4}, kind="double")
            assert (await client.wait(job.id, timeout=30)).result == 8

    ask()


def test_who_does_not_use_it_does_not_load_greenlets() -> None:
    code = "import awa, sys; awa.Client(''); awa.SyncTransaction; print('greenlet' in sys.modules); "
    code += "awa.AsyncClient; print('greenlet' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.split() == ["False", "True"]
