"""The checks that Awa adds to `manage.py check`.

awa.E001  AWA["DATABASE"] is no alias in DATABASES
awa.E002  the database is not PostgreSQL
awa.E003  a value in AWA is not what it must be
awa.E004  an option of Awa's backend in TASKS is not what it must be
awa.E005  TASKS names Awa's backend and INSTALLED_APPS lacks awa.integrations.django
awa.E006  the schema awa is another program's (with --database)
awa.W001  AWA has a key that means nothing
awa.W002  Awa's backend in TASKS takes any queue, and nothing says which ones workers should look in
awa.W003  migrate is to look after the schema, and a database router forbids it
awa.W004  the schema is missing or has another version than this release needs (with --database)
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

from django.core.checks import CheckMessage, Error, Warning
from django.db import DEFAULT_DB_ALIAS, connections, router

from awa.database.schema import chain
from awa.errors import DatabaseError
from awa.integrations.django.conf import DEFAULTS, alias, conf, problems, unknown_keys
from awa.integrations.django.schema import APP, is_ours, version
from awa.text.suggest import hint


def check_settings(**_: Any) -> list[CheckMessage]:
    """Look at the setting AWA, and at the database it names."""
    return [*_keys(), *(_database() if isinstance(conf("DATABASE"), str) else ())]


def check_database(databases: Any = None, **_: Any) -> list[CheckMessage]:
    """Look whether the schema is there. `migrate`, which installs it, runs this check first, and gets no warning."""
    if alias() not in (databases or ()) or connections[alias()].vendor != "postgresql":
        return []
    try:
        have = version(alias())
    except DatabaseError as error:
        return [Error(f"In the database {alias()!r}: {error}.", id="awa.E006")]
    is_newer = have is not None and have > chain.VERSION
    if have == chain.VERSION or (not is_newer and is_ours(alias()) and sys.argv[1:2] == ["migrate"]):
        return []
    found = "no Awa schema" if have is None else f"version {have} of the Awa schema"
    return [
        Warning(
            f"The database {alias()!r} has {found}; this release works with version {chain.VERSION}.",
            hint=_remedy(is_newer),
            id="awa.W004",
        )
    ]


def _keys() -> Iterator[CheckMessage]:
    for key in unknown_keys():
        yield Warning(
            f"The setting AWA has the key {key!r}, which means nothing.",
            hint=_sentence(hint(key, DEFAULTS)),
            id="awa.W001",
        )
    for problem in problems():
        yield Error(problem, id="awa.E003")


def _database() -> Iterator[CheckMessage]:
    if alias() not in connections:
        yield Error(
            f'AWA["DATABASE"] is {alias()!r}, and DATABASES has no such alias.',
            hint=f"The aliases are {', '.join(connections)}.",
            id="awa.E001",
        )
    elif connections[alias()].vendor != "postgresql":
        yield Error(
            f"Awa's jobs are to be in the database {alias()!r}, which is {connections[alias()].display_name}, "
            "not PostgreSQL.",
            hint='Name another one: AWA = {"DATABASE": alias}.',
            id="awa.E002",
        )
    elif conf("MANAGE_SCHEMA") and not router.allow_migrate(alias(), APP):
        yield Warning(
            f"A router of DATABASE_ROUTERS does not allow the app {APP!r} on the database {alias()!r}, so `migrate` "
            "does not look after Awa's schema.",
            hint='Allow it, or set AWA = {"MANAGE_SCHEMA": False} and run `manage.py awa_migrate`.',
            id="awa.W003",
        )


def _remedy(is_newer: bool) -> str:
    if is_newer:
        return "Upgrade the package awa-supervisor."
    if not is_ours(alias()):
        return "Run `manage.py awa_migrate`."
    where = "" if alias() == DEFAULT_DB_ALIAS else f" --database {alias()}"
    return f"Run `manage.py migrate{where}`."


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:]
