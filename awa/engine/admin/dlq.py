"""Dead letters: failed jobs that are kept to be looked at, run again, or thrown away.

A job becomes one in the transaction in which it fails (`settle/dead_letter.sql`, `rescue/rescue.sql`); here is what
operators do with them. Bulk operations go in steps, each a transaction of its own (or all part of the caller's): they
leave jobs that another session is busy with, and can be ended at any time and begun again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

import psycopg

from awa.database.adapters.caller import as_one
from awa.database.pipeline import records
from awa.database.statements import statement
from awa.engine.admin import ended
from awa.engine.admin.ended import BULK_JOBS_MAX
from awa.engine.arrays import numbers
from awa.engine.nodes import wake
from awa.errors import StateConflict, UniqueConflict
from awa.telemetry import events

ANY_ID: Final = 2**63 - 1
"""Larger than every job's id."""

_LIST = statement("dlq/list")
_SWEEP = statement("dlq/sweep")
_ENTRIES = statement("dlq/entries")
_DEPTH = statement("dlq/depth")
_MOVE = statement("dlq/move")
_EXPIRED = statement("dlq/expired")
_HOLDER = statement("control/holder")


class Scope(NamedTuple):
    """Filter for dead letters: None means any."""

    kind: str | None = None
    queue: str | None = None
    tag: str | None = None
    before_at: datetime | None = None
    """Only those that became dead letters before this …"""
    before_id: int | None = None
    """… or, at that very time, with an id below this. Without a time: only those with an id below this."""

    def parameters(self) -> dict[str, Any]:
        """Return the parameters of the statements that look for them."""
        at, job_id = self.before_at, self.before_id
        return {
            "kind": self.kind,
            "queue": self.queue,
            "tag": self.tag,
            "before_at": "infinity" if at is None else at.isoformat(),
            "before_id": 0 if at is None or job_id is None else job_id,
            "below": ANY_ID if at is not None or job_id is None else job_id,
        }


def listing(connection: psycopg.Connection[Any], scope: Scope, limit: int) -> list[dict[str, Any]]:
    """Return dead letters, newest first: rows of `awa.jobs` with `reason`, `dlq_at` and `runs`."""
    found = connection.execute(_LIST, {**scope.parameters(), "jobs_max": limit})
    return _entries(connection, [row[0] for row in found])


def get(connection: psycopg.Connection[Any], job_id: int) -> dict[str, Any] | None:
    """Return one dead letter, as in `listing`; None when the job is none."""
    found = _entries(connection, [job_id])
    return found[0] if found else None


def depths(connection: psycopg.Connection[Any]) -> list[tuple[str, int]]:
    """Return how many dead letters each queue has, the fullest first."""
    return [(queue, jobs) for queue, jobs in connection.execute(_DEPTH)]


def retry(
    connection: psycopg.Connection[Any],
    job_id: int,
    *,
    queue: str | None = None,
    priority: int | None = None,
    run_at: datetime | None = None,
) -> bool:
    """Run a dead letter again, from attempt 0; False when the job is none.

    Raises `UniqueConflict` when another job holds its unique key.
    """
    with as_one(connection):
        ids = ended.locked(connection, job_id)
        done = ended.retry(connection, ids, dead=True, queue=queue, priority=priority, run_at=run_at)
        if done:
            wake(connection)
    if not done and (entry := get(connection, job_id)) is not None:
        holder = connection.execute(_HOLDER, {"key": entry["unique_key"]}).fetchone()
        if holder is not None:
            raise UniqueConflict(
                f"dead letter {job_id} cannot be retried: job {holder[0]} holds its unique key now", int(holder[0])
            )
        raise StateConflict(f"dead letter {job_id} was not retried: what held it back a moment ago is gone; try again")
    return bool(_retried(len(done)))


def retry_all(connection: psycopg.Connection[Any], scope: Scope) -> int:
    """Run dead letters again, the oldest first; return how many."""

    def step(ids: Sequence[int]) -> int:
        done = len(ended.retry(connection, ids, dead=True))
        if done:
            wake(connection)
        return done

    return _retried(_sweep(connection, scope, step))


def purge(connection: psycopg.Connection[Any], job_id: int) -> bool:
    """Forget a dead letter, and its job with all attempts; False when the job is none."""
    with as_one(connection):
        done = ended.forget(connection, ended.locked(connection, job_id), dead=True)
    return bool(_purged(done))


def purge_all(connection: psycopg.Connection[Any], scope: Scope) -> int:
    """Forget dead letters; return how many."""
    done = _sweep(connection, scope, lambda ids: ended.forget(connection, ids, dead=True))
    return _purged(done)


def expire(connection: psycopg.Connection[Any], retention_s: float) -> int:
    """Forget dead letters that are older than their queue's retention, or `retention_s`; return how many.

    One step: more than it takes are left for the next round.
    """
    with connection.transaction():
        old = connection.execute(_EXPIRED, {"dlq_s": retention_s, "jobs_max": BULK_JOBS_MAX})
        ids = ended.locked_free(connection, [row[0] for row in old])
        done = ended.forget(connection, ids, dead=True)
    return _purged(done)


def move(connection: psycopg.Connection[Any], job_id: int, reason: str) -> bool:
    """Make a failed job a dead letter; False when it has not failed, or is one."""
    with as_one(connection):
        done = _move(connection, ended.locked(connection, job_id), reason)
    return bool(_moved(done, reason))


def move_failed(connection: psycopg.Connection[Any], kind: str | None, queue: str | None, reason: str) -> int:
    """Make all failed jobs of a kind or queue (None: of any) dead letters; return how many."""
    done = ended.each_failed(connection, lambda ids: _move(connection, ids, reason), kind=kind, queue=queue)
    return _moved(done, reason)


def _sweep(connection: psycopg.Connection[Any], scope: Scope, step: Callable[[Sequence[int]], int]) -> int:
    """Do something with all dead letters there are now, the oldest first, in steps."""
    wanted = {**scope.parameters(), "after_at": "-infinity", "after_id": 0, "jobs_max": BULK_JOBS_MAX}
    if scope.before_at is None:
        wanted["before_at"] = _now(connection)  # what fails again meanwhile is not met a second time
    done = 0
    while found := connection.execute(_SWEEP, wanted).fetchall():
        with as_one(connection):
            done += step(ended.locked_free(connection, [job_id for job_id, _ in found]))
        wanted["after_id"], wanted["after_at"] = found[-1]
    return done


def _move(connection: psycopg.Connection[Any], ids: Sequence[int], reason: str) -> int:
    return connection.execute(_MOVE, {"ids": numbers(ids), "reason": reason}).rowcount


def _entries(connection: psycopg.Connection[Any], ids: Sequence[int]) -> list[dict[str, Any]]:
    return records(connection, _ENTRIES, {"ids": numbers(ids)})


def _now(connection: psycopg.Connection[Any]) -> str:
    row = connection.execute("select clock_timestamp()::text").fetchone()
    assert row is not None
    return str(row[0])


def _retried(jobs: int) -> int:
    if jobs:
        events.emit(events.DLQ_RETRIED, jobs=jobs)
    return jobs


def _purged(jobs: int) -> int:
    if jobs:
        events.emit(events.DLQ_PURGED, jobs=jobs)
    return jobs


def _moved(jobs: int, reason: str) -> int:
    if jobs:
        events.emit(events.DLQ_MOVED, jobs=jobs, reason=reason)
    return jobs
