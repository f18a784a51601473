"""The client of a Django project."""

from __future__ import annotations

from collections.abc import Sequence

from django.db import connections

from awa.client.client import Client
from awa.errors import AwaError
from awa.integrations.django.conf import alias, conf
from awa.integrations.django.roots import queues_of_backends
from awa.integrations.django.source import DjangoConnections
from awa.task.registry import Registry


class ProjectRegistry(Registry):
    """The tasks of all apps of the project."""

    @property
    def queues(self) -> list[str]:
        """The queues that workers serve: `AWA["QUEUES"]`, else the queues of all tasks, Django's own included."""
        return sorted(conf("QUEUES") or {*super().queues, *queues_of_backends()})


class ProjectClient(Client):
    """An `awa.Client` over Django's connection to the database that `AWA` names.

    All it does is part of the transaction that is open there, savepoints included. Outside of one each statement
    commits by itself, as each query of the ORM does. It never opens a connection, but for `work()`.
    """

    def __init__(self) -> None:
        super().__init__(source=DjangoConnections())
        self.registry = ProjectRegistry()

    def work(self, queues: Sequence[str] | None = None, *, until_idle: bool = True, limit: int | None = None) -> int:
        """Run jobs in this process: `Client.work`, over a connection of its own.

        Raises AwaError inside a transaction, `TestCase` included: its jobs are invisible to every other connection.
        """
        if connections[alias()].in_atomic_block:
            raise AwaError(
                f"work() was called inside a transaction on the database {alias()!r}, whose jobs no other connection "
                "sees before it commits. In a test, use django.test.TransactionTestCase in place of TestCase, or call "
                "the handler; elsewhere, call work() after transaction.atomic() has ended"
            )
        return super().work(queues, until_idle=until_idle, limit=limit)
