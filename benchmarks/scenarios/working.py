"""Working: jobs that compute, for one millisecond or ten, as jobs do in earnest.

A job takes its time by the processor's clock: it is done when its thread has computed for so long, however often it
was interrupted meanwhile. `overhead` is what the queue takes beyond that: the processor time of all its processes and
of the server, as a part of the jobs' own, while all workers are busy. `time lost` is by the clock on the wall, to the
end, and holds more: waiting for a core, and whatever else the machine does. The ratio of the rates with one worker and
with more shows how far they stand in each other's way; a machine with as many cores as workers has none to spare for
the server, so the last step is the hardest.

A millisecond of foreign code leaves little of the queue's own in the processor's caches: between jobs of ten
milliseconds the same statements take several times as long as between no-ops.
"""

from __future__ import annotations

import os

from benchmarks.harness.comparison import compare
from benchmarks.harness.contender import Contender
from benchmarks.harness.field import PROCESSES, Drained, Field, field, rivals
from benchmarks.harness.plan import Plan
from benchmarks.harness.report import Figure, Result, Series
from benchmarks.harness.rivals.specs import ALL, OURS

BESIDE = ("awa-pg",)
"""Rivals measured by default; all of them with --full. Ten milliseconds dwarf most differences."""
SECONDS = {1: 1.5, 10: 5.0}
SCALING_S = 3.0
FULL_S = 10.0
"""Longer than a drain of no-ops: the leases that are left at the end are of unequal length."""


def run(plan: Plan) -> Result:
    """Drain jobs of one and of ten milliseconds with every contender, and with Awa at one worker and more."""
    chosen = [spec for spec in rivals(plan) if plan.full or spec.name in BESIDE]
    with field(plan, [OURS, *chosen]) as it:
        it.each(it.size_up)
        figures = []
        for ms in (1, 10):
            drained = it.turns(lambda contender, ms=ms: _drain(it, contender, ms, PROCESSES, SECONDS[ms]))
            rates = {who: [each.rate for each in values] for who, values in drained.items()}
            figures += compare(f"drain of {ms} ms jobs, {PROCESSES} workers", "jobs/s", rates, it.failed)
            figures += _overheads(drained, ms)
        scaling, series = _scaling(it, rates[OURS.name])
        return Result(figures + scaling, series, it.about())


def _overheads(drained: dict[str, list[Drained]], ms: int) -> list[Figure]:
    """Return what each contender takes beside the jobs' own time."""
    figures = []
    for who, values in drained.items():
        goal = 3.0 if ms == 10 and who == OURS.name else None
        overhead = [each.overhead * 100 for each in values if each.overhead is not None]
        lost = [(PROCESSES / (each.rate * ms / 1000) - 1) * 100 for each in values]
        title = f"overhead on {ms} ms jobs, {PROCESSES} workers"
        if not ALL[who].needs_redis:  # a server of its own, which is not counted
            figures.append(
                Figure(f"{title}: {who}", "% of their processor time", overhead, goal, True, chart=title, who=who)
            )
        figures.append(Figure(f"time lost on {ms} ms jobs, {PROCESSES} workers: {who}", "% of their time", lost))
    return figures


def _drain(it: Field, contender: Contender, ms: int, workers: int, seconds: float) -> Drained:
    jobs = int(it.plan.span(seconds, FULL_S) * workers / ms * 1000)
    jobs = min(jobs, it.plan.jobs or jobs)
    if contender.rate is not None:
        jobs = min(jobs, int(contender.rate * it.plan.span(seconds, FULL_S)) + 1)
    return it.drain(contender, jobs, processes=workers, burn_ns=ms * 1_000_000, variant=contender.spec.computing)


def _scaling(it: Field, with_two: list[float]) -> tuple[list[Figure], list[Series]]:
    """Measure Awa with one worker up to as many as there are cores; with two it has been."""
    counts = range(1, max(2, os.cpu_count() or 1) + 1)
    ours = it.contenders[0]
    rounds = [
        {workers: two if workers == PROCESSES else _drain(it, ours, 10, workers, SCALING_S).rate for workers in counts}
        for two in with_two
    ]
    figures = []
    for workers in counts[1:]:
        ratios = [rates[workers] / rates[1] for rates in rounds]
        goal = 1.9 if workers == PROCESSES else None
        figures.append(Figure(f"10 ms jobs, {workers} workers ÷ 1 worker", "×", ratios, goal))
    line = [(float(workers), sum(rates[workers] for rates in rounds) / len(rounds)) for workers in counts]
    return figures, [Series("CPU scaling", "awa, 10 ms jobs", "workers", "jobs/s", line)]
