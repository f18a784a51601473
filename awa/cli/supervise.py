"""`awa-supervisor`: one option for each of `awa.settings.SETTINGS`, and nothing else."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

import click

from awa.cli.failures import Refused, ReportingCommand
from awa.errors import ValidationError
from awa.processes.environment import refuse_unknown_variables
from awa.settings import SETTINGS, Setting, Settings
from awa.version import __version__

EXIT_BAD_SETTING = 2


HELP = """Keep worker processes that run the jobs of an application.

TERM and INT let running jobs finish first; a second INT, or QUIT, ends them now and requeues them. HUP loads the
application again; TTIN and TTOU add and remove a worker. A flag wins over its environment variable.
"""


def supervise(environment: Mapping[str, str], /, **flags: str | None) -> None:
    """Run a supervisor until it ends, and exit as it did."""
    try:
        refuse_unknown_variables(environment)
        _refuse_empty(flags)
        settings = Settings.from_sources(flags, environment)
        if settings.app is None:
            raise ValidationError("no application is named: give --app package.module:client, or set AWA_APP")
    except ValidationError as error:
        raise BadSetting(str(error)) from error
    # The supervisor's modules are for those who start one, not for those who ask for --help.
    from awa.supervisor import run

    raise SystemExit(run(settings))


def _refuse_empty(flags: Mapping[str, str | None]) -> None:
    """Raise ValidationError for a flag without a value: mostly a shell variable that is not set."""
    for setting in SETTINGS:
        given = flags.get(setting.name)
        if given is not None and not given.strip():
            raise ValidationError(f"{setting.flag} is empty: give a value, or leave the option out")


class BadSetting(Refused):
    """A setting is outside what is allowed; nothing was started."""

    exit_code = EXIT_BAD_SETTING


def option(setting: Setting) -> click.Option:
    """Return the command-line option of a setting. Its value stays text: the setting reads it."""
    default = "" if setting.default is None else f" Default: {setting.default}."
    allowed = "" if setting.kind == "text" else f" Allowed: {setting.allowed}."
    return click.Option(
        [setting.flag, setting.name],
        metavar=metavar(setting),
        help=f"{setting.meaning}{allowed}{default} [env: {setting.env}]",
    )


def metavar(setting: Setting) -> str:
    """Return what stands for an option's value in its help."""
    return {"integer": "N", "number": "N", "names": "A,B,…", "choice": "|".join(setting.choices)}.get(
        setting.kind, setting.name.rsplit("_", 1)[-1].upper()
    )


def command(callback: Callable[..., None]) -> click.Command:
    """Return the command with an option for each setting; `callback` is called with them, by name."""
    params: list[Any] = [option(setting) for setting in SETTINGS]
    made = ReportingCommand(
        "awa-supervisor",
        callback=callback,
        params=params,
        help=HELP,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    )
    return click.version_option(__version__, prog_name="awa-supervisor")(made)


def _with_environment(**flags: str | None) -> None:
    supervise(os.environ, **flags)


main = command(_with_environment)

if __name__ == "__main__":
    main()
