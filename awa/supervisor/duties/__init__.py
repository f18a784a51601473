"""The leader's duties, one a file: each a class with `interval_s` and `run_once(connection)`.

Duties have no loop of their own, and each is guarded by row locks or keys, so two leaders at once do no harm.

In: a connection, while this node leads. Out: what each duty has changed in the database.
"""

from __future__ import annotations

from typing import Any, Protocol

import psycopg


class Duty(Protocol):
    """Something only the leader does, again and again."""

    name: str
    interval_s: float
    """Seconds between two rounds."""
    timeout_factor: float
    """Factor by which its statements may exceed the usual response timeout before the connection is given up."""

    def run_once(self, connection: psycopg.Connection[Any]) -> None:
        """Do it once."""
        ...
