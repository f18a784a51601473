"""Jobs on their way into the database: many of them wait in memory at a time."""

from __future__ import annotations

import gc

from awa import Client
from awa.enqueue.prepare import new_job
from awa.job.options import check_options


def test_the_garbage_collector_does_not_look_through_jobs_that_wait() -> None:
    registry = Client("postgresql:///nowhere").registry
    for given in ({}, {"unique_opts": {}}):
        job = new_job(registry, {"n": 1}, check_options(kind="noop", **given))
        assert (job.unique is not None) == bool("unique_opts" in given)
        assert not gc.is_tracked(job)
        assert not gc.is_tracked(job.unique)
