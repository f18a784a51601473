"""The public view of a job: its states, and one frozen row."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum, IntEnum
from typing import Any

from awa.job.kind import derive_kind


class JobState(IntEnum):
    """The state of a job. `str()` gives the snake_case name that SQL, logs and the command line use."""

    Scheduled = 0
    """Put aside until its `run_at`."""
    Available = 1
    """Due, and waiting for a worker."""
    Running = 2
    """In the lease of a worker: running, or next in line there."""
    Completed = 3
    """Ended: the handler returned."""
    Retryable = 4
    """The last attempt failed; the next one is set for `run_at`."""
    Failed = 5
    """Ended: attempts exhausted, or an error that no retry can mend."""
    Cancelled = 6
    """Ended: cancelled by a caller or by its own handler."""
    WaitingExternal = 7
    """Parked until an external system calls back."""

    @property
    def is_terminal(self) -> bool:
        """Return whether the job has ended, and only a manual retry brings it back."""
        return self in _TERMINAL

    @classmethod
    def parse(cls, name: str | JobState) -> JobState:
        """Return the state called `name` ("waiting_external"). Raises ValueError that lists the names there are."""
        if isinstance(name, JobState):
            return name
        try:
            return _BY_NAME[name]
        except KeyError:
            raise ValueError(f"unknown job state {name!r}; expected one of: {', '.join(_BY_NAME)}") from None

    def __str__(self) -> str:
        return _NAMES[self]

    def __repr__(self) -> str:
        return f"JobState.{self.name}"

    def __format__(self, spec: str) -> str:
        # IntEnum would print the number here on 3.12 and later, and the name before.
        return format(str(self), spec)


class StopReason(str, Enum):
    """Why a running job is to end; each is equal to its text."""

    CANCELLED = "cancelled"
    """It was cancelled by a caller, or given to another worker."""
    TIMED_OUT = "timed_out"
    """Its time is up."""
    SHUTTING_DOWN = "shutting_down"
    """Its supervisor shuts down, and kills what still runs when its drain timeout is over."""

    def __str__(self) -> str:
        return self.value


_NAMES = {state: derive_kind(state.name) for state in JobState}
_BY_NAME = {name: state for state, name in _NAMES.items()}
_TERMINAL = frozenset({JobState.Completed, JobState.Failed, JobState.Cancelled})


@dataclass(frozen=True, slots=True)
class Job:
    """One job as it stood when it was read. All times are timezone-aware."""

    id: int
    kind: str
    queue: str
    state: JobState
    priority: int
    """1 (most urgent) to 4."""
    attempt: int
    """Number of attempts started."""
    max_attempts: int
    """As said at the insert, else as its task says. What `insert_many_copy` returns says 25 of a kind without a task in
    this process; the job as it is read has the number of its task."""
    timeout: float | None = None
    """Seconds an attempt may take, where the job has a limit of its own; 0: as long as it likes."""
    args: Any = None
    """The decoded JSON; inside a handler, the type the task was registered with."""
    tags: list[str] = field(default_factory=list)
    metadata: dict[str, Any] = field(default_factory=dict)
    errors: list[dict[str, Any]] = field(default_factory=list)
    """One entry per failed attempt, oldest first: `error`, `type` and its `module` (left out for Python's own),
    `attempt`, `at`, and `terminal` where it was."""
    run_at: datetime | None = None
    """Not before this. Of a job that has come back after a failed attempt, or was retried by hand, when that was."""
    created_at: datetime | None = None
    deadline: datetime | None = None
    """Time at which the current attempt will be stopped: known to its handler, and None elsewhere, since the start of
    an attempt is written down with its end."""
    finalized_at: datetime | None = None
    """End of the last attempt, for a job that has ended or waits for its next attempt; None in other states."""
    progress: dict[str, Any] | None = None
    result: Any = None
    """The handler's return value, as JSON."""
    traceparent: str | None = None
    """The W3C trace context of the inserting code."""
    expires_at: datetime | None = None
    """Not started by then, it is cancelled."""
    unique_key: bytes | None = None
    """The unique key that no other job may hold at the same time."""
    ordering_key: bytes | None = None
    """Jobs of a queue with the same one start in the order in which they were inserted."""
    conflict: str | None = None
    """Of an insert whose unique key was held by this job: "skipped", or "replaced" when this one has the new contents.
    None otherwise."""

    def __repr__(self) -> str:
        return (
            f"Job(id={self.id}, kind={self.kind!r}, queue={self.queue!r}, "
            f"state={self.state.name}, attempt={self.attempt})"
        )

    def __hash__(self) -> int:
        return hash(self.id)


@dataclass(frozen=True, slots=True)
class DlqEntry:
    """A dead letter: a failed job that is kept to be looked at, run again or thrown away."""

    job: Job
    """The job, with the errors of all its attempts."""
    reason: str
    """Why it is here: "max_attempts_exhausted", "terminal_error", how its worker died, or the reason given by an
    operator."""
    dlq_at: datetime
    """Since when it is here."""
    original_run_lease: int
    """Number of its attempts by then, manual retries included."""


@dataclass(frozen=True, slots=True)
class RetryFailedResult:
    """The result of retrying all failed jobs of a kind or queue."""

    jobs: list[Job]
    """Those that run again, as they stood then; the oldest first."""
    matched: int
    """Number of failed jobs that matched: these, and those that stay because another job holds their unique key."""
    pruned_failed_count: int | None
    """Failed jobs that are counted and no longer there to be retried: none, since what is forgotten here is not
    counted. None when a kind was named."""
