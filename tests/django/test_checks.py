"""What `manage.py check` says."""

from __future__ import annotations

import json
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict

from tests.django.conftest import TASKS, MakeSite

BACKEND = "awa.integrations.django.backend.AwaBackend"
WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "unknown alias": ({"AWA": {"DATABASE": "jobs"}}, "(awa.E001) AWA[\"DATABASE\"] is 'jobs'"),
    "no PostgreSQL": ({"AWA": {"DATABASE": "lite"}}, "(awa.E002)"),
    "no dict": ({"AWA": ["default"]}, "(awa.E003) the setting AWA is ['default']"),
    "alias": ({"AWA": {"DATABASE": 7}}, "(awa.E003)"),
    "schema": ({"AWA": {"MANAGE_SCHEMA": "no"}}, "(awa.E003)"),
    "queues": ({"AWA": {"QUEUES": "email"}}, "(awa.E003)"),
    "queue": ({"AWA": {"QUEUES": [""]}}, "(awa.E003)"),
    "modules": ({"AWA": {"TASK_MODULES": 1}}, "(awa.E003)"),
    "options": ({"AWA": {"SUPERVISOR": 1}}, "(awa.E003)"),
    "option": ({"AWA": {"SUPERVISOR": {"process": 1}}}, "(awa.E003)"),
    "database of the supervisor": ({"AWA": {"SUPERVISOR": {"database_url": "x"}}}, "(awa.E003)"),
    "value": ({"AWA": {"SUPERVISOR": {"processes": 0}}}, "(awa.E003)"),
    "backend's option": ({"TASKS": {"default": {"BACKEND": BACKEND, "OPTIONS": {"retries": 1}}}}, "(awa.E004)"),
    "backend's value": ({"TASKS": {"default": {"BACKEND": BACKEND, "OPTIONS": {"max_attempts": 0}}}}, "(awa.E004)"),
}


def django_settings(dsn: str) -> dict[str, Any]:
    names = {"dbname": "NAME", "user": "USER", "host": "HOST", "port": "PORT"}
    return {names[name]: value for name, value in conninfo_to_dict(dsn).items() if name in names}


CHECK_EACH = """
import os, sys
from django.core import management
for site in {sites!r}:
    sys.stdout.flush()
    if (pid := os.fork()) == 0:
        os.environ["SITE"] = site
        management.execute_from_command_line(["manage.py", "check"])
        os._exit(0)
    print("ended with", os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""


def test_what_is_wrong_is_an_error(site: MakeSite) -> None:
    """Each in a process of its own, which is forked from one that has not read any settings yet."""
    sites = [json.dumps({"APPS": ["django_tasks"], **settings}) for settings, _ in WRONG.values()]
    answers = site().python(CHECK_EACH.format(sites=sites)).split("ended with")
    for (case, (_, expected)), said, then in zip(WRONG.items(), answers[:-1], answers[1:], strict=True):
        assert expected in said, case
        assert then.startswith(" 1\n"), case


def test_what_means_nothing_is_a_warning(site: MakeSite) -> None:
    printed = site(AWA={"DATABASES": "default"}).manage("check")
    assert "(awa.W001) The setting AWA has the key 'DATABASES', which means nothing." in printed


def test_a_backend_for_any_queue_is_a_warning(site: MakeSite) -> None:
    anything = {"default": {"BACKEND": BACKEND, "QUEUES": []}}
    assert "(awa.W002)" in site(APPS=["django_tasks"], TASKS=anything).manage("check")
    named = site(APPS=["django_tasks"], TASKS=anything, AWA={"QUEUES": ["default"]})
    assert "no issues" in named.manage("check")


def test_of_a_backend_for_any_queue_workers_take_the_default_one(site: MakeSite) -> None:
    anything = {"default": {"BACKEND": BACKEND, "QUEUES": []}}
    show = "from awa.integrations.django import client; print(client.registry.queues)"
    assert "'default'" in site(APPS=["django_tasks"], TASKS=anything, AWA={"TASK_MODULES": []}).run(show)


def test_nothing_is_wrong(site: MakeSite) -> None:
    everything = {
        "DATABASE": "default",
        "QUEUES": ["email", "default"],
        "MANAGE_SCHEMA": True,
        "TASK_MODULES": ["tasks"],
        "SUPERVISOR": {"processes": 2, "log_format": "json"},
    }
    assert "no issues" in site(APPS=["django_tasks"], AWA=everything, TASKS=TASKS).manage("check")


def test_the_database_is_looked_at_only_when_asked(site: MakeSite) -> None:
    assert "no issues" in site().manage("check")
    assert "(awa.W004) The database 'default' has no Awa schema" in site().manage("check", "--database", "default")
    assert "no issues" in site().manage("check", "--database", "lite")
    assert "Run `manage.py migrate`." in site().manage("check", "--database", "default")


def test_another_programs_schema_is_an_error_with_what_to_do(site: MakeSite) -> None:
    project = site()
    with psycopg.connect(project.dsn, autocommit=True) as connection:
        connection.execute("create schema awa")
        connection.execute("create table awa.schema_version (version integer primary key)")
    for command in (("check", "--database", "default"), ("migrate",)):
        assert "(awa.E006) In the database 'default': the schema awa" in project.manage(*command, code=1)


def test_the_hint_names_the_database_where_it_is_not_the_default(site: MakeSite) -> None:
    project = site()
    jobs = {"ENGINE": "django.db.backends.postgresql", **django_settings(project.dsn)}
    named = site(DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}, "jobs": jobs})
    named.settings["AWA"] = {"DATABASE": "jobs"}
    assert "Run `manage.py migrate --database jobs`." in named.manage("check", "--database", "jobs")
    assert "awa.W004" not in named.manage("migrate", "--database", "jobs")
    assert "no issues" in named.manage("check", "--database", "jobs")
