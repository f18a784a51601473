"""Behind a pooler that lends a connection for one transaction only: no LISTEN, no settings, no prepared statements."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from typing import NamedTuple

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

import awa
from awa import embedded
from awa.embedded.account import account_for
from tests.fixtures.postgres import OWNER
from tests.fixtures.supervisor import Shop, Start
from tests.fixtures.waiting import until
from tests.trouble.observe import LONG_S, endured, hold, resumed

pytestmark = [pytest.mark.processes, pytest.mark.postgres]

CONFIGURATION = """
[databases]
* = host={host} port={port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {listen}
unix_socket_dir =
auth_type = trust
auth_file = {directory}/users
pool_mode = transaction
default_pool_size = 5
max_client_conn = 100
logfile = {directory}/log
"""


class Pooler(NamedTuple):
    """PgBouncer in front of the test's database."""

    dsn: str
    pid: int


@pytest.fixture
def pooler(server: embedded.Server, database: str) -> Iterator[Pooler]:
    """A PgBouncer of the test's own."""
    program = shutil.which("pgbouncer", path="/usr/sbin:/usr/local/bin:/usr/bin")
    if program is None:
        pytest.skip("PgBouncer is not installed")
    given = conninfo_to_dict(database)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    directory = server.path.parent / f"pooler-{port}"
    directory.mkdir(0o755)
    (directory / "users").write_text(f'"{OWNER}" ""\n')
    text = CONFIGURATION.format(host=given["host"], port=given["port"], listen=port, directory=directory)
    (directory / "ini").write_text(text)
    account = account_for(server.data_dir)
    account.own(directory)
    process = subprocess.Popen([program, "-q", str(directory / "ini")], cwd="/", **account.switch())
    dsn = make_conninfo(host="127.0.0.1", port=port, user=OWNER, dbname=given["dbname"])
    try:
        until(lambda: answers(dsn), LONG_S, "PgBouncer answers")
        yield Pooler(dsn, process.pid)
    finally:
        process.kill()
        process.wait()
        shutil.rmtree(directory)


def answers(dsn: str) -> bool:
    try:
        psycopg.connect(dsn).close()
    except psycopg.OperationalError:
        return False
    return True


def test_jobs_run_behind_a_transaction_pooler(pooler: Pooler, shop: Shop, supervise: Start) -> None:
    supervisor = supervise(database_url=pooler.dsn).ready()
    first = shop.insert_many([("note", {})] * 50)
    shop.until_state("completed", *first, timeout=LONG_S)
    for _ in range(5):
        shop.until_state("completed", shop.insert("noop"), timeout=LONG_S)
    again = shop.insert_many([("nap", {"ms": 1})] * 300)
    shop.until_state("completed", *again, timeout=LONG_S)
    assert shop.rows("select count(*) from effects group by job") == [1] * 350
    assert shop.rows("select count(*) from awa.idle") == [0]
    assert not supervisor.events("worker.exited")
    warnings = [each["warning"] for each in supervisor.events("supervisor.warning")]
    assert [warning for warning in warnings if "polling" in warning] == warnings[:1] != []
    assert supervisor.stop() == 0


def test_applications_insert_through_it(pooler: Pooler, shop: Shop) -> None:
    with awa.Client(pooler.dsn) as client:
        for number in range(20):
            client.insert({"number": number}, kind="noop")
        client.insert_many([{"number": number} for number in range(100)], kind="noop")
        assert client.queue_stats()[0].available == 120


def test_nothing_stays_behind_for_others_who_share_its_connections(
    pooler: Pooler, shop: Shop, supervise: Start
) -> None:
    supervisor = supervise(database_url=pooler.dsn).ready()
    shop.until_state("completed", shop.insert("noop"), timeout=LONG_S)
    for _ in range(20):
        with psycopg.connect(pooler.dsn, autocommit=True) as other:
            assert other.execute("show lock_timeout").fetchone() == ("0",)
            assert other.execute("select pg_listening_channels()").fetchall() == []
    assert supervisor.stop() == 0


def test_a_pooler_that_freezes(pooler: Pooler, shop: Shop, supervise: Start) -> None:
    supervisor = supervise(
        database_url=f"{pooler.dsn} connect_timeout=2", answer_s=1.0, heartbeat_interval_s=20
    ).ready()
    held = hold(shop)
    with endured(supervisor, 5.0):
        os.kill(pooler.pid, signal.SIGSTOP)
        shop.open("gate")
    os.kill(pooler.pid, signal.SIGCONT)
    resumed(supervisor, shop, held)
