"""The client of a Django project."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg

from awa.client import Client
from awa.integrations.django.conf import conf
from awa.integrations.django.joining import django_translated
from awa.integrations.django.roots import queues_of_backends
from awa.integrations.django.source import DjangoConnections
from awa.task import Registry


class ProjectRegistry(Registry):
    """The tasks of all apps of the project."""

    @property
    def queues(self) -> list[str]:
        """What workers take jobs from: `AWA["QUEUES"]`, else the queues of all tasks, Django's own included."""
        return sorted(conf("QUEUES") or {*super().queues, *queues_of_backends()})


class ProjectClient(Client):
    """An `awa.Client` over Django's connection to the database that `AWA` names.

    All it does is part of the transaction that is open there, savepoints included. Outside of one each statement
    commits by itself, as each query of the ORM does. It never opens a connection, but for `work()`.
    """

    def __init__(self) -> None:
        super().__init__()
        self._source = DjangoConnections()
        self._is_checked = True  # by the system checks
        self.registry = ProjectRegistry()

    @contextmanager
    def _using(self, doing: str) -> Iterator[psycopg.Connection[Any]]:
        with django_translated(doing), super()._using(doing) as connection:
            yield connection
