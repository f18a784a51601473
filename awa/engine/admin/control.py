"""Control: what operators do: look, list, count, cancel, retry, pause."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

import psycopg
from psycopg.errors import LockNotAvailable

from awa.database import lock_holders
from awa.database.adapters.caller import as_one
from awa.database.pipeline import records
from awa.database.statements import statement
from awa.engine.admin import ended, queues
from awa.engine.arrays import numbers
from awa.engine.nodes import wake
from awa.engine.seal import may_seal, seal_all, wait_for_sealer
from awa.errors import JobNotFound, StateConflict, UniqueConflict
from awa.job.model import JobState
from awa.task.error_entry import error_entry
from awa.telemetry import events

LIST_MAX: Final = 1000
UNSEALED_MAX: Final = 20_000
"""So many of the jobs that are not sealed are looked at; as long as sealing goes on, there are no more."""
_BEHIND_ALL: Final = 2**63 - 1
"""As `before_id`: a first page that is exact however long the backlog is."""
TRIES_MAX: Final = 20
"""Looks at a job that keeps moving (being split, claimed, sealed) before cancel gives up."""
CANCEL_WAIT_MS: Final = 5_000
"""Time that a cancel waits for a transaction that is changing the job."""

_GET = statement("control/get")
_BY_IDS = statement("control/by_ids")
_LIST = statement("control/list")
_LIST_BATCHED = statement("control/list_batched")
_LIST_DEFERRED = statement("control/list_deferred")
_LIST_ENDED = statement("control/list_ended")
_FIND = statement("control/find")
_CANCEL = statement("control/cancel")
_CANCEL_OWN = statement("control/cancel_own")
_PAUSE = statement("control/pause")
_RESUME = statement("control/resume")
_QUEUE_STATS = statement("control/queue_stats")
_ATTEMPTS = statement("control/attempts")
_DEATHS = statement("control/deaths")
_HOLDER = statement("control/holder")
_PAUSED = statement("control/paused")
_RUN_NOW = statement("control/run_now")
_KNOWN_NAMES = statement("control/known_names")
_IS_DEFERRED = statement("control/is_deferred")
_STOPPING = statement("control/stopping")


class QueueStat(NamedTuple):
    """The figures of a queue."""

    queue: str
    total_queued: int
    scheduled: int
    available: int
    retryable: int
    running: int
    failed: int
    waiting_external: int
    completed_last_hour: int
    lag_seconds: float | None
    """For how long the oldest job could have been run, whatever kept it from that: it waits in the queue, it has been
    committed and not sealed, or it was put aside until a time that has passed. None without such a job."""
    paused: bool
    paused_at: datetime | None = None
    """Since when it is paused."""
    paused_by: str | None = None
    """The recorded author of the pause; None if none was given."""


class Paused(NamedTuple):
    """A queue that workers take no jobs from."""

    queue: str
    paused_at: datetime
    paused_by: str | None


class KnownNames(NamedTuple):
    """The names that something knows: a job that was inserted, a live node, or a queue's configuration."""

    queues: list[str]
    kinds: list[str]


class WorkerDeaths(NamedTuple):
    """Number of worker deaths by jobs of one kind, in one queue."""

    kind: str
    queue: str
    last_10_minutes: int
    last_hour: int
    last_day: int
    last_week: int
    last_at: datetime
    """The minute of the last one."""


def known_names(connection: psycopg.Connection[Any]) -> KnownNames:
    """Return the queues and kinds that something knows, each by name."""
    _seal_if_free(connection)
    rows = sorted(connection.execute(_KNOWN_NAMES))
    return KnownNames([name for what, name in rows if what == "queue"], [name for what, name in rows if what == "kind"])


def worker_deaths(connection: psycopg.Connection[Any]) -> list[WorkerDeaths]:
    """Return the kinds whose jobs killed workers in the last week, the worst of the last hour first."""
    return [WorkerDeaths(*row) for row in connection.execute(_DEATHS)]


def get(connection: psycopg.Connection[Any], job_id: int) -> dict[str, Any]:
    """Return the row of `awa.jobs`. Raises `JobNotFound`."""
    row = _rows(connection, _GET, {"id": job_id})
    if not row:
        raise JobNotFound(job_id)
    return row[0]


def by_ids(connection: psycopg.Connection[Any], job_ids: Sequence[int]) -> list[dict[str, Any]]:
    """Return the rows of `awa.jobs` of those of these jobs that are there, newest first."""
    return _rows(connection, _BY_IDS, {"ids": numbers(job_ids)})


def drain(connection: psycopg.Connection[Any], queue: str) -> int:
    """Cancel the jobs of a queue that wait for a worker or a time; return how many.

    One after the other, as `cancel` does it. Those that come in or are taken meanwhile are left as they are.
    """
    done = 0
    for state in (JobState.Available, JobState.Scheduled, JobState.Retryable):
        before_id = _BEHIND_ALL
        while rows := listing(connection, state=state, queue=queue, limit=LIST_MAX, before_id=before_id):
            before_id = rows[-1]["id"]
            done += sum(_cancelled_waiting(connection, row["id"]) for row in rows)
    return done


def _cancelled_waiting(connection: psycopg.Connection[Any], job_id: int) -> bool:
    """Cancel a job unless a worker has taken it, it has ended or it is gone; return whether it was cancelled."""
    try:
        if JobState.parse(get(connection, job_id)["state"]) is JobState.Running:
            return False
        cancel(connection, job_id, "queue drained")
    except (JobNotFound, StateConflict):
        return False
    return True


def attempts(connection: psycopg.Connection[Any], job_id: int) -> list[dict[str, Any]]:
    """Return the rows of `awa.attempts`, oldest first."""
    return _rows(connection, _ATTEMPTS, {"id": job_id})


def listing(
    connection: psycopg.Connection[Any],
    *,
    state: JobState | None = None,
    kind: str | None = None,
    queue: str | None = None,
    tag: str | None = None,
    limit: int = 100,
    before_id: int | None = None,
) -> list[dict[str, Any]]:
    """Return rows of `awa.jobs`, newest first, at most `limit` (1 to 1000), of jobs with ids below `before_id`."""
    jobs_max = max(1, min(limit, LIST_MAX))
    wanted = {"kind": kind, "queue": queue, "tag": tag, "jobs_max": jobs_max, "before": before_id}
    unsealed = {**wanted, "unsealed_max": UNSEALED_MAX}
    if state in (JobState.Available, JobState.Scheduled):
        _seal_if_free(connection)
    match state:
        case None:
            found = connection.execute(_LIST, wanted)
        case JobState.Available | JobState.Running:
            found = connection.execute(_LIST_BATCHED, {**unsealed, "leased": state is JobState.Running})
        case JobState.Scheduled:
            found = connection.execute(_LIST_DEFERRED, {**unsealed, "why": ["scheduled", "snooze"]})
        case JobState.Retryable:
            found = connection.execute(_LIST_DEFERRED, {**unsealed, "why": ["retry"]})
        case _:
            found = connection.execute(_LIST_ENDED, {**wanted, "outcome": int(state)})
    return _rows(connection, _BY_IDS, {"ids": numbers(row[0] for row in found)})


def queue_stats(connection: psycopg.Connection[Any]) -> list[QueueStat]:
    """Return how every queue stands, by name."""
    _seal_if_free(connection)
    stats = [QueueStat(*row) for row in connection.execute(_QUEUE_STATS, {"unsealed_max": UNSEALED_MAX})]
    since = {each.queue: each for each in paused(connection)}
    return [
        stat._replace(paused_at=since[stat.queue].paused_at, paused_by=since[stat.queue].paused_by)
        if stat.paused and stat.queue in since
        else stat
        for stat in stats
    ]


def paused(connection: psycopg.Connection[Any]) -> list[Paused]:
    """Return the paused queues, by name."""
    return [Paused(*row) for row in connection.execute(_PAUSED)]


def cancel(connection: psycopg.Connection[Any], job_id: int, reason: str = "cancelled by admin") -> bool:
    """Cancel a job that has not ended; return whether it was in a worker's lease.

    Raises `JobNotFound`, or `StateConflict` when it has ended, or cannot be found in a transaction that is open because
    it was committed a moment ago and is not sealed yet.
    """
    for _ in range(TRIES_MAX):
        row = get(connection, job_id)
        state = JobState.parse(row["state"])
        if state.is_terminal:
            raise StateConflict(f"job {job_id} cannot be cancelled: it is {state} already")
        cancelled = _cancel_where_it_is(
            connection, job_id, error_entry(f"cancelled: {reason}", "Cancel", row["attempt"])
        )
        if cancelled is not None:
            events.emit(events.CONTROL_CANCELLED, job=job_id, was_running=cancelled)
            return cancelled
        _seal_if_free(connection, after_others=True)
    if connection.info.transaction_status != psycopg.pq.TransactionStatus.IDLE:
        raise StateConflict(
            f"job {job_id} could not be cancelled: it was committed a moment ago and is not sealed yet, which cannot "
            "be done inside the open transaction of this connection; end it, then cancel the job"
        )
    raise StateConflict(f"job {job_id} could not be cancelled: it kept moving, or is not committed yet; try again")


def cancel_holder(connection: psycopg.Connection[Any], key: bytes) -> int | None:
    """Cancel the job that holds a unique key; return it; None if no job that can be cancelled holds it."""
    row = connection.execute(_HOLDER, {"key": key}).fetchone()
    if row is None:
        return None
    try:
        cancel(connection, row[0])
    except (JobNotFound, StateConflict):
        if JobState.parse(get(connection, row[0])["state"]).is_terminal:
            return None
        raise
    return int(row[0])


def retry(connection: psycopg.Connection[Any], job_id: int) -> None:
    """Run a failed or cancelled job again, from attempt 0; a dead letter is none any more.

    Raises `JobNotFound` or `StateConflict`.
    """
    with as_one(connection):
        ids = ended.locked(connection, job_id)
        done = ended.retry(connection, ids, states=(JobState.Failed, JobState.Cancelled))
        if done:
            wake(connection)
    if not done:
        row = get(connection, job_id)
        state = row["state"]
        if JobState.parse(state) is JobState.Cancelled and connection.execute(_STOPPING, {"id": job_id}).fetchone():
            raise StateConflict(
                f"job {job_id} cannot be retried yet: it was cancelled, and its handler has not stopped; try again"
            )
        holder = connection.execute(_HOLDER, {"key": row["unique_key"]}).fetchone()
        if holder and JobState.parse(state) in (JobState.Failed, JobState.Cancelled):
            raise UniqueConflict(
                f"job {job_id} cannot be retried: job {holder[0]} holds its unique key now", int(holder[0])
            )
        way_out = f"; awa job run-now {job_id} has it run at once" if state in ("scheduled", "retryable") else ""
        raise StateConflict(
            f"job {job_id} cannot be retried: it is {state}; only failed and cancelled jobs can{way_out}"
        )
    events.emit(events.CONTROL_RETRIED, job=job_id)


def run_now(connection: psycopg.Connection[Any], job_id: int) -> None:
    """Make a scheduled or retryable job due at once. Raises `JobNotFound`, or `StateConflict` in another state."""
    _seal_if_free(connection)  # one that was just inserted is not put aside before that
    if connection.execute(_RUN_NOW, {"id": job_id}).fetchone() is None:
        row = get(connection, job_id)
        state = JobState.parse(row["state"])
        if state not in (JobState.Scheduled, JobState.Retryable):
            raise StateConflict(
                f"job {job_id} cannot be brought forward: it is {state}; only scheduled and retryable jobs can"
            )
        if connection.execute(_IS_DEFERRED, {"id": job_id}).fetchone() is None:
            raise StateConflict(f"job {job_id} cannot be brought forward yet: it has just been inserted; try again")
    events.emit(events.CONTROL_HASTENED, job=job_id)


def retry_failed(
    connection: psycopg.Connection[Any], *, kind: str | None = None, queue: str | None = None
) -> tuple[list[dict[str, Any]], int]:
    """Run the failed jobs of a kind or queue again, dead letters excepted.

    Returns their rows of `awa.jobs`, and how many stay failed because another job holds their unique key.
    """
    jobs: list[dict[str, Any]] = []
    held_back = 0

    def step(ids: Sequence[int]) -> int:
        nonlocal held_back
        done = ended.retry(connection, ids, dead=False)
        if left := sorted(set(ids).difference(done)):
            held_back += sum(row["state"] == "failed" for row in _rows(connection, _BY_IDS, {"ids": numbers(left)}))
        if done:
            wake(connection)
            jobs.extend(reversed(_rows(connection, _BY_IDS, {"ids": numbers(done)})))
        return len(done)

    if ended.each_failed(connection, step, kind=kind, queue=queue):
        events.emit(events.CONTROL_RETRIED, jobs=len(jobs))
    return jobs, held_back


def discard_failed(connection: psycopg.Connection[Any], kind: str) -> int:
    """Forget the failed jobs of a kind, dead letters excepted; return how many."""
    done = ended.each_failed(connection, lambda ids: ended.forget(connection, ids, dead=False), kind=kind)
    if done:
        events.emit(events.CONTROL_DISCARDED, jobs=done, kind=kind)
    return done


def discard(connection: psycopg.Connection[Any], job_id: int) -> None:
    """Forget a failed job that is no dead letter. Raises `JobNotFound`, or `StateConflict` for any other."""
    row = get(connection, job_id)
    with as_one(connection):
        done = ended.forget(connection, ended.locked(connection, job_id), dead=False)
    if not done:
        state = get(connection, job_id)["state"]
        if state == "failed":
            raise StateConflict(
                f"job {job_id} cannot be discarded: it is a dead letter; awa dlq purge {job_id} forgets it"
            )
        raise StateConflict(f"job {job_id} cannot be discarded: it is {state}; only failed jobs can")
    events.emit(events.CONTROL_DISCARDED, jobs=done, kind=row["kind"])


def pause(connection: psycopg.Connection[Any], queue: str, paused_by: str | None = None) -> None:
    """Stop claims from a queue, from the next claim on. Running jobs finish, inserts go on."""
    connection.execute(_PAUSE, {"queue": queue, "paused_by": paused_by})
    events.emit(events.CONTROL_PAUSED, queue=queue, by=paused_by)


def resume(connection: psycopg.Connection[Any], queue: str) -> None:
    """Let a paused queue go on; nothing happens to one that is not paused."""
    connection.execute(_RESUME, {"queue": queue})
    queues.forget(connection, queue)
    events.emit(events.CONTROL_RESUMED, queue=queue)


def _cancel_where_it_is(connection: psycopg.Connection[Any], job_id: int, error: bytes) -> bool | None:
    """Take the job out of its batch or of deferred; None when it is in neither at this instant."""
    try:
        with connection.transaction():
            connection.execute(f"set local lock_timeout = {CANCEL_WAIT_MS}")
            ended.locked(connection, job_id)
            found = connection.execute(_FIND, {"id": job_id}).fetchone()
            wanted = {"id": job_id, "batch": found[0] if found else None, "error": error.decode()}
            row = connection.execute(_CANCEL, wanted).fetchone()
            if row is None:
                row = connection.execute(_CANCEL_OWN, wanted).fetchone()
    except LockNotAvailable as locked:
        held_by = lock_holders.named(lock_holders.holders(connection, "awa.batch", CANCEL_WAIT_MS / 1000))
        raise StateConflict(
            f"job {job_id} cannot be cancelled now: a transaction that is not over is changing it, probably that of "
            f"{held_by}; end that, or try again"
        ) from locked
    return None if row is None else bool(row[0])


def _seal_if_free(connection: psycopg.Connection[Any], *, after_others: bool = False) -> None:
    """Seal, so that jobs just committed are found. Not inside the caller's transaction: it may have inserted; nor as
    a role that may only read, which sees what others have sealed.

    `after_others`: if another session is sealing already, wait for that first.
    """
    if connection.info.transaction_status != psycopg.pq.TransactionStatus.IDLE:
        return
    with connection.transaction():  # of its own, which ends with it: sealing needs to begin another
        may = may_seal(connection)
    if may:
        if after_others:
            try:
                wait_for_sealer(connection, CANCEL_WAIT_MS)
            except LockNotAvailable as locked:
                held_by = lock_holders.named(lock_holders.holders(connection, "awa.seal_lock", 0.0))
                raise StateConflict(
                    f"jobs committed lately cannot be found: they are not sealed, which is held up by {held_by}; "
                    "end that transaction, then try again"
                ) from locked
        seal_all(connection)


def _rows(connection: psycopg.Connection[Any], sql: bytes, wanted: dict[str, Any]) -> list[dict[str, Any]]:
    return records(connection, sql, wanted)
