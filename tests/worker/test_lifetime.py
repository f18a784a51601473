"""When a worker has worked for long enough, and how little it claims towards its end."""

from __future__ import annotations

import os
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from awa.processes.memory import resident_kb
from awa.worker.lease_size import LEASE_JOBS_MAX, LeaseSizer
from awa.worker.lifetime import MEMORY_INTERVAL_US, End, Lifetime


def test_without_limits_it_lives_for_ever() -> None:
    lifetime = Lifetime()
    assert not lifetime.is_over(10**9, 10**12)
    assert lifetime.jobs_left(10**9) == LEASE_JOBS_MAX


@given(st.integers(1, 10**6))
def test_the_limit_of_jobs_is_lower_by_a_tenth_at_most(jobs_max: int) -> None:
    lifetime = Lifetime(jobs_max)
    limit = lifetime.jobs_left(0)
    assert round(jobs_max * 0.9) <= limit <= jobs_max
    assert limit >= 1
    assert not lifetime.is_over(limit - 1, 0)
    assert lifetime.is_over(limit, 0)
    assert lifetime.end is not None
    assert lifetime.end[:2] == ("jobs", limit)
    assert lifetime.jobs_left(limit) == 0


def test_limits_differ_from_worker_to_worker() -> None:
    assert len({Lifetime(1000).jobs_left(0) for _ in range(50)}) > 10


def test_memory_is_what_has_come_on_top_and_is_not_read_all_the_time() -> None:
    read = iter([100_000, 100_000 + 50 * 1024, 100_000 + 51 * 1024])
    lifetime = Lifetime(0, 50, resident_kb=lambda: next(read))
    assert not lifetime.is_over(0, MEMORY_INTERVAL_US)  # it has run nothing: another one would be no better
    assert not lifetime.is_over(1, MEMORY_INTERVAL_US)
    assert not lifetime.is_over(2, 2 * MEMORY_INTERVAL_US - 1)
    assert lifetime.is_over(3, 2 * MEMORY_INTERVAL_US)
    assert lifetime.end == End("memory", 3, 51)
    assert lifetime.is_over(3, 0)
    assert lifetime.jobs_left(3) == 0


def test_less_memory_than_at_the_beginning() -> None:
    read = iter([100_000, 50_000])
    assert not Lifetime(0, 1, resident_kb=lambda: next(read)).is_over(1, MEMORY_INTERVAL_US)


def test_resident_memory_of_this_process() -> None:
    before = resident_kb()
    ballast = bytearray(b"x") * (64 << 20)
    assert 60 * 1024 <= resident_kb() - before <= 80 * 1024
    del ballast


@given(st.integers(1, LEASE_JOBS_MAX), st.lists(st.integers(1, 128), min_size=1, max_size=8))
def test_a_claim_takes_no_more_jobs_than_are_left(jobs_left: int, batches: list[int]) -> None:
    """As claim.sql counts: batches in order, until they hold the budget."""
    sizer = LeaseSizer()
    sizer.note_run("short", 1)
    for _ in range(10):
        sizer.learn()
        sizer.note_run("short", 1)
    cost, taken, before = sizer.cost_us("short", jobs_left), 0, 0.0
    for jobs in batches:
        if before < sizer.lease_us:
            taken += min(jobs, max(1, ceil((sizer.lease_us - before) / cost)))
        before += jobs * cost
    assert taken <= jobs_left
    assert taken == min(jobs_left, sum(batches))


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="no /proc here")
def test_where_there_is_no_proc_the_peak_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("awa.processes.memory._STATM", type("Gone", (), {"read_bytes": _gone})())
    assert resident_kb() > 1000


def _gone(_: object) -> bytes:
    raise FileNotFoundError
