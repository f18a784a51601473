"""Report: jobs that nobody can run."""

from __future__ import annotations

from typing import Any

import psycopg

from awa import telemetry
from awa.engine import lead


class Report:
    """Says which jobs wait for a node that is not there, when that changes."""

    name = "report"
    patience = 10.0  # it counts all that waits
    interval_s = 10.0

    def __init__(self) -> None:
        self._said: set[tuple[str, str]] = set()

    def run_once(self, connection: psycopg.Connection[Any]) -> None:
        """Say it once for each kind and queue, and again after it had been cured."""
        found = lead.unclaimed(connection)
        for each in found:
            if (each.kind, each.queue) not in self._said:
                telemetry.emit(
                    telemetry.LEAD_UNKNOWN_KIND, kind=each.kind, queue=each.queue, jobs=each.jobs, hint=_hint(each)
                )
        self._said = {(each.kind, each.queue) for each in found}


def _hint(each: lead.Unclaimed) -> str:
    if each.kind_known:
        return "no live worker works on this queue: add it to --queues, or to a task"
    return "no live worker knows this kind"
