"""Rescue: give the jobs of nodes that went silent to others.

A silence may be the database's: after an outage every heartbeat is old, and threads and nodes come back in any order.
So the own node is never taken for dead, and the others are judged only when this node's leader thread, elected or not,
has been connected for as long as they may be silent. They try to reconnect more often than that.
"""

from __future__ import annotations

from time import monotonic
from typing import Any

import psycopg

from awa.engine import insert, rescue
from awa.supervisor.node import Node


class Rescue:
    """Looks for stale heartbeats."""

    name = "rescue"
    patience = 1.0

    def __init__(self, node: Node) -> None:
        self._node = node
        self._stale_s = node.settings.heartbeat_stale_s
        self.interval_s = min(2.0, self._stale_s / 5)

    def run_once(self, connection: psycopg.Connection[Any]) -> None:
        """Rescue every node whose heartbeat is too old."""
        if monotonic() - self._node.leader_connected_at < self._stale_s:
            return
        if rescue.rescue_stale(connection, self._stale_s, but=self._node.id):
            insert.wake(connection)
