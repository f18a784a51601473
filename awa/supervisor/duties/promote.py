"""Promote: bring back deferred jobs that are due."""

from __future__ import annotations

from time import monotonic
from typing import Any, Final

import psycopg

from awa.engine import nodes, promote
from awa.engine.claim import FROM_THE_START

LOOK_BACK_S: Final = 1.0


class Promote:
    """Promotes all that is due, in steps."""

    name = "promote"
    timeout_factor = 1.0

    def __init__(self, interval_s: float) -> None:
        self.interval_s = interval_s
        self._start = FROM_THE_START
        self._looked_back = float("-inf")

    def run_once(self, connection: psycopg.Connection[Any]) -> None:
        """Promote until nothing more is due."""
        if monotonic() - self._looked_back >= LOOK_BACK_S:
            self._looked_back = monotonic()
            self._start = FROM_THE_START
        while True:
            step = promote.promote(connection, self._start)
            self._start = step.last
            if step.jobs:
                nodes.wake(connection)
            if not step.more:
                return
