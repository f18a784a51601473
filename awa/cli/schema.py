"""`awa migrate`: install or upgrade the schema and give roles their rights, or show what that would run."""

from __future__ import annotations

from typing import Any

import click

from awa.cli.output import json_option, say, show_json
from awa.cli.target import client, database_url_option, target
from awa.database.open import connect
from awa.database.schema import chain, roles
from awa.telemetry import events

SHOWN = "shown"
"""The meaning of `--version` without a number."""


@click.command()
@database_url_option
@click.option(
    "--roles",
    "with_roles",
    is_flag=True,
    help="Then make the roles awa_producer, awa_reader, awa_worker and awa_admin, and grant their rights.",
)
@click.option("--sql", "as_sql", is_flag=True, help="Print the SQL instead of running it; needs no database.")
@click.option("--from", "after", type=int, metavar="N", help="With --sql: only what comes after version N.")
@click.option("--to", type=int, metavar="N", help="With --sql: only up to version N.")
@click.option(
    "--version",
    "asked",
    is_flag=False,
    flag_value=SHOWN,
    metavar="[N]",
    help="Alone: print the version of the database's schema and change nothing. With N: bring it to that version.",
)
@json_option
def migrate(
    with_roles: bool, as_sql: bool, after: int | None, to: int | None, asked: str | None, as_json: bool
) -> None:
    """Install Awa's schema, or bring it up to this release. Safe to run again, and by many at once."""
    as_version = asked == SHOWN
    if asked is not None and not as_version:
        _refuse_version(asked)
    if as_sql and asked is not None:
        raise click.UsageError("--sql and --version exclude each other: one prints what would run, the other what is")
    if as_version and with_roles:
        raise click.UsageError("--version changes nothing, and --roles grants rights: leave one out")
    if not as_sql and (after is not None or to is not None):
        raise click.UsageError("--from and --to say what --sql prints; without --sql the schema becomes the newest")
    if as_sql:
        _print_sql(*_range(after, to), with_roles, as_json)
    elif as_version:
        _print_version(as_json)
    else:
        _migrate(with_roles, as_json)


def _refuse_version(asked: str) -> None:
    """Raise UsageError unless the schema can be brought to a version: a database goes forward only, to this release."""
    if asked != str(chain.VERSION):
        raise click.UsageError(f"--version is {asked}; this release brings a database to version {chain.VERSION} only")


def _range(after: int | None, to: int | None) -> tuple[int, int]:
    """Return what is asked for, if there can be such a range."""
    first, last = 0 if after is None else after, chain.VERSION if to is None else to
    if not 0 <= first <= last <= chain.VERSION:
        raise click.UsageError(
            f"there is nothing from version {first} to {last}: this release knows versions 0 (no schema) to "
            f"{chain.VERSION}"
        )
    return first, last


def _print_sql(after: int, to: int, with_roles: bool, as_json: bool) -> None:
    steps = chain.migrations_range(after, to)
    if as_json:
        show_json({"migrations": steps, "roles": roles.sql()} if with_roles else steps)
        return
    if not steps and not with_roles:
        return
    # Not `say`: it is our own text, and must reach psql as it is.
    click.echo("begin;\n")  # psql, too, shall apply all of it or nothing
    for step in steps:
        click.echo(f"-- migration {step.version}: {step.description}")
        click.echo(step.sql)
    if with_roles:
        click.echo("-- roles")
        click.echo(roles.sql())
    click.echo("commit;")


def _print_version(as_json: bool) -> None:
    with connect(target(), role="cli") as connection:
        have = chain.current(connection)
    if as_json:
        show_json({"version": have, "expected": chain.VERSION})
    else:
        say(f"schema version {'none' if have is None else have} (this release works with {chain.VERSION})")


def _migrate(with_roles: bool, as_json: bool) -> None:
    unsubscribe = events.subscribe(_show_wait)
    try:
        with client(may_make=True) as chosen:
            applied = chosen.migrate(roles=with_roles)
    finally:
        unsubscribe()
    if as_json:
        granted = {"roles": roles.NAMES} if with_roles else {}
        show_json({"applied": applied, "version": chain.VERSION, **granted})
        return
    known = {step.version: step.description for step in chain.migrations()}
    for version in applied:
        say(f"Applied migration {version}: {known[version]}")
    say(
        f"The schema is at version {chain.VERSION}."
        if applied
        else f"Nothing to do: the schema is at version {chain.VERSION}."
    )
    if with_roles:
        say(f"The roles {', '.join(roles.NAMES)} have their rights.")


def _show_wait(event: str, fields: dict[str, Any]) -> None:
    """Say on standard error for whom the command waits."""
    if event == events.DATABASE_LOCKED:
        say(f"waiting for a lock on {fields['what']}, held by {fields['held_by']}", err=True)
