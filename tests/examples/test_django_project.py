"""The example project, as its README starts it: `manage.py`, gunicorn with and without preloading, workers."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from tests.fixtures.processes import ROOT, until_dead
from tests.fixtures.waiting import until
from tests.fixtures.web import Web, environment, gunicorn

pytestmark = pytest.mark.processes
PROJECT = ROOT / "docs" / "examples" / "django_project"
VARIABLES = {"dbname": "PGDATABASE", "host": "PGHOST", "port": "PGPORT", "user": "PGUSER"}
ORDERS = 8
"""At once, for two kayaks."""


@pytest.fixture
def env(empty_database: str) -> dict[str, str]:
    given = conninfo_to_dict(empty_database)
    place = {VARIABLES[name]: str(value) for name, value in given.items() if name in VARIABLES}
    env = environment(**place)
    env["PYTHONPATH"] = os.pathsep.join([str(PROJECT), env["PYTHONPATH"]])
    return env


def manage(env: dict[str, str], *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "manage.py", *arguments], cwd=PROJECT, env=env, text=True, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def workers(env: dict[str, str], tmp_path: Path) -> Iterator[psutil.Popen]:
    """The supervisor, when its workers are there."""
    manage(env, "migrate")
    log = tmp_path / "workers.log"
    with log.open("wb") as out:
        process = psutil.Popen(
            [sys.executable, "manage.py", "awa_supervisor", "--processes", "2"],
            cwd=PROJECT,
            env=env,
            stdout=out,
            stderr=out,
        )
    until(lambda: process.poll() is not None or log.read_text().count("worker.ready") >= 2, 60, "workers are ready")
    assert process.poll() is None, log.read_text()
    yield process
    process.terminate()
    assert process.wait(30) == 0, log.read_text()
    until_dead(process.pid)


@pytest.fixture(params=[False, True], ids=["each worker loads", "preload"])
def web(request: pytest.FixtureRequest, env: dict[str, str], tmp_path: Path, workers: psutil.Popen) -> Iterator[Web]:
    with gunicorn("mysite.wsgi:application", PROJECT, tmp_path / "web.log", preload=request.param, env=env) as served:
        yield served


def test_orders_over_http(web: Web, empty_database: str) -> None:
    assert web.get("/") == (200, "We have: kayak")
    assert web.post("/orders", product="boat")[0] == 404
    with ThreadPoolExecutor(ORDERS) as threads:
        answers = list(threads.map(lambda _: web.post("/orders", product="kayak"), range(ORDERS)))
    taken = [answer for status, answer in answers if status == 201]
    refused = [answer for status, answer in answers if status == 409]
    assert (len(taken), len(refused)) == (2, ORDERS - 2)

    for each in taken:
        until(lambda job=each["job"]: web.get(f"/jobs/{job}")[1]["state"] == "completed", 20, "the order is shipped")
        until(lambda job=each["thanks"]: web.get(f"/jobs/{job}")[1]["state"] == "completed", 20, "thanks are said")
        assert web.get(f"/orders/{each['order']}")[1] == {"order": each["order"], "product": "kayak", "shipped": True}
        assert web.get(f"/jobs/{each['job']}")[1]["result"] == "a kayak is on its way"
        assert web.get(f"/jobs/{each['thanks']}")[1]["result"] == f"thank you for order {each['order']}"

    assert {web.get(f"/jobs/{each['job']}")[0] for each in refused} == {404}  # rolled back, and never to be seen
    with psycopg.connect(empty_database) as connection:
        assert connection.execute("select count(*) from awa.job_log").fetchone() == (4,)
        assert connection.execute("select count(*) from shop_order").fetchone() == (2,)


def test_nothing_is_amiss(env: dict[str, str]) -> None:
    manage(env, "migrate")
    assert "no issues" in manage(env, "check", "--database", "default")
    manage(env, "makemigrations", "--check", "--dry-run")
    assert manage(env, "awa", "job", "list", "--json").strip() == "[]"
