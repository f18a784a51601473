"""Roles with settings of their own, under every library of an application: what is done in its transaction works."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Coroutine
from datetime import datetime, timedelta, timezone
from typing import Any, Final

import psycopg
import pytest

import awa
from awa import JobState, UniqueConflict
from tests.client.test_bridge import ASYNCHRONOUS, SYNCHRONOUS
from tests.trouble.settings import HOSTILE, NAME, Apply
from tests.worker.test_completion import LIBRARIES, App, Library

pytestmark = pytest.mark.postgres

SETTINGS: Final = [*sorted(HOSTILE), "all of them"]
RESULT: Final = {"name": NAME, "quotes": "\\' || evil.raised() || \\'\\"}
"""A driver that believes in other quotes than the server sends this as a part of the statement."""
KEY: Final = {"by_args": ["key"]}
LATER: Final = datetime.now(timezone.utc).replace(microsecond=123457) + timedelta(days=2)
OPTIONS: Final[dict[str, Any]] = {
    "queue": "é'\\{",
    "tags": ["null", 'a"b\\', "é"],
    "metadata": {"m": [NAME]},
    "expires_at": LATER,
    "ordering_key": b"\x00\\\xff",
    "unique_opts": KEY,
    "delay": 0.001,
}


def of(setting: str, name: str) -> dict[str, str]:
    """The settings of one row. Django is spared the search path: it calls `set_config` by this name as it connects, and
    so can make no connection at all."""
    settings = HOSTILE if setting == "all of them" else {setting: HOSTILE[setting]}
    return {key: text for key, text in settings.items() if not (key == "search_path" and "django" in name)}


def at_once(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Return the result of what awaits nothing, without an event loop, in which Django refuses to work."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        return end.value
    raise AssertionError("it awaits something")


async def story(client: Any, connection: Any, commit: Callable[[], Any]) -> dict[str, Any]:
    """Insert over a connection of the application's: one job, one with every option, those with a key, and many."""

    async def done(result: Any) -> Any:
        return await result if inspect.isawaitable(result) else result

    over = {"kind": "greet", "connection": connection}
    found = {"one": await done(client.insert({"name": NAME, "x": 0.1}, **over))}
    found["all"] = await done(client.insert({"name": NAME, "key": 1}, **{**OPTIONS, **over}))
    for on_conflict in ("skip", "replace"):
        again = {**KEY, "on_conflict": on_conflict}
        met = await done(client.insert({"name": NAME, "key": 1, "more": NAME}, unique_opts=again, **over))
        assert met.id == found["all"].id, on_conflict
        assert (met.args.get("more"), met.tags) == ((None, OPTIONS["tags"]) if on_conflict == "skip" else (NAME, []))
    with pytest.raises(UniqueConflict) as conflict:
        await done(client.insert({"name": NAME, "key": 1}, unique_opts=KEY, **over))
    assert conflict.value.job_id == found["all"].id
    many = await done(client.insert_many([{"name": NAME, "x": 1e-7}] * 3, tags=["é"], expires_at=LATER, **over))
    some = await done(client.insert_many([{"name": NAME, "key": key} for key in (1, 2, 2)], unique_opts=KEY, **over))
    assert (some.inserted, some.skipped_at) == (1, (0, 2))
    await done(commit())
    return {**found, "many": [*many.ids, *some.ids]}


def check(client: awa.Client, found: dict[str, Any]) -> None:
    """What has been stored is what was returned, and it runs."""
    one = client.get_job(found["one"].id)
    assert one.args == found["one"].args == {"name": NAME, "x": 0.1}
    assert (one.created_at, one.run_at) == (found["one"].created_at, found["one"].run_at)
    many = [client.get_job(job) for job in found["many"]]
    assert [job.args["name"] for job in many] == [NAME] * 4
    assert [(job.args.get("x"), job.tags, job.expires_at) for job in many[:3]] == [(1e-7, ["é"], LATER)] * 3
    seen: list[Any] = []
    client.task(kind="greet", replace=True)(lambda job: seen.append(job.args["name"]))
    assert client.work() == 6
    assert seen == [NAME] * 6
    assert {job.state for job in client.list_jobs()} == {JobState.Completed}


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("name", SYNCHRONOUS)
def test_jobs_are_inserted_over_it(database: str, apply: Apply, name: str, setting: str) -> None:
    apply("role", of(setting, name))
    with awa.Client(database) as client:
        with SYNCHRONOUS[name](database) as (connection, commit, _):
            found = at_once(story(client, connection, commit))
        check(client, found)


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("name", ASYNCHRONOUS)
def test_jobs_are_inserted_over_an_asynchronous_one(database: str, apply: Apply, name: str, setting: str) -> None:
    apply("role", of(setting, name))

    async def inserted() -> dict[str, Any]:
        async with awa.AsyncClient(database) as client, ASYNCHRONOUS[name](database) as (connection, commit, _):
            return await story(client, connection, commit)

    with awa.Client(database) as client:
        check(client, asyncio.run(inserted()))


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("name", LIBRARIES)
def test_a_handler_completes_its_job_over_it(database: str, apply: Apply, name: str, setting: str) -> None:
    app, library = App(database), Library(name, database)
    apply("role", of(setting, name))
    app.db.execute("grant all on effects to public")
    connection = library.open()

    def handler(job: Any) -> None:
        with job.transaction(library.given(connection), result=RESULT):
            library.write(connection, job.id)

    job = app.run(handler, jobs=2)
    library.close(connection)
    assert (job.state, job.result, job.errors) == (JobState.Completed, RESULT, [])
    assert [what for _, what in app.effects()] == ["effect"] * 2
    assert "settle.refused" not in app.names()
    app.client.close()
    app.db.close()


ENCODINGS: Final = ["LATIN1", "SQL_ASCII"]
"""They lack what is in `NAMED`. With the second one SQLAlchemy can make no connection by way of psycopg."""


def can_connect(name: str, encoding: str) -> bool:
    return encoding != "SQL_ASCII" or not name.startswith("sqlalchemy-psycopg-")


NAMED: Final[dict[str, Any]] = {"kind": "zahle-€", "queue": "Größen \\€", "tags": ["é", NAME, 'a"€\\,{}', "\U0001f30a"]}


def assert_named(client: awa.Client, number: int) -> None:
    """The names of all jobs are those that were given."""
    jobs = client.list_jobs(kind=NAMED["kind"])
    assert [(job.queue, job.tags, job.args) for job in jobs] == [(NAMED["queue"], NAMED["tags"], {"n": NAME})] * number


@pytest.mark.parametrize(("name", "encoding"), [(n, e) for n in SYNCHRONOUS for e in ENCODINGS if can_connect(n, e)])
def test_names_that_its_encoding_lacks_arrive(database: str, apply: Apply, name: str, encoding: str) -> None:
    apply("role", {"client_encoding": encoding})
    with awa.Client(database) as client, SYNCHRONOUS[name](database) as (connection, commit, _):
        job = client.insert({"n": NAME}, connection=connection, **NAMED)
        unique = {"by_args": True, "by_queue": True, "on_conflict": "skip"}
        for conflict in (None, "skipped"):
            keyed = client.insert({"n": NAME}, connection=connection, unique_opts=unique, **NAMED)
            assert (keyed.queue, keyed.tags, keyed.conflict) == (NAMED["queue"], NAMED["tags"], conflict)
        client.insert_many([{"n": NAME}], connection=connection, **NAMED)
        commit()
        assert job.queue == NAMED["queue"]
        assert_named(client, 3)


@pytest.mark.parametrize(("name", "encoding"), [(n, e) for n in ASYNCHRONOUS for e in ENCODINGS if can_connect(n, e)])
def test_names_that_an_asynchronous_ones_encoding_lacks_arrive(
    database: str, apply: Apply, name: str, encoding: str
) -> None:
    apply("role", {"client_encoding": encoding})

    async def insert() -> None:
        async with awa.AsyncClient(database) as client, ASYNCHRONOUS[name](database) as (connection, commit, _):
            await client.insert({"n": NAME}, connection=connection, **NAMED)
            await commit()

    asyncio.run(insert())
    with awa.Client(database) as client:
        assert_named(client, 1)


@pytest.mark.parametrize("autocommit", [True, False])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_client_on_the_callers_connection_minds_no_encoding(
    database: str, encoding: str, autocommit: bool, connect: Callable[..., psycopg.Connection[Any]]
) -> None:
    theirs = connect(autocommit=autocommit, client_encoding=encoding)
    client = awa.Client(theirs)
    job = client.insert({"n": NAME}, **NAMED)
    client.insert_many([{"n": NAME}], **NAMED)
    with client.transaction() as tx:
        tx.insert({"n": NAME}, **NAMED)
    assert_named(client, 3)
    client.pause_queue(NAMED["queue"])
    assert [stats.queue for stats in client.queue_stats()] == [NAMED["queue"]]
    client.resume_queue(NAMED["queue"])
    client.cancel(job.id)
    assert theirs.info.parameter_status("client_encoding") == encoding
    theirs.commit()
    client.task(kind=NAMED["kind"], queue=NAMED["queue"])(lambda job: NAME)
    assert client.work() == 2
