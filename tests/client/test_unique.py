"""Unique jobs: who holds a key, until when, and what becomes of the next one."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import psycopg
import pytest

from awa import Cancel, Client, DatabaseError, JobState, RetryAfter, UniqueConflict, ValidationError
from awa.engine.claim import begin
from awa.engine.insert.bulk import insert_many
from awa.engine.insert.single import Envelope, NewJob, Unique
from awa.engine.promote import promote
from awa.engine.seal import seal_all
from awa.engine.settle import release
from tests.engine.helpers import ids_of, sign_in, take

Connect = Callable[..., psycopg.Connection[Any]]
UNTIL_STARTED = ["scheduled", "available"]
UNTIL_ENDED = ["scheduled", "available", "running", "retryable"]


@pytest.fixture
def working(client: Client) -> Client:
    """A client whose task does as its arguments say."""

    @client.task(kind="act")
    def act(job: Any) -> Any:
        match job.args.get("then"):
            case "fail":
                raise ValueError("no")
            case "retry":
                return RetryAfter(3600)
            case "cancel":
                return Cancel()
            case "insert":
                return client.insert({"then": "insert", "again": True}, kind="act", unique_opts=job.metadata).id
        return None

    return client


def put(client: Client, args: dict[str, Any] | None = None, **unique: Any) -> Any:
    return client.insert(args or {}, kind="act", max_attempts=1, unique_opts={"by_args": False, **unique})


def holders(connection: psycopg.Connection[Any]) -> list[int]:
    return [row[0] for row in connection.execute("select job_id from awa.unique_claim order by job_id")]


def test_the_second_is_refused_and_told_who_is_first(client: Client) -> None:
    first = client.insert({"to": "a"}, kind="mail", unique_opts={})
    assert first.unique_key is not None
    assert first.conflict is None
    with pytest.raises(UniqueConflict, match=rf"job {first.id} \(available\) holds its unique key") as refused:
        client.insert({"to": "a"}, kind="mail", unique_opts={})
    assert refused.value.job_id == first.id
    assert client.insert({"to": "b"}, kind="mail", unique_opts={}).id != first.id
    assert len(client.list_jobs()) == 2


def test_skip_returns_the_holder_as_it_stands(client: Client) -> None:
    first = client.insert({"n": 1}, kind="mail", queue="q", tags=["t"], metadata={"m": 1}, priority=3, timeout=1.5,
                          unique_opts={"by_args": False})  # fmt: skip
    again = client.insert({"n": 2}, kind="mail", unique_opts={"by_args": False, "on_conflict": "skip"})
    assert again.conflict == "skipped"
    stored = client.get_job(first.id)
    for name in ("id", "kind", "queue", "state", "priority", "args", "tags", "metadata", "timeout", "created_at",
                 "run_at", "unique_key", "max_attempts"):  # fmt: skip
        assert getattr(again, name) == getattr(stored, name), name


def test_one_that_has_been_started_is_not_replaced(working: Client) -> None:
    options = {"by_args": False, "on_conflict": "replace"}
    job = working.insert({"then": "insert"}, kind="act", max_attempts=1, metadata=options, unique_opts=options)
    working.work()
    found = working.get_job(job.id)
    assert found.state == JobState.Failed
    assert "it has been started or just taken by a worker, so it cannot be replaced" in found.errors[0]["error"]


def test_a_key_held_until_the_start_is_free_in_the_handler(working: Client) -> None:
    options = {"by_args": False, "states": UNTIL_STARTED, "on_conflict": "replace"}
    job = working.insert({"then": "insert"}, kind="act", max_attempts=1, metadata=options, unique_opts=options)
    working.work(limit=1)
    again = working.get_job(working.get_job(job.id).result)
    assert again.id != job.id
    assert again.args["again"]


@pytest.mark.parametrize(
    ("then", "states", "is_free"),
    [
        ("complete", None, False),
        ("complete", UNTIL_ENDED, True),
        ("fail", None, True),
        ("fail", ["available", "running", "failed"], False),
        ("cancel", None, True),
        ("retry", None, False),
        ("retry", ["available", "running"], True),
    ],
)
def test_a_key_is_free_when_its_job_is_in_a_state_that_the_mask_leaves_out(
    working: Client, then: str, states: Any, is_free: bool
) -> None:
    mask = {} if states is None else {"states": states}
    job = working.insert({"then": then}, kind="act", max_attempts=2 if then == "retry" else 1,
                         unique_opts={"by_args": False, **mask})  # fmt: skip
    assert working.work() == 1
    if is_free:
        assert put(working).id != job.id
    else:
        with pytest.raises(UniqueConflict) as refused:
            put(working)
        assert refused.value.job_id == job.id


@pytest.mark.parametrize("state", ["unsealed", "available", "scheduled"])
def test_a_cancelled_job_lets_go(client: Client, state: str) -> None:
    job = client.insert({}, kind="x", delay=3600 if state == "scheduled" else None, unique_opts={})
    if state == "available":
        client.queue_stats()
    cancelled = client.cancel_by_unique_key("x", args={})
    assert cancelled is not None
    assert (cancelled.id, cancelled.state) == (job.id, JobState.Cancelled)
    assert client.cancel_by_unique_key("x", args={}) is None
    assert client.insert({}, kind="x", unique_opts={}).id != job.id


def test_cancel_by_unique_key_finds_by_queue_and_period_too(client: Client) -> None:
    options = {"by_queue": True, "by_args": False, "by_period": 1000}
    job = client.insert({"a": 1}, kind="x", queue="email", unique_opts=options)
    assert client.cancel_by_unique_key("x", queue="email") is None
    found = client.cancel_by_unique_key("x", queue="email", period_bucket=1000)
    assert found is not None
    assert found.id == job.id


def test_cancel_by_unique_key_does_nothing_to_one_that_has_ended(working: Client) -> None:
    job = put(working)
    working.work()
    assert working.cancel_by_unique_key("act") is None
    assert working.get_job(job.id).state == JobState.Completed


@pytest.mark.parametrize("where", ["promoted", "sealed"])
def test_a_key_held_while_scheduled_is_free_when_the_time_has_come(
    client: Client, connection: psycopg.Connection[Any], where: str
) -> None:
    options = {"by_args": False, "states": ["scheduled"]}
    job = client.insert({}, kind="x", delay=3600, unique_opts=options)
    if where == "promoted":
        seal_all(connection)
        connection.execute("update awa.deferred set run_at = now()")
    connection.execute("update awa.job_log set run_at = now()")
    assert holders(connection) == [job.id]
    if where == "promoted":
        assert promote(connection).jobs == 1
    seal_all(connection)
    assert holders(connection) == []
    assert client.insert({}, kind="x", delay=3600, unique_opts=options).conflict is None


def test_a_job_handed_back_unstarted_keeps_its_key(client: Client, connection: psycopg.Connection[Any]) -> None:
    worker = sign_in(connection)
    job = client.insert({}, kind="x", unique_opts={"states": UNTIL_STARTED})
    seal_all(connection)
    assert ids_of(take(connection, worker, 10, "x")) == [job.id]
    assert release(connection, worker) == 1
    assert holders(connection) == [job.id]


@pytest.mark.parametrize("isolation", ["read committed", "repeatable read"])
def test_the_key_of_a_job_whose_row_was_deleted_can_be_had(
    client: Client, connect: Connect, connection: psycopg.Connection[Any], isolation: str
) -> None:
    options = {"by_args": False, "on_conflict": "skip"}
    gone = client.insert({}, kind="x", unique_opts=options)
    connection.execute("delete from awa.job_log where id = %s", [gone.id])
    with connect(autocommit=False) as theirs:
        theirs.execute(f"set transaction isolation level {isolation}")
        if isolation == "repeatable read":  # it cannot tell a row that was moved
            with pytest.raises(DatabaseError, match="try again") as refused:
                client.insert({}, kind="x", unique_opts=options, connection=theirs)
            assert isinstance(refused.value.__cause__, psycopg.errors.SerializationFailure)
            return
        job = client.insert({}, kind="x", unique_opts=options, connection=theirs)
    assert job.id != gone.id
    assert holders(connection) == [job.id]


def test_a_rolled_back_holder_frees_the_key(client: Client) -> None:
    with client.transaction() as tx:
        tx.insert({}, kind="x", unique_opts={})
        tx.rollback()
    client.insert({}, kind="x", unique_opts={})


@pytest.mark.parametrize("on_conflict", ["error", "skip", "replace"])
def test_a_conflict_leaves_the_callers_transaction_as_it_was(
    working: Client, connect: Connect, on_conflict: str
) -> None:
    put(working)
    working.work()
    with connect(autocommit=False) as theirs:
        theirs.execute("create table kept (n int)")
        try:
            job = working.insert({}, kind="act", connection=theirs,
                                 unique_opts={"by_args": False, "on_conflict": on_conflict})  # fmt: skip
            assert (on_conflict, job.conflict) == ("skip", "skipped")
        except UniqueConflict:
            assert on_conflict != "skip"
        theirs.execute("insert into kept values (1)")
    with connect() as looking:
        assert looking.execute("select n from kept").fetchall() == [(1,)]


def test_a_failed_job_takes_its_key_again_when_it_is_retried(working: Client) -> None:
    first = put(working, {"then": "fail"})
    working.work()
    second = put(working)
    with pytest.raises(UniqueConflict, match=f"job {second.id} holds its unique key now") as refused:
        working.retry(first.id)
    assert refused.value.job_id == second.id
    working.cancel(second.id)
    assert working.retry(first.id).state == JobState.Available
    with pytest.raises(UniqueConflict):
        put(working)


def test_of_two_failed_jobs_with_one_key_one_is_retried(working: Client) -> None:
    jobs = []
    for _ in range(2):
        jobs.append(put(working, {"then": "fail"}))
        working.work()
    done = working.retry_failed(kind="act")
    assert [job.id for job in done.jobs] == [jobs[0].id]


def test_many_connections_that_want_one_key_get_one_job(client: Client, database: str) -> None:
    workers = 32
    start = threading.Barrier(workers)
    outcomes: list[Any] = [None] * workers

    def race(at: int) -> None:
        with Client(database, max_connections=1) as mine:
            mine.list_jobs()
            for turn in range(5):
                start.wait()
                try:
                    outcomes[at] = mine.insert({"turn": turn}, kind="x", unique_opts={}).id
                except UniqueConflict as refused:
                    outcomes[at] = refused
                start.wait()
                if at == 0:
                    won = [each for each in outcomes if isinstance(each, int)]
                    lost = {each.job_id for each in outcomes if isinstance(each, UniqueConflict)}
                    results.append((won, lost))
                start.wait()

    results: list[tuple[list[int], set[int]]] = []
    threads = [threading.Thread(target=race, args=[at]) for at in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 5
    for won, lost in results:
        assert len(won) == 1
        assert lost == set(won)


def test_who_wants_a_key_waits_for_the_transaction_that_takes_it_and_no_longer(
    database: str, connect: Connect, client: Client
) -> None:
    from tests.fixtures.waiting import until_blocked

    first, second = connect(autocommit=False), connect(autocommit=False)
    watching = connect()
    held = client.insert({}, kind="x", unique_opts={}, connection=first)
    got: list[Any] = []
    waiter = threading.Thread(
        target=lambda: got.append(
            client.insert({}, kind="x", unique_opts={"on_conflict": "skip"}, connection=second).id
        )
    )
    waiter.start()
    until_blocked(watching, second.info.backend_pid)
    first.commit()
    waiter.join(10)
    assert got == [held.id]


def test_bulk_inserts_leave_duplicates_out_and_report_them(client: Client, connection: psycopg.Connection[Any]) -> None:
    there = client.insert({"n": 3}, kind="x", unique_opts={})
    many = client.insert_many([{"n": n % 5} for n in range(10)], kind="x", unique_opts={})
    assert (many.inserted, many.skipped, many.skipped_at) == (4, 6, (3, 5, 6, 7, 8, 9))
    assert len(client.list_jobs()) == 5
    assert holders(connection) == sorted([there.id, *many.ids])
    assert client.enqueue_many_copy([{"n": n} for n in range(6)], kind="x", unique_opts={}) == 1
    assert [job.args for job in client.insert_many_copy([{"n": 5}, {"n": 7}], kind="x", unique_opts={})] == [{"n": 7}]


def test_two_bulk_inserts_with_the_same_keys_in_other_orders(
    client: Client, connection: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many parts they are sent in: none of them has some keys and waits for others meanwhile."""
    monkeypatch.setattr("awa.engine.insert.bulk.CHUNK_JOBS", 10)
    connection.execute("set lock_timeout = '5s'")

    def ours() -> Iterator[dict[str, int]]:
        for n in range(30):
            if n == 20:
                same = Envelope("default", "x", 2, 25)
                jobs = [NewJob(b"{}", same, Unique(b"%d" % (29 - at), 159)) for at in range(30)]
                with connection.transaction():
                    assert None not in insert_many(connection, jobs).ids
            yield {"n": n}

    monkeypatch.setattr("awa.enqueue.prepare.key_for", lambda kind, queue, raw, *_, **__: b"%d" % json.loads(raw)["n"])
    assert client.insert_many(ours(), kind="x", unique_opts={}).inserted == 0


def test_bulk_inserts_that_want_all_or_nothing_say_so(client: Client, connection: psycopg.Connection[Any]) -> None:
    with pytest.raises(UniqueConflict, match=r"the unique key of jobs\[2\] is taken: one before it has the same one"):
        client.insert_many([{"n": 1}, {"n": 2}, {"n": 1}], kind="x", unique_opts={"on_conflict": "error"})
    assert client.list_jobs() == []
    assert holders(connection) == []
    with pytest.raises(ValidationError, match="one job at a time"):
        client.insert_many([{}], kind="x", unique_opts={"on_conflict": "replace"})


@pytest.mark.parametrize("over", ["own", "transaction", "theirs", "autocommit"])
@pytest.mark.parametrize("shared", [True, False])
def test_one_duplicate_that_must_not_be_left_out_is_enough(
    client: Client, connection: psycopg.Connection[Any], connect: Connect, over: str, shared: bool
) -> None:
    there = client.insert({"n": 1}, kind="x", unique_opts={})
    strict: dict[str, Any] = {"on_conflict": "error"}
    options: dict[str, Any] = {"unique_opts": strict if shared else {}}
    if not shared:
        options["opts"] = [None, {"unique_opts": strict}]
    jobs = [{"n": 0}, {"n": 1}]
    refusal = pytest.raises(UniqueConflict, match=rf"jobs\[1\] is taken: job {there.id} holds it")
    match over:
        case "own":
            with refusal as refused:
                client.insert_many(jobs, kind="x", **options)
        case "transaction":
            with client.transaction() as tx, refusal as refused:
                tx.insert_many(jobs, kind="x", **options)
        case _:
            with connect(autocommit=over == "autocommit") as theirs:
                with refusal as refused:
                    client.insert_many(jobs, kind="x", connection=theirs, **options)
                theirs.execute("select 1")  # the transaction has not failed
    assert refused.value.job_id == there.id
    assert holders(connection) == [there.id]
    assert len(client.list_jobs()) == 1


def test_a_job_over_their_connection_that_cannot_be_keeps_all_out(client: Client, connect: Connect) -> None:
    with connect() as theirs, pytest.raises(ValidationError, match=r"jobs\[10000\]"):
        client.insert_many(
            ({"n": n if n < 10_000 else float("nan")} for n in range(10_001)), kind="x", connection=theirs
        )
    assert client.list_jobs() == []


def test_a_hand_retried_job_takes_no_key_that_its_mask_does_not_give_it(working: Client) -> None:
    options = {"by_args": False, "states": ["scheduled"]}
    first = working.insert({"then": "fail"}, kind="act", delay=3600, max_attempts=1, unique_opts=options)
    working.cancel(first.id)
    second = working.insert({}, kind="act", delay=3600, unique_opts=options)
    assert working.retry(first.id).state == JobState.Available
    assert second.conflict is None


def test_each_of_many_may_have_options_of_its_own(client: Client) -> None:
    soon = datetime.now(timezone.utc) + timedelta(days=1)
    opts = [{"queue": "a", "priority": 1, "tags": ["x"]}, None, {"ordering_key": None, "run_at": soon, "timeout": 5}]
    many = client.insert_many([{}] * 3, kind="x", queue="b", ordering_key="k", opts=opts)
    jobs = [client.get_job(job_id) for job_id in many.ids]
    assert [(job.queue, job.priority, job.tags, job.ordering_key, job.timeout) for job in jobs] == [
        ("a", 1, ["x"], b"k", None),
        ("b", 2, [], b"k", None),
        ("b", 2, [], None, 5.0),
    ]
    assert jobs[2].run_at == soon


@pytest.mark.parametrize(
    ("opts", "says"),
    [
        ([], r"opts length must match jobs length \(got 0, expected 1\)"),
        ([{"colour": 1}], r"jobs\[0\]: unsupported opts key 'colour'; expected 'kind', .* or 'wake'"),
        ([{"queue": ""}], r"jobs\[0\]: opts queue must not be empty"),
        ([5], r"jobs\[0\]: opts is 5"),
        ({"queue": "x"}, "opts is of type dict; it must be a list"),
    ],
)
def test_opts_that_cannot_be_are_refused(client: Client, opts: Any, says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        client.insert_many([{}], kind="x", opts=opts)
    assert client.list_jobs() == []


def test_keys_go_with_the_retention_of_their_jobs(working: Client, connection: psycopg.Connection[Any]) -> None:
    from awa.engine import leaving, retire

    job = put(working)
    other = working.insert({}, kind="other", unique_opts={})
    working.work()
    seal_all(connection)
    assert retire.prune_keys(connection, leaving.Retention(completed_s=3600)) == 0
    assert holders(connection) == [job.id, other.id]
    retire.prune_keys(connection, leaving.Retention(completed_s=0))
    assert holders(connection) == [other.id]


@pytest.mark.parametrize("way", ["error", "skip"])
def test_a_job_that_waits_in_a_lease_keeps_the_key_it_holds_until_its_start(
    client: Client, connection: psycopg.Connection[Any], way: str
) -> None:
    """It may be handed back: with the key given away, two would wait with one key."""
    options = {"by_args": True, "states": ["scheduled", "available"], "on_conflict": way}
    first = client.insert({"n": 1}, kind="mail", unique_opts=options)
    seal_all(connection)
    worker = sign_in(connection)
    assert ids_of(take(connection, worker, 10, "mail")) == [first.id]
    if way == "error":
        with pytest.raises(UniqueConflict) as conflict:
            client.insert({"n": 1}, kind="mail", unique_opts=options)
        assert conflict.value.job_id == first.id
    else:
        assert client.insert({"n": 1}, kind="mail", unique_opts=options).id == first.id
    release(connection, worker)
    assert [job.id for job in client.list_jobs(state="available")] == [first.id]
    take(connection, worker, 10, "mail")
    begin(connection, worker, first.id)
    assert client.insert({"n": 1}, kind="mail", unique_opts=options).id != first.id
