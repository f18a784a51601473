"""Ended: what can still become of a job that has ended: run again, be forgotten.

Whatever that is, it begins with a lock on the job's body (`locked`, `locked_free`), in the same transaction: so of two
who want different things of one job, the second sees what the first has done.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Final

import psycopg

from awa.database.adapters.caller import as_one
from awa.database.statements import statement
from awa.engine.arrays import numbers
from awa.engine.seal import BATCH_JOBS_MAX
from awa.job.model import JobState

BULK_JOBS_MAX: Final = 1_000
"""Jobs that a bulk operation deals with in one transaction."""

_LOCK = statement("ended/lock")
_LOCK_FREE = statement("ended/lock_free")
_RETRY = statement("ended/retry")
_FORGET = statement("ended/forget")
_FAILED = statement("ended/failed")
_NEWEST = statement("ended/newest")


def locked(connection: psycopg.Connection[Any], job_id: int) -> list[int]:
    """Lock a job's body until the end of the transaction, waiting for its holder; empty when there is no job.

    A body that was moved to held while it was waited for is found only by looking again.
    """
    for _ in range(2):
        found = [row[0] for row in connection.execute(_LOCK, {"ids": numbers([job_id])})]
        if found:
            break
    return found


def locked_free(connection: psycopg.Connection[Any], ids: Sequence[int]) -> list[int]:
    """Lock those of these jobs that no other session has locked, until the end of the transaction; return them."""
    return [row[0] for row in connection.execute(_LOCK_FREE, {"ids": numbers(ids)})]


def retry(
    connection: psycopg.Connection[Any],
    ids: Sequence[int],
    *,
    states: Sequence[JobState] = (JobState.Failed,),
    dead: bool | None = None,
    queue: str | None = None,
    priority: int | None = None,
    run_at: datetime | None = None,
) -> list[int]:
    """Run those of these (locked) jobs again that ended in one of `states`, from attempt 0; return them, by id.

    Args:
        connection: in a transaction.
        ids: the jobs, locked.
        states: Failed, Cancelled or both.
        dead: True: only dead letters, which they are no longer; False: only others; None: both.
        queue: where they go, instead of where they were.
        priority: the jobs' priority from now on.
        run_at: not before this.
    """
    wanted = {
        "ids": numbers(ids),
        "outcomes": numbers(map(int, states)),
        "dead": dead,
        "queue": queue,
        "priority": priority,
        "run_at": run_at,
        "batch_max": BATCH_JOBS_MAX,
    }
    return [row[0] for row in connection.execute(_RETRY, wanted)]


def forget(connection: psycopg.Connection[Any], ids: Sequence[int], *, dead: bool) -> int:
    """Forget those of these (locked) jobs that are dead letters, or failed and none (`dead`); return how many."""
    row = connection.execute(_FORGET, {"ids": numbers(ids), "dead": dead}).fetchone()
    return row[0] if row else 0


def each_failed(
    connection: psycopg.Connection[Any],
    step: Callable[[Sequence[int]], int],
    *,
    kind: str | None = None,
    queue: str | None = None,
) -> int:
    """Call `step` with the failed jobs that are no dead letters, locked, some at a time, each time in a transaction of
    its own (or as part of the caller's); return the sum of what it returns.

    The oldest come first. Jobs that another session is busy with are left to it.
    """
    row = connection.execute(_NEWEST).fetchone()
    wanted = {"kind": kind, "queue": queue, "above": 0, "upto": row[0] if row else 0, "jobs_max": BULK_JOBS_MAX}
    done = 0
    while looked_at := connection.execute(_FAILED, wanted).fetchall():
        if found := [job_id for job_id, is_one in looked_at if is_one]:
            with as_one(connection):
                done += step(locked_free(connection, found))
        wanted["above"] = looked_at[-1][0]
    return done
