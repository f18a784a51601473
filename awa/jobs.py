"""The part of a client that looks after jobs: it finds them, waits for them, cancels them and runs them again."""

from __future__ import annotations

from abc import abstractmethod
from datetime import timedelta
from time import monotonic, sleep
from typing import Any, Final

import psycopg

from awa.asking import can_be_id, check_id, check_list_limit
from awa.connected import Connected
from awa.engine import control
from awa.engine.control import WorkerDeaths
from awa.engine.waiting import WaitingReason, waiting_reasons
from awa.errors import SerializationError, ValidationError
from awa.job import Job, JobState
from awa.outcome import result_refusal
from awa.reading import job_of
from awa.task import check_name
from awa.unique.key import unique_key

_WAIT_FIRST_S: Final = 0.005
_WAIT_LAST_S: Final = 0.25
"""`wait` looks again after these times, growing from the first to the last."""


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
        """Return jobs, newest first, at most `limit` (1 to 1000); those of an open transaction are among its own.

        `before_id`: only jobs with ids below this: the last one of a page gives the next page. Of a state with hundreds
        of thousands of available jobs, the first page without it is made from what was sealed or came back last.

        Raises ValueError for a state there is not, ValidationError for another limit, or what is no name or no id.
        """
        wanted = None if state is None else JobState.parse(state)
        check_list_limit(limit)
        if before_id is not None and not can_be_id(before_id):
            raise ValidationError(f"before_id is {before_id}; no job has such an id")
        for what, name in (("kind", kind), ("queue", queue)):
            if name is not None:
                check_name(what, name)
        with self._using("list jobs") as connection:
            rows = control.listing(
                connection, state=wanted, kind=kind, queue=queue, tag=tag, before_id=before_id, limit=limit
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

        Raises JobNotFound; TimeoutError after `timeout` seconds (None: never); SerializationError when the job has
        completed but its result could not be stored.
        """
        give_up = None if timeout is None else monotonic() + timeout
        pause_s = _WAIT_FIRST_S
        while not (job := self.get_job(job_id)).state.is_terminal:
            left_s = _WAIT_LAST_S if give_up is None else give_up - monotonic()
            if left_s <= 0:
                raise TimeoutError(f"job {job_id} is {job.state} after {timeout} s of waiting")
            self._sleep(min(pause_s, left_s))
            pause_s = min(pause_s * 1.5, _WAIT_LAST_S)
        if refusal := result_refusal(job.result):
            raise SerializationError(f"job {job_id} has completed, but its result was not stored: {refusal}")
        return job

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
