"""Report: jobs that no node can run, and queues that are paused."""

from __future__ import annotations

from datetime import timezone
from typing import Any

import psycopg

from awa.engine import leader
from awa.engine.admin import control
from awa.telemetry import events


class ReportQueues:
    """Says which jobs wait for a node that is not there, and which queues are paused, when that changes."""

    name = "report"
    timeout_factor = 10.0  # it counts all that waits
    interval_s = 10.0

    def __init__(self) -> None:
        self._said: set[tuple[str, str]] = set()
        self._paused: set[str] = set()

    def run_once(self, connection: psycopg.Connection[Any]) -> None:
        """Say it once for each kind and queue, and again after it had been cured."""
        found = leader.unclaimed(connection)
        for each in found:
            if (each.kind, each.queue) not in self._said:
                events.emit(
                    events.LEAD_UNKNOWN_KIND, kind=each.kind, queue=each.queue, jobs=each.jobs, hint=_hint(each)
                )
        self._said = {(each.kind, each.queue) for each in found}
        self._report_pauses(control.paused(connection))

    def _report_pauses(self, found: list[control.Paused]) -> None:
        for each in found:
            if each.queue not in self._paused:
                since = each.paused_at.astimezone(timezone.utc).isoformat(timespec="seconds")
                events.emit(events.LEAD_QUEUE_PAUSED, queue=each.queue, by=each.paused_by, since=since)
        now = {each.queue for each in found}
        for queue in sorted(self._paused - now):
            events.emit(events.LEAD_QUEUE_RESUMED, queue=queue)
        self._paused = now


def _hint(each: leader.Unclaimed) -> str:
    if each.kind_known:
        return "no live worker works on this queue: add it to --queues, or to a task"
    return "no live worker knows this kind"
