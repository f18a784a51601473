"""Retire: keep segments ahead of the id sequence, and drop old ones whole once every job in them has ended."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import psycopg
from psycopg import errors as pg

from awa import telemetry
from awa.database.statements import statement
from awa.engine import dlq
from awa.engine.arrays import numbers
from awa.engine.seal import doubt, seal

LOCK_TIMEOUT_MS: Final = 100
"""The longest anybody waits behind a retire: locks not had by then are given up and tried again at the next round."""
SURVIVORS_MAX: Final = 10_000
"""More jobs than this that must live on keep their segment: moving them would take too long under its lock."""
RECHECK_S: Final = 300.0

_STEPS = [statement(f"retire/{name}") for name in ("open", "pass", "pass_by", "close", "close_gen")]
_SEALED = statement("retire/sealed")
_EXTEND = statement("retire/extend")
_OVERFLOW = statement("retire/overflow")
_POSTPONE = statement("retire/postpone")
_OVERDUE = statement("retire/overdue")
_SKIP_IDS = statement("retire/skip_ids")
_RIPE = statement("retire/ripe")
_VERIFY = statement("retire/verify")
_DROP = statement("retire/drop")
_PRUNE_RIPE = statement("retire/prune_ripe")
_PRUNE_HELD = statement("retire/prune_held")
_PRUNE_KEYS = statement("retire/prune_keys")
_TRIM_SEAL = statement("retire/trim_seal")
_FOLD_TALLY = statement("retire/fold_tally")


class Retention(NamedTuple):
    """How long ended jobs are kept, in seconds, where their queue says nothing else."""

    completed_s: float = 24 * 3600.0
    """Completed and cancelled jobs."""
    failed_s: float = 72 * 3600.0
    dlq_s: float = 30 * 24 * 3600.0
    """Dead letters, counted from when they became that."""


def extend(connection: psycopg.Connection[Any], segment_ids: int, ahead: int) -> int:
    """Create segments of `segment_ids` ids until `ahead` of them lie unused before the sequence; return how many.

    At most eight at a time: call again while it returns any. 0 also when a lock was not to be had: the default
    partition catches ids until the next try, and when it does, that is said.
    """
    with _Short(connection) as attempt:
        row = connection.execute(_EXTEND, {"segment_ids": segment_ids, "ahead": ahead}).fetchone()
        attempt.value = row[0] if row else 0
    if attempt.gave_up and connection.execute(_OVERFLOW).fetchone() == (True,):
        telemetry.emit(telemetry.RETIRE_OVERFLOW, hint="a long transaction keeps new segments from being attached")
    return attempt.value


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


def retire(connection: psycopg.Connection[Any], retention: Retention, *, recheck_s: float = RECHECK_S) -> int:
    """Drop the sealed segments whose jobs have all ended and whose retention has passed; return how many."""
    ripe = connection.execute(_RIPE, {"retention_s": retention.completed_s, "recheck_s": recheck_s}).fetchall()
    return sum(_retire_one(connection, retention, *segment) for segment in sorted(ripe, key=lambda row: row[1]))


def prune(connection: psycopg.Connection[Any], retention: Retention, jobs_max: int = 5_000) -> int:
    """Forget held jobs and dead letters whose retention has passed, old ledger rows and old tallies; return the jobs
    forgotten."""
    letters = dlq.expire(connection, retention.dlq_s)
    with connection.transaction():
        ripe = connection.execute(_PRUNE_RIPE, {**retention._asdict(), "jobs_max": jobs_max}).fetchall()
        ids = numbers(row[0] for row in ripe)
        row = connection.execute(_PRUNE_HELD, {**retention._asdict(), "ids": ids}).fetchone()
    connection.execute(_TRIM_SEAL)
    connection.execute(_FOLD_TALLY)
    return letters + (row[0] if row else 0)


def prune_keys(
    connection: psycopg.Connection[Any], retention: Retention, above: int = 0, *, jobs_max: int = 5_000
) -> int:
    """Let go of unique keys of jobs whose retention has passed, of at most `jobs_max` jobs with ids above `above`;
    return where to go on, 0 when that is the beginning."""
    wanted = {**retention._asdict(), "above": above, "jobs_max": jobs_max}
    row = connection.execute(_PRUNE_KEYS, wanted).fetchone()
    return (row and row[0]) or 0


def _waiting(connection: psycopg.Connection[Any]) -> int:
    row = connection.execute(_SEALED).fetchone()
    return row[0] if row else 0


def _retire_one(connection: psycopg.Connection[Any], retention: Retention, no: int, lo: int, hi: int) -> int:
    row = connection.execute(_VERIFY, {"lo": lo, "hi": hi, **retention._asdict()}).fetchone()
    assert row is not None
    at, jobs, fresh, lost, survivors = row
    if lost:
        telemetry.emit(telemetry.RETIRE_REFUSED, segment=no, lost=lost, jobs=jobs)
        doubt(connection)
    if lost or fresh or len(survivors) > SURVIVORS_MAX:
        return 0
    with _Short(connection) as attempt:
        held = connection.execute(_DROP, {"no": no, "survivors": survivors, "since": at}).fetchone()
        attempt.value = 1
        telemetry.emit(telemetry.RETIRE_SEGMENT, segment=no, jobs=jobs, held=held[0] if held else 0)
    if attempt.gave_up:
        connection.execute(_POSTPONE, {"no": no})
    return attempt.value


class _Short:
    """A transaction that gives up, quietly and whole, when it has to wait for a lock longer than LOCK_TIMEOUT_MS."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self.value = 0
        self.gave_up = False
        self._connection = connection
        self._transaction = connection.transaction()

    def __enter__(self) -> _Short:
        self._transaction.__enter__()
        self._connection.execute(f"set local lock_timeout = {LOCK_TIMEOUT_MS}")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> bool:
        self._transaction.__exit__(kind, error, trace)
        if isinstance(error, (pg.LockNotAvailable, pg.DeadlockDetected)):
            self.value = 0
            self.gave_up = True
            telemetry.emit(telemetry.RETIRE_POSTPONED, reason=str(error).strip())
            return True
        return False
