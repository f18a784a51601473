"""A dump restored elsewhere: its ledger of sealing speaks of transactions that mean nothing there; nothing is lost."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from pathlib import Path
from threading import Barrier
from typing import Any

import psycopg
import pytest

from awa.database.open import connect
from awa.database.schema import chain
from awa.database.statements import statement
from awa.embedded import Server
from awa.engine.expire import expire
from awa.engine.seal import reseal, seal, seal_all
from awa.job.model import JobState
from tests.engine.helpers import Connection, add, places
from tests.fixtures.clusters import Cluster, own_cluster
from tests.fixtures.postgres import both_servers, for_database
from tests.fixtures.waiting import until
from tests.restore.conftest import AHEAD_XID, burn_xids, next_xid, programs
from tests.restore.dumps import move
from tests.restore.population import check, populate, run_all

pytestmark = pytest.mark.slow
Events = list[tuple[str, dict[str, Any]]]
SEALED = "select pg_snapshot_xmax(snapshot)::text::bigint from awa.seal_ledger order by generation desc limit 1"


def number(db: Connection, query: str) -> int:
    row = db.execute(query.encode()).fetchone()
    assert row is not None
    return int(row[0])


def new_name(database: str) -> str:
    with psycopg.connect(database) as connection:
        return f"{connection.info.dbname}_r"


@both_servers
@pytest.mark.parametrize("plain", [False, True])
def test_into_another_database_of_the_same_cluster(
    server: Server, database: str, empty_database: str, tmp_path: Path, events: Events, plain: bool
) -> None:
    """The ledger goes on being true: nothing has to be sealed anew."""
    jobs = populate(database)
    move(database, empty_database, tmp_path, plain=plain)
    with connect(empty_database, role="test") as db:
        jobs["new"] = add(db, 3)
        check(db, jobs, run_all(db))
    assert events == []


@both_servers
@pytest.mark.parametrize("plain", [False, True])
def test_into_a_cluster_that_is_far_behind(
    behind: Cluster, database: str, tmp_path: Path, events: Events, plain: bool
) -> None:
    """The xids of restored jobs lie in the future there: some day they would be found a second time."""
    jobs = populate(database)
    target = behind.create_database(new_name(database))
    move(database, target, tmp_path, plain=plain)
    with connect(target, role="test") as db:
        restored = number(db, SEALED)
        assert restored > next_xid(db)
        jobs["new"] = add(db, 3)
        check(db, jobs, run_all(db))
        assert [name for name, _ in events] == ["seal.restored"]
        burn_xids(db, restored + 100)  # until the xids of restored jobs have come again
        assert seal_all(db) == 0
        more = {"more": add(db, 3), "completed": [], "failed": [], "cancelled": [], "held failed": []}
        check(db, more, run_all(db))
    assert len(events) == 1


@both_servers
def test_into_a_cluster_that_is_far_ahead(ahead: Cluster, database: str, tmp_path: Path, events: Events) -> None:
    """The sealed snapshot looks like an old one of this cluster; the system identifier tells that it is not."""
    jobs = populate(database)
    target = ahead.create_database(new_name(database))
    move(database, target, tmp_path)
    with connect(target, role="test") as db:
        assert next_xid(db) > AHEAD_XID > number(db, SEALED)
        jobs["new"] = add(db, 3)
        check(db, jobs, run_all(db))
        assert seal_all(db) == 0
    assert [name for name, _ in events] == ["seal.restored"]


def test_into_an_older_copy_of_the_same_cluster(tmp_path: Path, events: Events) -> None:
    """The same system identifier, as after restoring files: the snapshot from the future tells."""
    with own_cluster(programs()) as cluster:
        cluster.stop()
        twin = cluster.copy()
        try:
            cluster.start()
            source = cluster.create_database("source")
            with connect(source, role="test") as db:
                chain.migrate(db)
                burn_xids(db, next_xid(db) + 5_000)
            jobs = populate(source)
            twin.start()
            target = twin.create_database("target")
            move(source, target, tmp_path)
            with connect(target, role="test") as db:
                identifier = "select system_identifier from pg_control_system()"
                assert number(db, identifier) == number(db, "select max(system_id) from awa.seal_ledger")
                check(db, jobs, run_all(db))
        finally:
            twin.remove()
    assert len(events) == 1


def test_what_was_inserted_before_the_first_seal_is_found_whenever_it_commits(
    behind: Cluster, database: str, tmp_path: Path, events: Events
) -> None:
    jobs = populate(database)
    target = behind.create_database(new_name(database))
    move(database, target, tmp_path)
    with (
        connect(target, role="test") as db,
        connect(target, role="before") as before,
        connect(target, role="idle") as idle,
    ):
        before.execute("begin")
        jobs["begun before"] = add(before, 2)
        idle.execute("begin")
        taken = number(idle, "select nextval('awa.job_id')")
        jobs["committed before"] = add(db, 2)
        sealed = seal(db)
        assert sealed.locked
        idle.execute("insert into awa.job_log (id, kind) values (%s, 'work')", [taken])
        jobs["begun before, written after"] = [taken]
        before.execute("commit")
        idle.execute("commit")
        jobs["after"] = add(db, 2)
        check(db, jobs, run_all(db))
    assert len(events) == 1


def test_sealers_that_come_all_at_once_reseal_once(
    behind: Cluster, database: str, tmp_path: Path, events: Events
) -> None:
    jobs = populate(database)
    target = behind.create_database(new_name(database))
    move(database, target, tmp_path)
    barrier = Barrier(8)

    def one(_: int) -> int:
        with connect(target, role="sealer") as db:
            barrier.wait(30)
            return sum(seal(db).jobs for _ in range(5))

    with ThreadPoolExecutor(8) as threads:
        sealed = sum(threads.map(one, range(8)))
    with connect(target, role="test") as db:
        unsealed = sum(len(jobs[name]) for name in ("half sealed", "unsealed", "late")) - 4
        assert sealed == unsealed
        assert all(len(spots) == 1 for spots in places(db).values())
        check(db, jobs, run_all(db))
    assert len(events) == 1


def test_a_sealer_that_noticed_the_restore_and_came_second_reports_nothing(
    behind: Cluster, database: str, tmp_path: Path, events: Events
) -> None:
    jobs = populate(database)
    target = behind.create_database(new_name(database))
    move(database, target, tmp_path)
    with connect(target, role="test") as db:
        assert reseal(db).jobs > 0
        before = places(db)
        assert reseal(db).jobs == 0
        assert places(db) == before
        check(db, jobs, run_all(db))
    assert len(events) == 1


def test_a_resealer_that_dies_leaves_the_ledger_to_the_next(
    behind: Cluster, database: str, tmp_path: Path, events: Events, session: Callable[..., Any]
) -> None:
    jobs = populate(database)
    target = behind.create_database(new_name(database))
    move(database, target, tmp_path)
    dying = session("dying", target)
    dying.run("begin")
    dying.run(statement("seal/lock").decode())
    for name in ("restored", "reseal_open"):
        dying.run(lambda c, name=name: c.execute(statement(f"seal/{name}")))
    dying.run(lambda c: c.execute(statement("seal/reseal"), {"batch_max": 128, "jobs_max": 100, "rows_max": 100}))
    with connect(target, role="test") as db:
        assert not seal(db).locked
        dying.kill()
        check(db, jobs, run_all(db))
    assert len(events) == 1


def test_a_second_restore_is_noticed_as_the_first_was(
    behind: Cluster, ahead: Cluster, database: str, tmp_path: Path, events: Events
) -> None:
    """There and onwards, with jobs added on the way."""
    jobs = populate(database)
    first, second = (cluster.create_database(new_name(database)) for cluster in (behind, ahead))
    move(database, first, tmp_path)
    with connect(first, role="test") as db:
        jobs["added"] = add(db, 2)
        seal_all(db)
        jobs["added, unsealed"] = add(db, 2)
    move(first, second, tmp_path)
    with connect(second, role="test") as db:
        check(db, jobs, run_all(db))
    assert len(events) == 2


def test_jobs_expire_where_they_were_restored(behind: Cluster, database: str, tmp_path: Path) -> None:
    """Sealed before the dump or not, due or put aside: only what has a time that is still to come runs."""
    begun = datetime.now(timezone.utc)
    briefly, long = begun + timedelta(seconds=5), begun + timedelta(hours=1)
    expiring: list[int] = []
    with connect(database, role="test") as db:
        for is_sealed in (True, False):
            expiring += add(db, 2, expires_at=briefly)
            expiring += add(db, 1, expires_at=briefly, run_at=briefly - timedelta(milliseconds=1))
            expiring += add(db, 1, expires_at=briefly, ordering_key=b"line")
            runs = add(db, 2, expires_at=long)
            if is_sealed:
                seal_all(db)
                waits = runs
    target = behind.create_database(new_name(database))
    move(database, target, tmp_path)
    expired: list[int] = []
    with connect(target, role="test") as db:
        seal_all(db)

        def all_expired() -> bool:
            expired.extend(expire(db))
            return len(expired) >= len(expiring)

        until(all_expired)
        assert sorted(expired) == sorted(expiring)
        assert run_all(db) == dict.fromkeys(waits + runs, 1)
        outcomes = db.execute(b"select distinct outcome from awa.attempt_log where job_id = any (%s)", [expiring])
        assert outcomes.fetchall() == [(int(JobState.Cancelled),)]
        assert db.execute(b"select count(*) from awa.job_expiry").fetchone() == (0,)


def test_databases_are_told_apart_by_their_cluster(behind: Cluster, server: Server) -> None:
    with (
        psycopg.connect(behind.superuser_dsn) as one,
        psycopg.connect(for_database(server.superuser_dsn, "postgres", "postgres")) as other,
    ):
        query = b"select system_identifier from pg_control_system()"
        assert one.execute(query).fetchone() != other.execute(query).fetchone()
