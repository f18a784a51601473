"""`manage.py awa_migrate`: install or upgrade Awa's schema, whichever app owns it."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import connections

from awa.database.schema import chain
from awa.errors import AwaError
from awa.integrations.django.conf import alias
from awa.integrations.django.schema import install, version


class Command(BaseCommand):  # type: ignore[misc]  # Django has no types
    """Does at once what `manage.py migrate` does for the app awa."""

    help = "Install Awa's schema, or bring it up to this release. Safe to run again, and by many at once."
    requires_system_checks: list[str] = []  # noqa: RUF012 - as Django wants it; one of them says to run this

    def add_arguments(self, parser: Any) -> None:
        parser.add_argument("--database", help='The alias of the database. Default: AWA["DATABASE"].')
        parser.add_argument(
            "--check", action="store_true", help="Change nothing; exit with 1 if there is something to do."
        )

    def handle(self, *args: Any, **options: Any) -> None:
        using = options["database"] or alias()
        if using not in connections:
            raise CommandError(f"DATABASES has no alias {using!r}; there are {', '.join(connections)}")
        if connections[using].vendor != "postgresql":
            raise CommandError(f"the database {using!r} is {connections[using].display_name}, not PostgreSQL")
        if options["check"]:
            self._check(using)
            return
        try:
            applied = install(using)
        except AwaError as error:
            raise CommandError(str(error)) from error
        done = f"is now at version {chain.VERSION}" if applied else f"is at version {chain.VERSION} already"
        self.stdout.write(f"The Awa schema of database {using!r} {done}.")

    def _check(self, using: str) -> None:
        have = version(using)
        if have != chain.VERSION:
            raise CommandError(
                f"the Awa schema of database {using!r} has version {'none' if have is None else have}; this release "
                f"works with {chain.VERSION}"
            )
