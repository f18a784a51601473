"""What a handler sees: its job, alive."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import msgspec

from awa.engine.claim import Body
from awa.job import Job, JobState
from awa.policy import seconds_of
from awa.processes.slot import Slot

_set = object.__setattr__


class RunningJob(Job):
    """A `Job` while its handler runs."""

    __slots__ = ("_slot",)
    _slot: Slot | None

    def __init__(self, body: Body, attempt: int, args: Any, slot: Slot, deadline_us: int = 0) -> None:
        for name, value in (
            ("id", body.id),
            ("kind", body.kind),
            ("queue", body.queue),
            ("state", JobState.Running),
            ("priority", body.priority),
            ("attempt", attempt),
            ("max_attempts", body.max_attempts),
            ("timeout", seconds_of(body.timeout_ms)),
            ("args", args),
            ("tags", body.tags or []),
            ("metadata", msgspec.json.decode(body.metadata) if body.metadata else {}),
            ("errors", []),
            ("run_at", body.run_at or body.created_at),
            ("created_at", body.created_at),
            ("deadline", datetime.fromtimestamp(deadline_us / 1e6, timezone.utc) if deadline_us else None),
            ("finalized_at", None),
            ("progress", None),
            ("result", None),
            ("traceparent", None),
            ("_slot", slot),
        ):
            _set(self, name, value)

    def is_cancelled(self) -> bool:
        """Whether this job has been cancelled meanwhile. Reads shared memory: cheap enough for an inner loop.

        Raises RuntimeError when the handler has returned: the worker is at another job by then.
        """
        if self._slot is None:
            raise RuntimeError(f"job {self.id} is not running any more; is_cancelled() is for its handler")
        return self._slot.is_cancelled()


def end(job: RunningJob) -> None:
    """Note that the handler of `job` has returned: the worker's slot is another job's from now on."""
    _set(job, "_slot", None)
