"""Drain: a backlog of no-op jobs, worked off by two worker processes, of every contender in turn.

What is left when the handler does nothing is the queue's own cost. Read `drain` as an upper limit on jobs per second,
from the start of the first job after the warm-up until the queue's own tables say that all are finished. The costs
are those of insert and drain together: WAL (the price of durability), commits, and rows updated or deleted (the price
of vacuum later). The backlog of each contender is what it works off in about as many seconds, so that slow ones do
not take all day. Every job is verified to have run, once.

Bound: the engine's own SQL around an empty loop. The distance to it is what the worker process adds.
"""

from __future__ import annotations

from benchmarks.harness.comparison import FASTEST_PYTHON, compare
from benchmarks.harness.contender import Contender
from benchmarks.harness.field import PROCESSES, Drained, field, rivals
from benchmarks.harness.plan import Plan
from benchmarks.harness.report import Figure, Result
from benchmarks.harness.rivals.specs import ALL, ENGINE, OURS

TITLE = f"drain of no-op jobs, {PROCESSES} workers"
GOALS = {"awa-pg": 10.0, FASTEST_PYTHON: 3.0, ENGINE.name: 0.5}


def run(plan: Plan) -> Result:
    """Let every contender drain a backlog in each round."""
    with field(plan, [OURS, ENGINE, *rivals(plan)]) as it:
        it.each(it.size_up)

        def drained(contender: Contender) -> Drained:
            return it.drain(contender, it.jobs_for(contender, plan.seconds))

        measured = it.turns(drained)
        rates = {who: [each.rate for each in values] for who, values in measured.items()}
        return Result([*compare(TITLE, "jobs/s", rates, it.failed, GOALS), *_costs(measured)], contenders=it.about())


def _costs(measured: dict[str, list[Drained]]) -> list[Figure]:
    figures = []
    for who, values in measured.items():
        if ALL[who].needs_redis:  # what it writes, it writes elsewhere
            continue
        is_ours = who == OURS.name

        def of(field: str, scale: float, values: list[Drained] = values) -> list[float]:
            return [getattr(each.cost, field) / each.jobs * scale for each in values]

        wal, churn = "WAL per job, insert to completed", "rows updated or deleted per 1,000 jobs"
        figures += [
            Figure(f"{wal}: {who}", "B", of("wal", 1), 800 if is_ours else None, True, chart=wal, who=who),
            Figure(f"{churn}: {who}", "rows", of("churn", 1000), 40 if is_ours else None, True, chart=churn, who=who),
            Figure(f"commits per 1,000 jobs: {who}", "commits", of("commits", 1000)),
        ]
    return figures
