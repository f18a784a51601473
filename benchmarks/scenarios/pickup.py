"""Pickup: how long a job waits from the commit of its insert to the start of its handler.

On an idle queue: one job at a time, each awaited, with pauses of random length in between so that no poll interval is
in step with it. The 50th percentile is what a user feels; the 99th shows whether wake-ups get lost (it would jump to
a poll interval). Then under load: a producer inserts in pieces, ten milliseconds apart, at 10, 50 and 90 % of what the
same workers have just taken from a producer that does not wait. There a job waits in a piece, behind others; what
matters is how the 99th percentile grows.

Both ends are read from the same machine's clock: when the insert returned to the producer, and when the handler
began. A job that began before its producer heard of the commit counts as no wait.
"""

from __future__ import annotations

import random

from benchmarks.harness.comparison import compare
from benchmarks.harness.contender import Contender
from benchmarks.harness.field import Field, field, rivals
from benchmarks.harness.plan import Plan
from benchmarks.harness.report import Figure, Result, Series, percentile
from benchmarks.harness.rivals.specs import OURS

JOBS = 150
WARM_UP = 20
PAUSE_S = (0.01, 0.03)
LOADS = (10, 50, 90)
LOADED_S = 0.8
PIECE_S = 0.01
BESIDE = ("awa-pg",)
"""Rivals measured by default; on an idle queue all of them with --full."""
IDLE = "pickup on an idle queue"


def run(plan: Plan) -> Result:
    """Measure when idle, then under load, in each round."""
    chosen = [spec for spec in rivals(plan) if plan.full or spec.name in BESIDE]
    with field(plan, [OURS, *chosen]) as it:
        idle = it.turns(lambda contender: _idle(it, contender, plan.size(JOBS)))
        figures: list[Figure] = []
        for percent, goal, ratio in ((50, 3.0, None), (99, 10.0, 1 / 3)):
            values = {who: [percentile(waits, percent) for waits in rounds] for who, rounds in idle.items()}
            goals = {"awa-pg": ratio} if ratio else {}
            compared = compare(f"{IDLE}, p{percent}", "ms", values, it.failed, goals, less_is_better=True)
            figures += [_with_goal(figure, goal) for figure in compared]
        loaded = [contender for contender in it.contenders if contender.name in (OURS.name, *BESIDE)]
        under_load, series = _under_load(it, loaded)
        return Result(figures + under_load, series, it.about())


def _with_goal(figure: Figure, goal: float) -> Figure:
    if figure.who != OURS.name:
        return figure
    return Figure(figure.name, figure.unit, figure.values, goal, True, figure.chart, figure.who)


def _idle(it: Field, contender: Contender, jobs: int) -> list[float]:
    """Return how many milliseconds each of so many single jobs waited."""
    pauses = [random.uniform(*PAUSE_S) for _ in range(WARM_UP + jobs)]
    with it.workers(contender):
        it.warm_up(contender)
        it.marks.clear(len(pauses))
        inserted: list[int] = contender.ask("pickups", first=0, pauses=pauses)
        it.await_all(contender, len(pauses))
    waits = [(began - done) / 1e6 for done, began in zip(inserted, it.marks.starts(len(pauses)), strict=True)]
    return [max(0.0, wait) for wait in waits[WARM_UP:]]


def _under_load(it: Field, contenders: list[Contender]) -> tuple[list[Figure], list[Series]]:
    """Measure at several parts of each contender's capacity, which is found first."""
    measured = it.turns(lambda contender: _loaded(it, contender), contenders)
    figures, series = [], []
    points: dict[tuple[str, int], list[tuple[float, float]]] = {}
    for load in LOADS:
        for who, rounds in measured.items():
            for percent in (50, 99):
                values = [percentile(waits[load], percent) for waits in rounds]
                figures.append(Figure(f"pickup at {load} % of capacity, p{percent}: {who}", "ms", values))
                point = (float(load), figures[-1].median or 0.0)
                points.setdefault((who, percent), []).append(point)
    for (who, percent), line in points.items():
        series.append(Series("pickup under load", f"{who}, p{percent}", "% of capacity", "ms", line))
    return figures, series


def _loaded(it: Field, contender: Contender) -> dict[int, list[float]]:
    """Return how many milliseconds each job waited, at each load."""
    jobs = it.jobs_for(contender, it.plan.span(LOADED_S))
    with it.workers(contender):
        it.warm_up(contender)
        capacity = it.produce_and_drain(contender, jobs)
        return {load: _at_rate(it, contender, capacity * load / 100) for load in LOADS}


def _at_rate(it: Field, contender: Contender, rate: float) -> list[float]:
    """Return how many milliseconds each job waited when so many a second come."""
    jobs = max(100, int(rate * it.plan.span(LOADED_S)))
    jobs = min(jobs, it.plan.jobs or jobs)
    it.marks.clear(jobs)
    pieces = contender.ask("produce", first=0, count=jobs, piece=max(1, int(rate * PIECE_S)), rate=rate)
    it.await_all(contender, jobs)
    starts = it.marks.starts(jobs)
    waits = [(starts[first + i] - done) / 1e6 for first, count, done in pieces for i in range(count)]
    return [max(0.0, wait) for wait in waits[jobs // 10 :]]
