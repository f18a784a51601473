"""The part of a client that looks after failed jobs, and those of them that are dead letters."""

from __future__ import annotations

from typing import Any, Final

import psycopg

from awa.client.rows import dlq_entry_of, job_of
from awa.engine.admin import control, dlq
from awa.engine.admin.dlq import Scope
from awa.enqueue.connected import Connected
from awa.errors import ValidationError
from awa.job.model import DlqEntry, Job, RetryFailedResult
from awa.job.moments import moment
from awa.job.options import PRIORITY
from awa.job.validate import can_be_id, check_id, check_name, check_whole, list_limit
from awa.task.error_entry import storable

REASON_LENGTH_MAX: Final = 1_000


class DeadLetters(Connected):
    """Looks after failed jobs and dead letters."""

    # Looking

    def list_dlq(
        self,
        *,
        kind: str | None = None,
        queue: str | None = None,
        tag: str | None = None,
        before_id: int | None = None,
        before_dlq_at: Any = None,
        limit: int = 100,
    ) -> list[DlqEntry]:
        """Return dead letters, newest first, at most `limit`, and never more than 1000.

        Args:
            kind: only jobs of this kind.
            queue: only jobs of this queue.
            tag: only jobs that have this tag.
            before_id: with `before_dlq_at`, the next page: the `job.id` of the last entry of the one before. Alone:
                only jobs with an id below this.
            before_dlq_at: the `dlq_at` of that entry. Alone: only what became a dead letter before this.
            limit: how many at most.

        Raises ValidationError for what none of these can be.
        """
        scope = _scope(kind, queue, tag, before_id, before_dlq_at)
        jobs_max = list_limit(limit)
        with self._using("list dead letters") as connection:
            return [dlq_entry_of(row) for row in dlq.listing(connection, scope, jobs_max)]

    def get_dlq_job(self, job_id: int) -> DlqEntry | None:
        """Return a dead letter; None when the job is none."""
        if not can_be_id(job_id):
            return None
        with self._using(f"read dead letter {job_id}") as connection:
            return _entry(connection, job_id)

    def dlq_depth(self, *, queue: str | None = None) -> int:
        """Return how many dead letters there are, in one queue or in all."""
        if queue is not None:
            check_name("queue", queue)
        return sum(jobs for name, jobs in self.dlq_depth_by_queue() if queue in (None, name))

    def dlq_depth_by_queue(self) -> list[tuple[str, int]]:
        """Return how many dead letters each queue has, the fullest first; queues without any are left out."""
        with self._using("count dead letters") as connection:
            return dlq.depths(connection)

    # Running again

    def retry_from_dlq(
        self, job_id: int, *, run_at: Any = None, priority: int | None = None, queue: str | None = None
    ) -> Job | None:
        """Run a dead letter again, counting attempts from 0; its errors are kept. None when the job is none.

        Args:
            job_id: the job's number.
            run_at: not before this, as for `insert`; left out, at once.
            priority: from now on; left out, as it was.
            queue: where it goes; left out, where it was.

        Raises ValidationError for what none of these can be, UniqueConflict when another job holds its unique key.
        """
        wanted = None if run_at is None else moment(run_at)
        if priority is not None:
            check_whole("priority", priority, PRIORITY)
        if queue is not None:
            check_name("queue", queue)
        if not can_be_id(job_id):
            return None
        with self._using(f"retry dead letter {job_id}") as connection:
            if not dlq.retry(connection, job_id, run_at=wanted, priority=priority, queue=queue):
                return None
            return job_of(control.get(connection, job_id))

    def bulk_retry_from_dlq(
        self, *, kind: str | None = None, queue: str | None = None, tag: str | None = None, allow_all: bool = False
    ) -> int:
        """Run dead letters again, the oldest first, counting attempts from 0; return how many.

        A thousand at a time are dealt with in a transaction. Those that are being dealt with by others at that moment
        stay, and those whose unique key another job holds: `retry_from_dlq` of one says so.
        Raises ValidationError when neither kind, queue nor tag is named and `allow_all` is not said.
        """
        scope = _scope(kind, queue, tag)
        _refuse_all("bulk_retry_from_dlq", allow_all, kind=kind, queue=queue, tag=tag)
        with self._using("retry dead letters") as connection:
            return dlq.retry_all(connection, scope)

    def retry_failed(self, *, kind: str | None = None, queue: str | None = None) -> RetryFailedResult:
        """Run all failed jobs of a kind, or of a queue, again; dead letters stay where they are, and so do jobs whose
        unique key another job holds: these are counted in `matched`, and not in `jobs`.

        Raises ValueError unless exactly one of them is named, ValidationError for what is no name.
        """
        if (kind is None) == (queue is None):
            raise ValueError("retry_failed() takes a kind or a queue, one of them and not both")
        _scope(kind, queue)
        with self._using("retry failed jobs") as connection:
            rows, held_back = control.retry_failed(connection, kind=kind, queue=queue)
            jobs = [job_of(row) for row in rows]
        return RetryFailedResult(jobs, len(jobs) + held_back, None if queue is None else 0)

    # Moving and throwing away

    def move_failed_to_dlq(self, job_id: int, reason: str) -> DlqEntry | None:
        """Make a failed job a dead letter, for `reason`; None when it has not failed, or is one already."""
        _check_reason(reason)
        if not can_be_id(job_id):
            return None
        with self._using(f"make job {job_id} a dead letter") as connection:
            return _entry(connection, job_id) if dlq.move(connection, job_id, reason) else None

    def bulk_move_failed_to_dlq(
        self, *, kind: str | None = None, queue: str | None = None, reason: str = "manual", allow_all: bool = False
    ) -> int:
        """Make failed jobs dead letters, for `reason`; return how many.

        Raises ValidationError when neither kind nor queue is named and `allow_all` is not said.
        """
        _scope(kind, queue)
        _check_reason(reason)
        _refuse_all("bulk_move_failed_to_dlq", allow_all, kind=kind, queue=queue)
        with self._using("make failed jobs dead letters") as connection:
            return dlq.move_failed(connection, kind, queue, reason)

    def purge_dlq_job(self, job_id: int) -> bool:
        """Forget a dead letter: the job, its arguments and all its attempts. False when the job is none."""
        if not can_be_id(job_id):
            return False
        with self._using(f"purge dead letter {job_id}") as connection:
            return dlq.purge(connection, job_id)

    def purge_dlq(
        self,
        *,
        kind: str | None = None,
        queue: str | None = None,
        tag: str | None = None,
        before_id: int | None = None,
        before_dlq_at: Any = None,
        allow_all: bool = False,
    ) -> int:
        """Forget dead letters: their jobs, arguments and all attempts; return how many. What is named is as in
        `list_dlq`.

        Raises ValidationError when nothing is named and `allow_all` is not said.
        """
        scope = _scope(kind, queue, tag, before_id, before_dlq_at)
        _refuse_all(
            "purge_dlq",
            allow_all,
            kind=kind,
            queue=queue,
            tag=tag,
            before_id=before_id,
            before_dlq_at=before_dlq_at,
        )
        with self._using("purge dead letters") as connection:
            return dlq.purge_all(connection, scope)

    def discard(self, job_id: int) -> None:
        """Forget a failed job, with its arguments and all its attempts.

        Raises JobNotFound, or StateConflict when it has not failed, or is a dead letter (`purge_dlq_job`).
        """
        check_id(job_id)
        with self._using(f"discard job {job_id}") as connection:
            control.discard(connection, job_id)

    def discard_failed(self, kind: str) -> int:
        """Forget all failed jobs of a kind, with their attempts; return how many. Dead letters stay."""
        check_name("kind", kind)
        with self._using(f"discard failed jobs of kind {kind!r}") as connection:
            return control.discard_failed(connection, kind)


def _entry(connection: psycopg.Connection[Any], job_id: int) -> DlqEntry | None:
    row = dlq.get(connection, job_id)
    return None if row is None else dlq_entry_of(row)


def _scope(
    kind: str | None = None,
    queue: str | None = None,
    tag: str | None = None,
    before_id: int | None = None,
    before_dlq_at: Any = None,
) -> Scope:
    for what, name in (("kind", kind), ("queue", queue)):
        if name is not None:
            check_name(what, name)
    if tag is not None and not _is_text(tag):
        raise ValidationError(f"tag is {tag!r}; it must be text, without NUL")
    if before_id is not None and not can_be_id(before_id):
        raise ValidationError(f"before_id is {before_id}; no job has such an id")
    at = None if before_dlq_at is None else moment(before_dlq_at, "before_dlq_at")
    return Scope(kind, queue, tag, at, before_id)


def _refuse_all(call: str, allow_all: bool, **scope: Any) -> None:
    if allow_all or any(value is not None for value in scope.values()):
        return
    *names, last = scope
    raise ValidationError(
        f"{call}() names no scope and would concern all: pass {', '.join(names)} or {last}, or allow_all=True"
    )


def _check_reason(reason: Any) -> None:
    if _is_text(reason) and 0 < len(reason) <= REASON_LENGTH_MAX:
        return
    raise ValidationError(f"reason is {reason!r}; it must be text of 1 to {REASON_LENGTH_MAX} characters, without NUL")


def _is_text(value: Any) -> bool:
    """Return whether the database can store it as text."""
    return isinstance(value, str) and storable(value) == value
