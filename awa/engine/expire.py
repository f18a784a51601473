"""Expire: cancel jobs that were not started in time, wherever they wait."""

from __future__ import annotations

from typing import Any, Final

import psycopg

from awa import telemetry
from awa.database.statements import statement
from awa.failure import error_entry

STEP_JOBS_MAX: Final = 1_000
ERROR: Final = "expired: not started by its expires_at"

_EXPIRE = statement("expire/expire")


def expire(connection: psycopg.Connection[Any], *, jobs_max: int = STEP_JOBS_MAX) -> list[int]:
    """Cancel at most `jobs_max` jobs whose `expires_at` has passed and that nobody has taken; return them, by id."""
    error = error_entry(ERROR, "Expired", 0)
    row = connection.execute(_EXPIRE, {"jobs_max": jobs_max, "error": error.decode()}).fetchone()
    assert row is not None
    expired: list[int] = row[0]
    if expired:
        telemetry.emit(telemetry.CONTROL_EXPIRED, jobs=expired)
    return expired
