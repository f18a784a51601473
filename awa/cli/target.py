"""Which database a command is about: `--database-url`, before or after the command's name, then `$DATABASE_URL`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import click

from awa.cli.failures import Refused
from awa.client import Client
from awa.database.source import DSN_VARIABLE

Command = TypeVar("Command", bound=Callable[..., Any])


def database_url_option(command: Command) -> Command:
    """Give a command (or the group) the option `--database-url`; `target` tells what was chosen."""
    option = click.option(
        "--database-url",
        metavar="URL",
        expose_value=False,
        callback=_remember,
        help=f"The database: postgresql://…, libpq keywords, or embedded://. Left out: ${DSN_VARIABLE}.",
    )
    return option(command)


def target() -> str:
    """Return the chosen database. Raises Refused when none is named."""
    context = click.get_current_context()
    url = context.find_root().obj or os.environ.get(DSN_VARIABLE)
    if not url:
        raise Refused(f"no database is named: give --database-url, or set {DSN_VARIABLE}")
    return str(url)


@contextmanager
def client() -> Iterator[Client]:
    """Give a client of the chosen database, for the length of a command."""
    with Client(target(), max_connections=1) as chosen:
        yield chosen


def _remember(context: click.Context, _: click.Parameter, url: str | None) -> None:
    if url:
        context.find_root().obj = url
