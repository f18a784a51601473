"""Over a connection whose transaction is stricter than usual jobs can be looked at and changed, or it is said why not.

psycopg and SQLAlchemy begin a transaction with its first statement; so it may be open for the application and not yet
for the server, or, in a pipeline, for the server and not yet for the driver.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from typing import Any, Final

import psycopg
import pytest
from psycopg import IsolationLevel
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

from awa import Client, DatabaseError, JobNotFound, JobState
from tests.client.test_bridge import url
from tests.fixtures.ledger import configure_django

pytestmark = pytest.mark.postgres

LEVELS: Final = [IsolationLevel.REPEATABLE_READ, IsolationLevel.SERIALIZABLE]
LOOK: Final = b"select 1"
Opened = tuple[Client, Callable[[], Any]]
"""A client on a connection in a transaction, and what rolls that back. At the end of the block it is committed."""


def begin(level: IsolationLevel, *, reads: bool) -> bytes:
    name = level.name.replace("_", " ")
    return f"begin isolation level {name}{', read only' if reads else ''}".encode()


@contextmanager
def psycopgs(dsn: str, level: IsolationLevel, reads: bool, begun: bool) -> Iterator[Opened]:
    with psycopg.connect(dsn) as connection:
        connection.isolation_level, connection.read_only = level, reads
        if begun:
            connection.execute(LOOK)
        yield Client(connection), connection.rollback


@contextmanager
def autocommit(dsn: str, level: IsolationLevel, reads: bool, begun: bool) -> Iterator[Opened]:
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(begin(level, reads=reads))
        if begun:
            connection.execute(LOOK)
        yield Client(connection), connection.rollback
        connection.commit()


@contextmanager
def pipeline(dsn: str, level: IsolationLevel, reads: bool, begun: bool) -> Iterator[Opened]:
    with psycopg.connect(dsn, autocommit=True) as connection:
        with connection.pipeline():
            connection.execute(begin(level, reads=reads))
            if begun:
                connection.execute(LOOK)
            yield Client(connection), lambda: None
        connection.commit()


@contextmanager
def alchemy(dsn: str, level: IsolationLevel, reads: bool, begun: bool) -> Iterator[Opened]:
    options = {"isolation_level": level.name.replace("_", " "), "postgresql_readonly": reads}
    engine = create_engine(url(dsn, "psycopg"), poolclass=NullPool, execution_options=options)
    with engine.connect() as connection, connection.begin() as transaction:
        driver = connection.connection.driver_connection
        assert isinstance(driver, psycopg.Connection)
        if begun:
            connection.exec_driver_sql(LOOK.decode())
        yield Client(driver), transaction.rollback


@contextmanager
def django(dsn: str, level: IsolationLevel, reads: bool, begun: bool) -> Iterator[Opened]:
    configure_django(dsn)
    from django.db import connection, transaction

    from awa.integrations.django.source import DjangoConnections

    connection.close()
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(connection.settings_dict, "OPTIONS", {"isolation_level": level})
        try:
            with transaction.atomic():
                if begun:
                    with connection.cursor() as cursor:
                        cursor.execute(f"set transaction {'read only' if reads else 'read write'}")
                yield Client(source=DjangoConnections()), lambda: transaction.set_rollback(True)
        finally:
            connection.close()


LIBRARIES: Final = {each.__name__: each for each in (psycopgs, autocommit, pipeline, alchemy, django)}


@pytest.fixture
def jobs(database: str) -> dict[str, int]:
    """One job for each change, in the state in which it can be made."""
    with Client(database) as client:
        client.task(kind="fails")(lambda job: 1 / 0)
        failing = {name: client.insert({}, kind="fails", max_attempts=1).id for name in ("retry", "discard")}
        client.work()
        later = datetime.now(timezone.utc) + timedelta(days=1)
        waiting = {"run_now": client.insert({}, kind="k", run_at=later).id, "cancel": client.insert({}, kind="k").id}
        assert len(client.list_jobs(state="available")) == 1  # and sealed, by that
    return {**failing, **waiting}


def standing(database: str, jobs: dict[str, int]) -> dict[str, Any]:
    """Where they are, and whether one is due."""
    with Client(database) as client:
        return {name: look(client, job) for name, job in jobs.items()}


def look(client: Client, job_id: int) -> Any:
    try:
        job = client.get_job(job_id)
    except JobNotFound:
        return None
    assert job.run_at is not None
    return job.state, job.run_at <= datetime.now(timezone.utc) + timedelta(minutes=1)


@pytest.mark.parametrize("begun", [True, False])
@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", LIBRARIES)
def test_each_change_is_made(
    database: str, jobs: dict[str, int], name: str, level: IsolationLevel, begun: bool
) -> None:
    for change, job in jobs.items():
        with LIBRARIES[name](database, level, reads=False, begun=begun) as (client, _):
            getattr(client, change)(job)
            available = {jobs["retry"], jobs["cancel"]} if change != "cancel" else {jobs["retry"]}
            assert {found.id for found in client.list_jobs(state="available")} == available, change
            assert [stat.available for stat in client.queue_stats()] == [len(available)], change
    assert standing(database, jobs) == {
        "retry": (JobState.Available, True),
        "discard": None,
        "run_now": (JobState.Scheduled, True),
        "cancel": (JobState.Cancelled, True),
    }


@pytest.mark.parametrize("begun", [True, False])
@pytest.mark.parametrize("name", [each for each in LIBRARIES if each != "pipeline"])
def test_one_that_may_only_read_looks_and_changes_nothing(
    database: str, jobs: dict[str, int], name: str, begun: bool
) -> None:
    before = standing(database, jobs)
    reads = name != "django" or begun  # Django has no other way to say so
    for change, job in jobs.items() if reads else ():
        with LIBRARIES[name](database, LEVELS[0], reads=reads, begun=begun) as (client, rollback):
            assert [found.id for found in client.list_jobs(state="available")] == [jobs["cancel"]]
            assert [stat.available for stat in client.queue_stats()] == [1]
            with pytest.raises(DatabaseError, match="read-only transaction"):
                getattr(client, change)(job)
            rollback()
    assert standing(database, jobs) == before
