"""The inserting half of `Client` and its transactions: one job or many, with all options."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any, TypeVar

import psycopg

from awa.database.adapters.caller import as_one
from awa.database.adapters.connection import adapt
from awa.database.errors import is_lost, translated_foreign
from awa.engine.insert import bulk
from awa.engine.insert import single as engine
from awa.engine.insert.bulk import Bulk
from awa.engine.insert.single import Execute, Inserted, NewJob
from awa.enqueue.connected import Connected
from awa.enqueue.prepare import InsertedMany, new_job, new_jobs
from awa.enqueue.results import inserted_job
from awa.errors import OutcomeUnknown, UniqueConflict, ValidationError
from awa.job.model import Job
from awa.job.options import DEFAULT_PRIORITY, JobOpts, check_options
from awa.task.registry import Registry
from awa.telemetry import events

Many = TypeVar("Many", bound="InsertedMany | list[Job]")


class Inserter(Connected):
    """Inserts jobs."""

    registry: Registry
    """The tasks whose queues jobs go to when no queue is given."""
    _may_read_ahead: bool = False
    """True if the connections that are lent are used by no other code: then what yields jobs cannot be using one."""

    def _over(self, caller: Any) -> Execute:
        """Return what runs a statement over a connection of the application's. Raises TypeError for what is none."""
        return adapt(caller).execute

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
        delay: float | timedelta | None = None,
        expires_at: Any = None,
        unique_opts: Mapping[str, Any] | None = None,
        ordering_key: str | bytes | Sequence[int] | None = None,
        wake: bool | None = None,
        connection: Any = None,
        session: Any = None,
    ) -> Job:
        """Insert one job and return it: `available`, or `scheduled` when `run_at` lies in the future.

        Args:
            args: what the handler gets: a dict, or an instance of a dataclass, attrs, msgspec or pydantic class.
            kind: which handler; by default derived from the class of `args` (`SendEmail`: "send_email").
            queue: by default that of the task registered here for the kind, else "default".
            priority: 1 (most urgent) to 4.
            max_attempts: how often the job may be started before it fails, 1 to 1000; by default as the task
                for the kind says: the one registered here, else that of the worker that runs it.
            timeout: seconds an attempt may take; 0: as long as it likes. By default as its task says, else its queue.
            tags: at most 20 strings, to find the job by.
            metadata: JSON kept beside the job, unread by the handler's type.
            run_at: not before this: a datetime (UTC if it has no zone), RFC 3339 text, or an object with `isoformat`.
            delay: instead of `run_at`: so many seconds from now (or a timedelta), by the database's clock.
            expires_at: as `run_at`; a job not started by then is cancelled, with the error "expired".
            unique_opts: what other jobs this one must not meet, and what happens if it does: a dict with any of
                `by_args` (True; False; or a list of names), `by_queue` (False), `by_period` (a number, or a timedelta),
                `states` (those in which a job holds its key) and `on_conflict` ("error", "skip", "replace").
            ordering_key: of the jobs of a queue with the same one, each starts after those inserted before it.
            wake: False: send no NOTIFY, which PREPARE TRANSACTION refuses; an idle worker finds the job at its next
                poll. By default as the client says.
            connection: a connection of the application's, in whose transaction the job is inserted, by one statement,
                and never committed here: of psycopg or psycopg2, SQLAlchemy, or Django, or a Django alias.
            session: the same, for those who call it a session.

        Returns:
            The new job; where another one holds its unique key, that one, if `on_conflict` is "skip" or "replace".

        Raises:
            ValidationError: an option or a part of `args` cannot be stored, by its path; nothing was sent.
            OverflowError: priority or max_attempts is beyond 16 bits.
            UniqueConflict: another job holds the unique key: `job_id` of the exception. Nothing was inserted, and a
                transaction of the caller's can go on.
            TypeError: `connection` is none that is known here.
            DatabaseError: the database could not be reached or refused; nothing was inserted.
            OutcomeUnknown: the connection broke before the server had answered; the text says how to find out.
        """
        options = check_options(
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
        )
        job = new_job(self.registry, args, options)
        replace = options.unique is not None and options.unique.on_conflict == "replace"
        caller = one_of(connection, session)
        if caller is not None:
            inserted = insert_over(self._over(caller), job, replace=replace)
        else:
            with self._using("insert a job") as own:
                commits = self._commits(own)
                try:
                    inserted = engine.insert(own, job, replace=replace)
                except psycopg.OperationalError as error:
                    if commits and is_lost(own, error):
                        raise unknown_insert(job, error) from error
                    raise
        if inserted.outcome == "inserted":
            events.emit(events.INSERT_JOBS, jobs=1)
        return inserted_job(job, inserted, options.unique)

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
        delay: float | timedelta | None = None,
        expires_at: Any = None,
        unique_opts: Mapping[str, Any] | None = None,
        ordering_key: str | bytes | Sequence[int] | None = None,
        wake: bool | None = None,
        opts: JobOpts | None = None,
        connection: Any = None,
        session: Any = None,
    ) -> InsertedMany:
        """Insert one job for each of `jobs` (the `args` of each), by COPY: all of them or, after an error, none.

        `jobs` may be a generator of any length: some tens of thousands are in memory at a time. The options are shared
        by all; they, and what is raised, are those of `insert`. `opts` is a list with what differs for each job: a dict
        of options, or None. What is wrong with a job is told with its place, from zero: `jobs[25000]: args.n is …`.

        Jobs whose unique key is held, by a job that is there or by one before them, are left out, and reported in the
        result. With `on_conflict` "error" one of them is enough for UniqueConflict, and nothing is inserted.

        Over a `connection` or `session` it is one statement, with all jobs in memory.
        """
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
        given = new_jobs(self.registry, jobs, shared, opts)
        caller = one_of(connection, session)
        if caller is not None:
            execute = self._over(caller)
            with translated_foreign("insert jobs"):
                return reported(bulk.insert_many_by(execute, given))
        with self._using("insert jobs") as own:
            return self._as_one(own, lambda: reported(bulk.insert_many(own, given, ahead=self._may_read_ahead)))

    def _as_one(self, connection: psycopg.Connection[Any], insert: Callable[[], Many]) -> Many:
        """Insert many jobs in one transaction. Raises OutcomeUnknown when the connection breaks at its commit."""
        commits, done = self._commits(connection), None
        try:
            with as_one(connection):
                done = insert()
        except psycopg.OperationalError as error:
            if commits and done and is_lost(connection, error):
                raise unknown_inserts(done, error) from error
            raise
        return done


def insert_over(execute: Execute, job: NewJob, *, replace: bool) -> Inserted:
    """Insert one job over a connection of the application's: one statement, never committed here."""
    with translated_foreign("insert a job"):
        (row,) = execute(*engine.insertion(job, replace=replace))
    return Inserted(*row)


def unknown_insert(job: NewJob, error: Exception) -> OutcomeUnknown:
    """Return the error for a single insert whose answer was lost."""
    kind = job.envelope.kind
    if job.unique is None:
        way = (
            f"Look for it, with list_jobs(kind={kind!r}) for example, before you insert it again; with unique_opts it "
            "could be inserted again without harm"
        )
    else:
        way = "Insert it again with the same unique_opts: while the first one holds its key, there is no second one"
    return OutcomeUnknown(
        f"it is not known whether the job of kind {kind!r} was inserted: the connection broke when it had been sent, "
        f"and before the server's answer came. {way} ({_first_line(error)})"
    )


def unknown_inserts(done: InsertedMany | Sequence[Job], error: Exception) -> OutcomeUnknown:
    """Return the error for a bulk insert that broke at its commit."""
    ids = done.ids if isinstance(done, InsertedMany) else [job.id for job in done]
    return OutcomeUnknown(
        f"it is not known whether {len(ids)} jobs were inserted, all of them or none: the connection broke at the "
        "commit. get_job finds the first of this exception's job_ids if they were, and raises JobNotFound if not "
        f"({_first_line(error)})",
        ids,
    )


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def one_of(connection: Any, session: Any) -> Any:
    """Return whichever was given. Raises ValidationError for two."""
    if connection is not None and session is not None:
        raise ValidationError("both connection and session were given; a job is inserted over one of them")
    return session if connection is None else connection


def reported(done: Bulk) -> InsertedMany:
    """Return what a bulk insert did, and tell of it. Raises UniqueConflict for one that must not be left out."""
    if done.conflict is not None:
        at, holder = done.conflict
        by = "one before it has the same one" if holder is None else f"job {holder} holds it"
        raise UniqueConflict(
            f"the unique key of jobs[{at}] is taken: {by}. Nothing was inserted; with on_conflict 'skip' such jobs are "
            "left out",
            holder,
        )
    skipped_at = tuple(at for at, job_id in enumerate(done.ids) if job_id is None)
    new = [job_id for job_id in done.ids if job_id is not None]
    if new:
        events.emit(events.INSERT_JOBS, jobs=len(new))
    return InsertedMany(new, len(new), len(skipped_at), skipped_at)
