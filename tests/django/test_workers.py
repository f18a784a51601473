"""Workers of a project, under `manage.py awa_supervisor`: forked, and with Django's connections in order."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import django
import psycopg
import pytest

from tests.django.conftest import TASKS, DjangoSupervisor, MakeSite, Site
from tests.fixtures.waiting import until

pytestmark = pytest.mark.processes

Connect = Callable[..., psycopg.Connection[Any]]
Workers = Callable[..., DjangoSupervisor]
POOL = {"OPTIONS": {"pool": {"min_size": 1, "max_size": 2}}}
NO_POOLS = pytest.mark.skipif(django.VERSION < (5, 1), reason="Django has pools since 5.1")


def insert(project: Site, *jobs: str) -> list[int]:
    """Insert jobs of Awa's kinds."""
    ids = project.run(
        f"from awa.integrations.django import client\nfor kind in {jobs!r}: print(client.insert({{}}, kind=kind).id)"
    )
    return [int(line) for line in ids.split()]


def results(connect: Connect, project: Site, *jobs: int) -> list[Any]:
    """Wait until jobs have completed; return their results."""
    query = "select result from awa.jobs where id = any (%s) and state = 'completed' order by id"

    def completed() -> list[Any]:
        rows = [row[0] for row in connection.execute(query, [list(jobs)])]
        return rows if len(rows) == len(jobs) else []

    connection = connect(project.dsn)
    return until(completed, message=f"jobs {jobs} complete")


def sessions(connect: Connect, project: Site) -> set[int]:
    """The backends of the project's connections, Awa's own apart."""
    query = """select pid from pg_stat_activity where datname = current_database() and backend_type = 'client backend'
               and application_name not like 'awa%' and pid <> pg_backend_pid()"""
    return {row[0] for row in connect(project.dsn).execute(query)}


def migrated(project: Site) -> Site:
    project.manage("migrate")
    return project


def test_jobs_run_and_it_ends_as_asked(site: MakeSite, connect: Connect, workers: Workers) -> None:
    project = migrated(site(TASKS=TASKS))
    (order,) = project.run(
        "from tests.django.site.shop.models import Order; print(Order.objects.create(customer='Hine').pk)"
    ).split()
    supervisor = workers(project, env={"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none"}).ready()
    both = project.run(
        "from awa.integrations.django import client\nfrom tests.django.site.shop import django_tasks_here as here\n"
        f"from tests.django.site.shop.tasks import SendReceipt\nprint(client.insert(SendReceipt({order})).id)\n"
        "print(here.mail.enqueue('hine').id)"
    )
    assert results(connect, project, *map(int, both.split())) == [{"customer": "Hine"}, "hine"]
    assert supervisor.stop() == 0


@pytest.mark.parametrize("settings", [{}, pytest.param(POOL, marks=NO_POOLS)], ids=["connection", "pool"])
def test_what_the_parent_has_opened_stays_the_parents(
    site: MakeSite, connect: Connect, workers: Workers, settings: dict[str, Any]
) -> None:
    """The app asks the database while it is loaded, before workers are forked."""
    project = migrated(site(**settings))
    supervisor = workers(project, "--processes=2", env={"SITE_ASKS_EARLY": "1"}).ready()
    early = int(re.findall(r"early backend (\d+)", supervisor.text())[-1])
    parents = sessions(connect, project)
    assert early in parents
    found = results(connect, project, *insert(project, *["where"] * 6))
    assert not parents & {each["backend"] for each in found}
    assert parents <= sessions(connect, project)  # no worker has closed one
    assert not supervisor.events("worker.exited")


def test_a_transaction_left_open_does_not_reach_the_next_job(
    site: MakeSite, connect: Connect, workers: Workers
) -> None:
    project = migrated(site())
    workers(project, "--processes=1").ready()
    _, after = results(connect, project, *insert(project, "leave_atomic", "where"))
    assert after["in_atomic"] is False
    assert connect(project.dsn).execute("select count(*) from shop_order").fetchone() == (0,)


def test_queries_logged_under_debug_do_not_pile_up(site: MakeSite, connect: Connect, workers: Workers) -> None:
    project = migrated(site(DEBUG=True))
    workers(project, "--processes=1").ready()
    found = results(connect, project, *insert(project, *["where"] * 5))
    assert len({each["pid"] for each in found}) == 1
    assert {each["queries"] for each in found} == {found[0]["queries"]}


def test_connections_are_kept_and_closed_as_the_project_says(
    site: MakeSite, connect: Connect, workers: Workers
) -> None:
    project = migrated(site())
    workers(project, "--processes=1").ready()
    found = results(connect, project, *insert(project, *["where"] * 3))
    assert len({each["backend"] for each in found}) == 3  # CONN_MAX_AGE is 0


def test_a_project_that_cannot_be_loaded_says_why(site: MakeSite, workers: Workers) -> None:
    supervisor = workers(site(INSTALLED_APPS=["awa.integrations.django", "tests.no_such_app"]))
    assert supervisor.wait() == 1
    assert "tests.no_such_app" in supervisor.text()
    supervisor = workers(site(AWA={"TASK_MODULES": []}))
    assert supervisor.wait() == 3
    assert "has no tasks" in supervisor.text()
