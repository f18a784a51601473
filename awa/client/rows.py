"""Turns rows of `awa.jobs` into `Job` objects."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

from awa.job import codec
from awa.job.model import DlqEntry, Job, JobState
from awa.job.moments import seconds_of


def job_of(row: Mapping[str, Any]) -> Job:
    """Return the job in a row of `awa.jobs`. JSON columns may be decoded already (the caller's connection) or not."""
    return Job(
        id=row["id"],
        kind=row["kind"],
        queue=row["queue"],
        state=JobState.parse(row["state"]),
        priority=row["priority"],
        attempt=row["attempt"],
        max_attempts=row["max_attempts"],
        timeout=seconds_of(row["timeout_ms"]),
        args=_decoded(row["args"]),
        tags=row["tags"],
        metadata=_decoded(row["metadata"]),
        errors=[_decoded(error) for error in row["errors"]],
        run_at=_utc(row["run_at"]),
        created_at=_utc(row["created_at"]),
        finalized_at=_utc(row["finalized_at"]),
        result=_decoded(row["result"]),
        expires_at=_utc(row["expires_at"]),
        unique_key=_bytes(row["unique_key"]),
        ordering_key=_bytes(row["ordering_key"]),
    )


def dlq_entry_of(row: Mapping[str, Any]) -> DlqEntry:
    """Return the dead letter in a row of `awa.jobs` with its `reason`, `dlq_at` and `runs`."""
    return DlqEntry(job_of(row), row["reason"], row["dlq_at"].astimezone(timezone.utc), row["runs"])


def _decoded(value: Any) -> Any:
    """JSON comes as bytes where it has not been decoded; no JSON value decodes to bytes."""
    return codec.decode(value) if isinstance(value, bytes) else value


def _bytes(value: bytes | memoryview | None) -> bytes | None:
    """Some connections give bytea as one, some as the other."""
    return None if value is None else bytes(value)


def _utc(value: datetime | None) -> datetime | None:
    """The driver gives times in the session's zone, which was not chosen for them."""
    return None if value is None else value.astimezone(timezone.utc)
