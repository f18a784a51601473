"""The base of a client's parts: a connection from any source."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import AbstractContextManager
from typing import Any

import psycopg


class Connected(ABC):
    """Does what it does over whatever connection its subclass provides."""

    def _commits(self, connection: psycopg.Connection[Any]) -> bool:
        """Return True if what is done next over a connection that was lent is committed with it."""
        return False

    @abstractmethod
    def _using(self, doing: str) -> AbstractContextManager[psycopg.Connection[Any]]:
        """Lend a connection for what is done ("insert a job"), and raise what the driver raises as AwaErrors."""


def lent(client: Connected, doing: str) -> AbstractContextManager[psycopg.Connection[Any]]:
    """Lend a connection of a client's for what an integration does ("read a result"), as its own methods get one."""
    return client._using(doing)
