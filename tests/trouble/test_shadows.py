"""Nothing that Awa sends over an application's connection is looked for in the application's search path."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from typing import Any, Final

import psycopg
import pytest

import awa
from awa.database.adapters.async_connection import require_async_adapter
from awa.database.adapters.connection import adapt
from awa.integrations.flask import sessions
from tests.client.test_bridge import ASYNCHRONOUS, SYNCHRONOUS
from tests.fixtures.ledger import configure_django
from tests.trouble.shadows import PATH, TAKE_PATH, TAKE_PATH_ONCE, cast_shadows
from tests.trouble.test_settings_of_libraries import at_once, check, story
from tests.worker.test_completion import LIBRARIES, App, Library

pytestmark = pytest.mark.postgres

SHADOWED: Final = (
    "select now()",
    "select pg_catalog.now() = pg_catalog.now()",
    "select pg_catalog.cardinality('{1}'::bigint[]) in (2)",
    "select cardinality('{1}'::bigint[])",
    "select jsonb_build_object('a', 1)",
    "select unnest('{a}'::pg_catalog.text[])",
    "select 'a'::text",
    "select '1'::regclass",
    "select relname from pg_class",
    "select nullif(1, 2)",
)
APART: Final = frozenset({"around_jobs", "close", "dsn", "on_worker_start", "task", "work"})
"""What of a client sends nothing over its connection; but for `work`, which has connections of its own."""


@pytest.fixture(autouse=True)
def shadows(database: str, superuser_dsn: str) -> None:
    """There are shadows in the test's database."""
    cast_shadows(database, superuser_dsn)


def test_they_are_in_front_of_everything(connection: psycopg.Connection[Any]) -> None:
    connection.execute(TAKE_PATH)
    for statement in SHADOWED:
        with pytest.raises(psycopg.Error):
            connection.execute(statement.encode())


@pytest.mark.parametrize("name", [each for each in SYNCHRONOUS if not each.endswith(("scoped", "alias"))])
def test_jobs_are_inserted(database: str, name: str) -> None:
    with awa.Client(database) as client:
        with SYNCHRONOUS[name](database) as (connection, commit, _):
            adapt(connection).execute(TAKE_PATH, {})
            found = at_once(story(client, connection, commit))
        check(client, found)


@pytest.mark.parametrize("name", [each for each in ASYNCHRONOUS if not each.endswith("scoped")])
def test_jobs_are_inserted_by_asynchronous_code(database: str, name: str) -> None:
    async def inserted() -> dict[str, Any]:
        async with awa.AsyncClient(database) as client, ASYNCHRONOUS[name](database) as (connection, commit, _):
            await require_async_adapter(connection).execute(TAKE_PATH_ONCE, {})
            return await story(client, connection, commit)

    with awa.Client(database) as client:
        check(client, asyncio.run(inserted()))


@pytest.mark.parametrize("name", [each for each in LIBRARIES if not each.endswith(("scoped", "alias", "connection"))])
def test_handlers_complete_their_jobs(database: str, name: str) -> None:
    app, library = App(database), Library(name, database)
    connection = library.open()

    def handler(job: Any) -> None:
        with job.transaction(library.given(connection), result="done"):
            adapt(library.given(connection)).execute(TAKE_PATH, {})
            library.write(connection, job.id)

    job = app.run(handler, jobs=2)
    library.close(connection)
    assert (job.state, job.result, job.errors) == (awa.JobState.Completed, "done", [])
    app.client.close()
    app.db.close()


@contextmanager
def psycopgs(dsn: str, *, autocommit: bool, begun: bool) -> Iterator[Any]:
    with psycopg.connect(dsn, autocommit=autocommit) as connection:
        connection.execute(TAKE_PATH)
        connection.commit()
        if begun:
            connection.execute("begin" if autocommit else "select 1")
        yield connection
        if not connection.closed:
            assert path(connection) == PATH
            connection.commit()


def path(connection: psycopg.Connection[Any]) -> str:
    row = connection.execute("show search_path").fetchone()
    assert row is not None
    return str(row[0])


@pytest.fixture
def failed(database: str) -> list[int]:
    """Failed jobs, and as many dead letters behind them."""
    with awa.Client(database) as client:
        client.task(kind="fails")(lambda job: 1 / 0)
        client.configure_queue("dead", dlq=True)
        jobs: list[int] = []
        for queue in ("default", "dead"):
            jobs += filter(None, client.insert_many([{}] * 6, kind="fails", queue=queue, max_attempts=1).ids)
        client.work(["default", "dead"])
        return jobs


def everything(client: awa.Client, failed: list[int]) -> dict[str, Callable[[], Any]]:
    """A call of each method that a client has."""
    later = datetime.now(timezone.utc) + timedelta(days=1)
    keyed: dict[str, Any] = {"kind": "k", "unique_opts": {"by_args": True}, "ordering_key": "o", "expires_at": later}
    job, dead = failed[:6], failed[6:]

    def transaction() -> None:
        with client.transaction() as tx:
            tx.insert({}, kind="k")
            tx.insert_many([{}] * 300, kind="k")

    return {
        "migrate": lambda: client.migrate(roles=True),
        "insert": lambda: [client.insert({"n": n}, **(keyed if n else {"kind": "k", "run_at": later})) for n in (0, 1)],
        "insert_many": lambda: client.insert_many([{"n": n} for n in range(2, 300)], **keyed),
        "insert_many_copy": lambda: client.insert_many_copy([{"n": 500}] * 300, kind="k", tags=["a"]),
        "enqueue_many_copy": lambda: client.enqueue_many_copy([{"n": 501}], **keyed),
        "transaction": transaction,
        "get_job": lambda: client.get_job(job[0]),
        "list_jobs": lambda: [
            client.list_jobs(state=state, kind="k", queue="default", tag=tag, before_id=before)
            for state in (None, *awa.JobState)
            for tag, before in ((None, None), ("a", 1000))
        ],
        "waiting_reasons": lambda: [client.waiting_reasons(each.id) for each in client.list_jobs(kind="k", limit=3)],
        "attempts": lambda: client.attempts(job[0]),
        "worker_deaths": client.worker_deaths,
        "wait": lambda: client.wait(job[0], 10),
        "wait_all": lambda: client.wait_all(job, 10),
        "cancel": lambda: client.cancel(client.insert({}, kind="k").id),
        "cancel_by_unique_key": lambda: client.cancel_by_unique_key("k", args={"n": 1}),
        "run_now": lambda: client.run_now(deferred(client)),
        "retry": lambda: client.retry(job[0]),
        "retry_failed": lambda: client.retry_failed(kind="nothing"),
        "discard": lambda: client.discard(job[1]),
        "discard_failed": lambda: client.discard_failed("nothing"),
        "move_failed_to_dlq": lambda: client.move_failed_to_dlq(job[2], "reason"),
        "bulk_move_failed_to_dlq": lambda: client.bulk_move_failed_to_dlq(kind="fails", reason="reason"),
        "list_dlq": lambda: client.list_dlq(kind="fails", queue="dead", before_id=dead[0], before_dlq_at=later),
        "get_dlq_job": lambda: client.get_dlq_job(dead[0]),
        "dlq_depth": client.dlq_depth,
        "dlq_depth_by_queue": client.dlq_depth_by_queue,
        "retry_from_dlq": lambda: client.retry_from_dlq(dead[0], queue="other", priority=1),
        "bulk_retry_from_dlq": lambda: client.bulk_retry_from_dlq(kind="fails", queue="default"),
        "purge_dlq_job": lambda: client.purge_dlq_job(dead[1]),
        "purge_dlq": lambda: client.purge_dlq(kind="fails"),
        "queue_stats": client.queue_stats,
        "known_names": client.known_names,
        "pause_queue": lambda: client.pause_queue("other", "me"),
        "resume_queue": lambda: client.resume_queue("other"),
        "queue_policy": lambda: client.queue_policy("dead"),
        "configure_queue": lambda: client.configure_queue("other", deadline=7),
        "drain_queue": lambda: client.drain_queue("other"),
    }


def deferred(client: awa.Client) -> int:
    """A job that waits for its time, and was there before this transaction; else one that failed and is tried again."""
    return client.list_jobs(state="scheduled")[0].id


@pytest.mark.parametrize(("autocommit", "begun"), [(True, True), (True, False), (False, True), (False, False)])
@pytest.mark.usefixtures("login")
def test_a_client_on_the_connection_does_everything(
    database: str, failed: list[int], autocommit: bool, begun: bool
) -> None:
    with awa.Client(database) as other:
        other.insert({}, kind="k", run_at=datetime.now(timezone.utc) + timedelta(days=2))
        calls = everything(other, failed)
        assert set(calls) | APART == {name for name in dir(awa.Client) if not name.startswith("_")}
        for name in calls:
            other.queue_stats()  # seals, which the next one cannot in a transaction that has been begun
            with psycopgs(database, autocommit=autocommit, begun=begun) as connection:
                everything(awa.Client(connection), failed)[name]()


def test_the_schema_is_installed(empty_database: str, superuser_dsn: str) -> None:
    cast_shadows(empty_database, superuser_dsn)
    for autocommit in (True, False):
        with psycopgs(empty_database, autocommit=autocommit, begun=False) as connection:
            assert awa.Client(connection).migrate() == ([1] if autocommit else [])


def test_the_schema_is_installed_by_way_of_django(empty_database: str, superuser_dsn: str) -> None:
    cast_shadows(empty_database, superuser_dsn)
    configure_django(empty_database)
    from django.db import connection

    from awa.integrations.django import schema

    try:
        with connection.cursor() as cursor:
            cursor.execute(TAKE_PATH.decode())
        assert schema.version("default") is None
        assert schema.install("default") == [1]
        assert (schema.version("default"), schema.install("default")) == (1, [])
        with connection.cursor() as cursor:
            cursor.execute("show search_path")
            assert cursor.fetchone() == (PATH,)
    finally:
        connection.close()


def test_a_session_is_asked_which_database_it_leads_to(database: str) -> None:
    with psycopg.connect(database) as connection:
        plain = adapt(connection).execute(sessions._DATABASE.encode(), {})
        connection.execute(TAKE_PATH)
        assert adapt(connection).execute(sessions._DATABASE.encode(), {}) == plain
