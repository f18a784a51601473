"""Jobs inserted over the application's own connection: the same in every library, and never committed here."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import datetime, timedelta, timezone
from typing import Any

import asyncpg
import psycopg
import psycopg2
import pytest
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import create_engine
from sqlalchemy.ext.asyncio import AsyncSession, async_scoped_session, async_sessionmaker, create_async_engine
from sqlalchemy.orm import Session, scoped_session, sessionmaker
from sqlalchemy.pool import NullPool

import awa
from awa import Client, DatabaseError, JobState, UniqueConflict, bridge
from tests.fixtures.ledger import configure_django

Opened = tuple[Any, Callable[[], Any], Callable[[], Any]]
"""A connection in a transaction, its commit and its rollback."""


def url(dsn: str, driver: str) -> str:
    given = conninfo_to_dict(dsn)
    query = f"?host={given['host']}&port={given['port']}" if str(given["host"]).startswith("/") else ""
    place = "" if query else f"{given['host']}:{given['port']}"
    return f"postgresql+{driver}://{given['user']}@{place}/{given['dbname']}{query}"


@contextmanager
def with_psycopg(dsn: str) -> Iterator[Opened]:
    with psycopg.connect(dsn, row_factory=psycopg.rows.dict_row) as connection:
        yield connection, connection.commit, connection.rollback


@contextmanager
def with_psycopg2(dsn: str) -> Iterator[Opened]:
    connection = psycopg2.connect(dsn)
    yield connection, connection.commit, connection.rollback
    connection.close()


def with_alchemy(driver: str, what: str) -> Callable[[str], Any]:
    @contextmanager
    def opened(dsn: str) -> Iterator[Opened]:
        engine = create_engine(url(dsn, driver), poolclass=NullPool)
        if what == "connection":
            with engine.connect() as connection:
                yield connection, connection.commit, connection.rollback
        elif what == "session":
            with Session(engine) as session:
                yield session, session.commit, session.rollback
        else:
            registry = scoped_session(sessionmaker(engine))
            yield registry, registry.commit, registry.rollback
            registry.remove()

    return opened


@contextmanager
def with_django(dsn: str) -> Iterator[Opened]:
    configure_django(dsn)
    from django.db import connection, transaction

    transaction.set_autocommit(False)
    try:
        yield connection, transaction.commit, transaction.rollback
        transaction.rollback()
    finally:
        transaction.set_autocommit(True)
        connection.close()


@contextmanager
def with_django_alias(dsn: str) -> Iterator[Opened]:
    with with_django(dsn) as (_, commit, rollback):
        yield "default", commit, rollback


SYNCHRONOUS: dict[str, Callable[[str], Any]] = {
    "psycopg": with_psycopg,
    "psycopg2": with_psycopg2,
    "django": with_django,
    "django-alias": with_django_alias,
    **{
        f"sqlalchemy-{driver}-{what}": with_alchemy(driver, what)
        for driver in ("psycopg", "psycopg2")
        for what in ("connection", "session", "scoped")
    },
}


@asynccontextmanager
async def with_async_psycopg(dsn: str) -> AsyncIterator[Opened]:
    connection = await psycopg.AsyncConnection.connect(dsn)
    yield connection, connection.commit, connection.rollback
    await connection.close()


@asynccontextmanager
async def with_asyncpg(dsn: str) -> AsyncIterator[Opened]:
    given = conninfo_to_dict(dsn)
    connection = await asyncpg.connect(
        host=given["host"], port=given["port"], user=given["user"], database=given["dbname"]
    )
    transaction = connection.transaction()
    await transaction.start()
    yield connection, transaction.commit, transaction.rollback
    await connection.close()


@asynccontextmanager
async def with_asyncpg_pool(dsn: str) -> AsyncIterator[Opened]:
    given = conninfo_to_dict(dsn)
    options = {"host": given["host"], "port": given["port"], "user": given["user"], "database": given["dbname"]}
    async with asyncpg.create_pool(**options, min_size=1) as pool, pool.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        yield connection, transaction.commit, transaction.rollback


def with_async_alchemy(driver: str, what: str) -> Callable[[str], Any]:
    @asynccontextmanager
    async def opened(dsn: str) -> AsyncIterator[Opened]:
        engine = create_async_engine(url(dsn, driver), poolclass=NullPool)
        if what == "connection":
            async with engine.connect() as connection:
                yield connection, connection.commit, connection.rollback
        elif what == "session":
            async with AsyncSession(engine) as session:
                yield session, session.commit, session.rollback
        else:
            registry = async_scoped_session(async_sessionmaker(engine), asyncio.current_task)
            yield registry, registry.commit, registry.rollback
            await registry.remove()
        await engine.dispose()

    return opened


ASYNCHRONOUS: dict[str, Callable[[str], Any]] = {
    "psycopg": with_async_psycopg,
    "asyncpg": with_asyncpg,
    "asyncpg-pool": with_asyncpg_pool,
    **{
        f"sqlalchemy-{driver}-{what}": with_async_alchemy(driver, what)
        for driver in ("psycopg", "asyncpg")
        for what in ("connection", "session", "scoped")
    },
}

SOON = datetime.now(timezone.utc) + timedelta(days=2)
OPTIONS: dict[str, Any] = {
    "kind": "mail",
    "queue": "é,{}\"'",
    "priority": 3,
    "max_attempts": 7,
    "timeout": 1.5,
    "tags": ["a", 'b"\\', "{c,d}", "e%s", "f$1:x"],
    "metadata": {"m": ["%(x)s", 1]},
    "delay": 60,
    "expires_at": SOON,
    "unique_opts": {"by_queue": True},
    "ordering_key": b"\x00\xff",
}
ARGS = {"text": "ü \\ \" ' % $1 :x {} \t\n", "n": 2**40, "f": 1.5, "none": None, "deep": [{"a": [True]}]}


def same_as_stored(client: Client, job: awa.Job) -> None:
    stored = client.get_job(job.id)
    for name in ("kind", "queue", "priority", "max_attempts", "timeout", "tags", "metadata", "args", "state", "run_at",
                 "created_at", "expires_at", "unique_key", "ordering_key"):  # fmt: skip
        assert getattr(job, name) == getattr(stored, name), name
    assert (job.args, job.tags, job.state, job.expires_at) == (ARGS, OPTIONS["tags"], JobState.Scheduled, SOON)


class Driven:
    """One library, driven from synchronous code, whether it is asynchronous or not."""

    def __init__(self, client: Client, dsn: str, name: str, is_async: bool) -> None:
        self.client = client
        self.dsn = dsn
        self.name = name
        self.is_async = is_async

    def run(self, story: Callable[[Any, Callable[..., Any], Any, Any], Any]) -> None:
        """Call `story(connection, insert, commit, rollback)`, a generator that yields what is to be awaited or has been
        done."""
        if not self.is_async:
            with SYNCHRONOUS[self.name](self.dsn) as (connection, commit, rollback):
                self._drive(story(connection, self.client.insert, commit, rollback))
        else:
            asyncio.run(self._awaited(story))

    @staticmethod
    def _drive(steps: Any) -> None:
        value = None
        try:
            while True:
                step = steps.send(value)
                try:
                    value = step()
                except Exception as error:
                    value = error
        except StopIteration:
            return

    async def _awaited(self, story: Any) -> None:
        async with awa.AsyncClient(self.dsn) as client, ASYNCHRONOUS[self.name](self.dsn) as (it, commit, rollback):
            steps, value = story(it, client.insert, commit, rollback), None
            try:
                while True:
                    step = steps.send(value)
                    try:
                        value = await step()
                    except Exception as error:
                        value = error
            except StopIteration:
                return


@pytest.fixture(params=[f"{name}" for name in SYNCHRONOUS] + [f"async {name}" for name in ASYNCHRONOUS])
def driven(request: pytest.FixtureRequest, client: Client, database: str) -> Driven:
    name = request.param
    return Driven(client, database, name.removeprefix("async "), name.startswith("async "))


def ok(value: Any) -> Any:
    if isinstance(value, BaseException):
        raise value
    return value


def test_every_option_arrives_and_the_caller_commits(driven: Driven) -> None:
    def story(connection: Any, insert: Any, commit: Any, rollback: Any) -> Any:
        job = ok((yield lambda: insert(ARGS, connection=connection, **OPTIONS)))
        assert driven.client.list_jobs() == []
        ok((yield commit))
        same_as_stored(driven.client, job)

    driven.run(story)
    assert len(driven.client.list_jobs()) == 1


def test_rolled_back_it_never_was(driven: Driven) -> None:
    def story(connection: Any, insert: Any, commit: Any, rollback: Any) -> Any:
        ok((yield lambda: insert(ARGS, session=connection, kind="mail", unique_opts={})))
        ok((yield rollback))

    driven.run(story)
    assert driven.client.list_jobs() == []
    driven.client.insert(ARGS, kind="mail", unique_opts={})


@pytest.mark.parametrize("on_conflict", ["error", "skip", "replace"])
def test_a_conflict_is_the_same_everywhere_and_the_transaction_goes_on(driven: Driven, on_conflict: str) -> None:
    first = driven.client.insert({"n": 1}, kind="mail", unique_opts={"by_args": False})

    def story(connection: Any, insert: Any, commit: Any, rollback: Any) -> Any:
        options = {"by_args": False, "on_conflict": on_conflict}
        met = yield lambda: insert({"n": 2}, kind="mail", unique_opts=options, connection=connection)
        if on_conflict == "error":
            assert isinstance(met, UniqueConflict)
            assert met.job_id == first.id
        else:
            assert (ok(met).id, met.conflict, met.args["n"]) == (
                first.id, *(("skipped", 1) if on_conflict == "skip" else ("replaced", 2)),
            )  # fmt: skip
        ok((yield lambda: insert({}, kind="other", connection=connection)))
        ok((yield commit))

    driven.run(story)
    assert [job.kind for job in driven.client.list_jobs()] == ["other", "mail"]


def test_a_failed_transaction_is_said(driven: Driven) -> None:
    def story(connection: Any, insert: Any, commit: Any, rollback: Any) -> Any:
        error = yield lambda: break_it(connection, driven)
        assert isinstance(error, Exception)
        refused = yield lambda: insert({}, kind="mail", connection=connection)
        assert isinstance(refused, DatabaseError), refused
        assert "the transaction has failed already; roll it back" in str(refused)
        ok((yield rollback))
        ok((yield lambda: insert({}, kind="mail", connection=connection)))

    driven.run(story)


def break_it(connection: Any, driven: Driven) -> Any:
    from sqlalchemy import text

    if "sqlalchemy" in driven.name:
        return connection.execute(text("select 1/0"))
    if "django" in driven.name:
        from django.db import connection as django

        with django.cursor() as cursor:
            return cursor.execute("select 1/0")
    if driven.name == "psycopg2":
        return connection.cursor().execute("select 1/0")
    return connection.execute("select 1/0")


def test_a_schema_that_is_not_there_is_said(empty_database: str) -> None:
    with psycopg2.connect(empty_database) as connection, pytest.raises(awa.SchemaNotMigrated, match="awa migrate"):
        bridge.insert_job_sync(connection, {}, kind="mail")
    connection.close()


def test_many_go_over_a_foreign_connection_too(client: Client, database: str) -> None:
    with with_psycopg2(database) as (connection, commit, _):
        many = client.insert_many([{"n": n % 3} for n in range(5)], kind="x", unique_opts={}, connection=connection)
        assert (many.inserted, many.skipped_at) == (3, (3, 4))
        assert client.list_jobs() == []
        commit()
    assert len(client.list_jobs()) == 3


def test_an_autocommit_connection_commits_each_insert(client: Client, database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        client.insert({}, kind="x", connection=connection)
        assert len(client.list_jobs()) == 1


def test_the_bridge_needs_no_client(client: Client, database: str) -> None:
    with psycopg.connect(database) as connection:
        made = bridge.insert_job_sync(connection, {"kind": "mail", "n": 1}, priority=1, tags=["t"])
    stored = client.get_job(made["id"])
    assert made["state"] == "available"
    for name in (
        "kind",
        "queue",
        "args",
        "priority",
        "attempt",
        "max_attempts",
        "run_at",
        "created_at",
        "metadata",
        "tags",
    ):
        assert made[name] == getattr(stored, name), name
    assert stored.kind == "mail"

    async def insert() -> dict[str, Any]:
        async with await psycopg.AsyncConnection.connect(database) as theirs:
            return await bridge.insert_job(theirs, {}, kind="mail", unique_opts={"by_period": 5})

    assert client.get_job(asyncio.run(insert())["id"]).unique_key is not None


def test_what_is_no_connection_is_refused(client: Client, database: str) -> None:
    with pytest.raises(TypeError, match=r"builtins\.object is no connection known here"):
        client.insert({}, kind="x", connection=object())
    with pytest.raises(TypeError, match="does not say which kind"):
        bridge.insert_job_sync(object(), {})

    async def wrong() -> None:
        with pytest.raises(TypeError, match="no asynchronous connection known here"):
            await bridge.insert_job(object(), {}, kind="x")
        async with await psycopg.AsyncConnection.connect(database) as theirs:
            with pytest.raises(TypeError, match="asynchronous"):
                bridge.insert_job_sync(theirs, {}, kind="x")
            with pytest.raises(TypeError, match="asynchronous"):
                client.insert({}, kind="x", connection=theirs)

    asyncio.run(wrong())
    with psycopg.connect(database) as one, pytest.raises(awa.ValidationError, match="both connection and session"):
        client.insert({}, kind="x", connection=one, session=one)


def test_a_closed_connection_is_said(client: Client, database: str) -> None:
    connection = psycopg.connect(database)
    connection.close()
    with pytest.raises(DatabaseError, match="could not insert a job: .*closed"):
        client.insert({}, kind="x", connection=connection)
    other = psycopg2.connect(database)
    other.close()
    with pytest.raises(DatabaseError, match="could not insert a job: .*closed"):
        client.insert({}, kind="x", connection=other)


def test_it_is_one_statement(client: Client, database: str) -> None:
    engine = create_engine(url(database, "psycopg"), poolclass=NullPool)
    from sqlalchemy import event

    seen: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda *given: seen.append(given[2]))
    with Session(engine) as session:
        session.connection()
        seen.clear()  # what SQLAlchemy asks a new server
        client.insert({}, kind="x", session=session, unique_opts={}, ordering_key="k")
        assert len(seen) == 1
        session.commit()
