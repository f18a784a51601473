"""`awa dev`: what a developer's machine needs, and production does not."""

from __future__ import annotations

import click

from awa.cli.output import say
from awa.embedded import default_path, run_foreground


@click.group()
def dev() -> None:
    """Tools for a developer's machine."""


@dev.command()
@click.option("--path", type=click.Path(file_okay=False), help="Its directory. Left out: one per user.")
@click.option("--port", metavar="PORT|auto", help="A TCP port to listen on as well. Left out: only the unix socket.")
def postgres(path: str | None, port: str | None) -> None:
    """Keep an embedded PostgreSQL running until Ctrl-C, and print its URL. Its role may make databases and roles."""
    run_foreground(path or default_path(), port=_port(port), announce=_announce)


def _announce(dsn: str) -> None:
    say(dsn)
    say("PostgreSQL is running; Ctrl-C ends it.", err=True)


def _port(given: str | None) -> int | None:
    """Return a port number, 0 for any free one."""
    if given is None:
        return None
    if given == "auto":
        return 0
    if given.isdecimal() and 0 < int(given) < 65536:
        return int(given)
    raise click.BadParameter("give a number from 1 to 65535, or auto", param_hint="--port")
