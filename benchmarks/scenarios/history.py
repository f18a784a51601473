"""History: whether a drain is slower when the tables hold many jobs that have ended.

A drain on empty tables, then the history is made by draining it, then the same drain again, on one server. With --full
two million jobs.
"""

from __future__ import annotations

from benchmarks.harness.field import field
from benchmarks.harness.plan import Plan
from benchmarks.harness.report import Figure, Result
from benchmarks.harness.rivals.specs import OURS

HISTORY = 100_000
FULL = 2_000_000
STEP = 500_000
SECONDS = 1.0


def run(plan: Plan) -> Result:
    """Measure before and after, on a fresh server in each round."""
    history = plan.size(HISTORY, FULL)
    before, after = [], []
    for _ in range(plan.rounds):
        with field(plan, [OURS]) as it:
            ours = it.contenders[0]
            jobs = it.jobs_for(ours, plan.span(SECONDS))
            before.append(it.drain(ours, jobs).rate)
            for left in range(history, 0, -STEP):
                it.drain(ours, min(left, STEP))
            after.append(it.drain(ours, jobs).rate)
    ratios = [later / sooner for sooner, later in zip(before, after, strict=True)]
    return Result(
        [
            Figure("drain on empty tables", "jobs/s", before),
            Figure(f"drain after {history:,} jobs have ended", "jobs/s", after),
            Figure(f"drain after {history:,} jobs ÷ on empty tables", "×", ratios, 0.9),
        ]
    )
