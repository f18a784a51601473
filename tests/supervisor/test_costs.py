"""Every attempt's processor time and peak memory, however it ended."""

from __future__ import annotations

import sys

import pytest

from awa.engine.admin import control
from tests.fixtures.supervisor import Shop, Start
from tests.fixtures.waiting import until

pytestmark = [pytest.mark.processes, pytest.mark.postgres]

linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux can set a peak back")


def test_of_a_worker_that_was_killed_only_the_last_job_is_counted(shop: Shop, supervise: Start) -> None:
    supervise(processes=1)
    before, fatal = shop.insert("burn", {"ms": 600}), shop.insert("burn", {"ms": 200, "die": True}, max_attempts=1)
    shop.until_state("completed", before, timeout=60)
    shop.until_state("failed", fatal, timeout=60)
    (first,), (second,) = shop.attempts(before), shop.attempts(fatal)
    assert 0.55 < first["cpu_s"] < 0.8
    assert 0.15 < second["cpu_s"] < 0.4
    assert first["peak_kb"] > 1000
    assert second["peak_kb"] > 1000


def test_a_program_that_a_job_waited_for_counts(shop: Shop, supervise: Start) -> None:
    supervise(processes=1)
    jobs = [shop.insert("burn", {"ms": 300, "program": True}), shop.insert("burn", {"ms": 0})]
    shop.until_state("completed", *jobs, timeout=60)
    (first,), (second,) = map(shop.attempts, jobs)
    assert first["cpu_s"] > 0.28
    assert second["cpu_s"] < 0.15


@pytest.mark.parametrize("die", [False, True])
def test_of_a_job_cancelled_while_it_ran(shop: Shop, supervise: Start, die: bool) -> None:
    """The row is the cancellation's, which cannot know what the job cost; that comes after it."""
    supervise(processes=1)
    job = shop.insert("burn", {"ms": 200, "until_cancelled": True, "die": die})
    shop.until_effect("burnt", job, timeout=60)
    assert control.cancel(shop.db, job)
    (cancelled,) = shop.attempts(job)
    assert cancelled["worker"] is not None
    until(lambda: shop.attempts(job)[0]["cpu_s"] is not None, 30)
    (attempt,) = shop.attempts(job)
    assert attempt["outcome"] == "cancelled"
    assert 0.15 < attempt["cpu_s"] < 0.6
    assert attempt["peak_kb"] > 1000
    assert attempt["started_at"] <= attempt["finished_at"] == cancelled["finished_at"]
    assert shop.states(job) == ["cancelled"]


@linux
def test_a_peak_is_that_of_the_attempt(shop: Shop, supervise: Start) -> None:
    supervise(processes=1)
    sizes = (0, 300, 0, 150, 0)
    jobs = [shop.insert("balloon", {"mb": mb}) for mb in sizes]
    fatal = shop.insert("die", max_attempts=1)
    shop.until_state("completed", *jobs, timeout=60)
    shop.until_state("failed", fatal, timeout=60)
    assert shop.rows("select count(distinct worker) from awa.attempts") == [1]
    peaks = [shop.attempts(job)[0]["peak_kb"] // 1024 for job in (*jobs, fatal)]
    base = peaks[0]
    assert [round((peak - base) / 50) * 50 for peak in peaks] == [*sizes, 0]
