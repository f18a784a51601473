"""`insert` and its bulk forms: the same on a client and inside a transaction."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import Any

import psycopg

from awa import telemetry
from awa.database.borrowed import as_one
from awa.engine import insert as engine
from awa.engine.insert import NewJob
from awa.job import Job
from awa.producing import (
    DEFAULT_PRIORITY,
    InsertedMany,
    Options,
    check_options,
    inserted_job,
    new_job,
    new_jobs,
)
from awa.task import Registry


class Inserter(ABC):
    """Inserts jobs over whatever connection its subclass provides."""

    registry: Registry
    """The tasks whose queues jobs go to when no queue is given."""

    @abstractmethod
    def _using(self, doing: str) -> AbstractContextManager[psycopg.Connection[Any]]:
        """Lend a connection for what is done ("insert a job"), and raise what the driver raises as AwaErrors."""

    def insert(
        self,
        args: Any,
        *,
        kind: str | None = None,
        queue: str | None = None,
        priority: int = DEFAULT_PRIORITY,
        max_attempts: int | None = None,
        timeout: float | None = None,
        tags: list[str] | None = None,
        metadata: Any = None,
        run_at: Any = None,
    ) -> Job:
        """Insert one job and return it: `available`, or `scheduled` when `run_at` lies in the future.

        Args:
            args: what the handler gets: a dict, or an instance of a dataclass, attrs, msgspec or pydantic class.
            kind: which handler; by default derived from the class of `args` (`SendEmail`: "send_email").
            queue: by default that of the task registered here for the kind, else "default".
            priority: 1 (most urgent) to 4.
            max_attempts: how often the job may be started before it fails, 1 to 1000; by default as the task
                registered here for the kind says, else 25.
            timeout: seconds an attempt may take; 0: as long as it likes. By default as its task says, else its queue.
            tags: at most 20 strings, to find the job by.
            metadata: JSON kept beside the job, unread by the handler's type.
            run_at: not before this: a datetime (UTC if it has no zone), RFC 3339 text, or an object with `isoformat`.

        Raises:
            ValidationError: an option or a part of `args` cannot be stored, by its path; nothing was sent.
            OverflowError: priority or max_attempts is beyond 16 bits.
            DatabaseError: the database could not be reached or refused.
        """
        options = check_options(kind, queue, priority, max_attempts, timeout, tags, metadata, run_at)
        job = new_job(self.registry, args, options)
        with self._using("insert a job") as connection:
            inserted = engine.insert(connection, job)
        telemetry.emit(telemetry.INSERT_JOBS, jobs=1)
        return inserted_job(job, inserted)

    def insert_many(
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
    ) -> InsertedMany:
        """Insert one job for each of `jobs` (the `args` of each), by COPY: all of them or, after an error, none.

        `jobs` may be a generator of any length: some ten thousand are held in memory at a time. The options are shared
        by all; they, and what is raised, are those of `insert`. What is wrong with a job is told with its place, from
        zero: `jobs[25000]: args.n is …`.
        """
        options = check_options(kind, queue, priority, max_attempts, timeout, tags, metadata, run_at)
        ids = self._copy(new_jobs(self.registry, jobs, options))
        return InsertedMany(ids, len(ids), 0)

    def _copy(self, jobs: Iterable[NewJob]) -> list[int]:
        with self._using("insert jobs") as connection, as_one(connection):
            ids = engine.insert_many(connection, jobs)
        telemetry.emit(telemetry.INSERT_JOBS, jobs=len(ids))
        return ids

    def _copy_and_read(self, jobs: Iterable[Any], options: Options) -> list[Job]:
        """Insert jobs and return them. They are all in memory anyway."""
        given = list(new_jobs(self.registry, jobs, options))
        with self._using("insert jobs") as connection, as_one(connection):
            ids = engine.insert_many(connection, given)
            added = engine.inserted(connection, ids)
        telemetry.emit(telemetry.INSERT_JOBS, jobs=len(ids))
        return [inserted_job(job, each) for job, each in zip(given, added, strict=True)]
