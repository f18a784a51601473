"""docs/examples/flask_app, as its page says to run it: gunicorn in front, a supervisor behind."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

from tests.fixtures.processes import ROOT, until_dead
from tests.fixtures.waiting import until
from tests.fixtures.web import Web, environment, gunicorn

pytestmark = [pytest.mark.processes, pytest.mark.postgres, pytest.mark.slow]

EXAMPLE = ROOT / "docs" / "examples" / "flask_app"
KAYAKS = 2
"""What the shop begins with."""
PATIENCE_S = 60.0


@pytest.fixture
def env(empty_database: str) -> dict[str, str]:
    """All that the example has to be told."""
    url = empty_database.replace("postgresql://", "postgresql+psycopg://", 1)
    return environment(FLASK_SQLALCHEMY_DATABASE_URI=url, FLASK_AWA_HEARTBEAT_INTERVAL_S="0.5")


@pytest.fixture
def flask(env: dict[str, str]) -> Callable[..., str]:
    """Runs `flask --app shop …` and returns what it prints."""

    def run(*args: str) -> str:
        command = [sys.executable, "-m", "flask", "--app", "shop", *args]
        done = subprocess.run(command, cwd=EXAMPLE, env=env, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.fixture(params=[False, True], ids=["no preload", "preload"])
def web(
    request: pytest.FixtureRequest, env: dict[str, str], flask: Callable[..., str], tmp_path: Path
) -> Iterator[Web]:
    """The shop, open to the web."""
    assert "Applied migration 1" in flask("awa", "migrate")
    flask("create-tables")
    with gunicorn("shop:create_app()", EXAMPLE, tmp_path / "web.log", preload=request.param, env=env) as web:
        yield web


@contextmanager
def supervising(env: dict[str, str], log: Path) -> Iterator[psutil.Popen]:
    """Run the shop's workers, two of them."""
    with log.open("wb") as output:
        process = psutil.Popen(
            [sys.executable, "-m", "flask", "--app", "shop", "awa", "supervisor", "--processes", "2"],
            cwd=EXAMPLE,
            env=env,
            stdout=output,
            stderr=output,
        )
    try:
        until(lambda: log.read_text().count("worker.ready") == 2 or process.poll() is not None, PATIENCE_S)
        assert process.poll() is None, log.read_text()
        family = [process, *process.children(recursive=True)]
        yield process
    finally:
        if process.is_running():
            process.terminate()
        assert process.wait(PATIENCE_S) == 0, log.read_text()
    until_dead(*(each.pid for each in family))


@pytest.fixture
def db(empty_database: str, web: Web) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(empty_database, autocommit=True) as connection:
        yield connection


def until_completed(web: Web, job: int) -> Any:
    """Wait until a job is; return what the web says of it."""

    def completed() -> Any:
        status, answer = web.get(f"/jobs/{job}")
        assert status == 200, answer
        return answer if answer["state"] == "completed" else None

    return until(completed, PATIENCE_S, f"job {job} is completed")


def sockets(process: psutil.Process) -> set[str]:
    """The connections that a process holds; one in two processes would be shared by them."""
    found = {str(fd.readlink()) for fd in Path(f"/proc/{process.pid}/fd").iterdir()}
    listening = {each.fd for each in process.net_connections("inet") if each.status == psutil.CONN_LISTEN}
    found -= {str(Path(f"/proc/{process.pid}/fd/{fd}").readlink()) for fd in listening}
    return {each for each in found if each.startswith("socket:")}


def test_a_day_at_the_shop(web: Web, env: dict[str, str], db: psycopg.Connection[Any], tmp_path: Path) -> None:
    """One after the other, at the same servers: they take longer to start than all this takes."""
    assert web.get("/jobs/999999")[0] == 404
    by_form = the_form_leads_to_the_job(web)
    by_post = a_request_that_is_rolled_back_leaves_no_job(web, db, by_form)
    with supervising(env, tmp_path / "supervisor.log") as supervisor:
        an_order_is_shipped_by_a_worker(web, by_form, by_post)
        nothing_is_shared_after_the_fork(web, supervisor, db)


def the_form_leads_to_the_job(web: Web) -> int:
    assert '<form method="post"' in web.get("/")[1]
    status, answer = web.post_form("/orders", product="kayak")
    assert (status, answer["state"]) == (200, "available")
    return int(answer["job"])


def a_request_that_is_rolled_back_leaves_no_job(web: Web, db: psycopg.Connection[Any], before: int) -> dict[str, int]:
    """The last kayak is sold, and one that is not there."""
    (sold, given), (refused, lost) = (web.post("/orders", product="kayak") for _ in range(KAYAKS))
    assert (sold, refused) == (201, 409)
    assert web.get(f"/jobs/{lost['job']}")[0] == 404
    assert db.execute("select array_agg(id order by id) from awa.jobs").fetchone() == ([before, given["job"]],)
    assert db.execute("select count(*) from orders").fetchone() == (KAYAKS,)
    return dict(given)


def an_order_is_shipped_by_a_worker(web: Web, by_form: int, by_post: dict[str, int]) -> None:
    until_completed(web, by_form)
    job, order = by_post["job"], by_post["order"]
    assert until_completed(web, job) == {"job": job, "state": "completed", "result": "a kayak is on its way"}
    assert web.get(f"/orders/{order}") == (200, {"order": order, "product": "kayak", "shipped": True})


def nothing_is_shared_after_the_fork(web: Web, supervisor: psutil.Process, db: psycopg.Connection[Any]) -> None:
    db.execute("update product set stock = 1000")
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: web.post("/orders", product="kayak"), range(200)))
    assert [status for status, _ in answers] == [201] * 200
    until(lambda: db.execute("select bool_and(shipped) from orders").fetchone() == (True,), PATIENCE_S, "all shipped")
    (forkserver,) = (each for each in supervisor.children() if each.children())
    for processes in (web.workers(), forkserver.children()):
        one, other = map(sockets, processes)
        assert one
        assert other
        assert not one & other
    attempts = "select count(*), count(distinct job_id) from awa.attempts"
    until(lambda: db.execute(attempts).fetchone() == (KAYAKS + 200,) * 2, PATIENCE_S, "each has one attempt")
