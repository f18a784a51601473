"""Awa's schema in a Django project: `manage.py migrate` owns it, unless `AWA["MANAGE_SCHEMA"]` is off."""

from __future__ import annotations

from typing import Any

from django.db import connections, router, transaction

from awa.database.guarded import guard
from awa.database.schema import chain
from awa.integrations.django.conf import alias, conf
from awa.integrations.django.joining import joined

APP: str = "awa"


def is_ours(using: str) -> bool:
    """Return whether `migrate` on database `using` is to look after the schema there."""
    return bool(
        conf("MANAGE_SCHEMA")
        and using == alias()
        and connections[using].vendor == "postgresql"
        and router.allow_migrate(using, APP)
    )


def install(using: str) -> list[int]:
    """Install or upgrade the schema over Django's connection, in its transaction if one is open; return the versions
    applied."""
    with transaction.atomic(using=using):
        joined(using).execute(b"select 1")  # so that the transaction has begun, with the isolation the project chose
        with guard(joined(using)) as connection:
            return chain.migrate(connection)


def version(using: str) -> int | None:
    """Return the version of the schema in a database; None without one."""
    with guard(joined(using)) as connection:
        return chain.current(connection)


def upgrade_after_migrate(*, using: str, **_: Any) -> None:
    """Bring the schema up to this release at the end of `manage.py migrate`: a new release of Awa needs no more."""
    if not is_ours(using):
        return
    have = version(using)
    chain.refuse_newer(have)
    if have is None or have < chain.VERSION:
        install(using)
