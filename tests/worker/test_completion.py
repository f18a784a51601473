"""A handler that completes its job in a transaction of its own, with every library, inline."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from typing import Any

import psycopg
import psycopg2
import psycopg2.extras
import pytest
from psycopg.rows import dict_row
from sqlalchemy import create_engine, text
from sqlalchemy.orm import Session, scoped_session, sessionmaker
from sqlalchemy.pool import NullPool

import awa
from awa.errors import AwaError, LeaseLost, NotCommitted, SerializationError, StateConflict, ValidationError
from awa.job.model import Job
from awa.task.outcome import Snooze
from awa.telemetry import events
from tests.fixtures.ledger import configure_django
from tests.fixtures.waiting import until

pytestmark = pytest.mark.postgres

Handler = Callable[[Any], Any]
EFFECTS = (
    "create table effects (job bigint, what text, constraint once unique (job, what) deferrable initially deferred)"
)
INSERT = "insert into effects (job, what) values (%s, %s)"


class Library:
    """How an application uses one library: opens a connection, writes with it, and has a transaction of its own."""

    def __init__(self, name: str, dsn: str) -> None:
        self.name = name
        self._dsn = dsn

    def open(self) -> Any:
        if self.name == "psycopg":
            return psycopg.connect(self._dsn, row_factory=dict_row)
        if self.name == "psycopg autocommit":
            return psycopg.connect(self._dsn, autocommit=True)
        if self.name.startswith("psycopg2"):
            connection = psycopg2.connect(self._dsn, cursor_factory=psycopg2.extras.DictCursor)
            connection.autocommit = "autocommit" in self.name
            return connection
        if self.name.startswith("django"):
            return configured_django(self._dsn)
        _, driver, what = self.name.split()
        connect = psycopg.connect if driver == "psycopg" else psycopg2.connect
        engine = create_engine(f"postgresql+{driver}://", creator=lambda: connect(self._dsn), poolclass=NullPool)
        if what == "connection":
            return engine.connect()
        return scoped_session(sessionmaker(engine)) if what == "scoped" else Session(engine)

    def write(self, connection: Any, job: int, what: str = "effect") -> None:
        """Write a row of the application's."""
        if self.name.startswith("sqlalchemy"):
            connection.execute(text("insert into effects (job, what) values (:job, :what)"), {"job": job, "what": what})
        else:
            with connection.cursor() as cursor:
                cursor.execute(INSERT, (job, what))

    def transaction(self, connection: Any) -> Any:
        """The library's own block."""
        if self.name == "psycopg2 autocommit":
            return connection  # which begins one all the same
        if self.name.startswith("psycopg2"):
            return connection
        if self.name.startswith("psycopg"):
            return connection.transaction()
        if self.name.startswith("sqlalchemy"):
            return connection.begin()
        from django.db import transaction

        return transaction.atomic()

    def given(self, connection: Any) -> Any:
        """What is given to Awa."""
        return "default" if self.name == "django alias" else connection

    def close(self, connection: Any) -> None:
        if self.name.endswith("scoped"):
            connection.remove()
        else:
            connection.close()


def configured_django(dsn: str) -> Any:
    """Django's default connection, to a database."""
    configure_django(dsn)
    from django.db import connection

    return connection


LIBRARIES = (
    "psycopg",
    "psycopg autocommit",
    "psycopg2",
    "psycopg2 autocommit",
    "sqlalchemy psycopg session",
    "sqlalchemy psycopg scoped",
    "sqlalchemy psycopg connection",
    "sqlalchemy psycopg2 session",
    "sqlalchemy psycopg2 connection",
    "django",
    "django alias",
)


@pytest.fixture(params=LIBRARIES)
def library(request: pytest.FixtureRequest, database: str) -> Library:
    return Library(request.param, database)


class App:
    """One application with one kind of job."""

    def __init__(self, dsn: str) -> None:
        self.client = awa.Client(dsn)
        self.db: psycopg.Connection[Any] = psycopg.connect(dsn, autocommit=True)
        self.db.execute(EFFECTS)
        self.events: list[tuple[str, dict[str, Any]]] = []

    def run(self, handler: Handler, *, jobs: int = 1, max_attempts: int = 1) -> Job:
        """Insert jobs of this handler, work until they are done, and return the last one."""
        self.client.task(kind="job", replace=True)(handler)
        ids = self.client.insert_many([{}] * jobs, kind="job", max_attempts=max_attempts).ids
        end = events.subscribe(lambda event, fields: self.events.append((event, fields)))
        try:
            self.client.work()
        finally:
            end()
        return self.client.get_job(ids[-1])

    def effects(self) -> list[Any]:
        return self.db.execute("select job, what from effects order by 1, 2").fetchall()

    def names(self) -> list[str]:
        return [event for event, _ in self.events]


@pytest.fixture
def app(database: str) -> Iterator[App]:
    app = App(database)
    yield app
    app.client.close()
    app.db.close()


def error_of(job: Job) -> str:
    (error,) = job.errors
    return str(error["error"].partition("\n")[0])


# ------------------------------------------------------- what is promised


def test_a_transaction_of_the_jobs_own(app: App) -> None:
    @app.client.task(kind="next")
    def follow(job: Any) -> None: ...

    def handler(job: Any) -> str:
        with job.transaction() as tx:
            tx.execute("insert into effects values ($1, 'effect')", job.id)
            tx.insert({"after": job.id}, kind="next")
            tx.result = {"rows": 1}
        return "not the result"

    job = app.run(handler)
    assert (job.state.name, job.attempt, job.result, job.errors) == ("Completed", 1, {"rows": 1}, [])
    assert app.effects() == [(job.id, "effect")]
    (next_job,) = app.client.list_jobs(kind="next")
    assert (next_job.args, next_job.state.name) == ({"after": job.id}, "Completed")
    (attempt,) = app.client.attempts(job.id)
    assert attempt["cpu_s"] >= 0
    assert attempt["peak_kb"] > 1000
    assert attempt["started_at"] <= attempt["finished_at"]
    assert "settle.refused" not in app.names()
    assert [fields["state"].name for event, fields in app.events if event == "run.finished"] == ["Completed"] * 2


def test_complete_in_the_applications_transaction(app: App, library: Library) -> None:
    connection = library.open()

    def handler(job: Any) -> None:
        with library.transaction(connection):
            library.write(connection, job.id)
            job.complete(library.given(connection), {"by": library.name})

    job = app.run(handler, jobs=3)
    library.close(connection)
    assert (job.state.name, job.result) == ("Completed", {"by": library.name})
    assert [what for _, what in app.effects()] == ["effect"] * 3
    assert len(app.client.attempts(job.id)) == 1
    assert "settle.refused" not in app.names()
    assert [fields["state"].name for event, fields in app.events if event == "run.finished"] == ["Completed"] * 3
    assert [fields["by"] for event, fields in app.events if event == "settle.jobs"] == ["handler"] * 3


def test_a_block_on_the_applications_connection(app: App, library: Library) -> None:
    connection = library.open()

    def handler(job: Any) -> None:
        with job.transaction(library.given(connection), result=1) as tx:
            library.write(connection, job.id)
            tx.result += 1

    job = app.run(handler, jobs=3)
    library.close(connection)
    assert (job.state.name, job.result) == ("Completed", 2)
    assert [what for _, what in app.effects()] == ["effect"] * 3
    assert "settle.refused" not in app.names()


def test_what_raises_in_the_block_undoes_it(app: App, library: Library) -> None:
    connection = library.open()

    def handler(job: Any) -> str:
        with suppress(LookupError), job.transaction(library.given(connection)):
            library.write(connection, job.id)
            raise LookupError("no")
        library.given(connection)
        return "the handler goes on"

    job = app.run(handler)
    library.close(connection)
    assert (job.state.name, job.result) == ("Completed", "the handler goes on")
    assert app.effects() == []


def test_a_rollback_leaves_the_job_to_the_worker(app: App, library: Library) -> None:
    connection = library.open()

    def handler(job: Any) -> None:
        with library.transaction(connection):
            library.write(connection, job.id)
            job.complete(library.given(connection))
            raise LookupError("after all")

    job = app.run(handler)
    library.close(connection)
    assert (job.state.name, error_of(job)) == ("Failed", "LookupError: after all")
    assert app.effects() == []
    assert len(app.client.attempts(job.id)) == 1
    assert "settle.refused" not in app.names()


def test_tried_again_in_the_same_handler(app: App, library: Library) -> None:
    connection = library.open()

    def handler(job: Any) -> None:
        for attempt in range(3):
            with suppress(LookupError), library.transaction(connection):
                library.write(connection, job.id, str(attempt))
                job.complete(library.given(connection))
                if attempt < 2:
                    raise LookupError

    job = app.run(handler)
    library.close(connection)
    assert job.state.name == "Completed"
    assert app.effects() == [(job.id, "2")]


def test_what_the_handler_does_after_its_commit_changes_nothing(app: App, library: Library) -> None:
    connection = library.open()

    def handler(job: Any) -> None:
        with job.transaction(library.given(connection)):
            library.write(connection, job.id)
        raise LookupError("too late")

    job = app.run(handler)
    library.close(connection)
    assert (job.state.name, job.errors) == ("Completed", [])


def test_in_an_async_handler(app: App, database: str) -> None:
    async def handler(job: Any) -> None:
        with job.transaction() as tx:
            tx.execute("insert into effects values ($1, 'effect')", job.id)

    job = app.run(handler)
    assert job.state.name == "Completed"
    assert app.effects() == [(job.id, "effect")]


def test_inside_a_clients_transaction(app: App) -> None:
    def handler(job: Any) -> None:
        with app.client.transaction() as tx:
            tx.execute("insert into effects values ($1, 'effect')", job.id)
            job.complete(tx, 7)

    assert app.run(handler).result == 7


def test_savepoints_of_django(app: App, database: str) -> None:
    from django.db import transaction

    connection = configured_django(database)

    def handler(job: Any) -> str:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(INSERT, (job.id, "outer"))
            with suppress(LookupError), transaction.atomic():
                job.complete("default")
                raise LookupError
            if job.attempt == 2:
                job.complete(connection, "second")
        return "first"

    job = app.run(handler)
    assert (job.state.name, error_of(job).partition(":")[0]) == ("Failed", "NotCommitted")
    assert app.effects() == [(job.id, "outer")]
    connection.close()


# ------------------------------------------------------- what the worker makes of it


def test_not_committed(app: App, database: str) -> None:
    def handler(job: Any) -> None:
        with closing(psycopg.connect(database)) as connection:
            connection.execute(INSERT, (job.id, "effect"))
            job.complete(connection)

    job = app.run(handler)
    assert error_of(job).startswith("NotCommitted: the handler returned, but the transaction in which")
    assert app.effects() == []


def test_left_open(app: App, database: str, connect: Any) -> None:
    """The handler's own mistake: the session ends it, because the server does not let it keep the lease."""
    open_one = connect(autocommit=False)
    open_one.execute("set idle_in_transaction_session_timeout = '200ms'")

    def handler(job: Any) -> None:
        open_one.execute(INSERT, (job.id, "effect"))
        job.complete(open_one)

    open_one.commit()
    with pytest.raises(AwaError, match="left its transaction open"):
        app.run(handler)
    (job,) = app.client.list_jobs(kind="job")
    assert error_of(job).startswith("NotCommitted: the handler returned, but the transaction in which it had")
    assert "was left open" in error_of(job)
    assert app.effects() == []
    assert "run.transaction_left_open" in app.names()


def test_a_transaction_of_the_jobs_own_that_is_forgotten(app: App) -> None:
    """Rows must not be lost while the job counts as completed."""

    def handler(job: Job) -> None:
        job.transaction().execute("insert into effects values ($1, 'forgotten')", job.id)

    job = app.run(handler)
    assert error_of(job).startswith("NotCommitted: the handler returned and had left open what job.transaction() gave")
    assert (app.effects(), app.names().count("run.transaction_left_open")) == ([], 0)


def test_a_block_in_a_generator_that_is_kept(app: App, connect: Any) -> None:
    """Its connection must not stay away: the next jobs need one."""
    kept = []

    def block(job: Job) -> Iterator[None]:
        with job.transaction() as tx:
            tx.execute("insert into effects values ($1, 'half')", job.id)
            yield

    def handler(job: Job) -> None:
        if job.attempt == 1:
            kept.append(block(job))
            next(kept[-1])
            raise ValueError("first")

    app.run(handler, jobs=3, max_attempts=2)
    assert len(kept) == 3
    query = "select count(*) from pg_stat_activity where datname = current_database() and state like 'idle in%'"
    until(lambda: app.db.execute(query).fetchone() == (0,), message="no transaction is left open")
    assert app.effects() == []


@pytest.mark.parametrize("begins", ["before", "after"])
def test_a_thread_left_behind_does_not_count_for_the_next_job(app: App, begins: str) -> None:
    """Both are in one lease, as short jobs are: the first one is not settled yet when the thread would commit."""
    is_over, tried = threading.Event(), threading.Event()
    refused: list[str] = []

    def late(transaction: Any) -> None:
        try:
            if begins == "after":
                assert is_over.wait(30)
            with transaction as tx:
                tx.execute("insert into effects values (1, 'late')")
                began.set()
                assert is_over.wait(30)
        except AwaError as error:
            refused.append(str(error))
        tried.set()

    def handler(job: Job) -> Any:
        ran.append(job.id)
        if len(ran) == 118:
            threading.Thread(target=late, args=(job.transaction(),)).start()
            assert begins == "after" or began.wait(30)
            return Snooze(3600)
        if len(ran) == 119:
            is_over.set()
            assert tried.wait(30)
        return "mine"

    began, ran = threading.Event(), list[int]()
    app.run(handler, jobs=120)
    left, next_one = (app.client.get_job(ran[position]) for position in (117, 118))
    assert (left.state.name, next_one.state.name, next_one.result) == ("Scheduled", "Completed", "mine")
    assert app.effects() == []
    assert "had ended" in refused[0] or "has ended" in refused[0]


def test_a_thread_still_at_it_ends_the_worker(app: App) -> None:
    """What it does can neither be waited for nor undone from here."""
    began = threading.Event()

    def busy(job: Job) -> None:
        with suppress(AwaError), job.transaction() as tx:
            tx.execute("insert into effects values ($1, 'busy')", job.id)
            began.set()
            tx.execute("select pg_sleep(1)")

    threads: list[threading.Thread] = []

    def handler(job: Job) -> None:
        threads.append(threading.Thread(target=busy, args=(job,)))
        threads[0].start()
        assert began.wait(30)
        until(lambda: app.db.execute("select 1 from pg_stat_activity where query like 'select pg_sleep%'").fetchall())

    with pytest.raises(AwaError, match="left its transaction open"):
        app.run(handler)
    threads[0].join()
    assert app.effects() == []
    assert "run.transaction_left_open" in app.names()


@pytest.mark.parametrize("how", ["complete", "transaction", "inside", "own"])
def test_a_closed_connection(app: App, connect: Any, how: str) -> None:
    """Said to be what it is."""

    def handler(job: Job) -> None:
        connection = connect()
        if how == "own":
            with job.transaction() as tx:
                tx.connection.close()
        elif how == "inside":
            with job.transaction(connection):
                connection.close()
        else:
            connection.close()
            if how == "complete":
                job.complete(connection)
            with job.transaction(connection):
                pass

    error = error_of(app.run(handler))
    assert "closed" in error or "was ended inside the block" in error
    assert "autocommit" not in error


def test_a_transaction_begun_after_the_commit_is_none_of_its_business(app: App, connect: Any) -> None:
    connection = connect(autocommit=False)

    def handler(job: Any) -> None:
        job.complete(connection)
        connection.commit()
        connection.execute("select 1")

    assert app.run(handler, jobs=2).state.name == "Completed"


def test_a_commit_that_fails_is_the_handlers_failure(app: App) -> None:
    app.db.execute("insert into effects values (0, 'taken')")

    def handler(job: Any) -> str:
        try:
            with job.transaction() as tx:
                tx.execute("insert into effects values (0, 'taken')")
        except awa.UniqueConflict:
            return "somebody was faster"
        return "unreachable"

    assert app.run(handler).result == "somebody was faster"


def test_a_session_that_is_killed_before_its_commit(app: App) -> None:
    def handler(job: Any) -> None:
        with job.transaction() as tx:
            pid = tx.connection.info.backend_pid
            tx.execute("insert into effects values ($1, 'effect')", job.id)
            app.db.execute("select pg_terminate_backend(%s, 5000)", [pid])

    job = app.run(handler, jobs=2)  # and the worker opens another one
    assert error_of(job).startswith("DatabaseError: could not complete the job:")
    assert app.effects() == []


def test_the_workers_connection_breaks_meanwhile(app: App, database: str) -> None:
    """It cannot ask what became of the transaction: so it settles later, and takes a refusal for an answer."""

    def handler(job: Any) -> None:
        with app.client.transaction() as tx:
            job.complete(tx)
        app.db.execute(
            "select pg_terminate_backend(pid, 5000) from pg_stat_activity where application_name = 'awa inline worker' "
            "and datname = current_database()"
        )

    with pytest.raises(AwaError):  # inline work does not go on over another connection
        app.run(handler)
    (job,) = app.client.list_jobs(kind="job")
    assert job.state.name == "Completed"


def test_cancelled_in_the_block(app: App, library: Library) -> None:
    connection = library.open()

    def handler(job: Any) -> None:
        with job.transaction(library.given(connection)):
            library.write(connection, job.id)
            app.client.cancel(job.id)

    job = app.run(handler)
    library.close(connection)
    assert job.state.name == "Cancelled"
    assert app.effects() == []
    assert "settle.refused" in app.names()
    assert next(fields["error"] for event, fields in app.events if event == "run.finished").startswith("LeaseLost:")


def test_cancelled_after_the_completion_was_written(app: App, database: str) -> None:
    refused: list[Exception] = []

    def cancel(job: int) -> None:
        try:
            app.client.cancel(job)
        except StateConflict as error:
            refused.append(error)

    def handler(job: Any) -> None:
        with psycopg.connect(database) as connection:
            job.complete(connection)
            cancelling = threading.Thread(target=cancel, args=[job.id])
            cancelling.start()
            until(lambda: app.db.execute("select from pg_locks where not granted").fetchall())
        cancelling.join()

    assert app.run(handler).state.name == "Completed"
    assert len(refused) == 1


# ------------------------------------------------------- refusals


def test_what_is_no_result(app: App) -> None:
    def handler(job: Any) -> None:
        with job.transaction() as tx:
            tx.result = awa.RetryAfter(1)

    assert error_of(app.run(handler)).startswith("ValidationError: RetryAfter(seconds=1) is no result")


def test_a_result_that_cannot_be_stored(app: App) -> None:
    def handler(job: Any) -> None:
        with job.transaction() as tx:
            tx.result = object()

    job = app.run(handler)
    assert job.state.name == "Completed"
    with pytest.raises(SerializationError):
        app.client.wait(job.id)


@pytest.mark.parametrize("name", ["psycopg autocommit", "psycopg2 autocommit", "django"])
def test_autocommit_is_refused(app: App, database: str, name: str) -> None:
    library = Library(name, database)
    connection = library.open()

    def handler(job: Any) -> None:
        job.complete(connection)

    job = app.run(handler)
    library.close(connection)
    assert "is in autocommit mode and in no transaction" in error_of(job)


@pytest.mark.parametrize("driver", ["psycopg", "psycopg2"])
def test_autocommit_below_sqlalchemy_is_refused(app: App, database: str, driver: str) -> None:
    library = psycopg if driver == "psycopg" else psycopg2
    engine = create_engine(
        f"postgresql+{driver}://", creator=lambda: library.connect(database), isolation_level="AUTOCOMMIT"
    )

    def handler(job: Any) -> None:
        with Session(engine) as session, job.transaction(session):
            raise AssertionError("unreachable")

    assert "is in autocommit mode" in error_of(app.run(handler))
    engine.dispose()


def test_a_block_does_not_end_a_transaction_it_has_not_begun(app: App, library: Library) -> None:
    connection = library.open()

    def handler(job: Any) -> None:
        with library.transaction(connection):
            library.write(connection, job.id)
            with job.transaction(library.given(connection)):
                raise AssertionError("unreachable")

    job = app.run(handler)
    library.close(connection)
    assert "is in a transaction already" in error_of(job)
    assert app.effects() == []


def test_a_block_whose_transaction_was_ended_inside(app: App, database: str) -> None:
    def handler(job: Any) -> None:
        connection = psycopg2.connect(database)
        with closing(connection), job.transaction(connection):
            connection.commit()

    assert "was ended inside the block" in error_of(app.run(handler))


def test_twice(app: App, database: str) -> None:
    came_through: list[bool] = []

    def handler(job: Any) -> None:
        with psycopg.connect(database) as connection:
            job.complete(connection)
            with pytest.raises(AwaError, match="has been completed already"):
                job.complete(connection)
            with pytest.raises(AwaError, match="still open on another connection"), job.transaction():
                pass
        with pytest.raises(AwaError, match="has been completed already"), job.transaction():
            pass
        with psycopg.connect(database) as connection, pytest.raises(AwaError, match="has been completed already"):
            job.complete(connection)
        came_through.append(True)

    job = app.run(handler)
    assert came_through
    assert (job.state.name, len(app.client.attempts(job.id))) == ("Completed", 1)


def test_after_the_handler(app: App) -> None:
    kept: list[Any] = []
    app.run(kept.append)
    for call in (lambda: kept[0].complete(app.db), kept[0].transaction):
        with pytest.raises(RuntimeError, match="is not running any more"):
            call()


def test_in_a_forked_child(app: App, connect: Any) -> None:
    """The child comes to grief in the parent's block, and must leave the parent's transaction alone."""
    connection = connect()

    def handler(job: Any) -> None:
        ours, theirs = socket.socketpair()
        with ours, theirs, job.transaction(connection) as tx:
            connection.execute(INSERT, (job.id, "effect"))
            pid = os.fork()
            if pid == 0:
                try:
                    job.complete(connection)
                except AwaError as error:
                    theirs.send(str(error).encode())
                raise LookupError("the child")
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 1
            tx.result = ours.recv(1000).decode()

    job = app.run(handler)
    assert "forked from it" in job.result
    assert app.effects() == [(job.id, "effect")]


def test_another_database(app: App, superuser_dsn: str) -> None:
    def handler(job: Any) -> None:
        with psycopg.connect(superuser_dsn) as connection:
            job.complete(connection)

    assert "leads to another database than the one" in error_of(app.run(handler))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (object(), "builtins.object is no connection known here"),
        ("nowhere", "nowhere"),
        (psycopg.AsyncConnection, "is no connection known here"),
    ],
)
def test_what_is_no_connection(app: App, database: str, given: Any, said: str) -> None:
    configured_django(database)
    assert said in error_of(app.run(lambda job: job.complete(given)))


def test_other_databases_below_the_libraries(app: App, database: str) -> None:
    configured_django(database)
    assert "is to SQLite, not to PostgreSQL" in error_of(app.run(lambda job: job.complete("lite")))
    engine = create_engine("sqlite://")
    with engine.connect() as connection:
        assert "uses the driver 'pysqlite'" in error_of(app.run(lambda job: job.complete(connection)))
    engine.dispose()


def test_the_errors_are_ours() -> None:
    assert issubclass(LeaseLost, AwaError)
    assert issubclass(NotCommitted, AwaError)
    assert issubclass(ValidationError, AwaError)
