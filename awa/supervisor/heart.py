"""Heart: one row updated per node and interval says that all its workers are looked after."""

from __future__ import annotations

from typing import Any

import psycopg

from awa import telemetry
from awa.engine import lead
from awa.supervisor.node import Node
from awa.supervisor.service import Service


class Heart(Service):
    """Beats; signs the node in anew when it had been declared dead (a pause, a long outage)."""

    name = "heart"

    def __init__(self, node: Node) -> None:
        super().__init__(node.dsn)
        self._node = node

    def step(self, connection: psycopg.Connection[Any]) -> float:
        """Beat once."""
        node = self._node
        if not lead.heartbeat(connection, node.id):
            old, node.id = node.id, lead.register_node(connection, node.name, node.kinds, node.queues)
            telemetry.emit(telemetry.SUPERVISOR_FENCED, node=old, now=node.id)
        return node.settings.heartbeat_interval_s

    def closing(self, connection: psycopg.Connection[Any]) -> None:
        """Sign out."""
        lead.resign(connection, self._node.id)
        lead.leave_node(connection, self._node.id)
