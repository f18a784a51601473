"""Jobs change while their segment leaves: before each of the keeper's round trips."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from functools import partial
from typing import Any, NamedTuple

import pytest
from psycopg import pq

from awa.database.open import connect
from awa.database.timeout import BoundedConnection
from awa.engine import leaving, retire, seal
from awa.engine.admin import control, dlq
from awa.engine.claim import bodies
from awa.engine.promote import promote
from awa.engine.settle import settle
from awa.job.attempt import Settlement
from tests.engine.helpers import Connection, add_sealed, ids_of, outcome, sign_in, small_segments, state, take
from tests.fixtures.waiting import until
from tests.retire.steps import S, pass_by, run, value, watch_until_sealed

pytestmark = pytest.mark.slow

SEGMENT_IDS = 20
KEPT = leaving.Retention(0.0, 3600.0)
"""What failed lives on, so that it can be retried; what is completed or cancelled goes."""


class Cast(NamedTuple):
    """A job for each thing that can happen to one, all in a segment that is about to leave."""

    worker: int
    to_cancel: int
    to_claim: int
    to_wait: int
    """Nothing happens to it."""
    to_stop: int
    """This one and the next three are leased."""
    to_complete: int
    to_fail: int
    to_try_again: int
    to_retry: int
    """This one and the next have failed."""
    to_bury: int
    to_dig_out: int
    """It is a dead letter."""
    to_hasten: int
    """It has failed once and is to be tried again in an hour."""


BEFORE = ["available"] * 3 + ["running"] * 4 + ["failed"] * 3 + ["retryable"]
AFTER = [
    *("cancelled", "running", "available"),
    *("cancelled", "completed", "failed", "retryable"),
    *("available", "failed", "available"),
    "available",
]
GONE = {"cancelled", "completed"}
"""States of jobs that are kept for no time."""
TRIED = [0, 0, 0, None, 1, 1, 1, 1, 1, 1, 1]
"""Attempts each job has had then; None: what is known of a lease that was cancelled is no matter of this test."""


@pytest.fixture
def db(database: str) -> Iterator[Connection]:
    """A connection to a database whose segments are large enough for the cast."""
    with connect(database, role="test") as connection:
        small_segments(connection, SEGMENT_IDS, 3)
        yield connection


def failure(job: int) -> Settlement:
    """A failure of just now."""
    return outcome(job, S.Failed)._replace(finished_us=time.time_ns() // 1000)


def later(job: int) -> Settlement:
    """An attempt that is to be repeated in an hour."""
    return outcome(job, S.Retryable, delay_us=3_600_000_000)


def cast(db: Connection) -> Cast:
    while retire.extend(db, SEGMENT_IDS, 3):
        pass
    worker = sign_in(db)
    ran = add_sealed(db, 4, kind="ran")
    assert ids_of(take(db, worker, 10, "ran")) == ran
    settle(db, worker, [*(failure(job) for job in ran[:3]), later(ran[3])])
    assert dlq.move(db, ran[2], "test")
    leased = add_sealed(db, 4)
    assert ids_of(take(db, worker)) == leased
    waiting = [add_sealed(db, 1, kind=kind)[0] for kind in ("work", "claimed", "work")]
    pass_by(db)
    watch_until_sealed(db)
    run(db, kind="filler")
    return Cast(worker, *waiting, *leased, *ran)


def change(db: Connection, jobs: Cast) -> None:
    """Have everything happen."""
    control.cancel(db, jobs.to_cancel)
    claimed = ids_of(take(db, jobs.worker, 10, "claimed"))
    assert bodies(db, claimed).keys() == {jobs.to_claim}
    control.cancel(db, jobs.to_stop)
    ends = [outcome(jobs.to_complete), failure(jobs.to_fail), later(jobs.to_try_again)]
    assert len(settle(db, jobs.worker, ends)) == 3
    control.retry(db, jobs.to_retry)
    assert dlq.move(db, jobs.to_bury, "test")
    assert dlq.retry(db, jobs.to_dig_out)
    control.run_now(db, jobs.to_hasten)
    promote(db)


def between_trips(monkeypatch: pytest.MonkeyPatch, keeper: Connection, act: Callable[[int], None]) -> None:
    """Call `act` before each round trip (from 1) that the keeper makes while it is in no transaction."""
    usual, made = BoundedConnection.wait, 0

    def wait(self: BoundedConnection, gen: Generator[Any, Any, Any], *args: Any, **options: Any) -> Any:
        nonlocal made
        idle = self.info.transaction_status == pq.TransactionStatus.IDLE
        if self is keeper and idle and self.pgconn.pipeline_status == pq.PipelineStatus.OFF:
            made += 1
            act(made)
        return usual(self, gen, *args, **options)

    monkeypatch.setattr(BoundedConnection, "wait", wait)


def leave(db: Connection) -> bool:
    """Have the segment leave, as far as it comes; return whether it has gone."""
    retire.retire(db, KEPT, recheck_s=0.0)
    open_from = value(db, "select min(first_id) from awa.segment where not sealed or exhausted_at is null")
    return bool(value(db, "select count(*) = 0 from awa.segment where sealed and first_id < %s", open_from))


@pytest.mark.usefixtures("small_steps")
def test_jobs_change_before_any_round_trip(db: Connection, database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leaving, "DROP_PAUSE_S", 0.0)
    with connect(database, role="keeper", response_timeout_s=30.0) as keeper:
        at, reached = 0, True
        while reached:
            at += 1
            jobs = cast(db)
            reached = leave_while(monkeypatch, keeper, at, partial(change, db, jobs))
            until(partial(leave, keeper), message=f"the segment goes, with changes before round trip {at}")
            check(db, jobs, f"before round trip {at}")
    assert at > 10


def leave_while(monkeypatch: pytest.MonkeyPatch, keeper: Connection, at: int, do: Callable[[], None]) -> bool:
    """Have the segment leave, and do something before a round trip, or behind all; return whether it made so many."""
    reached = False

    def act(trip: int) -> None:
        nonlocal reached
        if trip == at:
            reached = True
            do()

    with monkeypatch.context() as patch:
        between_trips(patch, keeper, act)
        leave(keeper)
    if not reached:
        do()
    return reached


def check(db: Connection, jobs: Cast, when: str) -> None:
    """See that each change has been kept, and that all that is left can be run."""
    ids = jobs[1:]
    states = [state(db, job) for job in ids]
    assert [is_ or wanted for is_, wanted in zip(states, AFTER, strict=True)] == AFTER, when
    assert {wanted for is_, wanted in zip(states, AFTER, strict=True) if is_ is None} <= GONE, when
    for job, is_, tried in zip(ids, states, TRIED, strict=True):
        assert is_ is None or tried is None or len(control.attempts(db, job)) == tried, (when, job)
    left = {job for job, is_ in zip(ids, states, strict=True) if is_ not in {None, "failed", *GONE}}
    assert bodies(db, list(left)).keys() == left, when
    db.execute("update awa.deferred set run_at = now() - interval '1 s'")
    promote(db)
    seal.seal_all(db)
    for kind in ("work", "ran", "claimed"):
        take(db, jobs.worker, 100, kind)
    assert settle(db, jobs.worker, [outcome(job) for job in left]) == left, when
    assert {state(db, job) for job in left} == {"completed"}, when
