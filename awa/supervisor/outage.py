"""Outage: says once that the database is away and once that it is back, however many services notice."""

from __future__ import annotations

import threading

from awa.telemetry import events


class Outage:
    """The present faults of one node's services. Safe from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sufferers: set[str] = set()

    def hits(self, who: str, error: Exception) -> None:
        """Note that `who` cannot work. The first one to notice says why."""
        with self._lock:
            is_first = not self._sufferers
            self._sufferers.add(who)
        if is_first:
            events.emit(events.DATABASE_LOST, who=who, error=" ".join(str(error).split()))

    def is_over(self, who: str) -> None:
        """Note that `who` works again. The last one says so."""
        if who not in self._sufferers:
            return
        with self._lock:
            self._sufferers.discard(who)
            is_last = not self._sufferers
        if is_last:
            events.emit(events.DATABASE_CONNECTED, who=who)
