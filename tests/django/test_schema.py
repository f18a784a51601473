"""Who owns the schema: `migrate`, or with MANAGE_SCHEMA off `awa_migrate`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg

from awa.database.schema import chain
from tests.django.conftest import MakeSite

Connect = Callable[..., psycopg.Connection[Any]]
BY_HAND = {"AWA": {"MANAGE_SCHEMA": False}}


def version(connect: Connect, dsn: str) -> int | None:
    return chain.current(connect(dsn))


def test_migrate_installs_it(site: MakeSite, connect: Connect) -> None:
    project = site()
    printed = project.manage("migrate")
    assert "Applying awa.0001_initial... OK" in printed
    assert "awa.W004" not in printed, "migrate is what installs it"
    assert version(connect, project.dsn) == chain.VERSION
    assert "(awa.W004)" not in project.manage("check", "--database", "default")


def test_migrate_takes_over_one_that_is_there(site: MakeSite, connect: Connect) -> None:
    project = site()
    with connect(project.dsn) as connection:
        chain.migrate(connection)
    project.manage("migrate")
    assert version(connect, project.dsn) == chain.VERSION


def test_every_migrate_brings_it_up_to_the_release(site: MakeSite, connect: Connect) -> None:
    """As after an upgrade of Awa: the app's migration has been applied, and the schema is not what it could be."""
    project = site()
    project.manage("migrate")
    connect(project.dsn).execute("drop schema awa cascade")
    assert "(awa.W004)" in project.manage("check", "--database", "default")
    project.manage("migrate")
    assert version(connect, project.dsn) == chain.VERSION


def test_migrate_refuses_one_of_a_newer_release(site: MakeSite, connect: Connect) -> None:
    project = site()
    project.manage("migrate")
    connect(project.dsn).execute("insert into awa.schema_version (version) values (%s)", [chain.VERSION + 1])
    assert "Upgrade the package awa-supervisor" in project.manage("check", "--database", "default")
    refused = project.manage("migrate", code=1)
    assert "SchemaTooNew" in refused
    assert "Upgrade the package awa-supervisor" in refused


def test_an_error_installs_nothing(site: MakeSite, connect: Connect) -> None:
    project = site()
    connect(project.dsn).execute("create schema awa")  # in the way
    project.manage("migrate", code=1)
    assert version(connect, project.dsn) is None


def test_going_back_keeps_the_jobs(site: MakeSite, connect: Connect) -> None:
    project = site()
    project.manage("migrate")
    project.run("from awa.integrations.django import client; client.insert({}, kind='kept')")
    project.manage("migrate", "shop", "zero")
    project.manage("migrate", "awa", "zero")
    assert connect(project.dsn).execute("select count(*) from awa.jobs").fetchone() == (1,)


def test_sqlmigrate_prints_what_would_run(site: MakeSite, connect: Connect) -> None:
    project = site()
    printed = project.manage("sqlmigrate", "awa", "0001")
    assert "create schema awa" in printed
    assert version(connect, project.dsn) is None
    connect(project.dsn).execute(printed.encode())
    assert version(connect, project.dsn) == chain.VERSION


def test_other_databases_are_left_alone(site: MakeSite) -> None:
    project = site()
    printed = project.manage("migrate", "--database", "lite")
    assert "Applying awa.0001_initial... OK" in printed
    assert "create schema" not in project.manage("sqlmigrate", "awa", "0001", "--database", "lite")


def test_a_router_may_forbid_it(site: MakeSite, connect: Connect) -> None:
    project = site(DATABASE_ROUTERS=["tests.django.site.routers.NoAwa"])
    assert "(awa.W003)" in project.manage("check")
    project.manage("migrate")
    assert version(connect, project.dsn) is None


def test_by_hand(site: MakeSite, connect: Connect) -> None:
    project = site(**BY_HAND)
    project.manage("migrate")
    assert version(connect, project.dsn) is None
    assert "Run `manage.py awa_migrate`" in project.manage("check", "--database", "default")
    assert "has version none" in project.manage("awa_migrate", "--check", code=1)
    assert f"is now at version {chain.VERSION}" in project.manage("awa_migrate")
    assert version(connect, project.dsn) == chain.VERSION
    assert "already" in project.manage("awa_migrate")
    project.manage("awa_migrate", "--check")


def test_by_hand_only_where_it_can_be(site: MakeSite) -> None:
    assert "is SQLite, not PostgreSQL" in site().manage("awa_migrate", "--database", "lite", code=1)
    assert "DATABASES has no alias 'none'; there are default, lite" in site().manage(
        "awa_migrate", "--database", "none", code=1
    )


def test_no_model_is_missing_a_migration(site: MakeSite) -> None:
    assert "No changes detected" in site().manage("makemigrations", "--check", "--dry-run", "awa")
