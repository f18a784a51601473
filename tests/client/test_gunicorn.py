"""gunicorn --preload: the master has used the client, and its forked workers use it at the same time."""

import http.client
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest

from awa import Client
from tests.fixtures.processes import ROOT, until_dead
from tests.fixtures.waiting import until

pytestmark = pytest.mark.processes
REQUESTS = 200


class Unix(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=20)
        self._path = str(path)

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(20)
        self.sock.connect(self._path)


def get(path: Path) -> tuple[int, int]:
    """Ask once; return the process that answered and the job it inserted."""
    connection = Unix(path)
    connection.request("GET", "/")
    response = connection.getresponse()
    body = response.read().decode()
    connection.close()
    assert response.status == 200, body
    pid, job = body.split()
    return int(pid), int(job)


@pytest.fixture
def served(database: str, tmp_path: Path) -> Iterator[tuple[Path, int]]:
    """A socket that gunicorn answers on, and gunicorn's process id."""
    path = tmp_path / "web.sock"
    settings = tmp_path / "gunicorn.py"
    settings.write_text(f"preload_app = True\nworkers = 2\nbind = 'unix:{path}'\ncontrol_socket_disable = True\n")
    gunicorn = subprocess.Popen(
        [sys.executable, "-m", "gunicorn", "--config", str(settings), "tests.client.wsgi:app"],
        cwd=ROOT,
        env={**os.environ, "DATABASE_URL": database},
        stderr=subprocess.PIPE,
    )
    try:
        until(lambda: path.exists() or gunicorn.poll() is not None, message="gunicorn listens")
        assert gunicorn.poll() is None, gunicorn.communicate()[1].decode()
        yield path, gunicorn.pid
    finally:
        gunicorn.terminate()
        gunicorn.communicate(timeout=20)
        until_dead(gunicorn.pid)


def test_preloaded_workers_insert_concurrently(
    served: tuple[Path, int], client: Client, connection: psycopg.Connection[Any]
) -> None:
    path, master = served
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: get(path), range(REQUESTS)))
    workers = {pid for pid, _ in answers}
    assert len(workers) == 2
    assert master not in workers
    assert len({job for _, job in answers}) == REQUESTS
    rows = connection.execute(
        "select (args->>'by')::int, args->>'when', count(*) from awa.job_log group by 1, 2"
    ).fetchall()
    assert sum(jobs for _, when, jobs in rows if when == "request") == REQUESTS
    assert [(pid, jobs) for pid, when, jobs in rows if when == "preload"] == [(master, 1)]
    sessions = connection.execute(
        "select count(*) from pg_stat_activity where datname = current_database() and application_name = 'awa client'"
    ).fetchone()
    assert sessions == (3,)  # the master's, and one for each worker
