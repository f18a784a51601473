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
from functools import partial

from benchmarks.harness.comparison import compare
from benchmarks.harness.contender import Contender
from benchmarks.harness.field import PROCESSES, Drained, Field, field, rivals
from benchmarks.harness.plan import Plan
from benchmarks.harness.report import Figure, Result, Series
from benchmarks.harness.rivals.specs import ALL, OURS

BESIDE = ("awa-pg",)
"""Rivals measured by default; all of them with --full. Ten milliseconds dwarf most differences."""
SECONDS = {1: 1.5, 10: 4.5}
"""By the milliseconds that a job takes."""
SCALED_MS = 10
COUNTS = range(1, max(PROCESSES, os.cpu_count() or 1) + 1)
FULL_S = 10.0
"""Longer than a drain of no-ops: the leases that are left at the end are of unequal length."""


def run(plan: Plan) -> Result:
    """Drain jobs of one and of ten milliseconds with every contender, and with Awa at one worker and more."""
    chosen = [spec for spec in rivals(plan) if plan.full or spec.name in BESIDE]
    with field(plan, [OURS, *chosen]) as it:
        it.each(partial(_prepare, it))
        figures: list[Figure] = []
        series: list[Series] = []
        for ms in SECONDS:
            measured = it.turns(lambda contender, ms=ms: _drain_all(it, contender, ms))
            drained = {who: [each[PROCESSES] for each in rounds] for who, rounds in measured.items()}
            rates = {who: [each.rate for each in values] for who, values in drained.items()}
            figures += compare(f"drain of {ms} ms jobs, {PROCESSES} workers", "jobs/s", rates, it.failed)
            figures += _overheads(drained, ms)
            if ms == SCALED_MS:
                scaling, series = _scaling(measured[OURS.name])
                figures += scaling
        return Result(figures, series, it.about())


def _prepare(it: Field, contender: Contender) -> None:
    """Size a contender up, and give it the settings for jobs that compute."""
    it.size_up(contender)
    contender.variant = contender.spec.computing or contender.variant


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


def _drain_all(it: Field, contender: Contender, ms: int) -> dict[int, Drained]:
    """Measure with `PROCESSES` workers; Awa with one up to as many as there are cores, on the longer jobs."""
    counts = COUNTS if contender.spec is OURS and ms == SCALED_MS else (PROCESSES,)
    return {workers: _drain(it, contender, ms, workers) for workers in counts}


def _drain(it: Field, contender: Contender, ms: int, workers: int) -> Drained:
    seconds = it.plan.span(SECONDS[ms], FULL_S)
    jobs = int(seconds * workers / ms * 1000)
    jobs = min(jobs, it.plan.jobs or jobs)
    if contender.rate is not None:
        jobs = min(jobs, int(contender.rate * seconds) + 1)
    return it.drain(contender, jobs, processes=workers, burn_ns=ms * 1_000_000)


def _scaling(rounds: list[dict[int, Drained]]) -> tuple[list[Figure], list[Series]]:
    """Compare the rates with more workers with that of one, round by round."""
    figures = []
    for workers in COUNTS[1:]:
        ratios = [each[workers].rate / each[1].rate for each in rounds]
        goal = 1.9 if workers == PROCESSES else None
        figures.append(Figure(f"{SCALED_MS} ms jobs, {workers} workers ÷ 1 worker", "×", ratios, goal))
    line = [(float(workers), sum(each[workers].rate for each in rounds) / len(rounds)) for workers in COUNTS]
    return figures, [Series("CPU scaling", f"awa, {SCALED_MS} ms jobs", "workers", "jobs/s", line)]
