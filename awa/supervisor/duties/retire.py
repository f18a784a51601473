"""Retire: segments ahead, old segments gone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import psycopg

from awa.engine import retire
from awa.engine.leaving import Retention
from awa.settings import Settings

AHEAD: Final = 8
"""Unused segments kept ahead of the id sequence. Producers can fill them all between two rounds and still not wait."""


class Retire:
    """Looks after the log."""

    name = "retire"
    timeout_factor = 10.0  # it reads or drops what has grown for hours
    interval_s = 5.0

    def __init__(self, settings: Settings, goes_on: Callable[[], bool] = lambda: True) -> None:
        """`goes_on` is asked between the steps of what may take long; False ends the round."""
        self._goes_on = goes_on
        self._segment_ids = settings.segment_ids
        self._age_s = settings.segment_age_h * 3600
        self._retention = Retention(
            settings.retention_completed_h * 3600, settings.retention_failed_h * 3600, settings.retention_dlq_h * 3600
        )
        self._keys_above = 0
        self._routes_above = 0

    def run_once(self, connection: psycopg.Connection[Any]) -> None:
        """Extend the log, note what became of its segments, drop those that may go."""
        while retire.extend(connection, self._segment_ids, AHEAD) and self._goes_on():
            pass
        retire.watch(connection)
        retire.rotate(connection, self._age_s)
        retire.clear_strays(connection, goes_on=self._goes_on)
        retire.retire(connection, self._retention, goes_on=self._goes_on)
        retire.prune(connection, self._retention)
        self._keys_above = retire.prune_keys(connection, self._retention, self._keys_above)
        self._routes_above = retire.prune_routes(connection, self._routes_above)
