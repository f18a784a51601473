"""Lookout: says who holds up the queue, on the node that leads.

It looks over a connection that waits for no lock itself, since a session that waits cannot ask for whom.
"""

from __future__ import annotations

from time import monotonic
from typing import Any, Final

import psycopg

from awa.database import lock_holders
from awa.database.lock_holders import Wait
from awa.supervisor.node import Node
from awa.telemetry import events

LOCK_REPORT_INTERVAL_S: Final = 2.0
"""Seconds between two looks."""
AGAIN_S: Final = 60.0
"""Seconds after which a wait that continues is reported again."""


class Lookout:
    """Looks for sessions of Awa that wait for locks, and for a sealer that does not end."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._look_at = 0.0
        self._waits: dict[int, Wait] = {}
        self._sealing: str | None = None
        """The transaction that had the sealer's lock at the last look."""
        self._stopped_said = float("-inf")

    def look(self, connection: psycopg.Connection[Any], late_s: float = 0.0) -> bool:
        """Look, if this node leads and has been due to for `late_s` seconds; return whether it did."""
        if not self._node.leads or monotonic() < self._look_at + late_s:
            return False
        self._look_at = monotonic() + LOCK_REPORT_INTERVAL_S
        waits = {wait.pid: wait for wait in lock_holders.waits(connection)}
        for pid, wait in waits.items():
            lock_holders.report(wait, self._waits.get(pid))
        self._waits = waits
        self._look_at_sealer(connection)
        return True

    def _look_at_sealer(self, connection: psycopg.Connection[Any]) -> None:
        found = lock_holders.holders(connection, "awa.seal_lock", seconds=0.0)
        same = [holder for holder in found if holder.transaction == self._sealing]
        self._sealing = found[0].transaction if found else None
        if not same:
            self._stopped_said = float("-inf")
        elif monotonic() - self._stopped_said >= AGAIN_S:
            self._stopped_said = monotonic()
            events.emit(events.SEAL_STOPPED, held_by=lock_holders.named(same))
