"""Short: statements that rather give up than have others wait behind them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import psycopg
from psycopg import errors as pg

from awa.database.pipeline import pipeline
from awa.telemetry import events

LOCK_TIMEOUT_MS: Final = 50
"""The longest wait behind a retire: locks not had by then are given up and tried again. A function of Awa's that waits
for vacuum, which it holds up for no one else, takes longer (awa.have_vacuum_give_way)."""


def run_short(connection: psycopg.Connection[Any], statement: bytes, wanted: Mapping[str, Any]) -> Any:
    """Run a statement that takes strong locks in a transaction of its own; return its row.

    None when it had to wait for a lock longer than LOCK_TIMEOUT_MS; it has changed nothing then. The commit is sent
    along with the statement: a process that is stopped at this moment, or whose connection hangs, keeps no lock.
    """
    try:
        with pipeline(connection) as pipe:
            pipe.execute(f"set local lock_timeout = {LOCK_TIMEOUT_MS}".encode())
            answer = pipe.execute(statement, wanted)
        return answer.fetchone()
    except (pg.LockNotAvailable, pg.DeadlockDetected) as error:
        events.emit(events.RETIRE_POSTPONED, reason=str(error).strip())
        return None
