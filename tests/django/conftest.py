"""The project under test: processes of its own, with settings of the test's."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.fixtures.postgres import for_database
from tests.fixtures.processes import ROOT
from tests.fixtures.supervisor import QUICK, Supervisor

SETTINGS = "tests.django.site.settings"
TASKS = {
    "default": {"BACKEND": "awa.integrations.django.backend.AwaBackend", "QUEUES": ["default", "email"]},
    "stubborn": {
        "BACKEND": "awa.integrations.django.backend.AwaBackend",
        "OPTIONS": {"max_attempts": 2, "timeout": 30},
    },
}


class Site:
    """The project, on one database."""

    def __init__(self, dsn: str, **settings: Any) -> None:
        self.dsn = dsn
        self.settings = settings

    @property
    def env(self) -> dict[str, str]:
        """The environment of its processes."""
        return {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "PYTHONDONTWRITEBYTECODE": "1",
            "DJANGO_SETTINGS_MODULE": SETTINGS,
            "SITE_DSN": self.dsn,
            "SITE": json.dumps(self.settings),
        }

    def manage(self, *arguments: str, code: int = 0, env: dict[str, str] | None = None) -> str:
        """Run `manage.py`; return what it printed. Raises AssertionError when it ends with another code."""
        return self._run(["-m", "django", *arguments], code, env)

    def run(self, script: str, code: int = 0) -> str:
        """Run a script in the project; return what it printed."""
        return self._run(["-c", f"import django\ndjango.setup()\n{script}"], code, None)

    def python(self, script: str) -> str:
        """Run a script in which Django is not set up; return what it printed."""
        return self._run(["-c", script], 0, None)

    def _run(self, command: list[str], code: int, env: dict[str, str] | None) -> str:
        done = subprocess.run(
            [sys.executable, "-W", "error::ResourceWarning", *command],
            env={**self.env, **(env or {})},
            cwd=ROOT,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            timeout=120,
            check=False,
        )
        assert done.returncode == code, f"{command} ended with {done.returncode}:\n{done.stdout}"
        return done.stdout


MakeSite = Callable[..., Site]


@pytest.fixture
def site(empty_database: str) -> MakeSite:
    """Makes the project on a database without any tables: `site(USE_TZ=False)`."""
    return lambda **settings: Site(empty_database, **settings)


@pytest.fixture
def tested(empty_database: str, superuser_dsn: str) -> MakeSite:
    """Makes the project as somebody who may make test databases."""
    name = empty_database.rpartition("/")[2].partition("?")[0]
    return lambda **settings: Site(for_database(superuser_dsn, name, "postgres"), **settings)


class DjangoSupervisor(Supervisor):
    """`manage.py awa_supervisor` in a process of its own."""

    def __init__(self, directory: Path, project: Site, *arguments: str, env: dict[str, str] | None = None) -> None:
        self.log = directory / "supervisor.log"
        given = {name.replace("_", "-"): value for name, value in {**QUICK, "log_format": "json"}.items()}
        flags = [f"--{name}={value}" for name, value in given.items()]
        with self.log.open("wb") as log:
            self.process = psutil.Popen(
                [sys.executable, "-m", "django", "awa_supervisor", *flags, *arguments],
                cwd=directory,
                env={**project.env, **(env or {})},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._family = set()


@pytest.fixture
def workers(tmp_path: Path) -> Iterator[Callable[..., DjangoSupervisor]]:
    """Starts supervisors of projects: `workers(project, "--processes", "1")`."""
    started: list[DjangoSupervisor] = []

    def start(project: Site, *arguments: str, env: dict[str, str] | None = None) -> DjangoSupervisor:
        started.append(DjangoSupervisor(tmp_path, project, *arguments, env=env))
        return started[-1]

    yield start
    for each in started:
        each.close()
