"""Rescue: give the jobs of nodes that went silent to others.

A silence may be the database's: after an outage every heartbeat is old, and threads and nodes come back in any order.
So the own node is never taken for dead, the others are judged by for how long their heartbeats have not been counted on
by this machine's monotonic clock (see `awa.supervisor.peers`), and only when this node's own heartbeats have been
answered in time for as long as the others may be silent. They try to reconnect more often than that. A server that
hangs breaks no connection, and it may do so while it is being asked who is silent: so that is seen to again when the
answer is there. A connection that broke and was replaced before the next heartbeat was due means nothing: if it did, a
leader whose connections break now and then would never come to rescue a node.
"""

from __future__ import annotations

from time import monotonic
from typing import Any

import psycopg

from awa.engine import nodes, rescue
from awa.supervisor.node import Node


class Rescue:
    """Looks for stale heartbeats."""

    name = "rescue"
    timeout_factor = 1.0

    def __init__(self, node: Node) -> None:
        self._node = node
        self._stale_s = node.settings.heartbeat_stale_s
        self.interval_s = min(2.0, self._stale_s / 5)

    def run_once(self, connection: psycopg.Connection[Any]) -> None:
        """Rescue every node that has been silent for too long."""
        node = self._node
        asked = monotonic()
        node.peers.note(nodes.beats(connection), asked, monotonic())
        if not node.may_judge():
            return
        silent = node.peers.silent(self._stale_s, but=node.id)
        if rescue.rescue_stale(connection, silent, still=node.may_judge):
            nodes.wake(connection)
