"""Where the project's client gets connections from: Django, for the database that `AWA` names."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import psycopg

from awa.database.source import OwnConnections, Source
from awa.errors import AwaError
from awa.integrations.django.address import dsn_of
from awa.integrations.django.conf import alias, conf
from awa.integrations.django.joining import is_psycopg3, joined


class DjangoConnections(Source):
    """Django's connection; where that is psycopg2's, whose cursors the engine cannot use, connections of its own."""

    def __init__(self) -> None:
        self._own: dict[str, OwnConnections] = {}

    @property
    def is_callers(self) -> bool:  # type: ignore[override]  # known only when settings are
        """Whether what is done joins Django's transaction."""
        return is_psycopg3(alias())

    @property
    def dsn(self) -> str | None:
        return dsn_of(alias())

    @contextmanager
    def lend(self) -> Iterator[psycopg.Connection[Any]]:
        if is_psycopg3(alias()):
            yield joined(alias())
            return
        with self._beside_django().lend() as connection:
            yield connection

    def lend_plain(self) -> AbstractContextManager[psycopg.Connection[Any]]:
        raise AwaError(
            "in a Django project, transactions are Django's: use django.db.transaction.atomic(), and insert jobs in it "
            "with client.insert(...)"
        )

    def close(self) -> None:
        for own in self._own.values():
            own.close()

    def _beside_django(self) -> OwnConnections:
        dsn = dsn_of(alias())  # a test runner changes it
        if dsn not in self._own:
            self._own[dsn] = OwnConnections(dsn, conf("MAX_CONNECTIONS"))
        return self._own[dsn]
