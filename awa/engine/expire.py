"""Expire: cancel jobs that were not started in time, wherever they wait."""

from __future__ import annotations

from typing import Any, Final

import psycopg

from awa.database.pipeline import execute_prepared
from awa.database.statements import statement
from awa.task.error_entry import error_entry
from awa.telemetry import events

EXPIRE_JOBS_MAX: Final = 1_000
ERROR: Final = "expired: not started by its expires_at"

_ANY = statement("expire/any")
_EXPIRE = statement("expire/expire")


def expire(connection: psycopg.Connection[Any], *, jobs_max: int = EXPIRE_JOBS_MAX) -> list[int]:
    """Cancel the jobs whose `expires_at` has passed and that no worker has taken, `jobs_max` in one step; return
    them."""
    found = execute_prepared(connection, _ANY, {}).fetchone()
    if found is None or not found[0]:
        return []
    error = error_entry(ERROR, "Expired", 0).decode()
    expired: list[int] = []
    looked_at = jobs_max
    while looked_at >= jobs_max:
        row = connection.execute(_EXPIRE, {"jobs_max": jobs_max, "error": error}).fetchone()
        assert row is not None
        step, looked_at = row
        if step:
            events.emit(events.CONTROL_EXPIRED, jobs=step)
        expired += step
    return expired
