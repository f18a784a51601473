"""Turns the database's answer to an insert into its caller's result: the new job, or the existing one."""

from __future__ import annotations

from datetime import datetime, timezone

from awa.engine.insert.bulk import Added
from awa.engine.insert.single import Inserted, NewJob
from awa.errors import UniqueConflict
from awa.job import codec
from awa.job.model import Job, JobState
from awa.job.moments import from_microseconds, moment, seconds_of
from awa.job.unique.options import UniqueOptions
from awa.task.policy import DEFAULT_MAX_ATTEMPTS


def inserted_job(job: NewJob, inserted: Inserted, unique: UniqueOptions | None = None) -> Job:
    """Return a job as it stands right after its insert, or the one that holds its unique key.

    Raises UniqueConflict where that is not what was asked for.
    """
    if inserted.outcome != "inserted":
        return _holder(job, inserted, unique)
    created_at = from_microseconds(inserted.created_us)
    run_at = created_at if inserted.run_us == inserted.created_us else from_microseconds(inserted.run_us)
    state = JobState.parse(inserted.state)
    return new_row(job, inserted.id, state, created_at=created_at, run_at=run_at, max_attempts=inserted.max_attempts)


def added_job(job: NewJob, added: Added) -> Job:
    """Return a job of a bulk insert."""
    created_at = added.created_at.astimezone(timezone.utc)
    run_at = added.run_at.astimezone(timezone.utc) if added.run_at else created_at
    state = JobState.Scheduled if added.later else JobState.Available
    return new_row(job, added.id, state, created_at=created_at, run_at=run_at)


def new_row(
    job: NewJob,
    job_id: int,
    state: JobState,
    *,
    created_at: datetime,
    run_at: datetime,
    max_attempts: int | None = None,
) -> Job:
    """Return a job that has just been inserted. `max_attempts`: what the database says of it, where that was asked."""
    said, unique = job.envelope, job.unique
    return Job(
        id=job_id,
        kind=said.kind,
        queue=said.queue,
        state=state,
        priority=said.priority,
        attempt=0,
        max_attempts=max_attempts or said.max_attempts or DEFAULT_MAX_ATTEMPTS,
        timeout=seconds_of(said.timeout_ms),
        args=codec.decode(job.args),
        tags=list(said.tags or ()),
        metadata=codec.decode(said.metadata) if said.metadata else {},
        run_at=run_at,
        created_at=created_at,
        expires_at=said.expires_at,
        unique_key=None if unique is None else unique.key,
        ordering_key=said.ordering_key,
    )


def _holder(job: NewJob, inserted: Inserted, unique: UniqueOptions | None) -> Job:
    on_conflict = (unique and unique.on_conflict) or "error"
    if inserted.outcome == "existing" and on_conflict != "skip":
        taken = ", and it has been started or just taken by a worker, so it cannot be replaced"
        holder = f"job {inserted.id} ({inserted.state}) holds its unique key"
        raise UniqueConflict(
            f"could not insert a job of kind {job.envelope.kind!r}: {holder}"
            f"{taken if on_conflict == 'replace' else ''}. Nothing was inserted, and the transaction can go on",
            inserted.id,
        )
    conflict = "replaced" if inserted.outcome == "replaced" else "skipped"
    row = codec.decode(bytes.fromhex(inserted.existing or "7b7d"))
    state = JobState.parse(inserted.state)
    if row["kind"] is None:
        return _unread(job, inserted.id, state, conflict)
    return Job(
        id=inserted.id,
        kind=row["kind"],
        queue=row["queue"],
        state=state,
        priority=row["priority"],
        attempt=row["attempt"],
        max_attempts=row["max_attempts"],
        timeout=seconds_of(row["timeout_ms"]),
        args=row["args"],
        tags=row["tags"],
        metadata=row["metadata"],
        unique_key=_unhex(row["unique_key"]),
        ordering_key=_unhex(row["ordering_key"]),
        run_at=from_microseconds(inserted.run_us),
        created_at=from_microseconds(inserted.created_us),
        expires_at=None if row["expires_at"] is None else moment(row["expires_at"]),
        conflict=conflict,
    )


def _unread(job: NewJob, job_id: int, state: JobState, conflict: str) -> Job:
    """Return a job that this role may not read: what is known of it is what `job` was to be."""
    said = job.envelope
    replaced = codec.decode(job.args) if conflict == "replaced" else None
    attempts = said.max_attempts or DEFAULT_MAX_ATTEMPTS
    return Job(job_id, said.kind, said.queue, state, said.priority, 0, attempts, args=replaced, conflict=conflict)


def _unhex(text: str | None) -> bytes | None:
    return None if text is None else bytes.fromhex(text)
