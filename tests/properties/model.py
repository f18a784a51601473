"""What ought to be: the state of every job, predicted from the steps taken so far, without looking at the database."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass, field

from awa.job.model import JobState

MARK = JobState.Available
"""Outcome of the row that marks a manual retry."""


class Place(enum.Enum):
    """Where a job's id is."""

    OPEN = "in an open transaction"
    UNSEALED = "committed, not yet sealed"
    READY = "in a batch nobody owns"
    LEASED = "in a worker's lease"
    DEFERRED = "put aside"
    ENDED = "ended"
    GONE = "ended and forgotten"


@dataclass
class Attempt:
    """One row of the attempt log."""

    retry_round: int
    number: int
    outcome: JobState
    ran: bool = True


@dataclass
class ModelJob:
    """One job as it ought to be."""

    id: int
    queue: str
    kind: str
    priority: int
    max_attempts: int
    later: bool
    """Inserted with a run time in the future."""
    xid: int | None
    """Its transaction; None: it was batched, and is ready as soon as that commits."""
    burying: set[str] = field(default_factory=set)
    """The queues of which failed jobs become dead letters: the model's."""
    born: tuple[str, int] = ("", 0)
    """Queue and priority as inserted; they may be others by now."""
    is_dead: bool = False
    """A dead letter."""
    place: Place = Place.OPEN
    owner: int | None = None
    why: str | None = None
    due: bool = False
    """Deferred, and its time has come."""
    retry_round: int = 0
    spent: int = 0
    """Attempts spent in this round."""
    log: list[Attempt] = field(default_factory=list)

    @property
    def state(self) -> JobState:
        """What the view `awa.jobs` ought to say."""
        match self.place:
            case Place.READY:
                return JobState.Available
            case Place.LEASED:
                return JobState.Running
            case Place.DEFERRED:
                return JobState.Retryable if self.why == "retry" else JobState.Scheduled
            case Place.ENDED:
                return self.log[-1].outcome
            case _:
                return JobState.Scheduled if self.later else JobState.Available

    @property
    def attempt(self) -> int:
        """The attempt the view ought to show: the present one of a leased job, else the last one that ran."""
        if self.place is Place.LEASED:
            return self.spent + 1
        if not self.log:
            return 0
        last = self.log[-1]
        return last.number - (self.place is Place.ENDED and not last.ran)

    @property
    def can_be_retried(self) -> bool:
        """Whether a manual retry ought to be accepted."""
        return self.place is Place.ENDED and self.log[-1].outcome in (JobState.Failed, JobState.Cancelled)

    def ready(self) -> None:
        """It goes into a batch nobody owns."""
        self.place, self.owner, self.why, self.due = Place.READY, None, None, False

    def seal(self) -> None:
        """It is routed for the first time."""
        if self.later:
            self.defer("scheduled", due=False)
        else:
            self.ready()

    def lease(self, worker: int) -> None:
        """A worker claims it."""
        self.place, self.owner = Place.LEASED, worker

    def defer(self, why: str, *, due: bool) -> None:
        """It is put aside."""
        self.place, self.owner, self.why, self.due = Place.DEFERRED, None, why, due

    def settle(self, outcome: JobState, *, ran: bool = True, due: bool = False) -> None:
        """An attempt of it ends."""
        if outcome is JobState.Scheduled:
            self.defer("snooze", due=due)
            return
        self.log.append(Attempt(self.retry_round, self.spent + 1, outcome, ran))
        if outcome is JobState.Retryable:
            self.spent += 1
            self.defer("retry", due=due)
        else:
            self.place, self.owner, self.why = Place.ENDED, None, None
            self.is_dead = outcome is JobState.Failed and self.queue in self.burying

    def die(self) -> None:
        """Its worker died in it: at once ready the first time, put aside later on, failed at the last attempt."""
        self.settle(JobState.Failed if self.spent + 1 >= self.max_attempts else JobState.Retryable)
        if self.place is Place.DEFERRED and self.spent == 1:
            self.ready()

    def retry(self) -> None:
        """Somebody has it run again."""
        self.retry_round, self.spent = self.retry_round + 1, 0
        self.log.append(Attempt(self.retry_round, 0, MARK, ran=False))
        self.is_dead = False
        self.ready()


@dataclass
class Model:
    """Every job there ever was in this database, and the sealer's cursor."""

    jobs: dict[int, ModelJob] = field(default_factory=dict)
    target: list[ModelJob] | None = None
    """What a seal of several steps has yet to route; None: no such seal is under way."""
    paused: set[str] = field(default_factory=set)
    burying: set[str] = field(default_factory=set)
    """The queues of which failed jobs become dead letters."""

    def at(self, *places: Place) -> list[ModelJob]:
        """The jobs at these places, by id."""
        return [job for _, job in sorted(self.jobs.items()) if job.place in places]

    @property
    def committed(self) -> list[ModelJob]:
        """The jobs that exist for everybody, and are not forgotten."""
        return [job for job in self.jobs.values() if job.place not in (Place.OPEN, Place.GONE)]

    def leased_by(self, worker: int) -> list[ModelJob]:
        """The jobs in a worker's lease, by id."""
        return [job for job in self.at(Place.LEASED) if job.owner == worker]

    def commit(self, ids: Iterable[int]) -> None:
        """Their transaction committed."""
        for job in map(self.jobs.__getitem__, ids):
            if job.xid is None:
                job.ready()
            else:
                job.place = Place.UNSEALED

    def forget(self, ids: Iterable[int]) -> None:
        """Their transaction, or its part, was rolled back."""
        for job_id in ids:
            del self.jobs[job_id]

    def plan_seal(self, jobs_max: int) -> SealPlan:
        """What one seal step ought to do now: route the oldest by (xid, id) of what it is working towards."""
        going_on = self.target is not None
        target = self.target
        if target is None:
            target = sorted(self.at(Place.UNSEALED), key=lambda job: (job.xid or 0, job.id))
        full = len(target) >= jobs_max
        return SealPlan(target[:jobs_max], target[jobs_max:] if full else None, full or going_on)

    def seal(self, plan: SealPlan) -> None:
        """The step committed."""
        for job in plan.jobs:
            job.seal()
        self.target = plan.rest

    def seal_all(self) -> None:
        """Everything committed is routed."""
        self.target = None
        for job in self.at(Place.UNSEALED):
            job.seal()


@dataclass
class SealPlan:
    """What a seal step ought to do."""

    jobs: list[ModelJob]
    rest: list[ModelJob] | None
    """What the next step goes on with; None: nothing is left."""
    more: bool
