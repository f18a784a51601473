"""Expire: cancel jobs that were not started in time."""

from __future__ import annotations

from typing import Any

import psycopg

from awa.engine import expire


class Expire:
    """Cancels all that has expired."""

    name = "expire"
    timeout_factor = 1.0
    interval_s = 1.0

    def run_once(self, connection: psycopg.Connection[Any]) -> None:
        """Do it once."""
        expire.expire(connection)
