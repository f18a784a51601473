"""The source of connections of the project's client: Django, for the database that `AWA` names."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import psycopg

from awa.database.guarded import guard
from awa.database.source import Source
from awa.errors import AwaError
from awa.integrations.django.address import dsn_of
from awa.integrations.django.conf import alias
from awa.integrations.django.joining import django_translated, joined


class DjangoConnections(Source):
    """Django's connection of this thread. It is Django that opens, keeps and closes it."""

    is_callers = True

    @property
    def dsn(self) -> str | None:
        return dsn_of(alias())

    @contextmanager
    def lend(self) -> Iterator[psycopg.Connection[Any]]:
        with guard(joined(alias())) as connection:
            yield connection

    def lend_plain(self) -> AbstractContextManager[psycopg.Connection[Any]]:
        raise AwaError(
            "in a Django project, transactions are Django's: use django.db.transaction.atomic(), and insert jobs in it "
            "with client.insert(...)"
        )

    @contextmanager
    def translated(self, doing: str) -> Iterator[None]:
        with django_translated(doing), super().translated(doing):
            yield

    def close(self) -> None:
        """Nothing here is Awa's to close."""
