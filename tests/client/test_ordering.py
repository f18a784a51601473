"""Jobs with an ordering key start one after the other; FIFO; and jobs that expire."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from typing import Any

import psycopg
import pytest

from awa import Client, JobState, RetryAfter, Snooze, StateConflict, TerminalError, ValidationError
from awa.engine import expire, nodes, settle
from awa.engine.claim import begin
from awa.engine.promote import promote
from awa.engine.rescue import WorkerExit, rescue, rescue_stale
from awa.engine.seal import seal_all
from awa.job.model import Job
from tests.engine.helpers import Connection, ids_of, outcome, outcomes, places, sign_in, take
from tests.fixtures.waiting import until

KIND = "work"


def put(client: Client, key: str | None = "k", **options: Any) -> int:
    return client.insert({}, kind=KIND, ordering_key=key, **options).id


def test_through_many_queues_jobs_run_in_the_order_in_which_they_came(client: Client, connection: Connection) -> None:
    """More queues than one claim looks at, and more batches than are known of at a time."""
    ran: list[int] = []
    client.task(kind=KIND)(lambda job: ran.append(job.args["n"]))
    for n in range(900):
        client.insert({"n": n}, kind=KIND, queue=f"q{n * 7 % 300}")
        if n % 300 == 299:
            seal_all(connection)
    assert client.work() == 900
    assert ran == list(range(900))


def startable(connection: Connection, worker: int) -> list[int]:
    """What a worker gets now."""
    seal_all(connection)
    return ids_of(take(connection, worker))


def end(connection: Connection, worker: int, *jobs: int, state: JobState = JobState.Completed, **how: Any) -> None:
    assert settle.settle(connection, worker, [outcome(job, state, **how) for job in jobs]) == set(jobs)


@pytest.mark.parametrize("serial", [True, False])
def test_of_a_line_only_the_first_can_be_claimed(client: Client, connection: Connection, serial: bool) -> None:
    client.configure_queue("default", serial=serial)
    worker = sign_in(connection)
    a = [put(client, "a") for _ in range(3)]
    b = [put(client, "b", priority=1) for _ in range(2)]
    free = put(client, None)
    assert set(startable(connection, worker)) == {a[0], b[0], free}
    assert startable(connection, worker) == []
    end(connection, worker, a[0])
    assert startable(connection, worker) == [a[1]]
    end(connection, worker, a[1], b[0])
    assert set(startable(connection, worker)) == {a[2], b[1]}


def test_a_key_is_a_line_in_each_queue(client: Client, connection: Connection) -> None:
    jobs = [put(client, queue=queue) for queue in ("one", "two")]
    assert set(startable(connection, sign_in(connection))) == set(jobs)


def test_kinds_and_priorities_of_a_queue_share_the_line(client: Client, connection: Connection) -> None:
    client.configure_queue("default", serial=True)
    worker = sign_in(connection)
    first = put(client, priority=4)
    put(client, priority=1)
    assert startable(connection, worker) == [first]


@pytest.mark.parametrize("bulk", [True, False])
def test_a_line_is_run_in_the_order_of_insertion(client: Client, bulk: bool) -> None:
    seen: list[int] = []
    client.task(kind=KIND)(lambda job: seen.append(job.args["n"]))
    if bulk:
        client.insert_many(
            [{"n": n} for n in range(50)], kind=KIND, opts=[{"ordering_key": f"{n % 3}"} for n in range(50)]
        )
    else:
        for n in range(50):
            client.insert({"n": n}, kind=KIND, ordering_key=f"{n % 3}", priority=1 + n % 4)
    assert client.work() == 50
    for key in range(3):
        assert [n for n in seen if n % 3 == key] == list(range(key, 50, 3))


@contextmanager
def workers(client: Client, database: str, number: int) -> Iterator[None]:
    """Run so many workers in threads, until the block ends."""
    over = threading.Event()

    def run() -> None:
        with Client(database) as mine:
            mine.registry._tasks.update(client.registry._tasks)
            while not over.is_set():
                mine.work()
                over.wait(0.01)

    threads = [threading.Thread(target=run) for _ in range(number)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()


def test_where_the_queue_is_serial_never_two_of_a_line_run_at_a_time(client: Client, database: str) -> None:
    client.configure_queue("default", serial=True)
    lock, running, most, seen = threading.Lock(), {"a": 0, "b": 0}, {"a": 0, "b": 0}, []

    @client.task(kind=KIND)
    def handler(job: Any) -> None:
        key = job.args["key"]
        with lock:
            running[key] += 1
            most[key] = max(most[key], running[key])
            seen.append((key, job.args["n"]))
        until(lambda: True)
        with lock:
            running[key] -= 1

    for n in range(30):
        for key in "ab":
            client.insert({"key": key, "n": n}, kind=KIND, ordering_key=key)
    with workers(client, database, 3):
        until(lambda: len(seen) == 60, timeout=30)
    assert most == {"a": 1, "b": 1}
    for key in "ab":
        assert [n for each, n in seen if each == key] == list(range(30))


def test_where_it_is_not_the_next_may_start_when_one_has(client: Client, database: str) -> None:
    both = threading.Barrier(2)
    started: list[int] = []

    @client.task(kind=KIND)
    def handler(job: Any) -> None:
        started.append(job.id)
        both.wait(20)  # comes back only if the second runs while the first one does

    jobs = [put(client) for _ in range(2)]
    with workers(client, database, 2):
        until(lambda: all(client.get_job(job).state == JobState.Completed for job in jobs), timeout=30)
    assert started == jobs


@pytest.mark.parametrize("how", ["retry", "snooze"])
@pytest.mark.parametrize("holds", [True, False])
def test_a_job_that_comes_back_holds_its_line_only_if_the_queue_says_so(
    client: Client, connection: Connection, holds: bool, how: str
) -> None:
    client.configure_queue("default", serial=True, block_on_retry=holds)
    worker = sign_in(connection)
    first, second, third = (put(client) for _ in range(3))
    assert startable(connection, worker) == [first]
    end(connection, worker, first, state=JobState.Retryable if how == "retry" else JobState.Scheduled, delay_us=1)
    if holds:
        assert startable(connection, worker) == []
        assert promote(connection).jobs == 1
        assert startable(connection, worker) == [first]
        end(connection, worker, first)
        assert startable(connection, worker) == [second]
        return
    assert startable(connection, worker) == [second]
    assert promote(connection).jobs == 1
    assert startable(connection, worker) == []  # the second is being run
    end(connection, worker, second)
    assert startable(connection, worker) == [first]  # it is older than the third
    end(connection, worker, first)
    assert startable(connection, worker) == [third]
    assert [attempt["attempt"] for attempt in client.attempts(first)] == ([1, 2] if how == "retry" else [1])


def test_a_job_of_a_line_that_is_not_due_keeps_nobody_waiting(client: Client, connection: Connection) -> None:
    worker = sign_in(connection)
    later, now = put(client, delay=3600), put(client)
    assert startable(connection, worker) == [now]
    connection.execute("update awa.deferred set run_at = now()")
    promote(connection)
    assert startable(connection, worker) == []
    end(connection, worker, now)
    assert startable(connection, worker) == [later]


@pytest.mark.parametrize("which", ["head", "waiting", "running"])
def test_a_cancelled_job_leaves_its_line(client: Client, connection: Connection, which: str) -> None:
    worker = sign_in(connection)
    first, second, third = (put(client) for _ in range(3))
    seal_all(connection)
    if which == "running":
        assert startable(connection, worker) == [first]
    assert client.cancel(second if which == "waiting" else first).state == JobState.Cancelled
    if which != "waiting":
        assert startable(connection, worker) == [second]
        return
    assert startable(connection, worker) == [first]
    end(connection, worker, first)
    assert startable(connection, worker) == [third]


@pytest.mark.parametrize("then", ["settled", "handed back", "rescued", "signed out"])
def test_a_cancelled_job_that_is_being_run_keeps_a_serial_line_until_it_has_stopped(
    client: Client, connection: Connection, then: str
) -> None:
    client.configure_queue("default", serial=True)
    worker = sign_in(connection)
    first, second = put(client), put(client)
    assert startable(connection, worker) == [first]
    assert client.cancel(first).state == JobState.Cancelled
    assert startable(connection, worker) == []
    with pytest.raises(StateConflict, match="has not stopped"):
        client.retry(first)
    match then:
        case "settled":
            assert settle.settle(connection, worker, [outcome(first)]) == set()
        case "handed back":
            assert settle.release(connection, worker) == 0
        case "rescued":
            rescue(connection, worker, WorkerExit("killed", first))
        case "signed out":
            connection.execute("delete from awa.worker")
            assert rescue_stale(connection, {}) == []
    assert startable(connection, sign_in(connection)) == [second]
    assert client.retry(first).state == JobState.Available


def test_a_handler_that_goes_on_after_its_transaction_keeps_a_serial_line(
    client: Client, connection: Connection
) -> None:
    client.configure_queue("default", serial=True)
    could_start: list[list[int]] = []

    @client.task(kind=KIND)
    def charge(job: Any) -> None:
        with job.transaction():
            pass
        could_start.append(startable(connection, other))

    other = sign_in(connection, "other")
    first, second = put(client), put(client)
    assert client.work() == 2
    assert could_start == [[], []]
    assert [client.get_job(job).state for job in (first, second)] == [JobState.Completed] * 2
    assert connection.execute("select count(*) from awa.key_line").fetchone() == (0,)


def test_a_queue_that_becomes_serial_waits_for_what_runs(client: Client, connection: Connection) -> None:
    worker = sign_in(connection)
    first, second = put(client), put(client)
    assert startable(connection, worker) == [first]
    begin(connection, worker, first)
    client.configure_queue("default", serial=True)
    assert startable(connection, worker) == []
    end(connection, worker, first)
    assert startable(connection, worker) == [second]


def test_another_worker_that_stops_lets_no_line_go(client: Client, connection: Connection) -> None:
    client.configure_queue("default", serial=True)
    worker, other = sign_in(connection), sign_in(connection, "other")
    first, _ = put(client), put(client)
    assert startable(connection, worker) == [first]
    client.cancel(first)
    settle.release(connection, other)
    settle.settle(connection, other, [outcome(first)])
    assert rescue_stale(connection, {}) == []
    assert startable(connection, other) == []


@pytest.mark.parametrize("running", [True, False])
def test_a_dead_worker_leaves_the_line_in_order(client: Client, connection: Connection, running: bool) -> None:
    worker, other = sign_in(connection), sign_in(connection, "other")
    first, second = put(client, max_attempts=2), put(client)
    assert startable(connection, worker) == [first]
    rescue(connection, worker, WorkerExit("killed", first if running else 0))
    assert startable(connection, other) == [first]
    rescue(connection, other, WorkerExit("killed", first))
    third = sign_in(connection, "third")
    assert startable(connection, third) == ([second] if running else [first])


def test_a_failed_job_that_is_retried_is_the_last_of_its_line(client: Client, connection: Connection) -> None:
    worker = sign_in(connection)
    first, second = put(client), put(client)
    assert startable(connection, worker) == [first]
    end(connection, worker, first, state=JobState.Failed)
    client.retry(first)
    assert startable(connection, worker) == [second]
    end(connection, worker, second)
    assert startable(connection, worker) == [first]


def test_jobs_in_a_line_are_available_and_counted(client: Client, connection: Connection) -> None:
    jobs = [put(client) for _ in range(3)]
    (stat,) = client.queue_stats()
    assert (stat.available, stat.total_queued) == (3, 3)
    assert stat.lag_seconds is not None
    assert [job.id for job in client.list_jobs(state="available")] == jobs[::-1]
    assert {client.get_job(job).state for job in jobs} == {JobState.Available}
    assert client.get_job(jobs[0]).ordering_key == b"k"


def test_a_line_whose_first_job_somebody_is_cancelling_is_not_passed(
    client: Client, connection: Connection, connect: Callable[..., Connection]
) -> None:
    worker = sign_in(connection)
    first, second = put(client), put(client)
    head = put(client, "other")
    assert set(startable(connection, worker)) == {first, head}
    end(connection, worker, first)
    with connect() as theirs, theirs.transaction(force_rollback=True):
        theirs.execute("delete from awa.key_line where job_id = %s", [second])
        assert startable(connection, worker) == []
    assert startable(connection, worker) == [second]


def test_jobs_of_a_queue_run_in_the_order_of_insertion_whatever_their_kinds(client: Client) -> None:
    seen: list[int] = []
    for kind in "ab":
        client.task(kind=kind)(lambda job: seen.append(job.args["n"]))
    for n in range(40):
        client.insert({"n": n}, kind="ab"[n % 2 if n < 20 else n // 5 % 2])
    assert client.work() == 40
    assert seen == list(range(40))


# Expiry


def gone_by(client: Client, job: int) -> Job:
    found = client.get_job(job)
    assert found.state == JobState.Cancelled
    assert "expired" in found.errors[-1]["error"]
    assert found.attempt == 0
    return found


def late(connection: Connection, job: int) -> None:
    """Let a job's time be over."""
    connection.execute("update awa.job_log set expires_at = now() - interval '1 s' where id = %s", [job])
    connection.execute("update awa.job_expiry set expires_at = now() - interval '1 s' where job_id = %s", [job])


def soon() -> datetime:
    return datetime.now(timezone.utc) + timedelta(hours=1)


def test_a_worker_does_not_start_what_has_expired(client: Client, connection: Connection) -> None:
    ran: list[int] = []
    client.task(kind=KIND)(lambda job: ran.append(job.id))
    jobs = [put(client, None, expires_at=soon(), unique_opts={"by_period": n}) for n in range(2)]
    assert client.get_job(jobs[0]).expires_at is not None
    late(connection, jobs[0])
    assert client.work() == 2
    assert ran == [jobs[1]]
    gone_by(client, jobs[0])
    put(client, None, unique_opts={"by_period": 0})  # its key is free


@pytest.mark.parametrize("where", ["ready", "deferred", "line"])
def test_what_nobody_takes_expires_where_it_waits(client: Client, connection: Connection, where: str) -> None:
    stays = put(client)
    delay = 60 if where == "deferred" else None
    job = put(client, "k" if where == "line" else None, expires_at=soon(), delay=delay)
    beside = put(client, None)
    seal_all(connection)
    assert expire.expire(connection) == []
    late(connection, job)
    assert expire.expire(connection) == [job]
    gone_by(client, job)
    assert places(connection)[job] == ["ended"]
    assert {client.get_job(each).state for each in (stays, beside)} == {JobState.Available}
    assert connection.execute("select count(*) from awa.job_expiry").fetchone() == (0,)


def test_what_has_been_started_does_not_expire(client: Client, connection: Connection) -> None:
    worker = sign_in(connection)
    job = put(client, None, expires_at=soon())
    assert startable(connection, worker) == [job]
    late(connection, job)
    assert expire.expire(connection) == []
    end(connection, worker, job, state=JobState.Retryable, delay_us=1)
    late(connection, job)  # it had been put off by a moment
    assert expire.expire(connection) == []
    assert client.get_job(job).state == JobState.Retryable
    assert connection.execute("select count(*) from awa.job_expiry").fetchone() == (0,)


@pytest.mark.parametrize("how", ["completed", "failed", "cancelled", "cancelled while it ran", "in a transaction"])
@pytest.mark.parametrize("unique", [False, True])
def test_what_has_ended_keeps_no_note_of_when_it_would_expire(
    client: Client, connection: Connection, how: str, unique: bool
) -> None:
    @client.task(kind=KIND)
    def handler(job: Any) -> None:
        if how == "failed":
            raise TerminalError("no use")
        if how == "cancelled while it ran":
            client.cancel(job.id)
        if how == "in a transaction":
            with connection.transaction():
                job.complete(connection)

    if unique:  # the lane is there before any of its jobs expires
        opts = {"by_args": True, "on_conflict": "replace"}
        job = client.insert({}, kind=KIND, unique_opts=opts).id
        seal_all(connection)
        assert client.insert({}, kind=KIND, unique_opts=opts, expires_at=soon()).id == job
    else:
        job = put(client, None, expires_at=soon())
        seal_all(connection)
    assert connection.execute("select job_id from awa.job_expiry").fetchall() == [(job,)]
    if how == "cancelled":
        client.cancel(job)
    else:
        client.work()
    assert client.get_job(job).state in (JobState.Completed, JobState.Failed, JobState.Cancelled)
    assert connection.execute("select job_id from awa.job_expiry").fetchall() == []


def test_a_rescued_job_keeps_no_note_of_when_it_would_expire(client: Client, connection: Connection) -> None:
    worker = sign_in(connection)
    jobs = [put(client, None, expires_at=soon()) for _ in range(3)]
    assert startable(connection, worker) == jobs
    rescue(connection, worker, WorkerExit("killed", jobs[0]))
    left = connection.execute("select job_id from awa.job_expiry order by job_id").fetchall()
    assert left == [(job,) for job in jobs[1:]]


def test_of_two_notes_of_a_job_the_leader_holds_the_one_that_is_due(
    client: Client, connection: Connection, connect: Callable[..., Connection]
) -> None:
    """A settle deletes both: it may wait for the leader, so the leader must never wait for it."""
    worker = sign_in(connection)
    job = put(client, None, expires_at=soon())
    assert startable(connection, worker) == [job]
    connection.execute("insert into awa.job_expiry values (%s, now() - interval '1 s')", [job])
    with connect(autocommit=False) as leader:
        assert expire.expire(leader) == []
        free = connection.execute("select expires_at > now() from awa.job_expiry for update skip locked").fetchall()
        assert free == [(True,)]
        leader.commit()
    end(connection, worker, job)
    assert connection.execute("select count(*) from awa.job_expiry").fetchone() == (0,)


def test_a_snooze_counts_as_a_start(client: Client, connection: Connection) -> None:
    ran: list[int] = []

    @client.task(kind=KIND)
    def snoozes_once(job: Job) -> Snooze | None:
        ran.append(job.id)
        return Snooze(0) if len(ran) == 1 else None

    job = put(client, None, expires_at=soon())
    assert client.work(limit=1) == 1
    late(connection, job)
    assert expire.expire(connection) == []
    assert client.work() == 1
    assert (client.get_job(job).state, ran) == (JobState.Completed, [job, job])


@pytest.mark.parametrize("how", ["retry", "retried by hand"])
def test_who_has_started_in_time_is_not_late_at_the_next_attempt(
    client: Client, connection: Connection, how: str
) -> None:
    """Even if the leader has not looked yet."""

    @client.task(kind=KIND)
    def second_time(job: Job) -> Any:
        return RetryAfter(0) if job.attempt == 1 and how == "retry" else None

    job = put(client, None, expires_at=soon())
    if how == "retry":
        assert client.work(limit=1) == 1
    else:
        client.cancel(job)
        client.retry(job)
    connection.execute("update awa.job_log set expires_at = now() - interval '1 s'")
    promote(connection)
    assert client.work() == 1
    assert client.get_job(job).state == JobState.Completed


def test_what_has_expired_can_be_retried_by_hand(client: Client, connection: Connection) -> None:
    client.task(kind=KIND)(lambda job: None)
    job = put(client, None, expires_at=soon())
    late(connection, job)
    assert client.work() == 1
    gone_by(client, job)
    client.retry(job)
    assert expire.expire(connection) == []
    assert client.work() == 1
    assert client.get_job(job).state == JobState.Completed


def test_what_workers_have_keeps_nothing_else_from_expiring(client: Client, connection: Connection) -> None:
    worker = sign_in(connection)
    taken = [put(client, None, expires_at=soon()) for _ in range(3)]
    assert startable(connection, worker) == taken
    waiting = put(client, None, expires_at=soon())
    seal_all(connection)
    for job in (*taken, waiting):
        late(connection, job)
    assert expire.expire(connection, jobs_max=2) == [waiting]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"unique_opts": {"states": ["running"]}}, "unique_opts states leaves out available, in which this job begins"),
        ({"unique_opts": {"states": ["scheduled"]}}, "leaves out available"),
        ({"unique_opts": {"states": ["available"]}, "delay": 5}, "leaves out scheduled"),
        ({"expires_at": "2001-01-01T00:00:00Z"}, "expires_at is 2001-01-01T00:00:00\\+00:00, which has passed"),
        ({"expires_at": "2090-01-01", "run_at": "2091-01-01T00:00:00Z"}, "expires_at"),
        ({"expires_at": "2090-01-01T00:00:00Z", "run_at": "2091-01-01T00:00:00Z"}, "before the job may start"),
        ({"expires_at": "soon"}, "expires_at is 'soon', which is no point in time"),
        ({"delay": -1}, "delay is -1; it must be a number of seconds"),
        ({"delay": "1"}, "delay is '1'"),
        ({"delay": float("nan")}, "delay is nan"),
        ({"delay": 1, "run_at": "2090-01-01T00:00:00Z"}, "a job has one of them or none"),
        ({"unique_opts": {"colour": 1}}, "colour"),
        ({"unique_opts": 5}, "unique_opts"),
        ({"unique_opts": {"by_args": ["x"]}}, "x"),
        ({"ordering_key": ""}, "ordering_key"),
        ({"ordering_key": 5}, "ordering_key"),
    ],
)
def test_options_that_cannot_be_are_refused(client: Client, options: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        client.insert({}, kind=KIND, **options)
    with pytest.raises(ValidationError, match=says):
        client.insert_many([{}], kind=KIND, **options)
    assert client.list_jobs() == []


@pytest.mark.parametrize("bulk", [True, False])
def test_a_delay_counts_from_the_servers_now(client: Client, connection: Connection, bulk: bool) -> None:
    delay = timedelta(minutes=5)
    if bulk:
        (job_id,) = client.insert_many([{}], kind=KIND, delay=delay).ids
    else:
        inserted = client.insert({}, kind=KIND, delay=delay)
        assert inserted.state == JobState.Scheduled
        job_id = inserted.id
    row = connection.execute(
        "select run_at - created_at between %s and %s from awa.jobs where id = %s",
        [delay - timedelta(seconds=5), delay + timedelta(seconds=5), job_id],
    ).fetchone()
    assert row == (True,)


def test_arguments_may_be_as_large_as_the_client_says(database: str) -> None:
    with Client(database, payload_bytes_max=100) as small, pytest.raises(ValidationError, match="limit of 100"):
        small.insert({"x": "y" * 100}, kind=KIND)
    with Client(database, payload_bytes_max=3_000_000) as large:
        large.insert({"x": "y" * 2_000_000}, kind=KIND)


def test_an_idle_node_is_woken_by_what_is_due(client: Client, connection: Connection) -> None:
    nodes.idle(connection, nodes.register_node(connection, "idle"))
    connection.execute('listen "awa:wake"')
    put(client, None, delay=60)
    assert list(connection.notifies(timeout=0)) == []
    put(client, None)
    assert len(list(connection.notifies(timeout=5, stop_after=1))) == 1


def test_nothing_is_left_of_lines_when_all_is_done(client: Client, connection: psycopg.Connection[Any]) -> None:
    client.task(kind=KIND)(lambda job: None)
    for n in range(20):
        put(client, str(n % 4), expires_at=soon())
    client.work()
    seal_all(connection)
    assert connection.execute("select count(*) from awa.key_line").fetchone() == (0,)
    assert connection.execute("select count(*) from awa.key_freed").fetchone() == (0,)


def test_settling_many_of_a_line_at_once_frees_one(client: Client, connection: Connection) -> None:
    worker = sign_in(connection)
    keys = [f"{n}" for n in range(10)]
    first = [put(client, key) for key in keys]
    second = [put(client, key) for key in keys]
    assert startable(connection, worker) == first
    settle.settle(connection, worker, outcomes(first))
    assert sorted(startable(connection, worker)) == second
