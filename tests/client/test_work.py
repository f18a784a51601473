"""Working in-process: handlers get their arguments typed, and what they do becomes of the job what it should."""

import asyncio
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from threading import Timer
from typing import Any, TypedDict
from uuid import UUID

import psycopg
import pytest

from awa import (
    AwaError,
    Cancel,
    Client,
    Job,
    JobState,
    RetryAfter,
    SerializationError,
    Snooze,
    TerminalError,
    ValidationError,
)
from awa.engine.seal import SEAL_JOBS_MAX
from awa.worker import loop
from awa.worker.lease_size import LEASE_JOBS_MAX, LeaseSizer
from tests.client.kinds import AttrsOrder, Colour, DataOrder, Line, MsgspecOrder, PydanticOrder, SendEmail
from tests.fixtures.waiting import until

UTC = timezone.utc
AT = datetime(2040, 1, 31, 12, 30, 15, 250000, UTC)


class TypedOrder(TypedDict):
    id: UUID
    at: datetime


def run_one(client: Client, handler: Callable[[Any], Any], **options: Any) -> Job:
    """Insert a job, run everything that is due, and return the job."""
    client.task(None, kind="one", replace=True)(handler)
    job = client.insert({}, kind="one", **options)
    client.work()
    return client.get_job(job.id)


def soon(job: Job, seconds: float) -> bool:
    assert job.run_at is not None
    return abs((job.run_at - datetime.now(UTC)).total_seconds() - seconds) < 3


def make_due(connection: psycopg.Connection[Any], job: Job) -> None:
    connection.execute("update awa.deferred set run_at = now() - interval '1 s' where job_id = %s", [job.id])


def test_a_lease_of_jobs_that_have_become_slow_is_handed_back(
    client: Client, connection: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of them are taken, because they are thought to take no time; others are to have a part in them."""
    monkeypatch.setattr(loop, "OVERDUE_US", 30_000)
    monkeypatch.setattr(LeaseSizer, "cost_us", lambda self, *_: self.lease_us / LEASE_JOBS_MAX)
    leases: set[Any] = set()

    @client.task(kind="job")
    def run(job: Job) -> None:
        threading.Event().wait(0.003)
        leases.update(connection.execute("select leased_at from awa.batch where owner is not null"))

    client.insert_many([{}] * 100, kind="job")
    assert client.work() == 100
    assert len(leases) >= 3


@pytest.mark.parametrize("make", [DataOrder, AttrsOrder, MsgspecOrder, PydanticOrder])
def test_arguments_come_back_typed(client: Client, make: Any) -> None:
    order = make(id=UUID(int=7), at=AT, colour=Colour.BLUE, lines=[Line("kayak", Decimal("10.50"))])
    seen: list[Any] = []
    client.task(make)(lambda job: seen.append(job.args))
    client.insert(order)
    client.insert_many([order])
    assert client.work() == 2
    assert seen == [order, order]
    assert type(seen[0]) is make
    assert type(seen[0].lines[0]) is Line


def test_dicts_stay_dicts_and_typed_dicts_are_restored(client: Client) -> None:
    seen: list[Any] = []
    client.task(kind="plain")(lambda job: seen.append(job.args))
    client.task(TypedOrder)(lambda job: seen.append(job.args))
    client.insert({"a": (1, None), "at": AT, "é": {"deep": [1.5, True]}}, kind="plain")
    client.insert({"id": UUID(int=7), "at": AT}, kind="typed_order")
    client.work()
    assert seen == [
        {"a": [1, None], "at": "2040-01-31T12:30:15.250000Z", "é": {"deep": [1.5, True]}},
        {"id": UUID(int=7), "at": AT},
    ]


def test_a_handler_sees_its_job(client: Client) -> None:
    seen: list[Any] = []
    client.task(SendEmail, queue="email")(lambda job: seen.extend([job, job.is_cancelled()]))
    inserted = client.insert(SendEmail("a"), tags=["t"], metadata={"m": 1}, priority=1, max_attempts=3)
    client.work()
    job, is_cancelled = seen
    assert isinstance(job, Job)
    assert (job.id, job.kind, job.queue, job.priority) == (inserted.id, "send_email", "email", 1)
    assert (job.state, job.attempt, job.max_attempts) == (JobState.Running, 1, 3)
    assert (job.tags, job.metadata, job.args) == (["t"], {"m": 1}, SendEmail("a"))
    assert is_cancelled is False
    with pytest.raises(RuntimeError, match=f"job {job.id} is not running any more"):
        job.is_cancelled()


def test_what_a_handler_returns_is_the_result(client: Client) -> None:
    for value, stored in (
        ({"sent": 1}, {"sent": 1}),
        ([1, "x"], [1, "x"]),
        ("text", "text"),
        (0, 0),
        (None, None),
        (SendEmail("a"), {"to": "a", "subject": "Kia ora"}),
        (Decimal("1.5"), "1.5"),
    ):
        job = run_one(client, lambda job, value=value: value)
        assert (job.state, job.result, job.errors, job.attempt) == (JobState.Completed, stored, [], 1)
        assert client.wait(job.id, 0) == job
        assert job.finalized_at is not None


@pytest.mark.parametrize("value", [{1, 2}, object(), float("nan"), "x" * 1_000_001])
def test_a_result_that_cannot_be_stored_does_not_undo_the_work(client: Client, value: Any) -> None:
    job = run_one(client, lambda job: value)
    assert (job.state, job.errors) == (JobState.Completed, [])
    with pytest.raises(SerializationError, match=f"job {job.id} has completed, but its result was not stored: result"):
        client.wait(job.id)


def test_an_exception_makes_a_job_retryable_and_the_next_attempt_may_succeed(
    client: Client, connection: psycopg.Connection[Any]
) -> None:
    def handler(job: Job) -> str:
        if job.attempt == 1:
            raise LookupError("no such customer")
        return "fine"

    job = run_one(client, handler)
    assert (job.state, job.attempt) == (JobState.Retryable, 1)
    assert soon(job, 2.25)
    (error,) = job.errors
    assert error["error"].startswith("LookupError: no such customer\n")
    assert "raise LookupError" in error["error"]
    assert (error["type"], error["attempt"]) == ("LookupError", 1)
    assert client.work() == 0
    make_due(connection, job)
    assert client.work() == 1
    job = client.get_job(job.id)
    assert (job.state, job.attempt, job.result, len(job.errors)) == (JobState.Completed, 2, "fine", 1)


def test_the_last_attempt_fails_the_job(client: Client, connection: psycopg.Connection[Any]) -> None:
    def handler(job: Job) -> None:
        raise ValueError(f"attempt {job.attempt}")

    job = run_one(client, handler, max_attempts=2)
    make_due(connection, job)
    client.work()
    job = client.get_job(job.id)
    assert (job.state, job.attempt) == (JobState.Failed, 2)
    assert [error["error"].split("\n")[0] for error in job.errors] == ["ValueError: attempt 1", "ValueError: attempt 2"]
    assert client.wait(job.id, 0).state is JobState.Failed


class CardRefused(TerminalError):
    pass


def test_a_terminal_error_fails_the_job_at_once(client: Client) -> None:
    def handler(job: Job) -> None:
        raise CardRefused("stolen")

    job = run_one(client, handler)
    assert (job.state, job.attempt, job.errors[0]["terminal"]) == (JobState.Failed, 1, True)


def test_arguments_that_do_not_fit_fail_the_job_at_once(client: Client) -> None:
    client.task(DataOrder, kind="order")(lambda job: None)
    job = client.insert({"id": "no uuid"}, kind="order")
    client.work()
    job = client.get_job(job.id)
    assert (job.state, job.attempt) == (JobState.Failed, 1)
    assert "args do not fit DataOrder" in job.errors[0]["error"]
    assert "args.id" in job.errors[0]["error"]


def test_retry_after_counts_the_attempt_and_records_no_error(client: Client) -> None:
    job = run_one(client, lambda job: RetryAfter(3600))
    assert (job.state, job.attempt, job.errors, soon(job, 3600)) == (JobState.Retryable, 1, [], True)
    job = run_one(client, lambda job: RetryAfter(0), max_attempts=1)
    assert (job.state, job.errors[0]["error"]) == (JobState.Failed, "RetryAfter: no attempts left (1 of 1)")


def test_snooze_does_not_count_the_attempt(client: Client, connection: psycopg.Connection[Any]) -> None:
    answers = [Snooze(3600), Snooze(3600), "done"]
    job = run_one(client, lambda job: answers.pop(0), max_attempts=1)
    assert (job.state, job.attempt, soon(job, 3600)) == (JobState.Scheduled, 0, True)
    for _ in range(2):
        make_due(connection, job)
        client.work()
    job = client.get_job(job.id)
    assert (job.state, job.attempt, job.result) == (JobState.Completed, 1, "done")


def test_cancel_ends_the_job(client: Client) -> None:
    job = run_one(client, lambda job: Cancel("no longer wanted"))
    assert (job.state, job.errors[0]["error"]) == (JobState.Cancelled, "cancelled: no longer wanted")


@pytest.mark.parametrize("error", [SystemExit(3), GeneratorExit(), asyncio.CancelledError()])
def test_whatever_a_handler_raises_is_its_own_outcome(client: Client, error: BaseException) -> None:
    def handler(job: Job) -> None:
        raise error

    job = run_one(client, handler)
    assert (job.state, job.errors[0]["type"]) == (JobState.Retryable, type(error).__qualname__)


def test_an_exception_whose_text_cannot_be_had_is_recorded_all_the_same(client: Client) -> None:
    class Broken(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    def handler(job: Job) -> None:
        raise Broken

    assert "no message: __str__ raised RuntimeError" in run_one(client, handler).errors[0]["error"]


def test_a_handler_sees_the_errors_of_the_attempts_before(client: Client) -> None:
    seen: list[Any] = []

    def handler(job: Job) -> None:
        if job.attempt == 3:
            seen.extend(job.errors)
            assert job.errors is job.errors
        raise ValueError(f"attempt {job.attempt}")

    client.task(kind="one", backoff=lambda attempt: 0, max_attempts=3)(handler)
    job = client.insert({}, kind="one")
    client.work()
    assert seen == client.get_job(job.id).errors[:2]
    assert [error["attempt"] for error in seen] == [1, 2]
    client.task(kind="one", replace=True)(lambda job: seen.append(job.errors))
    client.retry(job.id)
    client.work()
    assert seen[-1] == client.get_job(job.id).errors  # those before a retry by hand, too


def test_errors_cost_nothing_where_no_handler_asks(client: Client, connection: psycopg.Connection[Any]) -> None:
    sessions = """select count(*) from pg_stat_activity
                  where application_name = 'awa handler' and datname = current_database()"""
    counts: list[Any] = []

    def silent(job: Job) -> None:
        counts.append(connection.execute(sessions).fetchone())

    def curious(job: Job) -> None:
        assert job.errors == []
        counts.append(connection.execute(sessions).fetchone())

    run_one(client, silent)
    run_one(client, curious)
    assert counts == [(0,), (1,)]


def test_a_coroutine_that_a_decorator_hides_is_awaited(client: Client) -> None:
    async def handler(job: Job) -> str:
        await asyncio.sleep(0)
        return "done"

    def decorated(job: Job) -> Any:
        return handler(job)

    assert run_one(client, decorated).result == "done"


def test_async_handlers_run_on_an_event_loop_that_lives_on(client: Client) -> None:
    loops: list[Any] = []

    async def handler(job: Job) -> int:
        loops.append(asyncio.get_running_loop())
        await asyncio.sleep(0)
        if job.args.get("fail"):
            raise LookupError("async")
        return 7

    client.task(kind="one")(handler)
    jobs = client.insert_many_copy([{}, {"fail": True}, {}], kind="one")
    assert client.work() == 3
    states = [client.get_job(job.id).state for job in jobs]
    assert states == [JobState.Completed, JobState.Retryable, JobState.Completed]
    assert client.get_job(jobs[0].id).result == 7
    assert len(set(map(id, loops))) == 1
    assert loops[0].is_closed()


def test_what_an_async_handler_leaves_running_is_cancelled_in_the_end(client: Client) -> None:
    ended: list[str] = []
    kept: list[Any] = []

    async def lasting() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            ended.append("cancelled")

    async def handler(job: Job) -> None:
        kept.append(asyncio.ensure_future(lasting()))
        await asyncio.sleep(0)

    assert run_one(client, handler).state is JobState.Completed
    assert ended == ["cancelled"]


def test_inside_an_event_loop_async_handlers_are_refused_and_the_way_out_works(client: Client) -> None:
    async def handler(job: Job) -> int:
        return 1

    client.task(kind="one")(handler)
    client.insert({}, kind="one")

    async def caller() -> int:
        with pytest.raises(AwaError, match=r"inside a running event loop.*one.*asyncio\.to_thread"):
            client.work()
        return await asyncio.to_thread(client.work)

    assert asyncio.run(caller()) == 1


def test_ctrl_c_in_a_handler_ends_work_spends_one_attempt_and_hands_the_rest_back(client: Client) -> None:
    ran: list[int] = []

    def handler(job: Job) -> None:
        ran.append(job.args["n"])
        if job.args["n"] == 20:
            signal.raise_signal(signal.SIGINT)

    client.task(kind="one")(handler)
    jobs = client.insert_many_copy(({"n": n} for n in range(60)), kind="one")
    with pytest.raises(KeyboardInterrupt):
        client.work()
    assert ran == list(range(21))
    after = [client.get_job(job.id) for job in jobs]
    assert {job.state for job in after[:20]} == {JobState.Completed}
    assert (after[20].attempt, after[20].errors[0]["error"]) == (1, "interrupted")
    assert after[20].state is JobState.Available  # the first interruption is retried at once
    assert {(job.state, job.attempt) for job in after[21:]} == {(JobState.Available, 0)}
    ran.clear()
    client.task(kind="one", replace=True)(lambda job: ran.append(job.args["n"]))
    assert client.work() == 40
    assert sorted(ran) == list(range(20, 60))


@pytest.mark.parametrize("ran_before", [0, 20])
def test_ctrl_c_while_it_waits_for_the_server_settles_and_hands_back_as_well(
    client: Client, connection: psycopg.Connection[Any], ran_before: int
) -> None:
    """The statement is stopped, and what is left to be said goes over the same connection."""
    ran: list[int] = []

    def lock() -> None:
        connection.execute("begin")
        connection.execute("lock table awa.batch in access exclusive mode")
        Timer(0.5, os.kill, [os.getpid(), signal.SIGINT]).start()
        Timer(1.0, connection.rollback).start()

    def handler(job: Job) -> None:
        ran.append(job.args["n"])
        if len(ran) == ran_before:
            lock()

    client.task(kind="one")(handler)
    jobs = client.insert_many_copy(({"n": n} for n in range(60)), kind="one")
    client.work(limit=1)
    ran.clear()
    if not ran_before:
        lock()
    with pytest.raises(KeyboardInterrupt):
        client.work()
    until(lambda: connection.info.transaction_status == psycopg.pq.TransactionStatus.IDLE)
    assert connection.execute(
        "select (select count(*) from awa.node), (select count(*) from awa.worker), "
        "(select count(*) from awa.batch where owner is not null)"
    ).fetchone() == (0, 0, 0)
    after = [client.get_job(job.id) for job in jobs]
    assert sum(job.state is JobState.Completed for job in after) == len(ran) + 1
    assert {job.attempt for job in after if job.state is JobState.Available} == {0}


def test_ctrl_c_in_an_async_handler_ends_work_too(client: Client) -> None:
    async def handler(job: Job) -> None:
        await asyncio.sleep(0)
        signal.raise_signal(signal.SIGINT)

    client.task(kind="one")(handler)
    job = client.insert({}, kind="one", max_attempts=1)
    with pytest.raises(KeyboardInterrupt):
        client.work()
    assert client.get_job(job.id).state is JobState.Failed


def test_limit_stops_after_so_many_jobs_and_leaves_the_others_untouched(client: Client) -> None:
    client.task(kind="one")(lambda job: None)
    client.insert_many([{}] * 10, kind="one")
    assert client.work(limit=3) == 3
    (stat,) = client.queue_stats()
    assert (stat.available, stat.running, stat.completed_last_hour) == (7, 0, 3)
    assert client.work(until_idle=False, limit=7) == 7


def test_only_the_queues_named_are_worked_on(client: Client) -> None:
    client.task(kind="one", queue="a")(lambda job: None)
    client.insert_many([{}] * 3, kind="one", queue="a")
    client.insert_many([{}] * 2, kind="one", queue="b")
    assert client.work(["b"]) == 2
    assert client.work(["nothing"]) == 0
    assert client.work() == 3


@pytest.mark.parametrize("queues", ["default", b"default", 5, [""], ["a", 5], [None]])
def test_queues_that_are_no_names_are_refused(client: Client, queues: Any) -> None:
    with pytest.raises(ValidationError, match=r"^queues? "):
        client.work(queues)


@pytest.mark.parametrize("limit", [0, -1, 1.0, True, "3"])
def test_a_limit_that_ends_nothing_is_refused(client: Client, limit: Any) -> None:
    with pytest.raises(ValidationError, match=f"^limit is {limit!r}; it must be a whole number from 1"):
        client.work(limit=limit)


def test_jobs_nobody_here_can_run_stay_available(client: Client) -> None:
    client.task(kind="one")(lambda job: None)
    job = client.insert({}, kind="other")
    assert client.work() == 0
    assert client.get_job(job.id).state is JobState.Available


def test_without_tasks_there_is_nothing_to_do(client: Client) -> None:
    client.insert({}, kind="dict")
    assert client.work() == 0


def test_jobs_a_handler_inserts_are_worked_on_as_well(client: Client) -> None:
    def handler(job: Job) -> None:
        if job.args["n"]:
            client.insert({"n": job.args["n"] - 1}, kind="one")

    client.task(kind="one")(handler)
    client.insert({"n": 5}, kind="one")
    assert client.work() == 6


def test_a_job_whose_time_comes_while_others_are_worked_on_is_taken(client: Client) -> None:
    client.task(kind="one")(lambda job: None)
    client.insert({}, kind="one", run_at=datetime.now(UTC) + timedelta(seconds=0.3))
    assert client.work(until_idle=False, limit=1) == 1


def test_jobs_behind_more_of_others_than_one_step_seals_are_found(client: Client) -> None:
    """Nobody else seals here, and those that are sealed first are not ours."""
    client.insert_many(({} for _ in range(SEAL_JOBS_MAX + 1)), kind="others")
    client.task(kind="one")(lambda job: None)
    client.insert({}, kind="one")
    assert client.work() == 1


def test_a_paused_queue_is_left_alone(client: Client) -> None:
    client.task(kind="one")(lambda job: None)
    client.insert({}, kind="one")
    client.pause_queue("default")
    assert client.work() == 0
    client.resume_queue("default")
    assert client.work() == 1


def test_a_job_cancelled_while_it_runs_stays_cancelled(client: Client) -> None:
    def handler(job: Job) -> str:
        assert client.get_job(job.id).state is JobState.Running
        assert client.cancel(job.id).state is JobState.Cancelled
        return "too late"

    job = run_one(client, handler)
    assert (job.state, job.result, len(job.errors)) == (JobState.Cancelled, None, 1)


def test_two_at_work_share_the_jobs(client: Client) -> None:
    ran: list[int] = []
    client.task(kind="one")(lambda job: ran.append(job.id))
    ids = client.insert_many([{}] * 500, kind="one").ids
    threads = [threading.Thread(target=client.work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(ran) == ids


def test_waiting_sees_the_job_end(client: Client) -> None:
    client.task(kind="one")(lambda job: "done")
    job = client.insert({}, kind="one")
    with pytest.raises(TimeoutError, match=f"job {job.id} has not ended after 0.02 s"):
        client.wait(job.id, 0.02)
    worker = threading.Thread(target=client.work)
    worker.start()
    assert client.wait(job.id, 20).result == "done"
    worker.join()


def test_work_leaves_no_node_and_no_worker_behind(client: Client, connection: psycopg.Connection[Any]) -> None:
    run_one(client, lambda job: None)
    assert connection.execute(
        "select (select count(*) from awa.node) + (select count(*) from awa.worker)"
    ).fetchone() == (0,)


def test_a_job_whose_time_is_up_is_told_here_too(client: Client) -> None:
    job = run_one(client, lambda job: threading.Event().wait(60), timeout=0.1, max_attempts=1)
    assert job.state is JobState.Failed
    assert job.errors[0]["type"] == "JobTimeout"
    assert signal.getsignal(signal.SIGUSR2) == signal.SIG_DFL


def test_outside_the_main_thread_there_are_no_time_limits(client: Client) -> None:
    client.task(None, kind="one", timeout=0.05)(lambda job: threading.Event().wait(0.3))
    job = client.insert({}, kind="one")
    thread = threading.Thread(target=client.work)
    thread.start()
    thread.join(30)
    assert client.get_job(job.id).state is JobState.Completed


def test_jobs_run_inside_what_is_wanted_around_them_and_starts_are_not_for_this(client: Client) -> None:
    seen: list[Any] = []

    @client.around_jobs
    @contextmanager
    def around(job: Job) -> Iterator[None]:
        seen.append(job.kind)
        yield
        seen.append("out")

    @client.on_worker_start
    def start() -> None:
        seen.append("start")

    job = run_one(client, lambda job: seen.append("handler"))
    assert job.state is JobState.Completed
    assert seen == ["one", "handler", "out"]


def test_ctrl_c_passes_through_what_is_around(client: Client) -> None:
    """Even if that swallows everything."""
    client.around_jobs(lambda job: suppress(BaseException))
    with pytest.raises(KeyboardInterrupt):
        run_one(client, lambda job: signal.raise_signal(signal.SIGINT))


def test_a_killed_call_is_taken_apart_by_the_next_one(client: Client, database: str, connection: Any) -> None:
    """No supervisor runs. The job it died in has spent an attempt, the others have not."""
    reads, writes = os.pipe()

    @client.task(None, kind="step")
    def step(job: Job) -> None:
        if os.getpid() != parent and job.id == ids[1]:
            os.write(writes, b"x")
            signal.pause()

    parent = os.getpid()
    ids = [client.insert({}, kind="step").id for _ in range(4)]
    pid = os.fork()
    if pid == 0:
        with suppress(BaseException):
            client.work()
        os._exit(1)
    assert os.read(reads, 1) == b"x"
    assert client.work() == 0, "it lives, and has them all"
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    (backend,) = connection.execute("select backend from awa.node").fetchone()
    until(lambda: connection.execute("select from pg_stat_get_activity(%s)", [backend]).fetchone() is None)
    assert client.work() >= 3
    jobs = [client.get_job(job) for job in ids]
    assert {job.state for job in jobs} == {JobState.Completed}
    assert [job.attempt for job in jobs if job.id != ids[0]] == [2, 1, 1]
    assert connection.execute("select from awa.node").fetchall() == []
    for end in (reads, writes):
        os.close(end)
