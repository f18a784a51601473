"""Where connections come from: the client's own, a pool of the caller's, one connection of the caller's."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import psycopg
import psycopg_pool
import pytest
from psycopg.rows import dict_row, kwargs_row
from psycopg.types.json import set_json_loads

from awa import Client, DatabaseError, JobState
from awa.database import pool as own_pool
from awa.database.pool import Pool
from tests.client.kinds import SendEmail
from tests.fixtures.waiting import until

IDLE = psycopg.pq.TransactionStatus.IDLE
Connection = psycopg.Connection[Any]


@pytest.fixture
def pool(database: str) -> Iterator[psycopg_pool.ConnectionPool[Any]]:
    with psycopg_pool.ConnectionPool(database, min_size=1, max_size=2, kwargs={"row_factory": dict_row}) as pool:
        yield pool


def jobs_seen_by(onlooker: Connection) -> int:
    row = onlooker.execute("select count(*) from awa.job_log").fetchone()
    assert row is not None
    return int(row[0])


# A connection of the caller's


@pytest.fixture(params=["plain", "dict rows", "kwargs rows", "client cursor", "server cursor", "raw json", "binary"])
def callers(request: pytest.FixtureRequest, connect: Any) -> Connection:
    """A connection the caller has set up in some way."""
    match request.param:
        case "dict rows":
            made = connect(autocommit=False, row_factory=dict_row)
        case "kwargs rows":
            made = connect(autocommit=False, row_factory=kwargs_row(dict))
        case "client cursor":
            made = connect(autocommit=False, cursor_factory=psycopg.ClientCursor)
        case "raw json":
            made = connect(autocommit=False)
            set_json_loads(bytes, made)
        case "server cursor":
            made = connect(autocommit=False, cursor_factory=psycopg.RawCursor)
        case "binary":
            made = connect(autocommit=False, prepare_threshold=0)
        case _:
            made = connect(autocommit=False)
    return made


def test_it_joins_the_callers_transaction_and_never_commits(callers: Connection, connection: Connection) -> None:
    client = Client(callers)
    job = client.insert(SendEmail("a"), tags=["t"], metadata={"m": 1})
    assert client.insert_many([{"n": 1}] * 3, kind="dict").inserted == 3
    assert [each.kind for each in client.insert_many_copy([{}], kind="dict")] == ["dict"]
    assert client.get_job(job.id) == job
    assert len(client.list_jobs(kind="dict")) == 4
    client.close()
    assert (callers.closed, jobs_seen_by(connection)) == (False, 0)
    callers.rollback()
    assert jobs_seen_by(connection) == 0
    client = Client(callers)
    client.insert({}, kind="dict")
    client.insert_many([{}], kind="dict")
    callers.commit()
    assert jobs_seen_by(connection) == 2


def test_a_bulk_insert_that_begins_the_callers_transaction_does_not_commit_it(
    connect: Any, connection: Connection
) -> None:
    callers = connect(autocommit=False)
    Client(callers).insert_many([{}], kind="dict")
    assert callers.info.transaction_status != IDLE
    assert jobs_seen_by(connection) == 0
    callers.commit()
    assert jobs_seen_by(connection) == 1


def test_a_refused_bulk_insert_leaves_the_callers_transaction_usable(connect: Any, connection: Connection) -> None:
    callers = connect(autocommit=False)
    client = Client(callers)
    client.insert({}, kind="dict")
    with pytest.raises(Exception, match="args"):
        client.insert_many([*[{}] * 20_000, {"a": {1}}], kind="dict")
    callers.commit()
    assert jobs_seen_by(connection) == 1


def test_on_an_autocommit_connection_each_call_stands_alone(connect: Any, connection: Connection) -> None:
    callers = connect(autocommit=True)
    client = Client(callers)
    client.insert({}, kind="dict")
    with pytest.raises(Exception, match="args"):
        client.insert_many([*[{}] * 20_000, {"a": {1}}], kind="dict")
    assert (jobs_seen_by(connection), callers.info.transaction_status) == (1, IDLE)


def test_inside_the_callers_block_a_transaction_is_a_savepoint(connect: Any, connection: Connection) -> None:
    callers = connect(autocommit=True)
    client = Client(callers)
    with callers.transaction():
        with client.transaction() as tx:
            tx.insert({}, kind="dict")
        with client.transaction() as tx:
            tx.insert({}, kind="dict")
            tx.rollback()
        assert jobs_seen_by(connection) == 0
    assert jobs_seen_by(connection) == 1


def test_a_failed_transaction_of_the_callers_says_to_roll_back(connect: Any) -> None:
    callers = connect(autocommit=False)
    with pytest.raises(psycopg.errors.UndefinedTable):
        callers.execute("select * from nowhere")
    with pytest.raises(DatabaseError, match="could not insert a job: the transaction has failed already; roll it back"):
        Client(callers).insert({}, kind="dict")
    callers.rollback()
    assert Client(callers).insert({}, kind="dict").state is JobState.Available


def test_steering_on_the_callers_connection(connect: Any, client: Client) -> None:
    callers = connect(autocommit=True, row_factory=dict_row)
    theirs = Client(callers)
    job = theirs.insert({}, kind="dict", queue="q")
    assert theirs.cancel(job.id).state is JobState.Cancelled
    assert theirs.retry(job.id).state is JobState.Available
    theirs.pause_queue("q", "me")
    assert [(each.queue, each.paused) for each in theirs.queue_stats()] == [("q", True)]
    theirs.resume_queue("q")
    assert client.queue_stats()[0].paused is False


def test_the_isolation_level_of_the_callers_connection_stays(connect: Any, client: Client) -> None:
    for autocommit in (True, False):
        callers = connect(autocommit=autocommit)
        callers.isolation_level = psycopg.IsolationLevel.SERIALIZABLE
        job = client.insert({}, kind="dict")
        assert Client(callers).cancel(job.id).state is JobState.Cancelled
        if not autocommit:
            callers.rollback()
        Client(callers).queue_stats()
        assert callers.isolation_level is psycopg.IsolationLevel.SERIALIZABLE


def test_cancel_joins_the_callers_transaction(connect: Any, client: Client) -> None:
    job = client.insert({}, kind="dict", run_at="2040-01-01T00:00:00Z")
    client.queue_stats()  # seals
    callers = connect(autocommit=False)
    assert Client(callers).cancel(job.id).state is JobState.Cancelled
    assert client.get_job(job.id).state is JobState.Scheduled
    callers.rollback()
    assert client.get_job(job.id).state is JobState.Scheduled


def test_an_unsealed_job_can_be_cancelled_over_a_connection_that_has_begun_nothing(
    connect: Any, client: Client
) -> None:
    job = client.insert({}, kind="dict")
    callers = connect(autocommit=False)
    assert Client(callers).cancel(job.id).state is JobState.Cancelled
    callers.commit()
    assert client.get_job(job.id).state is JobState.Cancelled


def test_the_address_of_the_callers_connection_is_known(connect: Any, database: str) -> None:
    client = Client(connect())
    client.task(None, kind="k")(lambda job: None)
    client.insert({}, kind="k")
    assert client.dsn is not None
    assert client.work() == 1


# A pool of the caller's


def test_each_call_over_a_pool_commits_and_gives_the_connection_back(
    pool: psycopg_pool.ConnectionPool[Any], connection: Connection
) -> None:
    with Client(pool) as client:
        job = client.insert(SendEmail("a"))
        client.insert_many([{}] * 3, kind="dict")
        assert jobs_seen_by(connection) == 4
        assert client.cancel(job.id).state is JobState.Cancelled
        assert client.retry(job.id).args == {"to": "a", "subject": "Kia ora"}
        with client.transaction() as tx:
            tx.insert({}, kind="dict")
            assert tx.fetch_one("select 1 as n") == {"n": 1}
        with suppress(ZeroDivisionError), client.transaction() as tx:
            tx.insert({}, kind="dict")
            1 / 0  # noqa: B018
        assert jobs_seen_by(connection) == 5
    assert not pool.closed
    with pool.connection() as theirs:
        assert (theirs.autocommit, theirs.row_factory) == (False, dict_row)


def test_a_closed_pool_is_a_database_error(database: str) -> None:
    client = Client(psycopg_pool.ConnectionPool(database, open=False))
    with pytest.raises(DatabaseError, match="could not insert a job: .*not open"):
        client.insert({}, kind="dict")


def test_the_address_of_a_pool_includes_its_keywords(database: str) -> None:
    pool = psycopg_pool.ConnectionPool(database, kwargs={"connect_timeout": 7, "autocommit": True}, open=False)
    assert "connect_timeout=7" in str(Client(pool).dsn)


# The client's own


def test_threads_share_a_client(database: str) -> None:
    with Client(database, max_connections=3) as client:

        def some(n: int) -> int:
            with client.transaction() as tx:
                tx.insert({"n": n}, kind="dict")
                return tx.connection.info.backend_pid

        with ThreadPoolExecutor(12) as threads:
            backends = list(threads.map(some, range(200)))
        assert (len(client.list_jobs(limit=1000)), len(set(backends))) == (200, len({*backends}))
        assert len(set(backends)) <= 3


def test_waiting_for_a_connection_in_vain_says_how_to_have_more(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_pool, "WAIT_S", 0.05)
    client = Client(database, max_connections=1)
    with client, client.transaction(), pytest.raises(DatabaseError, match="all 1 conn.* larger max_connections"):
        client.insert({}, kind="dict")


def test_a_waiter_gets_the_connection_somebody_returns(database: str) -> None:
    with Client(database, max_connections=1) as client:
        transaction = client.transaction().__enter__()
        waiter = threading.Thread(target=client.insert, args=({},), kwargs={"kind": "dict"})
        waiter.start()
        transaction.commit()
        waiter.join(10)
        assert len(client.list_jobs()) == 1


def test_connections_the_server_ended_are_replaced_unnoticed(
    database: str, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(own_pool, "UNCHECKED_S", 0.0)
    with Client(database) as client:
        with client.transaction(), client.transaction(), client.transaction():
            pass
        ended = connection.execute(
            "select pg_terminate_backend(pid, 5000) from pg_stat_activity"
            " where application_name = 'awa client' and datname = current_database()"
        ).fetchall()
        assert ended == [(True,)] * 3
        for _ in range(5):
            client.insert({}, kind="dict")


def test_only_a_connection_that_was_not_in_use_a_moment_ago_is_looked_at(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[object] = []
    monkeypatch.setattr(own_pool, "is_alive", lambda connection: looks.append(connection) or True)
    with Client(database) as client:
        client.insert({}, kind="x")
        for moment_s, seen in ((3600.0, 0), (0.0, 1)):
            monkeypatch.setattr(own_pool, "UNCHECKED_S", moment_s)
            client.insert({}, kind="x")
            assert len(looks) == seen


def test_a_connection_idle_for_long_is_closed(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[Connection] = []

    def open_one() -> Connection:
        opened.append(psycopg.connect(database, autocommit=True))
        return opened[-1]

    pool = Pool(open_one, 2)
    with pool.connection() as older, pool.connection() as newer:
        pass
    monkeypatch.setattr(own_pool, "IDLE_S", -1.0)
    with pool.connection():
        pass
    assert (older.closed, newer.closed) == (True, True)
    monkeypatch.undo()
    with pool.connection() as third:
        assert not third.closed
    assert len(opened) == 3
    pool.close()
    assert third.closed


def test_a_connection_left_in_a_transaction_is_not_used_again(database: str) -> None:
    pool = Pool(lambda: psycopg.connect(database, autocommit=True), 1)
    with pool.connection() as first:
        first.execute("begin")
    with pool.connection() as second:
        assert (first.closed, second.info.transaction_status) == (True, IDLE)
    pool.close()


def test_nor_is_one_left_in_a_pipeline(database: str) -> None:
    """Over it the driver would wait for ever for what it has not asked for."""
    pool = Pool(lambda: psycopg.connect(database, autocommit=True), 1)
    with pool.connection() as first:
        first.pgconn.enter_pipeline_mode()
    with pool.connection() as second:
        assert first.closed
        assert second.execute("select 1").fetchone() == (1,)
    pool.close()


def test_a_connection_in_use_while_the_pool_closes_is_closed_when_it_comes_back(database: str) -> None:
    pool = Pool(lambda: psycopg.connect(database, autocommit=True), 1)
    with pool.connection() as connection:
        pool.close()
        assert not connection.closed
    until(lambda: connection.closed)


def test_failing_to_connect_uses_no_place_up(database: str) -> None:
    class Away(Exception):
        pass

    def fail() -> Connection:
        raise Away

    pool = Pool(fail, 1)
    for _ in range(3):
        with pytest.raises(Away), pool.connection():
            pass


@pytest.mark.parametrize("end", ["", "del client", "client.close()"])
def test_a_process_that_ends_says_goodbye_whether_it_closed_its_client_or_not(database: str, end: str) -> None:
    code = f"import awa; client = awa.Client({database!r}); client.insert({{}}, kind='dict'); {end}"
    done = subprocess.run([sys.executable, "-X", "dev", "-c", code], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
