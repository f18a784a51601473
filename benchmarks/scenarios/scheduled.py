"""Scheduled: many jobs that wait for a time to come.

Three questions. Does a drain mind a large number of jobs scheduled for tomorrow? How fast are scheduled jobs inserted
and put aside? And when many become due at the same moment, how fast are they brought back and run? Fifty thousand
by default, a million with --full.
"""

from __future__ import annotations

import time
from datetime import datetime, timedelta, timezone

from awa import Client
from awa.database.open import connect
from awa.engine import seal
from benchmarks.harness.contender import Contender
from benchmarks.harness.field import Field, field
from benchmarks.harness.plan import Plan
from benchmarks.harness.report import Figure, Result
from benchmarks.harness.rivals.protocol import body
from benchmarks.harness.rivals.specs import OURS

JOBS = 50_000
FULL = 1_000_000
DUE_PART = 4
"""One of so many is due at once in the end."""
SOON_S = 1.0
SECONDS = 1.0


def run(plan: Plan) -> Result:
    """Measure on a fresh server in each round."""
    jobs = plan.size(JOBS, FULL)
    rounds = [_round(plan, jobs) for _ in range(plan.rounds)]
    aside, without, beside, due = map(list, zip(*rounds, strict=True))
    ratios = [later / sooner for sooner, later in zip(without, beside, strict=True)]
    return Result(
        [
            Figure(f"insert and put aside {jobs:,} scheduled jobs", "jobs/s", aside),
            Figure(f"drain beside {jobs:,} scheduled jobs ÷ without", "×", ratios, 0.9),
            Figure(f"run {jobs // DUE_PART:,} jobs that become due at one moment", "jobs/s", due),
        ]
    )


def _round(plan: Plan, jobs: int) -> tuple[float, float, float, float]:
    with field(plan, [OURS]) as it:
        ours = it.contenders[0]
        drained = it.jobs_for(ours, plan.span(SECONDS))
        without = it.drain(ours, drained).rate
        began = time.perf_counter()
        _schedule(ours, jobs, timedelta(days=1))
        aside = jobs / (time.perf_counter() - began)
        # Those of tomorrow are not finished at the end of a drain, and need not be.
        ours.ignore(jobs)
        beside = it.drain(ours, drained).rate
        return aside, without, beside, _due(it, ours, max(1, jobs // DUE_PART))


def _schedule(ours: Contender, jobs: int, ahead: timedelta) -> datetime:
    """Insert scheduled jobs and seal them; return their time."""
    run_at = datetime.now(timezone.utc) + ahead
    with Client(ours.dsn) as client, connect(ours.dsn, role="benchmark") as connection:
        client.insert_many((body(n) for n in range(jobs)), kind="noop", run_at=run_at)
        seal.seal_all(connection)
    return run_at


def _due(it: Field, ours: Contender, jobs: int) -> float:
    """Return how many jobs a second run from the moment all of them are due."""
    it.marks.clear(jobs)
    ahead = SOON_S + jobs / 50_000  # until they are inserted
    with it.workers(ours):
        run_at = _schedule(ours, jobs, timedelta(seconds=ahead))
        if (early := it.marks.done(jobs)) > 0:
            raise RuntimeError(f"{early} jobs ran before they were all inserted; this machine needs more time ahead")
        due_in = (run_at - datetime.now(timezone.utc)).total_seconds()
        due_ns = time.monotonic_ns() + int(due_in * 1e9)
        ended = it.await_all(ours, jobs)
    return jobs / (ended - due_ns) * 1e9
