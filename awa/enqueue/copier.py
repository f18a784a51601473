"""Bulk inserts by the names they have in the other Awa: what they return differs from what `insert_many` does."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any

from awa.engine.insert import bulk
from awa.enqueue.inserter import Inserter, reported
from awa.enqueue.prepare import new_jobs
from awa.enqueue.results import added_job
from awa.job.model import Job
from awa.job.options import DEFAULT_PRIORITY, JobOpts


class Copier(Inserter):
    """Inserts many jobs, and returns the jobs or their number."""

    def insert_many_copy(
        self,
        jobs: Iterable[Any],
        *,
        kind: str | None = None,
        queue: str | None = None,
        priority: int = DEFAULT_PRIORITY,
        max_attempts: int | None = None,
        timeout: float | None = None,
        tags: list[str] | None = None,
        metadata: Any = None,
        run_at: Any = None,
        delay: float | timedelta | None = None,
        expires_at: Any = None,
        unique_opts: Mapping[str, Any] | None = None,
        ordering_key: str | bytes | Sequence[int] | None = None,
        wake: bool | None = None,
        opts: JobOpts | None = None,
    ) -> list[Job]:
        """Insert as `insert_many` does, and return the jobs, which are all in memory for that."""
        shared = {
            "kind": kind,
            "queue": queue,
            "priority": priority,
            "max_attempts": max_attempts,
            "timeout": timeout,
            "tags": tags,
            "metadata": metadata,
            "run_at": run_at,
            "delay": delay,
            "expires_at": expires_at,
            "unique_opts": unique_opts,
            "ordering_key": ordering_key,
            "wake": wake,
        }
        given = list(new_jobs(self.registry, jobs, shared, opts))
        with self._using("insert jobs") as connection:

            def insert() -> list[Job]:
                done = bulk.insert_many(connection, given)
                reported(done)
                added = bulk.added(connection, done)
                new = (job for job, job_id in zip(given, done.ids, strict=True) if job_id is not None)
                return [added_job(job, each) for job, each in zip(new, added, strict=True)]

            return self._as_one(connection, insert)

    def enqueue_many_copy(
        self,
        jobs: Iterable[Any],
        *,
        kind: str | None = None,
        queue: str | None = None,
        priority: int = DEFAULT_PRIORITY,
        max_attempts: int | None = None,
        timeout: float | None = None,
        tags: list[str] | None = None,
        metadata: Any = None,
        run_at: Any = None,
        delay: float | timedelta | None = None,
        expires_at: Any = None,
        unique_opts: Mapping[str, Any] | None = None,
        ordering_key: str | bytes | Sequence[int] | None = None,
        wake: bool | None = None,
        opts: JobOpts | None = None,
    ) -> int:
        """Insert as `insert_many` does, and return how many jobs were inserted."""
        return self.insert_many(
            jobs,
            kind=kind,
            queue=queue,
            priority=priority,
            max_attempts=max_attempts,
            timeout=timeout,
            tags=tags,
            metadata=metadata,
            run_at=run_at,
            delay=delay,
            expires_at=expires_at,
            unique_opts=unique_opts,
            ordering_key=ordering_key,
            wake=wake,
            opts=opts,
        ).inserted
