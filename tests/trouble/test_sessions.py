"""Roles, databases and environments with settings of their own: everything works, and the application keeps its own."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from psycopg.sql import SQL, Identifier, Literal

import awa
from awa import embedded
from awa.database.open import connect
from awa.database.session import LIMITS, SETTINGS
from awa.engine import retire
from tests.engine.helpers import small_segments
from tests.fixtures.postgres import for_database
from tests.fixtures.supervisor import Shop, Start
from tests.retire.steps import AT_ONCE
from tests.trouble.pooler import in_front_of
from tests.trouble.settings import HOSTILE, NAME, VARIABLES, Apply

pytestmark = pytest.mark.postgres


def test_it_is_hostile(server: embedded.Server, database: str, apply: Apply) -> None:
    """A statement that looks for names in the application's path meets what another role has put there."""
    apply("role", HOSTILE)
    refuses_names(database)
    with in_front_of(server, database) as pooler:
        refuses_names(pooler.dsn)


def refuses_names(dsn: str) -> None:
    with psycopg.connect(dsn) as theirs, pytest.raises(psycopg.errors.RaiseException, match="another role"):
        theirs.execute("select cardinality(array[1, 2]::bigint[])")


def shown(connection: psycopg.Connection[Any]) -> dict[str, Any]:
    """What the application has set."""
    return {name: row[0] for name in SETTINGS if (row := connection.execute(f"show {name}".encode()).fetchone())}


def life(dsn: str, application: str) -> None:
    """Insert, claim, settle, fail, retry, cancel, list and retire; by a client of its own, and over the caller's."""
    client = awa.Client(dsn)
    seen: list[Any] = []
    before: dict[str, Any] = {}

    @client.task(kind="greet")
    def greet(job: awa.Job) -> Any:
        seen.append(job.args)
        if job.args.get("fails") and not client.get_job(job.id).errors:
            raise ValueError(NAME)
        if job.args.get("completes") == "in a transaction":
            with job.transaction() as tx:
                tx.result = {"name": job.args["name"]}
        if job.args.get("completes") == "over a connection":
            with psycopg.connect(application) as theirs:
                theirs.execute("select 1")
                job.complete(theirs, {"name": job.args["name"]})
                assert shown(theirs)["search_path"] == before["search_path"]
        return {"name": job.args["name"]}

    with connect(dsn, role="retiring") as db:
        small_segments(db, 10, 3)
    with psycopg.connect(application) as theirs:
        before.update(shown(theirs))
        over = awa.Client(theirs)
        unique = {"by_args": ["key"], "on_conflict": "replace"}
        jobs = [client.insert({"name": NAME, "x": 0.1}, kind="greet", tags=["null", 'a"b']).id]
        jobs += [
            over.insert({"name": NAME}, kind="greet").id,
            *over.insert_many([{"name": NAME}] * 2, kind="greet").ids,
        ]
        first = over.insert({"name": NAME, "key": 1}, kind="greet", unique_opts=unique)
        jobs.append(over.insert({"name": NAME, "key": 1, "more": 2}, kind="greet", unique_opts=unique).id)
        assert jobs[-1] == first.id
        jobs.append(client.insert({"name": NAME}, kind="greet", connection=theirs).id)
        jobs += client.insert_many([{"name": NAME}] * 2, kind="greet", connection=theirs).ids
        assert {job.id for job in over.list_jobs(kind="greet")} == set(jobs)
        assert shown(theirs) == before
        theirs.commit()
        with client.transaction() as tx:
            own = {**before, "client_encoding": "UTF8"}
            assert shown(tx.connection) == own
            jobs += [tx.insert({"name": NAME}, kind="greet").id, *tx.insert_many([{"name": NAME}], kind="greet").ids]
            assert shown(tx.connection) == own
        jobs += client.insert_many([{"name": NAME}] * 300, kind="greet").ids
        for how in ("in a transaction", "over a connection"):
            jobs.append(client.insert({"name": NAME, "completes": how}, kind="greet").id)
        failing = client.insert({"name": NAME, "fails": True}, kind="greet", max_attempts=1).id
        later = client.insert({"name": NAME}, kind="greet", run_at=datetime.now(timezone.utc) + timedelta(hours=1)).id
        cancelled = over.insert({"name": NAME}, kind="greet").id
        theirs.commit()
        over.cancel(cancelled)
        theirs.commit()
    assert client.work() == len(jobs) + 1
    assert [args["name"] for args in seen] == [NAME] * len(seen)
    failed = client.get_job(failing)
    assert failed.state is awa.JobState.Failed
    assert NAME in failed.errors[0]["error"]
    client.retry(failing)
    assert client.work() == 1
    states = {job.id: job.state for job in client.list_jobs(limit=1000)}
    assert {states[job] for job in (*jobs, failing)} == {awa.JobState.Completed}
    assert (states[later], states[cancelled]) == (awa.JobState.Scheduled, awa.JobState.Cancelled)
    assert client.get_job(jobs[0]).result == {"name": NAME}
    assert client.get_job(jobs[0]).args == {"name": NAME, "x": 0.1}
    client.cancel(later)
    assert [(stats.queue, stats.available) for stats in client.queue_stats()] == [("default", 0)]
    with connect(dsn, role="retiring") as db:
        retire.extend(db, 10, 3)
        for _ in range(6):
            retire.watch(db)
        assert retire.retire(db, AT_ONCE, recheck_s=0.0) > 0
    client.close()


@pytest.mark.parametrize("where", ["role", "database", "environment"])
@pytest.mark.parametrize("setting", [*sorted(HOSTILE), "all of them"])
def test_a_setting_changes_nothing(database: str, apply: Apply, where: str, setting: str) -> None:
    apply(where, HOSTILE if setting == "all of them" else {setting: HOSTILE[setting]})
    life(database, database)


@pytest.mark.processes
@pytest.mark.parametrize("where", ["role", "database"])
@pytest.mark.parametrize("setting", [*sorted(HOSTILE), "all of them"])
def test_a_setting_changes_nothing_behind_a_transaction_pooler(
    server: embedded.Server, database: str, apply: Apply, where: str, setting: str
) -> None:
    """Each transaction may be in another session, so it has to bring along what it relies on."""
    apply(where, HOSTILE if setting == "all of them" else {setting: HOSTILE[setting]})
    with in_front_of(server, database) as pooler:
        life(pooler.dsn, pooler.dsn)


@pytest.mark.processes
def test_an_environment_changes_nothing_behind_a_transaction_pooler(
    server: embedded.Server, database: str, apply: Apply, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only these variables arrive: PgBouncer refuses a client with PGOPTIONS."""
    apply("role", HOSTILE)
    with in_front_of(server, database) as pooler:
        for variable, setting in VARIABLES.items():
            monkeypatch.setenv(variable, HOSTILE[setting].replace(" ", ""))
        life(pooler.dsn, pooler.dsn)


@pytest.mark.processes
def test_supervisors_and_their_workers_do_not_mind(shop: Shop, apply: Apply, supervise: Start) -> None:
    apply("role", HOSTILE)
    apply_environment = {"PGOPTIONS": "-c DateStyle=German", "PGCLIENTENCODING": "LATIN1", "PGTZ": "Asia/Tokyo"}
    supervisor = supervise(env=apply_environment).ready()
    jobs = shop.insert_many([("note", {"name": NAME})] * 300)
    shop.until_state("completed", *jobs)
    assert not supervisor.events("worker.exited")
    assert supervisor.stop() == 0


@pytest.mark.parametrize("where", ["role", "database", "environment"])
def test_a_connection_of_awa_s_own_has_its_settings(database: str, apply: Apply, where: str) -> None:
    apply(where, HOSTILE)
    with connect(make_conninfo(database, client_encoding="LATIN1"), role="test") as connection:
        for name, value in {**SETTINGS, **LIMITS}.items():
            assert connection.execute(f"show {name}".encode()).fetchone() == (value,), name


def test_a_database_in_another_encoding_is_refused(superuser_dsn: str, encoded: str) -> None:
    for refused in (lambda: awa.Client(encoded).migrate(), lambda: awa.Client(encoded).insert({}, kind="a")):
        with pytest.raises(awa.DatabaseError, match=r"encoded in \w+, and Awa needs UTF8.* Create another"):
            refused()
    with psycopg.connect(encoded) as theirs:
        with pytest.raises(awa.DatabaseError, match=r"Awa needs UTF8.* Nothing was changed"):
            awa.Client(theirs).migrate()
        assert theirs.execute("select to_regnamespace('awa')::text").fetchone() == (None,)


@pytest.fixture(params=["LATIN1", "SQL_ASCII"])
def encoded(request: pytest.FixtureRequest, database: str, superuser_dsn: str) -> Any:
    """A database that is not in UTF-8."""
    with psycopg.connect(database) as owner:
        name, role = f"{owner.info.dbname}_{request.param.lower()}", owner.info.user
    with psycopg.connect(superuser_dsn, autocommit=True) as admin:
        create = SQL("create database {} owner {} encoding {} locale 'C' template template0")
        admin.execute(create.format(Identifier(name), Identifier(role), Literal(request.param)))
        yield for_database(superuser_dsn, name)
        admin.execute(SQL("drop database {} with (force)").format(Identifier(name)))
