"""The part of a client that looks after jobs: it finds them, waits for them, cancels them and runs them again."""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Iterable
from datetime import timedelta
from time import monotonic, sleep
from typing import Any, Final

import psycopg

from awa.client.rows import job_of
from awa.engine.admin import control
from awa.engine.admin.control import WorkerDeaths
from awa.engine.admin.waiting import WaitingReason, waiting_reasons
from awa.enqueue.connected import Connected
from awa.errors import JobNotFound, SerializationError, ValidationError
from awa.job.model import Job, JobState
from awa.job.unique.key import unique_key
from awa.job.validate import can_be_id, check_id, check_name, list_limit
from awa.task.outcome import result_refusal

logger = logging.getLogger("awa.client")

_WAIT_FIRST_S: Final = 0.005
_WAIT_LAST_S: Final = 0.25
"""`wait` looks again after these times, growing from the first to the last."""
_WAIT_SAID_S: Final = 10.0
"""It says what it waits for after this time, and whenever it has waited twice as long as at the last time."""
_WAIT_JOBS_MAX: Final = 500
"""Jobs that it looks at in one query."""


class Jobs(Connected):
    """Looks after jobs."""

    @abstractmethod
    def _seal_before_callers_transaction(self, connection: psycopg.Connection[Any]) -> None:
        """Seal what has been committed, where a transaction of the caller's is about to begin: later it cannot be."""

    def _sleep(self, seconds: float) -> None:
        """Pause; what runs on an event loop does it in another way."""
        sleep(seconds)

    # Looking

    def get_job(self, job_id: int) -> Job:
        """Return a job. Raises JobNotFound."""
        check_id(job_id)
        with self._using(f"read job {job_id}") as connection:
            return job_of(control.get(connection, job_id))

    def list_jobs(
        self,
        *,
        state: JobState | str | None = None,
        kind: str | None = None,
        queue: str | None = None,
        tag: str | None = None,
        limit: int = 100,
        before_id: int | None = None,
    ) -> list[Job]:
        """Return jobs, newest first, at most `limit` and never more than 1000; those of an open transaction are
        among its own.

        `before_id`: only jobs with ids below this: the last one of a page gives the next page. Of a state with hundreds
        of thousands of available jobs, the first page without it is made from what was sealed or came back last.

        Raises ValueError for a state there is not, ValidationError for another limit, or what is no name or no id.
        """
        wanted = None if state is None else JobState.parse(state)
        jobs_max = list_limit(limit)
        if before_id is not None and not can_be_id(before_id):
            raise ValidationError(f"before_id is {before_id}; no job has such an id")
        for what, name in (("kind", kind), ("queue", queue)):
            if name is not None:
                check_name(what, name)
        with self._using("list jobs") as connection:
            rows = control.listing(
                connection, state=wanted, kind=kind, queue=queue, tag=tag, before_id=before_id, limit=jobs_max
            )
            return [job_of(row) for row in rows]

    def waiting_reasons(self, job_id: int) -> list[WaitingReason]:
        """Return why a job waits, the most decisive reason first; an empty list for one that is being run or has ended.

        Raises JobNotFound.
        """
        check_id(job_id)
        with self._using(f"see why job {job_id} waits") as connection:
            return waiting_reasons(connection, job_id)

    def attempts(self, job_id: int) -> list[dict[str, Any]]:
        """Return the executions of a job, oldest first: rows of `awa.attempts`. Raises JobNotFound."""
        check_id(job_id)
        with self._using(f"read the attempts of job {job_id}") as connection:
            control.get(connection, job_id)
            return control.attempts(connection, job_id)

    def worker_deaths(self) -> list[WorkerDeaths]:
        """Return the kinds of jobs that worker processes died of in the last week, the worst of the last hour first.

        A worker that a time limit, a cancellation or a shutdown has killed does not count.
        """
        with self._using("read deaths of workers") as connection:
            return control.worker_deaths(connection)

    def wait(self, job_id: int, timeout: float | None = None) -> Job:
        """Wait until a job has ended, completed or not, and return it; what the handler returned is `job.result`.

        After ten seconds, and then whenever it has taken twice as long, the logger `awa.client` warns of where the job
        stands.

        Raises JobNotFound; TimeoutError after `timeout` seconds (None: never); SerializationError when the job has
        completed but its result could not be stored.
        """
        return self.wait_all([job_id], timeout)[0]

    def wait_all(self, job_ids: Iterable[int], timeout: float | None = None) -> list[Job]:
        """Wait until jobs have ended, completed or not, and return them in the order of `job_ids`.

        Each look is one query, whatever their number. Raises what `wait` raises, for the first job in question.
        """
        ids = list(job_ids)
        for job_id in ids:
            check_id(job_id)
        clock = _WaitClock(timeout)
        ended: dict[int, Job] = {}
        pending = list(dict.fromkeys(ids))
        while pending:
            looked_at, rest = pending[:_WAIT_JOBS_MAX], pending[_WAIT_JOBS_MAX:]
            found = self._jobs(looked_at)
            ended |= {job.id: job for job in found.values() if job.state.is_terminal}
            missing = next((job_id for job_id in looked_at if job_id not in found), None)
            if missing is not None:
                raise JobNotFound(missing)
            open_ones = [job_id for job_id in looked_at if job_id not in ended]
            pending = open_ones + rest
            if open_ones:
                self._sleep(clock.pause_s(found[open_ones[0]], len(ids) - len(ended)))
        jobs = [ended[job_id] for job_id in ids]
        for job in jobs:
            if refusal := result_refusal(job.result):
                raise SerializationError(f"job {job.id} has completed, but its result was not stored: {refusal}")
        return jobs

    def _jobs(self, job_ids: list[int]) -> dict[int, Job]:
        """Return those of these jobs that are there, by id."""
        shown = f"job {job_ids[0]}" if len(job_ids) == 1 else f"{len(job_ids)} jobs"
        with self._using(f"read {shown}") as connection:
            return {row["id"]: job_of(row) for row in control.by_ids(connection, job_ids)}

    # Steering

    def cancel_by_unique_key(
        self,
        kind: str,
        *,
        queue: str | None = None,
        args: Any = None,
        period_bucket: int | timedelta | None = None,
    ) -> Job | None:
        """Cancel the job that holds a unique key, as `cancel` does, and return it; None when no job that could be
        cancelled holds it.

        The key is that of a job inserted with `by_queue`, `by_args` and `by_period` as `queue`, `args` and
        `period_bucket` are given here. For one that was inserted by some of its arguments, give a dict of these.
        """
        check_name("kind", kind)
        key = unique_key(kind, args, queue=queue, period=period_bucket)
        with self._using(f"cancel the job of kind {kind!r} that holds a unique key") as connection:
            self._seal_before_callers_transaction(connection)
            job_id = control.cancel_holder(connection, key)
            return None if job_id is None else job_of(control.get(connection, job_id))

    def cancel(self, job_id: int) -> Job:
        """Cancel a job that has not ended.

        One that is being run is cancelled at once: its handler can see it (`job.is_cancelled()`) and may go on for a
        while, but what it returns or raises counts no more. Raises JobNotFound, or StateConflict when it has ended.
        """
        check_id(job_id)
        with self._using(f"cancel job {job_id}") as connection:
            self._seal_before_callers_transaction(connection)
            control.cancel(connection, job_id)
            return job_of(control.get(connection, job_id))

    def run_now(self, job_id: int) -> Job:
        """Have a scheduled or retryable job run at once, as soon as a worker is free; its attempts stay counted.

        Raises JobNotFound, or StateConflict when it is in another state.
        """
        check_id(job_id)
        with self._using(f"bring job {job_id} forward") as connection:
            control.run_now(connection, job_id)
            return job_of(control.get(connection, job_id))

    def retry(self, job_id: int) -> Job:
        """Run a failed or cancelled job again, counting attempts from 0; its errors are kept.

        Raises JobNotFound, or StateConflict when it is in another state.
        """
        check_id(job_id)
        with self._using(f"retry job {job_id}") as connection:
            control.retry(connection, job_id)
            return job_of(control.get(connection, job_id))


class _WaitClock:
    """Times a wait: when to look again, to report, to give up."""

    def __init__(self, timeout: float | None) -> None:
        self._timeout = timeout
        self._began = monotonic()
        self._pause_s = _WAIT_FIRST_S
        self._say_at_s = _WAIT_SAID_S

    def pause_s(self, job: Job, jobs: int) -> float:
        """Return how long to pause before the next look. `job`: the first of `jobs` that have not ended.

        Raises TimeoutError when the time is up.
        """
        waited_s = monotonic() - self._began
        if waited_s >= self._say_at_s:
            self._say_at_s = 2 * waited_s
            logger.warning(
                "waiting for %d jobs for %.0f s: the first is %d, %s", jobs, waited_s, job.id, _standing(job)
            )
        left_s = _WAIT_LAST_S if self._timeout is None else self._timeout - waited_s
        if left_s <= 0:
            others = f", and {jobs - 1} other jobs have not ended either" if jobs > 1 else ""
            raise TimeoutError(
                f"job {job.id} has not ended after {self._timeout} s of waiting: {_standing(job)}{others}"
            )
        pause_s, self._pause_s = self._pause_s, min(self._pause_s * 1.5, _WAIT_LAST_S)
        return min(pause_s, left_s)


def _standing(job: Job) -> str:
    """Say where a job stands that is waited for: of kind 'report' in queue 'default', attempt 3 of 25 …"""
    where = f"of kind {job.kind!r} in queue {job.queue!r}, {job.state}"
    attempts = f", attempt {job.attempt} of {job.max_attempts}" if job.attempt else ", not started yet"
    later = f", next at {job.run_at}" if job.run_at and job.state in (JobState.Retryable, JobState.Scheduled) else ""
    error = str(job.errors[-1].get("error", "")).partition("\n")[0] if job.errors else ""
    return f"{where}{attempts}{later}{f', last error: {error}' if error else ''}"
