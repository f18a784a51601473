"""Selects the database of a command: `--database-url`, before or after the command's name, else that of the web
application whose command it is, then `$DATABASE_URL`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from shlex import quote
from typing import Any, TypeVar

import click

from awa.cli.failures import Refused
from awa.client.client import Client
from awa.database.dsn import DSN_VARIABLE
from awa.embedded import default_path
from awa.embedded.home import Home
from awa.embedded.url import SCHEME, parse
from awa.processes.environment import refuse_unknown_variables

Command = TypeVar("Command", bound=Callable[..., Any])
_FOR_FLASK = "AWA_DATABASE_URL"
_CHOSEN = f"{__name__}.chosen"
_DEFAULT = f"{__name__}.default"
_SOURCE = f"{__name__}.source"
"""Keys in `click.Context.meta`, which a command shares with all groups around it, whosever they are."""


class _DatabaseUrl(click.Option):
    """The option `--database-url`. Its help says what is taken when it is left out, of whosever command this is."""

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """Return the option's names and its help."""
        record = super().get_help_record(ctx)
        source = ctx.meta.get(_SOURCE)
        return (record[0], record[1].replace(f"${DSN_VARIABLE}", source)) if record and source else record


def database_url_option(command: Command) -> Command:
    """Give a command (or the group) the option `--database-url`; `target` tells what was chosen."""
    option = click.option(
        "--database-url",
        cls=_DatabaseUrl,
        metavar="URL",
        expose_value=False,
        callback=_remember,
        help=f"The database: postgresql://…, libpq keywords, or embedded://. Left out: ${DSN_VARIABLE}.",
    )
    return option(command)


def target(*, may_make: bool = False) -> str:
    """Return the chosen database.

    Raises ValidationError for a variable AWA_… that nothing reads; Refused when none is named, or when it is an
    embedded server that is not there and none may be made.
    """
    refuse_unknown_variables(os.environ)
    url = chosen() or click.get_current_context().meta.get(_DEFAULT) or os.environ.get(DSN_VARIABLE)
    if not url:
        source = click.get_current_context().meta.get(_SOURCE)
        other = f"see {source}" if source else f"set {DSN_VARIABLE}"
        slip = f" ({_FOR_FLASK} is set, and is read by Flask applications only)" if _FOR_FLASK in os.environ else ""
        raise Refused(f"no database is named: give --database-url, or {other}{slip}")
    if not may_make:
        _refuse_missing_server(str(url))
    return str(url)


def chosen() -> str | None:
    """Return what `--database-url` says, if anything."""
    url: str | None = click.get_current_context().meta.get(_CHOSEN)
    return url


def name_source(context: click.Context, source: str) -> None:
    """Let the help of the commands within a context say where the address comes from when none is chosen."""
    context.meta[_SOURCE] = source


def default_to(url: str | None) -> None:
    """Let commands of the present context be about this database when none is chosen."""
    click.get_current_context().meta[_DEFAULT] = url


@contextmanager
def client(*, may_make: bool = False) -> Iterator[Client]:
    """Give a client of the chosen database, for the length of a command."""
    with Client(target(may_make=may_make), max_connections=1) as made:
        yield made


def _refuse_missing_server(url: str) -> None:
    """A command that only reads must not create a server through a mistyped path."""
    scheme, is_url, _ = url.partition("://")
    if not is_url or scheme.lower() != SCHEME:
        return
    path, _ = parse(url)
    home = Home(Path(path) if path else default_path())
    if _is_missing(home.data):
        raise Refused(
            f"there is no embedded server in {home.path}. Correct the path, or make one: "
            f"awa migrate --database-url {quote(url)}"
        )


def _is_missing(path: Path) -> bool:
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False  # closed, a link to itself, too long: the one who goes on to join it is told
    return False


def _remember(context: click.Context, _: click.Parameter, url: str | None) -> None:
    if url is None:
        return
    if not url.strip():  # mostly a shell variable that is not set: another database must not take its place
        raise click.BadParameter("it is empty; name a database, or leave the option out")
    context.meta[_CHOSEN] = url
