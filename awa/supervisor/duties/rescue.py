"""Rescue: give the jobs of nodes that went silent to others."""

from __future__ import annotations

from typing import Any

import psycopg

from awa.engine import insert, rescue


class Rescue:
    """Looks for stale heartbeats."""

    name = "rescue"

    def __init__(self, stale_s: float) -> None:
        self._stale_s = stale_s
        self.interval_s = min(2.0, stale_s / 5)

    def run_once(self, connection: psycopg.Connection[Any]) -> None:
        """Rescue every node whose heartbeat is too old."""
        if rescue.rescue_stale(connection, self._stale_s):
            insert.wake(connection)
