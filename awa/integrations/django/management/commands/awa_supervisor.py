"""`manage.py awa_supervisor`: run workers for this project."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Any, Final

from django.conf import ENVIRONMENT_VARIABLE
from django.core.management.base import BaseCommand

from awa.cli.supervise import metavar
from awa.integrations.django.conf import supervisor_options
from awa.settings import SETTINGS

APP: Final = "awa.integrations.django.app:client"
OFFERED: Final = tuple(setting for setting in SETTINGS if setting.name != "database_url")
"""The database is that of the project's settings."""


class Command(BaseCommand):  # type: ignore[misc]  # Django has no types
    """Becomes `awa-supervisor`, which keeps this process's id."""

    help = "Keep worker processes that run this project's jobs."

    def add_arguments(self, parser: Any) -> None:
        for setting in OFFERED:
            default = f" Default: {APP}." if setting.name == "app" else ""
            parser.add_argument(
                setting.flag,
                dest=setting.name,
                metavar=metavar(setting),
                help=f"{setting.meaning}{default} [env: {setting.env}]".replace("%", "%%"),
            )

    def handle(self, *args: Any, **options: Any) -> None:
        command, environment = command_line(options)
        sys.stdout.flush()
        os.execve(sys.executable, command, environment)


def command_line(options: Mapping[str, Any]) -> tuple[list[str], dict[str, str]]:
    """Return what to execute, and in which environment. A flag wins over the environment, and that over AWA."""
    wanted = {"app": APP, **supervisor_options()}
    for setting in OFFERED:
        if os.environ.get(setting.env, "").strip():
            wanted.pop(setting.name, None)
        if options.get(setting.name) is not None:
            wanted[setting.name] = str(options[setting.name])
    flags = [f"{setting.flag}={wanted[setting.name]}" for setting in OFFERED if setting.name in wanted]
    command = [sys.executable, "-m", "awa.integrations.django.supervise", *flags]
    path = os.pathsep.join(dict.fromkeys([*filter(None, sys.path), *_python_path()]))
    return command, {**os.environ, ENVIRONMENT_VARIABLE: os.environ[ENVIRONMENT_VARIABLE], "PYTHONPATH": path}


def _python_path() -> list[str]:
    return [each for each in os.environ.get("PYTHONPATH", "").split(os.pathsep) if each]
