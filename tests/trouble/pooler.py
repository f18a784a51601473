"""PgBouncer in front of the database of a test: it lends a connection for one transaction only."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from awa import embedded
from awa.embedded.account import account_for
from tests.fixtures.postgres import OWNER
from tests.fixtures.waiting import until
from tests.trouble.observe import LONG_S

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


@contextmanager
def in_front_of(server: embedded.Server, database: str) -> Iterator[Pooler]:
    """Run a PgBouncer until the block ends. What it lends is opened from now on, with the settings of its role and
    database at this time."""
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
