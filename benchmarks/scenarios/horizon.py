"""Horizon: jobs come and go at full rate while somebody's open transaction keeps vacuum from removing anything.

In three ways: a snapshot that idles, a snapshot that reads a large table again and again, and an idle transaction
that has written something. Each is held while produce and drain go on, time after time, and compared with the mean of
the same without anybody, measured right before it and right after: what a machine does by itself within half a minute
is as much as is looked for here. Read the ratio of the rates first; then the chart of dead rows, which must not grow
faster than jobs come, and that of the rate over time, which must not fall; and whether it is slower afterwards, too.
A queue that updates its rows slows down here as the dead ones pile up in front of those that are alive.

Some seconds by default, three minutes each with --full.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import median
from typing import Any, NamedTuple

import psycopg

from benchmarks.harness.contender import Contender
from benchmarks.harness.field import Field, field, rivals
from benchmarks.harness.plan import Plan
from benchmarks.harness.report import Figure, Result, Series
from benchmarks.harness.rivals.specs import OURS
from benchmarks.harness.stats import bulk

SECONDS = 2.2
WARM_UP_S = 1.0
"""On empty tables all is a little faster."""
FULL_S = 180.0
CYCLE_S = 0.4
"""Produce and drain as many jobs as a drain alone does in that time, again and again: both take nearly twice as
long."""
CYCLES_MIN = 2
"""What is left behind is counted from the end of the first."""
SCAN_EVERY_S = 1.0
BESIDE = ("awa-pg", "skip locked")
"""Rivals measured with --full; in a few seconds nobody suffers."""
LARGEST = """
    select format('%I.%I', schemaname, relname) from pg_stat_user_tables order by pg_table_size(relid) desc limit 1"""


class Held(NamedTuple):
    """The cycles while a transaction pinned the horizon, and those before and after it."""

    before: list[Cycle]
    pinned: list[Cycle]
    after: list[Cycle]

    @property
    def ratio(self) -> float:
        """The rate with the transaction, as a part of the rate without."""
        return 2 * _rate(self.pinned) / (_rate(self.before) + _rate(self.after))


class Cycle(NamedTuple):
    """What one cycle has come to."""

    at_s: float
    jobs: int
    rate: float
    dead: int
    megabytes: float


def run(plan: Plan) -> Result:
    """Measure with each kind of transaction, and without, in each round."""
    chosen = [spec for spec in rivals(plan) if plan.full and spec.name in BESIDE]
    with field(plan, [OURS, *chosen]) as it:
        it.each(it.size_up)
        rounds = it.turns(lambda contender: _round(it, contender))
        figures: list[Figure] = []
        series: list[Series] = []
        for who, measured in rounds.items():
            figures += _figures(who, measured)
            series += _series(who, measured[-1])
        figures += [Figure(f"horizon: {who}", "jobs/s", [], error=error) for who, error in it.failed.items()]
        return Result(figures, series, it.about())


def _round(it: Field, contender: Contender) -> dict[str, Held]:
    """Measure with each transaction, one after the other, and in between without."""
    plan, held = it.plan, {}
    seconds = plan.span(SECONDS, FULL_S)
    with psycopg.connect(contender.dsn, autocommit=True) as watching, it.workers(contender):
        it.warm_up(contender)
        _flow(it, contender, watching, _nobody, plan.span(WARM_UP_S))
        before = _flow(it, contender, watching, _nobody, seconds)
        for name, pin in PINS.items():
            pinned = _flow(it, contender, watching, pin, seconds)
            after = _flow(it, contender, watching, _nobody, seconds)
            held[name] = Held(before, pinned, after)
            before = after
    return held


def _figures(who: str, rounds: list[dict[str, Held]]) -> list[Figure]:
    is_ours = who == OURS.name
    steady = [_rate(held.before) for each in rounds for held in each.values()]
    figures = [Figure(f"steady rate, nobody's snapshot: {who}", "jobs/s", steady)]
    for name in PINS:
        those = [each[name] for each in rounds]
        ratios = [held.ratio for held in those]
        figures.append(Figure(f"rate with {name} ÷ without: {who}", "×", ratios, 0.95 if is_ours else None))
        lasting = [_rate(held.after) / _rate(held.before) for held in those]
        figures.append(Figure(f"rate after {name} ÷ before: {who}", "×", lasting))
        dead = [held.pinned[-1].dead - held.pinned[0].dead for held in those]
        jobs = [sum(cycle.jobs for cycle in held.pinned[1:]) for held in those]
        added = [rows / many * 1000 for rows, many in zip(dead, jobs, strict=True)]
        title = f"dead rows left by 1,000 jobs with {name}: {who}"
        figures.append(Figure(title, "rows", added, 40 if is_ours else None, at_most=True))
    return figures


def _series(who: str, measured: dict[str, Held]) -> list[Series]:
    lines = []
    runs = {NOBODY: next(iter(measured.values())).before, **{name: held.pinned for name, held in measured.items()}}
    for name, cycles in runs.items():
        for chart, y, values in (
            ("rate with a pinned horizon", "jobs/s", [cycle.rate for cycle in cycles]),
            ("dead rows with a pinned horizon", "rows", [float(cycle.dead) for cycle in cycles]),
            ("tables and indexes with a pinned horizon", "MB", [cycle.megabytes for cycle in cycles]),
        ):
            points = [(cycle.at_s, value) for cycle, value in zip(cycles, values, strict=True)]
            lines.append(Series(chart, f"{who}, {name}", "s", y, points))
    return lines


def _rate(cycles: list[Cycle]) -> float:
    return median(cycle.rate for cycle in cycles)


def _flow(
    it: Field, contender: Contender, watching: psycopg.Connection[Any], pin: Callable[[str], object], seconds: float
) -> list[Cycle]:
    """Produce and drain for a while, with `pin` held; sample after each cycle."""
    jobs = it.jobs_for(contender, it.plan.span(CYCLE_S))
    cycles: list[Cycle] = []
    watching.execute("vacuum")
    with pin(contender.dsn):  # type: ignore[attr-defined]
        began = time.monotonic()
        while len(cycles) < CYCLES_MIN or time.monotonic() - began < seconds:
            rate = it.produce_and_drain(contender, jobs)
            size = bulk(watching)
            megabytes = (size.table_bytes + size.index_bytes) / 1e6
            cycles.append(Cycle(time.monotonic() - began, jobs, rate, size.dead, megabytes))
    return cycles


# Who holds the horizon


@contextmanager
def _nobody(dsn: str) -> Iterator[None]:
    yield


@contextmanager
def _snapshot(dsn: str) -> Iterator[None]:
    with psycopg.connect(dsn) as connection:
        connection.execute("set transaction isolation level repeatable read")
        connection.execute("select 1")
        yield
        connection.rollback()


@contextmanager
def _scans(dsn: str) -> Iterator[None]:
    done = threading.Event()
    with psycopg.connect(dsn) as connection:
        connection.execute("set transaction isolation level repeatable read")
        (table,) = connection.execute(LARGEST).fetchone() or ("pg_class",)

        def scan() -> None:
            while not done.is_set():
                connection.execute(f"select count(*) from {table}".encode())
                done.wait(SCAN_EVERY_S)

        scanning = threading.Thread(target=scan)
        scanning.start()
        try:
            yield
        finally:
            done.set()
            scanning.join()
            connection.rollback()


@contextmanager
def _writer(dsn: str) -> Iterator[None]:
    with psycopg.connect(dsn) as connection:
        connection.execute("create table public.written_by_a_long_transaction (n integer)")
        yield
        connection.rollback()


NOBODY = "nobody"
PINS: dict[str, Callable[[str], object]] = {
    "an idle snapshot": _snapshot,
    "active scans": _scans,
    "an idle writer": _writer,
}
