"""Queues and kinds: the same jobs in one queue, in a thousand queues, and of a hundred kinds.

A worker claims by lane, that is by queue, kind and priority. The workers are the same ones each time, for all queues
and kinds. Read the ratios: the total load is the same, and so should the rate be. Few jobs are in each queue then, so
batches are small; that is a part of the price.
"""

from __future__ import annotations

from collections.abc import Callable

from awa import Client
from benchmarks.harness.contender import Contender
from benchmarks.harness.field import Field, field
from benchmarks.harness.plan import Plan
from benchmarks.harness.report import Figure, Result
from benchmarks.harness.rivals.protocol import body
from benchmarks.harness.rivals.specs import OURS

QUEUES = 1_000
KINDS = 100
JOBS = 50_000
FULL = 500_000


def run(plan: Plan) -> Result:
    """Measure one queue, many queues and many kinds, on a fresh server in each round."""
    jobs = plan.size(JOBS, FULL)
    rounds = [_round(plan, jobs) for _ in range(plan.rounds)]
    one, queues, kinds = ([each[i] for each in rounds] for i in range(3))
    return Result(
        [
            Figure(f"drain of {jobs:,} jobs in one queue", "jobs/s", one),
            Figure(f"drain of {jobs:,} jobs in {QUEUES:,} queues", "jobs/s", queues),
            Figure(f"{QUEUES:,} queues ÷ one queue", "×", [b / a for a, b in zip(one, queues, strict=True)], 0.8),
            Figure(f"{KINDS} kinds ÷ one kind", "×", [b / a for a, b in zip(one, kinds, strict=True)], 0.8),
        ]
    )


def _round(plan: Plan, jobs: int) -> tuple[float, float, float]:
    with field(plan, [OURS]) as it:
        ours = it.contenders[0]
        ours.variant = {"kinds": KINDS, "queues": QUEUES}
        one = _drain(it, ours, jobs, lambda n: ("default", "noop"))
        kinds = _drain(it, ours, jobs, lambda n: ("default", f"noop_{n % KINDS}"))
        many = _drain(it, ours, jobs, lambda n: (f"queue_{n % QUEUES}", "noop"))
        return one, many, kinds


def _drain(it: Field, ours: Contender, jobs: int, where: Callable[[int], tuple[str, str]]) -> float:
    """Drain jobs that are in the queue and of the kind that `where` says for each number."""
    of_kind: dict[str, list[int]] = {}
    for n in range(jobs):
        of_kind.setdefault(where(n)[1], []).append(n)
    it.marks.clear(jobs)
    with Client(ours.dsn) as client:
        for kind, numbers in of_kind.items():
            opts = [{"queue": where(n)[0]} for n in numbers]
            client.insert_many([body(n) for n in numbers], kind=kind, opts=opts)
    with it.workers(ours):
        ended = it.await_all(ours, jobs)
    return it.rate(jobs, ended)
