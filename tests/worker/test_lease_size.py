"""How much a worker claims: 100 ms of work, and more while far more waits than all workers can take at once."""

from __future__ import annotations

import pytest

from awa.engine.claim import Claimed, Lease
from awa.worker.lease_size import LEASE_JOBS_MAX, LEASE_LONG_US, LEASE_US, SHARE, LeaseSizer

JOB_US = 10_000.0


def claimed(taken: int, left: int, *, batches_behind: int = 0, workers: int = 2) -> Claimed:
    """One lease of `taken` jobs, whose batch has `left` more, in front of other batches."""
    lease = Lease(1, "2026-01-01", 0, list(range(taken)), None, left)
    return Claimed([lease], list(range(1 + batches_behind)), True, [], workers, "2026-01-01", 0)


@pytest.fixture
def sizer() -> LeaseSizer:
    """Knows that a job of kind "short" takes ten milliseconds."""
    made = LeaseSizer()
    for _ in range(20):
        made.note_run("short", JOB_US)
        made.learn()
    return made


def jobs_in_a_lease(sizer: LeaseSizer, kind: str) -> int:
    return round(sizer.lease_us / sizer.cost_us(kind))


def test_little_work_is_taken_in_small_leases(sizer: LeaseSizer) -> None:
    assert jobs_in_a_lease(sizer, "short") == 10
    sizer.note_claim(claimed(10, 100), JOB_US)  # a second of work, for two
    assert sizer.lease_us == LEASE_US


def test_where_much_waits_leases_are_long(sizer: LeaseSizer) -> None:
    sizer.note_claim(claimed(10, 500, batches_behind=16), JOB_US)
    assert sizer.lease_us == LEASE_LONG_US
    assert jobs_in_a_lease(sizer, "short") == LEASE_LONG_US / JOB_US


def test_in_between_a_lease_is_a_part_of_what_would_be_each_workers_share(sizer: LeaseSizer) -> None:
    left = int(3 * LEASE_US / JOB_US * SHARE)
    for workers, expected in ((1, 3.0), (2, 1.5), (3, 1.0), (100, 1.0)):
        sizer.note_claim(claimed(10, left, workers=workers), JOB_US)
        assert sizer.lease_us == pytest.approx(expected * LEASE_US), workers


def test_the_batches_behind_count_as_if_they_were_like_this_one(sizer: LeaseSizer) -> None:
    sizer.note_claim(claimed(10, 90, batches_behind=3, workers=2), JOB_US)
    assert sizer.lease_us == pytest.approx((90 + 300) * JOB_US / 2 / SHARE)


def test_short_jobs_need_many_more_to_make_a_long_lease(sizer: LeaseSizer) -> None:
    sizer.note_claim(claimed(500, 500, batches_behind=16), 10.0)
    assert sizer.lease_us == LEASE_US


def test_leases_are_short_again_when_nothing_was_found(sizer: LeaseSizer) -> None:
    sizer.note_claim(claimed(10, 500, batches_behind=16), JOB_US)
    sizer.note_claim(Claimed([], [], True, [], 2, "2026-01-01", 0), 0.0)
    assert sizer.lease_us == LEASE_US


def test_of_a_kind_that_nobody_has_run_a_lease_has_one_job_however_long(sizer: LeaseSizer) -> None:
    sizer.note_claim(claimed(10, 500, batches_behind=16), JOB_US)
    assert sizer.cost_us("new") >= sizer.lease_us


def test_no_lease_has_more_jobs_than_are_allowed(sizer: LeaseSizer) -> None:
    for _ in range(20):
        sizer.note_run("instant", 1.0)
        sizer.learn()
    sizer.note_claim(claimed(10, 5_000, batches_behind=16), JOB_US)
    assert sizer.lease_us == LEASE_LONG_US
    assert jobs_in_a_lease(sizer, "instant") == LEASE_JOBS_MAX
    assert round(sizer.lease_us / sizer.cost_us("instant", 7)) == 7
