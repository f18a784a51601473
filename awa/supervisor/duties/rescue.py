"""Rescue: give the jobs of nodes that went silent to others.

A silence may be the database's: after an outage every heartbeat is old, and threads and nodes come back in any order.
So the own node is never taken for dead, and the others are judged only when this node's own heartbeats have been
answered in time for as long as the others may be silent. They try to reconnect more often than that. A server that
hangs breaks no connection, and it may do so while it is being asked who is silent: so that is seen to again when the
answer is there. A connection that broke and was replaced before the next heartbeat was due means nothing: if it did, a
leader whose connections break now and then would never come to rescue anybody.
"""

from __future__ import annotations

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
        node = self._node
        if not node.may_judge():
            return
        if rescue.rescue_stale(connection, self._stale_s, but=node.id, still=node.may_judge):
            insert.wake(connection)
