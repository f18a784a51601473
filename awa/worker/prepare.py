"""Makes what a claim has brought ready to run: reads bodies, finds time limits, sorts out what must not run now."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from datetime import datetime, timezone
from typing import Any, Final, NamedTuple

import psycopg

from awa.engine import claim, narrow
from awa.engine.claim import NOT_READ, Claimed, Lease, StoredJob
from awa.engine.expire import ERROR
from awa.errors import JobTimeout
from awa.job.attempt import Settlement
from awa.job.model import JobState
from awa.processes.board.slot import Flag, Limits
from awa.processes.clock import ServerClock
from awa.task.error_entry import error_entry
from awa.task.policy import Policy
from awa.task.registry import Registry, Task
from awa.telemetry import events
from awa.worker.contents import Contents, Unreadable
from awa.worker.lanes import Lanes

NOT_STARTED: Final = -1
"""In the place of the time at which an attempt began: there was none."""
IN_LINE: Final = -2
"""… and those behind it in its line wait."""
BEING_REPLACED_US: Final = 100_000
"""A job whose contents are being changed at this moment is looked at again after so many microseconds."""


class RunnableJob(NamedTuple):
    """A claimed job, ready to run."""

    body: StoredJob
    attempt: int
    task: Task
    limits: Limits
    is_first: bool
    """It has no attempt behind it, nor been retried by hand."""
    may_expire: bool
    """It has never been started, and has to be by its `expires_at`."""
    passes_on: bool
    """The next one of its line may start when this one has."""
    frees_key: bool
    """It holds its unique key only until it is started."""

    def has_expired(self, now_us: int) -> bool:
        """Return whether it is too late to start it. One that has been started before is not asked again."""
        expires_at = self.body.expires_at
        return self.may_expire and expires_at is not None and expires_at.timestamp() * 1e6 <= now_us


class LeasePreparation:
    """Vets what one worker claims."""

    def __init__(self, worker: int, lanes: Lanes, registry: Registry, clock: ServerClock) -> None:
        self._clock = clock
        self._worker = worker
        self._lanes = lanes
        self._registry = registry
        self._contents = Contents()

    def items(self, connection: psycopg.Connection[Any], claimed: Claimed) -> list[RunnableJob]:
        """Return the jobs of a claim that are to be run, in order; those with `NOT_READ` go through `whole` before."""
        replaced = self._being_replaced(connection, claimed)
        ids = [job for lease in claimed.leases for job in lease.ids if job not in replaced]
        if not ids:
            return []
        bodies = claim.bodies(connection, ids)
        if len(bodies) < len(ids):
            bodies |= claim.bodies(connection, _missing(ids, bodies))  # what cannot be undone is looked at twice
        if len(bodies) < len(ids):
            self._write_off(connection, _missing(ids, bodies))
        limited = [body.id for body in bodies.values() if body.expires_at is not None]
        unstarted = claim.unstarted(connection, limited) if limited else set()
        items = [item for lease in claimed.leases for item in self._items_of(lease, bodies, unstarted)]
        if self._are_unique(claimed):
            items = self._without_postponed(connection, items)
        self._contents.begin([item.body.id for item in items if item.body.args == NOT_READ])
        return items

    def whole(self, connection: psycopg.Connection[Any], item: RunnableJob) -> RunnableJob | None:
        """Return a job with its arguments, which were too large to be read with the others'; None: it cannot be run,
        and has ended."""
        try:
            found = self._contents.take(connection, item.body.id)
        except Unreadable as error:
            self._fail(connection, [item.body.id], str(error), "Unreadable")
            return None
        if found is None:
            self._write_off(connection, [item.body.id])
            return None
        args, metadata = found
        return item._replace(body=item.body._replace(args=args, metadata=metadata))

    def _items_of(self, lease: Lease, bodies: Mapping[int, StoredJob], unstarted: Set[int]) -> Iterator[RunnableJob]:
        lane = self._lanes.of(lease)
        task = self._registry.get(lane.kind)
        assert task is not None, f"claimed jobs of kind {lane.kind!r}, which has no handler here"
        usual = limits_of(task.policy, None, lane.deadline_s)
        for i, job in enumerate(lease.ids):
            body = bodies.get(job)
            if body is None:
                continue
            if body.queue != lane.queue or body.priority != lane.priority:  # it was moved, which its body does not know
                body = body._replace(queue=lane.queue, priority=lane.priority)
            if not body.max_attempts:
                body = body._replace(max_attempts=task.policy.attempts)
            limits = usual if body.timeout_ms is None else limits_of(task.policy, body.timeout_ms, lane.deadline_s)
            attempt = 1 + (lease.attempts[i] if lease.attempts else 0)
            is_first = attempt == 1 and lease.retry_round == 0
            yield RunnableJob(
                body,
                attempt,
                task,
                limits,
                is_first=is_first,
                may_expire=is_first and job in unstarted,
                passes_on=lane.passes_on and body.ordering_key is not None,
                frees_key=body.unique_states is not None and not body.unique_states >> JobState.Running & 1,
            )

    def _being_replaced(self, connection: psycopg.Connection[Any], claimed: Claimed) -> set[int]:
        """Put jobs aside for a moment that a transaction which is not over may have changed: whatever it comes to, they
        are not run with what they said before. A session that begins to change one from now on sees that it is
        leased."""
        ids = [job for lease in claimed.leases if self._lanes.of(lease).is_unique for job in lease.ids]
        if not ids:
            return set()
        locked = sorted(set(ids) - claim.untouched(connection, ids))
        replaced = set(claim.bodies(connection, locked)) if locked else set()  # a row that is gone has no lock either
        self._put_aside(connection, dict.fromkeys(replaced, BEING_REPLACED_US), IN_LINE)
        return replaced

    def _without_postponed(self, connection: psycopg.Connection[Any], items: list[RunnableJob]) -> list[RunnableJob]:
        """Put jobs aside that were sealed as due, and have been replaced by such as are not."""
        now = datetime.fromtimestamp(self._clock.now_us() / 1e6, timezone.utc)
        later = {
            item.body.id: round((item.body.run_at - now).total_seconds() * 1e6)
            for item in items
            if item.is_first and item.body.run_at is not None and item.body.run_at > now
        }
        self._put_aside(connection, later, NOT_STARTED)
        return [item for item in items if item.body.id not in later]

    def _put_aside(self, connection: psycopg.Connection[Any], delays_us: Mapping[int, int], started: int) -> None:
        now = self._clock.now_us()
        narrow.settle(
            connection,
            self._worker,
            [Settlement(job, JobState.Scheduled, started, now, 0, 0, delay, None) for job, delay in delays_us.items()],
        )

    def _write_off(self, connection: psycopg.Connection[Any], ids: Sequence[int]) -> None:
        """End jobs whose rows have been deleted: they cannot run, and every worker would stumble over them."""
        self._fail(connection, ids, "the job's row is gone from awa.job_log: it has been deleted", "JobNotFound")
        events.emit(events.SETTLE_ROW_MISSING, jobs=list(ids), worker=self._worker)

    def _fail(self, connection: psycopg.Connection[Any], ids: Sequence[int], said: str, name: str) -> None:
        now = self._clock.now_us()
        entry = error_entry(said, name, 0, now_us=now)
        narrow.settle(
            connection, self._worker, [Settlement(job, JobState.Failed, now, now, 0, 0, -1, entry) for job in ids]
        )

    def _are_unique(self, claimed: Claimed) -> bool:
        return any(self._lanes.of(lease).is_unique for lease in claimed.leases)


def expired(body: StoredJob, now_us: int) -> Settlement:
    """Return the outcome of a job that was not started in time."""
    entry = error_entry(ERROR, "Expired", 0, now_us=now_us)
    return Settlement(body.id, JobState.Cancelled, NOT_STARTED, now_us, 0, 0, -1, entry)


def _missing(ids: Sequence[int], bodies: Mapping[int, StoredJob]) -> list[int]:
    return [job for job in ids if job not in bodies]


def limits_of(policy: Policy, timeout_ms: int | None, queue_deadline_s: float) -> Limits:
    """Return the limits of a job. 0 at any level means none, and ends the search.

    Args:
        policy: of its task.
        timeout_ms: its own time-out; None: it has none of its own.
        queue_deadline_s: that of its queue.
    """
    if timeout_ms is None:
        timeout_s = queue_deadline_s if policy.timeout_s is None else policy.timeout_s
        timeout_us = round(timeout_s * 1e6)
    else:
        timeout_us = timeout_ms * 1000
    flags = Flag.RAISE_ON_CANCEL if policy.raise_on_cancel else Flag.NONE
    if policy.gives_up_on(JobTimeout("time is up")):
        flags |= Flag.FAILS_ON_TIMEOUT
    return Limits(timeout_us, round(policy.grace_s * 1e6), int(flags))
