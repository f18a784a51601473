"""Together: one process inserts as fast as it can while two workers run what it inserts.

Nearer to a busy day than a backlog is: producer, workers and server share the machine, and fresh jobs must be found
while they come. The producer inserts a thousand jobs at a time. Read it as the jobs a second this machine takes from
one end to the other; the warm-up at the start is not counted, and the time until the last job is finished is.
"""

from __future__ import annotations

from benchmarks.harness.comparison import compare
from benchmarks.harness.contender import Contender
from benchmarks.harness.field import PROCESSES, field
from benchmarks.harness.plan import Plan
from benchmarks.harness.report import Result

TITLE = f"produce and drain together, {PROCESSES} workers"


def run(plan: Plan) -> Result:
    """Let every contender produce and drain at once in each round."""
    with field(plan) as it:
        it.each(it.size_up)

        def throughput(contender: Contender) -> float:
            with it.workers(contender):
                it.warm_up(contender)
                return it.produce_and_drain(contender, it.jobs_for(contender, plan.seconds))

        rates = it.turns(throughput)
        return Result(compare(TITLE, "jobs/s", rates, it.failed, {"awa-pg": 8.0}), contenders=it.about())
