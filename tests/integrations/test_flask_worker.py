"""Flask applications in real workers: an application context a job, and nothing shared after the fork."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.fixtures.processes import ROOT, until_dead
from tests.fixtures.supervisor import Shop, Start
from tests.fixtures.waiting import until
from tests.fixtures.web import environment

pytestmark = [pytest.mark.processes, pytest.mark.postgres]

FACTORY = "tests.integrations.preloaded:create_app()"
MODULE = "tests.integrations.preloaded"


def with_driver(dsn: str) -> str:
    return dsn.replace("postgresql://", "postgresql+psycopg://", 1)


@pytest.mark.parametrize("driver", ["psycopg", "psycopg2"])
def test_a_worker_leaves_the_connections_of_the_loader_alone(
    shop: Shop, supervise: Start, database: str, driver: str
) -> None:
    url = database.replace("postgresql://", f"postgresql+{driver}://", 1)
    supervisor = supervise(app=FACTORY, env={"SHOP_URL": url}, processes=2).ready()
    jobs = shop.insert_many([("tell", {})] * 20)
    shop.until_state("completed", *jobs)
    results = [shop.job(job)["result"] for job in jobs]
    assert {result["pid"] for result in results} <= set(supervisor.workers())
    assert all(result["left"] == [None, 0, 0] for result in results)
    for name in ("db", "own"):
        assert not {result[name] for result in results} & {result["before"][name] for result in results}
        assert len({(result["pid"], result[name]) for result in results}) == len({result["pid"] for result in results})
    (forkserver,) = {result["before"]["pid"] for result in results}
    assert forkserver == supervisor.forkserver().pid
    idle = shop.rows("select pid from pg_stat_activity where pid = any (%s)", list(results[0]["before"].values()))
    assert len(idle) == 2  # nobody has said goodbye in the loader's name


Command = Callable[..., Path]


@pytest.fixture
def flask_awa(tmp_path: Path, database: str) -> Iterator[Command]:
    """Starts `flask --app … awa …`; returns its log."""
    started: list[psutil.Popen] = []

    def start(*args: str, **env: str) -> Path:
        log = tmp_path / "flask.log"
        with log.open("wb") as output:
            started.append(
                psutil.Popen(
                    [sys.executable, "-m", "flask", *args],
                    cwd=tmp_path,
                    env=environment(SHOP_URL=with_driver(database), **env),
                    stdout=output,
                    stderr=output,
                    start_new_session=True,
                )
            )
        return log

    yield start
    for process in started:
        family = [process, *process.children(recursive=True)]
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
        until_dead(*(each.pid for each in family))


def test_flask_awa_supervisor_runs_this_application(shop: Shop, flask_awa: Command) -> None:
    """As `flask` has found it, on the database of its configuration, whatever `$DATABASE_URL` says."""
    log = flask_awa(
        *("--app", f"{MODULE}:create_app", "awa", "supervisor", "--processes", "1", "--log-format", "json"),
        DATABASE_URL="postgresql+psycopg://nobody@localhost:1/nowhere",
    )
    job = shop.insert("tell")
    until(lambda: shop.states(job) == ["completed"] or "error: " in log.read_text(), 60, log.read_text())
    assert shop.states(job) == ["completed"], log.read_text()
    assert '"supervisor.ready","processes":1' in log.read_text()


def test_flask_awa_supervisor_heeds_the_configuration(shop: Shop, flask_awa: Command, tmp_path: Path) -> None:
    (tmp_path / "wsgi.py").write_text(
        f"from {MODULE} import create_app\napp = create_app()\napp.config['AWA_PROCESSES'] = 1\n", encoding="utf-8"
    )
    log = flask_awa("awa", "supervisor")  # wsgi.py is where flask looks by itself
    until(lambda: "supervisor.ready" in log.read_text() or "error: " in log.read_text(), 60)
    assert "supervisor.ready processes=1" in log.read_text()


def test_a_chosen_database_goes_before_the_applications(shop: Shop, flask_awa: Command, database: str) -> None:
    log = flask_awa(
        *("--app", f"{MODULE}:create_app", "awa", "--database-url", database, "supervisor", "--processes", "1"),
        QUEUE_URL="postgresql://nobody@localhost:1/nowhere",
    )
    job = shop.insert("tell")
    until(lambda: shop.states(job) == ["completed"] or "error: " in log.read_text(), 60, log.read_text())
    assert shop.states(job) == ["completed"], log.read_text()


def test_a_factory_without_a_name_is_refused(tmp_path: Path) -> None:
    (tmp_path / "manage.py").write_text(
        "from flask import Flask\nfrom flask.cli import FlaskGroup\nfrom awa.integrations.flask import Awa\n"
        "def create_app():\n    app = Flask('shop')\n    Awa(app)\n    return app\n"
        "FlaskGroup(create_app=create_app)()\n",
        encoding="utf-8",
    )
    done = subprocess.run(
        [sys.executable, "manage.py", "awa", "supervisor"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("error: the factory of this application cannot be imported by its name")
