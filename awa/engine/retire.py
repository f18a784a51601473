"""Retire: keep segments ahead of the id sequence, and drop old ones whole once every job in them has ended."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import psycopg

from awa.database.statements import statement
from awa.engine.admin import dlq
from awa.engine.arrays import numbers
from awa.engine.leaving import Retention, Segment, clear_out, take_leave
from awa.engine.seal import seal
from awa.engine.short import run_short
from awa.telemetry import events

MOVE_BYTES_MAX: Final = 4_000_000
"""Ids beside the last segment are moved into the next one under its lock if they are no more than that."""
JOB_ID_MAX: Final = 2**63 - 1
RECHECK_S: Final = 300.0
"""Interval at which a segment that must stay is examined again."""
CLEAR_JOBS_MAX: Final = 500
"""Held jobs whose attempts are moved in one step."""
HELD_RECHECK_S: Final = 3600.0
"""Longest interval at which an archived job is examined: its queue may have been given another retention."""

_STEPS = [statement(f"retire/{name}") for name in ("open", "exhaust", "note_open_writers", "close", "note_closed_seal")]
_SEALED = statement("retire/sealed")
_EXTEND = statement("retire/extend")
_EXTEND_BEYOND = statement("retire/extend_beyond")
_STRAYS = statement("retire/strays")
_CLEAR_DEFAULT = statement("retire/clear_default")
_OVERFLOW = statement("retire/overflow")
_OVERDUE = statement("retire/overdue")
_SKIP_IDS = statement("retire/skip_ids")
_RIPE = statement("retire/ripe")
_PRUNE_RIPE = statement("retire/prune_ripe")
_PRUNE_ARCHIVE = statement("retire/prune_archive")
_PRUNE_KEYS = statement("retire/prune_keys")
_PRUNE_ROUTES = statement("retire/prune_routes")
_PRUNE_CHANGED = statement("retire/prune_changed")
_TRIM_SEAL = statement("retire/trim_seal")
_FOLD_OUTCOME_COUNTS = statement("retire/fold_outcome_counts")


def extend(connection: psycopg.Connection[Any], segment_ids: int, ahead: int) -> int:
    """Create segments of `segment_ids` ids until `ahead` of them lie unused before the sequence; return how many.

    At most eight at a time, or one step towards that: call again while it returns any. 0 also when a lock was not to
    be had: the default partition catches ids until the next try, and when it does, that is said.
    """
    wanted = {"segment_ids": segment_ids, "ahead": ahead}
    row = run_short(connection, _EXTEND, {**wanted, "move_bytes": MOVE_BYTES_MAX})
    if row is not None and row[0] is None:
        row = run_short(connection, _EXTEND_BEYOND, wanted)
    if row is not None:
        return int(row[0])
    if connection.execute(_OVERFLOW).fetchone() == (True,):
        events.emit(events.RETIRE_OVERFLOW, hint="a long transaction keeps new segments from being attached")
    return 0


def watch(connection: psycopg.Connection[Any], floor: int = 0) -> int:
    """Note which segments were entered, left, closed and sealed, each step in a statement of its own.

    Moves the sealing cursor on when a closed segment waits for that. Returns how many still wait.
    """
    for step in _STEPS:
        connection.execute(step)
    waiting = _waiting(connection)
    if waiting:
        seal(connection, floor, force=True)
    return waiting


def rotate(connection: psycopg.Connection[Any], age_s: float) -> bool:
    """Make the sequence enter the next segment if the present one has been in use for `age_s` seconds."""
    row = connection.execute(_OVERDUE, {"age_s": age_s}).fetchone()
    if row is None:
        return False
    connection.execute(_SKIP_IDS, {"ids": row[1]})
    return True


def retire(
    connection: psycopg.Connection[Any],
    retention: Retention,
    *,
    recheck_s: float = RECHECK_S,
    goes_on: Callable[[], bool] = lambda: True,
) -> int:
    """Drop the sealed segments whose jobs have all ended and whose retention has passed; return how many.

    Jobs that must live on are moved out first. `goes_on` is asked between the steps of that.
    """
    ripe = connection.execute(_RIPE, {"retention_s": retention.completed_s, "recheck_s": recheck_s}).fetchall()
    segments = sorted((Segment(*row) for row in ripe), key=lambda segment: segment.first_id)
    return sum(take_leave(connection, retention, segment, goes_on) for segment in segments)


def clear_strays(connection: psycopg.Connection[Any], *, goes_on: Callable[[], bool] = lambda: True) -> int:
    """Move jobs that fell beside all segments, and attempts made after a segment had gone, to where held jobs are;
    return how many segments of such jobs are done with. `goes_on` is asked between the steps."""
    done = sum(clear_out(connection, Segment(*row), goes_on) for row in connection.execute(_STRAYS).fetchall())
    while goes_on() and (row := connection.execute(_CLEAR_DEFAULT, {"jobs_max": CLEAR_JOBS_MAX}).fetchone()) and row[0]:
        pass
    return done


def prune(
    connection: psycopg.Connection[Any],
    retention: Retention,
    jobs_max: int = 5_000,
    *,
    recheck_s: float = HELD_RECHECK_S,
) -> int:
    """Forget held jobs and dead letters whose retention has passed, old ledger rows and old outcome counts; return the
    jobs forgotten. Looks at up to `jobs_max` held jobs."""
    letters = dlq.expire(connection, retention.dlq_s)
    with connection.transaction():
        ripe = connection.execute(_PRUNE_RIPE, {"jobs_max": jobs_max}).fetchall()
        wanted = {**retention._asdict(), "ids": numbers(row[0] for row in ripe), "recheck_s": recheck_s}
        row = connection.execute(_PRUNE_ARCHIVE, wanted).fetchone()
    connection.execute(_TRIM_SEAL)
    connection.execute(_FOLD_OUTCOME_COUNTS)
    connection.execute(_PRUNE_CHANGED, {"jobs_max": jobs_max})
    return letters + (row[0] if row else 0)


def prune_keys(
    connection: psycopg.Connection[Any], retention: Retention, above: int = 0, *, jobs_max: int = 5_000
) -> int:
    """Let go of unique keys of jobs whose retention has passed, of at most `jobs_max` jobs with ids above `above`;
    return where to go on, 0 when that is the beginning."""
    wanted = {**retention._asdict(), "above": above, "upto": JOB_ID_MAX, "jobs_max": jobs_max}
    row = connection.execute(_PRUNE_KEYS, wanted).fetchone()
    return (row and row[0]) or 0


def prune_routes(connection: psycopg.Connection[Any], above: int = 0, *, jobs_max: int = 5_000) -> int:
    """Forget where jobs that are no more had been overridden to, as `prune_keys` does; return where to go on."""
    row = connection.execute(_PRUNE_ROUTES, {"above": above, "jobs_max": jobs_max}).fetchone()
    return (row and row[0]) or 0


def _waiting(connection: psycopg.Connection[Any]) -> int:
    row = connection.execute(_SEALED).fetchone()
    return row[0] if row else 0
