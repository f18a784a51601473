"""`manage.py awa …` and `manage.py awa_supervisor`, as far as they need no workers."""

from __future__ import annotations

import json

import pytest
from psycopg.conninfo import conninfo_to_dict

from tests.django.conftest import TASKS, MakeSite, Site

INSERT = "from awa.integrations.django import client; print(client.insert({}, kind='note').id)"
COMMAND_LINE = """
import json
from awa.integrations.django.management.commands.awa_supervisor import command_line
command, env = command_line({given})
print(json.dumps([command[1:], env["DJANGO_SETTINGS_MODULE"]]))
"""


@pytest.fixture
def migrated(site: MakeSite) -> Site:
    """The project, with its tables."""
    project = site()
    project.manage("migrate")
    return project


def test_awa_is_about_the_projects_database(migrated: Site) -> None:
    job = int(migrated.run(INSERT))
    (listed,) = json.loads(migrated.manage("awa", "job", "list", "--json", env={"DATABASE_URL": "postgresql:///none"}))
    assert listed["id"] == job
    assert "Cancelled" in migrated.manage("awa", "job", "cancel", str(job))
    assert "schema version 1" in migrated.manage("awa", "migrate", "--version")


def test_awa_takes_djangos_options_too(migrated: Site) -> None:
    printed = migrated.manage(
        "awa", "--settings", "tests.django.site.settings", "job", "list", env={"DJANGO_SETTINGS_MODULE": ""}
    )
    assert "note" not in printed


def test_awa_fails_as_awa_does(migrated: Site) -> None:
    assert "error: job not found: 123" in migrated.manage("awa", "job", "show", "123", code=1)
    assert "No such command 'jobs'" in migrated.manage("awa", "jobs", code=2)


def test_awa_by_call_command(migrated: Site) -> None:
    call = "from django.core.management import call_command; call_command('awa', 'job', {})"
    assert migrated.run(call.format("'list', '--json'")).strip() == "[]"
    assert "CommandError: job not found: 123" in migrated.run(call.format("'show', '123'"), code=1)


def test_help_says_what_there_is(site: MakeSite) -> None:
    for arguments in (["awa", "--help"], ["help", "awa"]):
        printed = site().manage(*arguments)
        assert "Look after the jobs of a database" in printed
        assert "dlq" in printed
    for arguments in (["awa", "--help"], ["awa", "job", "list", "--help"]):
        printed = " ".join(site().manage(*arguments).split())
        assert "Left out: the database 'default' of the project's DATABASES." in printed
        assert "DATABASE_URL" not in printed
    printed = site().manage("awa_supervisor", "--help")
    assert "--processes N" in printed
    assert "--database-url" not in printed


def test_options_of_the_supervisor(site: MakeSite, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWA_LOG_LEVEL", "AWA_QUEUES", "AWA_PROCESSES"):
        monkeypatch.delenv(name, raising=False)
    project = site(AWA={"QUEUES": ["a", "b"], "SUPERVISOR": {"processes": 3, "log_level": "debug"}})
    module = ["-m", "awa.integrations.django.supervise", "--app=awa.integrations.django.app:client"]
    command, settings = json.loads(project.run(COMMAND_LINE.format(given={})))
    assert command == [*module, "--processes=3", "--queues=a,b", "--log-level=debug"]
    assert settings == "tests.django.site.settings"

    monkeypatch.setenv("AWA_PROCESSES", "5")
    command, _ = json.loads(project.run(COMMAND_LINE.format(given={"queues": "c"})))
    assert command == [*module, "--queues=c", "--log-level=debug"]  # the environment is left to speak for itself


def test_a_bad_option_is_refused_before_anything_starts(site: MakeSite) -> None:
    assert "setting processes is '0'" in site().manage("awa_supervisor", "--processes", "0", code=2)


def test_workers_take_jobs_from_all_queues_of_the_project(site: MakeSite) -> None:
    show = "from awa.integrations.django import client; print(client.registry.queues)"
    assert site().run(show).strip() == "['default', 'email']"
    tasks = {**TASKS, "more": {"BACKEND": TASKS["default"]["BACKEND"], "QUEUES": ["slow"]}}
    assert site(TASKS=tasks).run(show).strip() == "['default', 'email', 'slow']"
    assert site(AWA={"QUEUES": ["only"]}).run(show).strip() == "['only']"


def test_modules_of_tasks_are_a_setting(site: MakeSite) -> None:
    show = "from awa.integrations.django import client; print(client.registry.kinds)"
    assert site().run(show).strip() == "['leave_atomic', 'send_receipt', 'where']"
    assert site(AWA={"TASK_MODULES": []}).run(show).strip() == "[]"


def test_the_address_is_djangos(site: MakeSite) -> None:
    options = {"application_name": "shop", "assume_role": "app owner", "connect_timeout": 3}
    project = site(OPTIONS=options)
    found = conninfo_to_dict(project.run("from awa.integrations.django import client; print(client.dsn)"))
    assert found["application_name"] == "shop"
    assert found["connect_timeout"] == "3"
    assert found["options"] == r"-c role=app\ owner"
    assert found["dbname"] in project.dsn
