"""Whether what is, is what ought to be."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

from awa.job.model import JobState
from tests.properties.model import Model, ModelJob, Place
from tests.properties.survey import Survey

SPOT = {Place.READY: "ready", Place.LEASED: "leased", Place.DEFERRED: "deferred"}


def check(model: Model, seen: Survey, taken: Iterable[int]) -> None:
    """Assert that the database agrees with the model. `taken`: ids handed out and not yet committed."""
    check_batches(seen)
    check_segments(seen)
    known = {job.id for job in model.committed}
    for what in (seen.spots, seen.attempts, seen.bodies, seen.jobs, seen.letters, seen.routes):
        assert what.keys() <= known, f"jobs nobody inserted, or forgotten ones: {sorted(what.keys() - known)}"
    for job in model.committed:
        check_job(job, seen)
    unsealed = [*taken, *(job.id for job in model.at(Place.UNSEALED))]
    assert all(job_id >= seen.floor for job_id in unsealed), f"unsealed below the floor {seen.floor}: {unsealed}"


def check_batches(seen: Survey) -> None:
    """No batch is empty, and attempts stand beside ids."""
    for batch, ids, attempts in seen.batches:
        assert ids, f"batch {batch} is empty"
        assert attempts in (None, ids), f"batch {batch} has {ids} ids and {attempts} attempts"


def check_segments(seen: Survey) -> None:
    """Segments have no gaps but where one was dropped, and every body in the log lies where its id belongs."""
    for (_, _, end_id, _), (_, first_id, _, _) in pairwise(seen.segments):
        assert end_id <= first_id
    for job_id, found in seen.bodies.items():
        home = next(
            (f"job_log_{no}" for no, first_id, end_id, _ in seen.segments if first_id <= job_id < end_id),
            "job_log_default",
        )
        assert all(table in (home, "held") for table, _ in found), f"job {job_id} of {home} is in {found}"


def check_job(job: ModelJob, seen: Survey) -> None:
    """The job is where it ought to be, and nowhere else, with the attempts it ought to have."""
    lane = (job.queue, job.kind, job.priority)
    bodies = seen.bodies.get(job.id, [])
    assert len(bodies) == 1, f"{job} has its body in {bodies}"
    assert bodies[0][1] == (job.born[0], job.kind, job.born[1]), f"{job} has the body {bodies[0]}"
    assert seen.routes.get(job.id, bodies[0][1]) == lane, f"{job} is routed to {seen.routes.get(job.id)}"
    letter = lane if job.is_dead else None
    assert seen.letters.get(job.id) == letter, f"{job} is the dead letter {seen.letters.get(job.id)}"
    check_spot(job, lane, seen)
    check_attempts(job, seen)
    errors = sum(attempt.outcome in (JobState.Retryable, JobState.Failed, JobState.Cancelled) for attempt in job.log)
    view = [(job.queue, job.kind, str(job.state), job.attempt, job.max_attempts, errors)]
    assert seen.jobs.get(job.id) == view, f"{job}: the view says {seen.jobs.get(job.id)}, expected {view}"


def check_spot(job: ModelJob, lane: tuple[str, str, int], seen: Survey) -> None:
    """It is at one place, or at none if it is unsealed or has ended."""
    spots = seen.spots.get(job.id, [])
    if job.place not in SPOT:
        assert not spots, f"{job} is at {spots}"
        return
    assert len(spots) == 1, f"{job} is at {spots}"
    (spot,) = spots
    assert (spot.name, spot.owner, spot.lane) == (SPOT[job.place], job.owner, lane), f"{job} is at {spot}"
    assert (spot.retry_round, spot.spent) == (job.retry_round, job.spent), f"{job} is at {spot}"


def check_attempts(job: ModelJob, seen: Survey) -> None:
    """The attempt log says what happened to it; numbers follow each other within a round."""
    rows = seen.attempts.get(job.id, [])
    expected = [(each.retry_round, each.number, int(each.outcome), each.ran) for each in job.log]
    assert rows == expected, f"{job} has the attempts {rows}"
    for (round_, number, *_), (next_round, next_number, *_) in pairwise(rows):
        follows = (round_, number + 1) if next_round == round_ else (round_ + 1, 0)
        assert (next_round, next_number) == follows, f"{job}: attempts are not consecutive: {rows}"
