"""Ids: see that no job gets an id that is or was in use."""

from __future__ import annotations

from typing import Any

import psycopg

from awa.engine import seal


class Ids:
    """Moves the id sequence up where it is behind, and has jobs looked for that seals may have passed over."""

    name = "ids"
    timeout_factor = 1.0
    interval_s = 5.0

    def run_once(self, connection: psycopg.Connection[Any]) -> None:
        """Look once; where another session seals just now, the next round does it."""
        seal.mend_ids(connection)
