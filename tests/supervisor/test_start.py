"""Applications and databases a supervisor cannot start with: what it says, and how it ends."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

import psycopg
import pytest

from awa import embedded
from awa.database.open import connect
from awa.database.schema import chain
from tests.fixtures.processes import ROOT
from tests.fixtures.supervisor import Shop, Start

pytestmark = [pytest.mark.processes, pytest.mark.postgres]

TASK = "from awa.task.registry import Registry\nclass C:\n    dsn = None\n    registry = Registry()\nclient = C()\n"
NESTED = (
    TASK + "def make():\n    def inner(job): pass\n    return inner\nclient.registry.add(make(), None, 'nested', 'q')\n"
)


@pytest.mark.parametrize(
    ("source", "spec", "said"),
    [
        ("", "elsewhere:client", "there is no module 'elsewhere' in "),
        ("", "app", "--app 'app' names no client: write it as package.module:client"),
        ("", "./pkg/app.py:client", "names a file: write the module as it is imported, with dots: pkg.app:client"),
        ("", "..app:client", "names a file: write the module as it is imported, with dots: app:client"),
        ("", "app:client", "'app' has no attribute 'client'"),
        ("client = 7", "app:client", "--app 'app:client' is a int, not an awa.Client"),
        (TASK, "app:client", "--app 'app:client' has no tasks: decorate a function with @client.task(...) in app"),
        (NESTED, "app:client", "app.make.<locals>.inner, cannot be imported"),
        ("import os; os._exit(5)", "app:client", "the application ended the process that loaded it (exit code 5)"),
        ("import os; os.kill(os.getpid(), 11)", "app:client", "that loaded it (signal 11)"),
    ],
)
def test_applications_that_are_none(supervise: Start, tmp_path: Path, source: str, spec: str, said: str) -> None:
    """Said in one line, exit code 3, and no second try."""
    (tmp_path / "app.py").write_text(source + "\n", encoding="utf-8")
    supervisor = supervise(app=spec, dsn="unused")
    assert supervisor.wait() == 3
    text = supervisor.text()
    assert text.startswith("error: ")
    assert said in text
    assert text.count("\n") == 1


def test_an_application_whose_loader_is_killed_may_be_started_again(supervise: Start, tmp_path: Path) -> None:
    """For want of memory, for example: nothing says that the application is broken, and service managers go by the
    exit code."""
    (tmp_path / "app.py").write_text("import os; os.kill(os.getpid(), 9)\n", encoding="utf-8")
    supervisor = supervise(app="app:client", dsn="unused")
    assert supervisor.wait() == 1
    assert supervisor.text() == "error: the process that loaded the application was killed (SIGKILL); start again\n"


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("import nothing_of_that_name", "ModuleNotFoundError: No module named 'nothing_of_that_name'"),
        ("def broken(:", "SyntaxError: invalid syntax (app.py, line 1)"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("import sys; sys.exit('no configuration')", "SystemExit: no configuration"),
    ],
)
def test_applications_that_raise_when_imported(supervise: Start, tmp_path: Path, source: str, said: str) -> None:
    """Their traceback once, without frames of ours, and one line that sums it up."""
    (tmp_path / "app.py").write_text(source + "\n", encoding="utf-8")
    supervisor = supervise(app="app:client", dsn="unused")
    assert supervisor.wait() == 3
    text = supervisor.text()
    assert text.count("Traceback") + text.startswith('  File "') == 1
    assert str(ROOT) not in text
    assert 'app.py", line 1' in text
    assert text.splitlines()[-1] == f"error: the application cannot be loaded: {said}"


@pytest.mark.parametrize(
    ("dsn", "said"),
    [
        ("host=/nowhere dbname=shop", "cannot connect to database shop at /nowhere: "),
        ("host=127.0.0.1 port=1 dbname=shop connect_timeout=2", "Check that the server runs"),
    ],
)
def test_a_database_that_cannot_be_reached(supervise: Start, dsn: str, said: str) -> None:
    supervisor = supervise(dsn=dsn)
    assert supervisor.wait() == 1
    text = supervisor.text()
    assert text.startswith("error: ")
    assert said in text
    assert text.count("\n") == 1


def test_a_database_without_our_schema(supervise: Start, empty_database: str) -> None:
    supervisor = supervise(dsn=empty_database)
    assert supervisor.wait() == 1
    assert supervisor.text().startswith("error: this database has no Awa schema. Run `awa migrate`")


def test_a_role_without_rights(
    supervise: Start, database: str, superuser_dsn: str, connection: psycopg.Connection[Any]
) -> None:
    connection.execute("revoke all on awa.node from awa_owner")
    supervisor = supervise()
    assert supervisor.wait() == 1
    assert supervisor.text().startswith("error: could not sign in as a node: permission denied for table node")


def test_no_database_at_all(supervise: Start, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(
        TASK + "def noop(job): pass\nclient.registry.add(noop, None, 'noop', 'default')\n", encoding="utf-8"
    )
    supervisor = supervise(app="app:client", dsn="unused")
    assert supervisor.wait() == 1
    assert supervisor.text().startswith("error: no database: give --database-url")


def test_threads_started_at_import_are_warned_of(shop: Shop, supervise: Start, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(
        "import threading\n"
        "threading.Thread(target=threading.Event().wait, name='refresher', daemon=True).start()\n"
        "from tests.fixtures.shop import client\n",
        encoding="utf-8",
    )
    supervisor = supervise(app="app:client")
    assert "refresher" in supervisor.until_event("supervisor.warning")["warning"]
    job = shop.insert("note")
    shop.until_state("completed", job)


def test_queues_no_task_names_are_warned_of(shop: Shop, supervise: Start) -> None:
    supervisor = supervise(queues=["default", "defualt"])
    warning = supervisor.until_event("supervisor.warning")["warning"]
    assert warning == "setting queues names defualt, and no task of the application does (they name default)"
    job = shop.insert("note", queue="defualt")
    shop.until_state("completed", job)


def test_given_database_goes_before_the_clients(shop: Shop, supervise: Start, database: str) -> None:
    supervise(dsn="host=/nowhere", database_url=database)
    job = shop.insert("noop")
    shop.until_state("completed", job)


def test_workers_that_come_to_nothing_are_not_started_in_a_tight_loop(
    shop: Shop, supervise: Start, tmp_path: Path
) -> None:
    (tmp_path / "app.py").write_text(
        "import os\nfrom tests.fixtures.shop import client\nos.register_at_fork(after_in_child=lambda: os._exit(9))\n",
        encoding="utf-8",
    )
    supervisor = supervise(app="app:client", processes=1)
    supervisor.until_event("worker.exited", 4)
    times = [line["time"] for line in supervisor.events("worker.started")]
    assert len(times) == 4
    first, *_, last = (float(time[-7:-1]) + 60 * int(time[-10:-8]) for time in times)
    assert (last - first) % 3600 > 0.5  # 0, 0.2 and 0.4 s apart
    warning = supervisor.until_event("supervisor.warning")["warning"]
    assert warning.startswith("4 workers in a row came to nothing; the next starts in 0.8 s.")
    assert supervisor.stop() == 0


def test_an_embedded_database(supervise: Start, server: embedded.Server) -> None:
    """The application names it, the supervisor joins it, and its workers are told where it is."""
    home = Path(tempfile.mkdtemp(prefix="awa-", dir=server.path.parent))
    home.chmod(0o755)
    try:
        with embedded.start(home / "data") as own, connect(own.dsn, role="test") as connection:
            chain.migrate(connection)
            shop = Shop(own.dsn, home)
            supervisor = supervise(dsn=f"embedded://{home}/data").ready()
            job = shop.insert("noop")
            shop.until_state("completed", job)
            shop.close()
        assert supervisor.stop() == 0
    finally:
        embedded.stop(home / "data")
        shutil.rmtree(home)
