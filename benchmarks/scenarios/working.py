"""Working: jobs that compute, for one millisecond or ten, as jobs do in earnest.

A job takes its time by the processor's clock: it is done when its thread has computed for so long, however often it
was interrupted meanwhile. What a drain takes beyond that is the queue's share: its own work, the server's work on the
same cores, and waiting. `overhead` is that share, as a part of the jobs' own time. The ratio of the rates with one
worker and with more shows how far they stand in each other's way; a machine with as many cores as workers has none to
spare for the server, so the last step is the hardest.
"""

from __future__ import annotations

import os

from benchmarks.harness.comparison import compare
from benchmarks.harness.contender import Contender
from benchmarks.harness.field import PROCESSES, Field, field, rivals
from benchmarks.harness.plan import Plan
from benchmarks.harness.report import Figure, Result, Series
from benchmarks.harness.rivals.specs import OURS

BESIDE = ("awa-pg",)
"""Rivals measured by default; all of them with --full. Ten milliseconds dwarf most differences."""
SECONDS = 3.0
FULL_S = 10.0
"""Longer than a drain of no-ops: the leases that are left at the end are of unequal length."""


def run(plan: Plan) -> Result:
    """Drain jobs of one and of ten milliseconds with every contender, and with Awa at one worker and more."""
    chosen = [spec for spec in rivals(plan) if plan.full or spec.name in BESIDE]
    with field(plan, [OURS, *chosen]) as it:
        it.each(it.size_up)
        figures = []
        for ms in (1, 10):
            rates = it.turns(lambda contender, ms=ms: _rate(it, contender, ms, PROCESSES))
            figures += compare(f"drain of {ms} ms jobs, {PROCESSES} workers", "jobs/s", rates, it.failed)
            overhead = [(PROCESSES / (rate * ms / 1000) - 1) * 100 for rate in rates[OURS.name]]
            goal = 3.0 if ms == 10 else None
            name = f"overhead on {ms} ms jobs, {PROCESSES} workers"
            figures.append(Figure(name, "% of their time", overhead, goal, at_most=True))
        scaling, series = _scaling(it)
        return Result(figures + scaling, series, it.about())


def _rate(it: Field, contender: Contender, ms: int, workers: int) -> float:
    jobs = int(it.plan.span(SECONDS, FULL_S) * workers / ms * 1000)
    jobs = min(jobs, it.plan.jobs or jobs)
    if contender.rate is not None:
        jobs = min(jobs, int(contender.rate * it.plan.span(SECONDS, FULL_S)) + 1)
    return it.drain(contender, jobs, processes=workers, burn_ns=ms * 1_000_000).rate


def _scaling(it: Field) -> tuple[list[Figure], list[Series]]:
    """Measure Awa with one worker up to as many as there are cores."""
    counts = range(1, max(2, os.cpu_count() or 1) + 1)
    ours = it.contenders[0]
    rounds = [{workers: _rate(it, ours, 10, workers) for workers in counts} for _ in range(it.plan.rounds)]
    figures = []
    for workers in counts[1:]:
        ratios = [rates[workers] / rates[1] for rates in rounds]
        goal = 1.9 if workers == PROCESSES else None
        figures.append(Figure(f"10 ms jobs, {workers} workers ÷ 1 worker", "×", ratios, goal))
    line = [(float(workers), sum(rates[workers] for rates in rounds) / len(rounds)) for workers in counts]
    return figures, [Series("CPU scaling", "awa, 10 ms jobs", "workers", "jobs/s", line)]
