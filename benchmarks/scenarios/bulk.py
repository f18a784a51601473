"""Bulk: many jobs inserted by one process, as fast as the library's own call for many goes.

The limit is raw COPY: the same rows into a table with the log's columns and nothing but a primary key. Awa's call is
`insert_many`, awa-pg's `enqueue_many_copy`; the others take a thousand jobs a call. No worker is running. The jobs are
counted in the queue's tables afterwards.
"""

from __future__ import annotations

from benchmarks.harness.comparison import compare
from benchmarks.harness.contender import Contender, Failed
from benchmarks.harness.field import field, rivals
from benchmarks.harness.plan import Plan
from benchmarks.harness.report import Result
from benchmarks.harness.rivals.specs import BARE_TABLE, OURS

JOBS = 200_000
SECONDS = 2.0
"""So many jobs at most as are inserted in that time."""
WARM_UP = 1_000
TITLE = "bulk insert, one process"
GOALS = {"awa-pg": 3.5, BARE_TABLE.name: 0.7}


def run(plan: Plan) -> Result:
    """Insert in bulk with every contender in each round."""
    sizes: dict[str, int] = {}

    def warm_up(contender: Contender) -> None:
        seconds = contender.ask("bulk", first=0, count=WARM_UP)
        sizes[contender.name] = min(plan.size(JOBS), max(WARM_UP, int(plan.span(SECONDS) * WARM_UP / seconds)))

    def insert(contender: Contender) -> float:
        jobs, before = sizes[contender.name], contender.stored()
        seconds: float = contender.ask("bulk", first=0, count=jobs)
        if (more := contender.stored() - before) != jobs:
            raise Failed(f"{jobs:,} jobs were inserted, and there are {more:,} more")
        return jobs / seconds

    with field(plan, [OURS, BARE_TABLE, *rivals(plan)]) as it:
        it.each(warm_up)
        rates = it.turns(insert)
        return Result(compare(TITLE, "jobs/s", rates, it.failed, GOALS), contenders=it.about())
