"""Report: jobs that nobody can run."""

from __future__ import annotations

from typing import Any

import psycopg

from awa import telemetry
from awa.engine import lead


class Report:
    """Says which kinds no live node knows, when that changes."""

    name = "report"
    interval_s = 10.0

    def __init__(self) -> None:
        self._said: set[tuple[str, str]] = set()

    def run_once(self, connection: psycopg.Connection[Any]) -> None:
        """Say it once for each kind and queue, and again after it had been cured."""
        unknown = lead.unknown_kinds(connection)
        for kind, queue, jobs in unknown:
            if (kind, queue) not in self._said:
                telemetry.emit(
                    telemetry.LEAD_UNKNOWN_KIND,
                    kind=kind,
                    queue=queue,
                    jobs=jobs,
                    hint="no live worker knows this kind",
                )
        self._said = {(kind, queue) for kind, queue, _ in unknown}
