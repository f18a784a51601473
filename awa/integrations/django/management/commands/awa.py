"""`manage.py awa …`: the command `awa`, on this project's database: `manage.py awa job list`."""

from __future__ import annotations

import argparse
from typing import Any

import click
from django.core.management.base import BaseCommand, CommandError, handle_default_options

from awa.cli import main
from awa.cli.target import default_to, name_source
from awa.integrations.django.address import dsn_of
from awa.integrations.django.conf import alias


class Command(BaseCommand):  # type: ignore[misc]  # Django has no types
    """Hands everything on to click; only --settings and --pythonpath are Django's."""

    help = main.help
    requires_system_checks: list[str] = []  # noqa: RUF012 - as Django wants it

    def run_from_argv(self, argv: list[str]) -> None:
        options, rest = _djangos().parse_known_args(argv[2:])
        handle_default_options(options)
        _run(rest, argv[0])

    def print_help(self, prog_name: str, subcommand: str) -> None:
        _run(["--help"], prog_name, standalone_mode=False)

    def add_arguments(self, parser: Any) -> None:
        parser.add_argument("args", nargs=argparse.REMAINDER)

    def handle(self, *args: str, **options: Any) -> None:
        """For `call_command("awa", "job", "list")`."""
        try:
            _run(list(args), "manage.py", standalone_mode=False)
        except click.ClickException as error:
            raise CommandError(error.format_message(), returncode=error.exit_code) from error


def _run(args: list[str], program: str, **options: Any) -> None:
    with click.Context(click.Command(program), info_name=program) as outer:
        name_source(outer, f"the database {alias()!r} of the project's DATABASES")
        default_to(dsn_of(alias()))
        main.main(args, prog_name="awa", parent=outer, **options)


def _djangos() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--settings")
    parser.add_argument("--pythonpath")
    return parser
