"""The database is there and refuses: it is read-only, full, locked, or has no connection to spare."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from awa.database.open import connect
from awa.database.schema import chain
from tests.fixtures.postgres import for_database
from tests.fixtures.supervisor import Shop, Start
from tests.fixtures.waiting import until
from tests.trouble.observe import LONG_S, endured, hold, resumed
from tests.trouble.own import END_ALL, OwnServer

pytestmark = [pytest.mark.processes, pytest.mark.postgres]

QUIET = {"heartbeat_interval_s": 20}
TABLES = "awa.batch, awa.attempt_log, awa.worker, awa.node, awa.leader, awa.idle_node, awa.lane, awa.seal_ledger"
FULL = """
create function full_disk() returns trigger language plpgsql as $$
begin raise 'could not extend file "base/1/2": No space left on device' using errcode = 'disk_full'; end $$;
create trigger full_disk before insert on {table} execute function full_disk();
"""


def set_for_all(shop: Shop, setting: str, value: str) -> None:
    """Set it for every connection to come, and end those there are."""
    (name,) = shop.rows("select current_database()")
    shop.db.execute(f"alter database {name} set {setting} = {value}".encode())
    shop.db.execute(END_ALL)


def set_back(shop: Shop) -> None:
    (name,) = shop.rows("select current_database()")
    shop.db.execute(f"alter database {name} reset all".encode())
    shop.db.execute(END_ALL)


@contextmanager
def locked(shop: Shop) -> Iterator[None]:
    """Nobody else can so much as read Awa's tables."""
    with psycopg.connect(shop.dsn) as locker:
        until(lambda: lock(locker), LONG_S)
        yield
        locker.rollback()


def lock(locker: psycopg.Connection[Any]) -> bool:
    """Lock one table after the other; whether nobody who had them in another order was in the way."""
    try:
        locker.execute(f"lock table {TABLES} in access exclusive mode".encode())
    except psycopg.errors.DeadlockDetected:
        locker.rollback()
        return False
    return True


def test_read_only(shop: Shop, supervise: Start) -> None:
    """As a server that is about to be replaced."""
    supervisor = supervise(**QUIET).ready()
    held = hold(shop)
    with endured(supervisor):
        set_for_all(shop, "default_transaction_read_only", "on")
        shop.open("gate")
    errors = [each["error"] for each in supervisor.events("database.lost")]
    assert all("read-only transaction" in error for error in errors), errors
    assert not [each for each in supervisor.events("supervisor.service_failed") if "traceback" in each]
    assert shop.states(*held) == ["running"] * 2
    set_back(shop)
    resumed(supervisor, shop, held)


def test_limits_of_the_role_do_not_hold_for_supervisors_and_workers(shop: Shop, supervise: Start) -> None:
    """They have their own: a role's are made for an application's statements, which are short or wrong."""
    supervisor = supervise(**QUIET).ready()
    held = hold(shop)
    with locked(shop):
        set_for_all(shop, "statement_timeout", "'100ms'")
        set_for_all(shop, "lock_timeout", "'100ms'")
        shop.open("gate")
        supervisor.until_event("supervisor.warning", timeout=LONG_S)  # by the limit of their own
    errors = [each["error"] for each in supervisor.events("database.lost")]
    assert not any("timeout" in error for error in errors), errors
    resumed(supervisor, shop, held)


def test_locks_that_are_held_for_minutes(shop: Shop, supervise: Start) -> None:
    """With no limit on the server, ours holds; and no backend is left waiting for each try."""
    supervisor = supervise(**QUIET, response_timeout_s=1.0).ready()
    held = hold(shop)
    backends = (
        "select count(*) from pg_stat_activity where application_name like 'awa %%' and datname = current_database()"
    )
    with locked(shop):
        with endured(supervisor, 8.0):
            shop.open("gate")
        assert shop.rows(backends)[0] <= 8
    resumed(supervisor, shop, held)


@pytest.mark.parametrize("table", ["awa.batch", "awa.attempt_log"])
def test_the_disk_is_full_for_some_tables(shop: Shop, supervise: Start, table: str) -> None:
    """Whoever cannot settle claims nothing more: what is finished and not settled stays a lease a worker."""
    supervisor = supervise(**QUIET).ready()
    held = hold(shop)
    jobs = shop.insert_many([("note", {})] * 1000)
    with endured(supervisor):
        shop.db.execute(FULL.format(table=table).encode())
        shop.open("gate")
    ran = shop.rows("select count(*) from effects")[0]
    assert ran < len(jobs) / 2
    errors = [each["error"] for each in supervisor.events("database.lost")]
    assert all("No space left on device" in error for error in errors), errors
    shop.db.execute("drop function full_disk cascade")
    resumed(supervisor, shop, held, lambda shop: jobs)
    assert shop.rows("select count(*) from effects group by job") == [1] * 1000


@pytest.fixture
def small_disk(own_server: OwnServer) -> Iterator[str]:
    """A database on a disk of a few megabytes. On a server of its own: a full disk stops the checkpoints of all."""
    place = own_server.path.with_name("small-disk")
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", str(place)], check=False)
    if mounted.returncode:
        pytest.skip("mounting a small disk takes a superuser")
    owner = own_server.server.data_dir.stat()
    data = place / "data"
    data.mkdir(0o700)
    shutil.chown(data, owner.st_uid, owner.st_gid)
    place.chmod(0o755)
    role = str(conninfo_to_dict(own_server.dsn)["user"])
    dsn = for_database(own_server.server.superuser_dsn, "small_disk", role)
    with psycopg.connect(own_server.server.superuser_dsn, autocommit=True) as admin:
        try:
            admin.execute(f"create tablespace small_disk owner {role} location '{data}'".encode())
            admin.execute(f"create database small_disk owner {role} tablespace small_disk".encode())
            with connect(dsn, role="test") as connection:
                chain.migrate(connection)
            yield dsn
        finally:
            admin.execute("drop database if exists small_disk with (force)")
            admin.execute("drop tablespace if exists small_disk")
            subprocess.run(["umount", "-l", str(place)], check=True)


def test_the_disk_is_full(small_disk: str, supervise: Start, tmp_path: Path) -> None:
    shop = Shop(small_disk, tmp_path)
    supervisor = supervise(dsn=small_disk, **QUIET).ready()
    held = hold(shop)
    jobs = shop.insert_many([("noop", {})] * 4000)
    with endured(supervisor):
        fill(shop)
        shop.open("gate")
    errors = [each["error"] for each in supervisor.events("database.lost")]
    assert all("No space left on device" in error for error in errors), errors
    shop.db.execute("drop table filler")
    resumed(supervisor, shop, held, lambda shop: jobs)
    shop.close()


def fill(shop: Shop) -> None:
    """Fill the disk to the last page."""
    shop.db.execute("create table filler (x text)")
    for rows in (10_000, 1000, 100, 10, 1):
        with suppress(psycopg.errors.DiskFull):
            while True:
                shop.db.execute("insert into filler select repeat('x', 1000) from generate_series(1, %s)", [rows])


def test_no_connection_to_spare(own_server: OwnServer, supervise: Start, tmp_path: Path) -> None:
    """Others have taken all there are."""
    shop = Shop(own_server.dsn, tmp_path)
    supervisor = supervise(dsn=own_server.dsn, **QUIET).ready()
    held = hold(shop)
    with ExitStack() as others:
        with endured(supervisor):
            shop.open("gate")
            until(lambda: take_all(own_server.dsn, shop, others), LONG_S)
        errors = [each["error"] for each in supervisor.events("database.lost")]
        assert any("raise max_connections" in error for error in errors), errors
    resumed(supervisor, shop, held)
    shop.close()


def take_all(dsn: str, shop: Shop, others: ExitStack) -> bool:
    """Take every connection there is, from Awa too; whether it has none."""
    shop.db.execute(END_ALL)
    try:
        while True:
            others.enter_context(psycopg.connect(dsn))
    except psycopg.OperationalError:
        return shop.rows("select count(*) from pg_stat_activity where application_name like 'awa %%'") == [0]
