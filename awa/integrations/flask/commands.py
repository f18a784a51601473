"""`flask awa …`: all that `awa` can do, on the application's database, and the supervisor of this application."""

from __future__ import annotations

import os
import sys
from typing import Any, Final, NoReturn

import click
from flask import current_app
from flask.cli import ScriptInfo, with_appcontext

from awa.cli import main
from awa.cli.failures import Commands, Refused
from awa.cli.supervise import option
from awa.cli.target import chosen, database_url_option, default_to, name_source
from awa.database.dsn import DSN_VARIABLE
from awa.integrations.flask.config import NAME, supervisor_variables
from awa.integrations.flask.loading import APP_VARIABLE, HIDDEN_VARIABLE, LOADER
from awa.settings import SETTINGS
from awa.version import __version__

SOURCE: Final = f"AWA_DATABASE_URL or SQLALCHEMY_DATABASE_URI of the application's configuration, else ${DSN_VARIABLE}"
_OPTIONS: Final = tuple(setting for setting in SETTINGS if setting.name not in ("app", "database_url"))


@click.group(name="awa", cls=Commands, context_settings=main.context_settings)
@database_url_option
@click.version_option(__version__, prog_name="awa")
@with_appcontext
def group() -> None:
    """Look after the jobs of this application's database, and run its supervisor."""
    app = current_app._get_current_object()  # type: ignore[attr-defined]
    default_to(app.extensions[NAME].client_of(app).dsn)


def context(name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any) -> click.Context:
    """Make the context of `flask awa …`, in which help names the application's configuration as the source."""
    outer = parent or click.Context(group)
    name_source(outer, SOURCE)
    return group.make_context(name, args, parent=outer, **extra)


def _supervise(**flags: str | None) -> NoReturn:
    """Run the jobs of this application in worker processes, as awa-supervisor does.

    Options go before environment variables, and these before AWA_… in the application's configuration.
    """
    # A new program: a supervisor has none of the application's code in it, which may crash, leak and start threads.
    command = [sys.executable, "-m", "awa.cli.supervise", "--app", LOADER]
    for setting in _OPTIONS:
        if (value := flags[setting.name]) is not None:
            command += [setting.flag, value]
    env = supervisor_variables(current_app.config) | os.environ
    if app := _import_path(click.get_current_context().ensure_object(ScriptInfo)):
        env[APP_VARIABLE] = app
    if url := chosen():
        command += ["--database-url", url]
    elif DSN_VARIABLE in env:
        env[HIDDEN_VARIABLE] = env.pop(DSN_VARIABLE)
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(sys.executable, command, env)


def _import_path(info: ScriptInfo) -> str | None:
    """Return what `flask` calls the application; None: it has found it by itself, as it will again."""
    factory: Any = info.create_app
    if factory is None:
        return info.app_import_path
    module, name = getattr(factory, "__module__", "__main__"), getattr(factory, "__qualname__", "")
    if module == "__main__" or not name.isidentifier():
        raise Refused(
            "the factory of this application cannot be imported by its name. Start the supervisor with "
            "awa-supervisor --app 'package.module:create_app()'"
        )
    return f"{module}:{name}"


group.add_command(
    database_url_option(
        click.Command(
            "supervisor", callback=_supervise, params=[option(each) for each in _OPTIONS], help=_supervise.__doc__
        )
    )
)
for _name, _command in main.commands.items():
    group.add_command(_command, _name)
