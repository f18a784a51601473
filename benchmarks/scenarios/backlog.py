"""Backlog: what claiming and settling cost when ten thousand jobs wait, and when many more do.

By the engine alone, over one connection, each in a round trip of its own: a batch is claimed, its bodies are read, it
is settled. The time of the three is taken; the median of sixty is quoted. Each backlog is in a database of its own on
one server, filled up again before every round, in which they take turns. It must not grow with the backlog: the ratio
of the largest to the smallest says whether it does. A million jobs by default, ten with --full.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from statistics import median
from typing import Any

import psycopg

from awa import Client
from awa.database.open import connect
from awa.database.schema import chain
from awa.engine import claim, nodes, seal, settle
from awa.engine.claim import FROM_THE_START, LaneRequest
from awa.job.attempt import Settlement
from awa.job.model import JobState
from benchmarks.harness.plan import Plan
from benchmarks.harness.report import Figure, Result, Series
from benchmarks.harness.rivals.protocol import body
from benchmarks.harness.server import another_database, fresh_server

SIZES = (10_000, 1_000_000)
FULL = (*SIZES, 10_000_000)
LEASES = 60
"""So that the smallest backlog is not used up."""
WARM_UP = 10
LEASE_JOBS = 128


def run(plan: Plan) -> Result:
    """Measure at each size in each round."""
    sizes = FULL if plan.full else SIZES
    if plan.jobs is not None:
        sizes = (plan.jobs, 2 * plan.jobs)
    at_once = min(LEASE_JOBS, max(1, sizes[0] // (2 * (LEASES + WARM_UP))) if plan.jobs else LEASE_JOBS)
    with ExitStack() as stack:
        server = stack.enter_context(fresh_server())
        backlogs = [Backlog(stack, another_database(server, f"backlog_{size}"), size) for size in sizes]
        rounds = [{each.jobs: each.measure(at_once) for each in backlogs} for _ in range(plan.rounds)]
    figures = [
        Figure(f"claim and settle {at_once} jobs of {size:,}", "ms", [each[size] for each in rounds]) for size in sizes
    ]
    ratios = [each[sizes[-1]] / each[sizes[0]] for each in rounds]
    title = f"claim and settle at {sizes[-1]:,} jobs ÷ at {sizes[0]:,}"
    figures.append(Figure(title, "×", ratios, 1.2, at_most=True))
    line = [(float(size), median(each[size] for each in rounds)) for size in sizes]
    return Result(figures, [Series("claim and settle by backlog", "awa", "jobs waiting", "ms", line)])


class Backlog:
    """So many jobs that wait, in a database of their own, and one worker who knows of them."""

    def __init__(self, stack: ExitStack, dsn: str, jobs: int) -> None:
        self.jobs = jobs
        self._waiting = 0
        self._connection = stack.enter_context(connect(dsn, role="benchmark"))
        chain.migrate(self._connection)
        self._client = stack.enter_context(Client(dsn))
        node = nodes.register_node(self._connection, "benchmark", ["noop"])
        worker = nodes.register_worker(self._connection, node)
        assert worker is not None
        self._worker = worker

    def measure(self, at_once: int) -> float:
        """Fill it up, then claim and settle `at_once` jobs again and again; return the milliseconds that takes."""
        self._client.insert_many((body(n) for n in range(self.jobs - self._waiting)), kind="noop")
        seal.seal_all(self._connection)
        _, before = _work_off(self._connection, self._worker, WARM_UP, at_once)
        times, taken = _work_off(self._connection, self._worker, LEASES, at_once)
        self._waiting = self.jobs - before - taken
        return median(times) * 1000


def _work_off(connection: psycopg.Connection[Any], worker: int, leases: int, at_once: int) -> tuple[list[float], int]:
    """Claim and settle so many times; return how long each took, in seconds, and how many jobs they were."""
    (lane,) = claim.lanes(connection, ["noop"])
    start, times, jobs = FROM_THE_START, [], 0
    for _ in range(leases):
        began = time.perf_counter()
        claimed = claim.claim(connection, worker, [LaneRequest(lane.id, start, 1.0)], budget_us=at_once, batches_max=2)
        if not claimed.leases:
            break
        ids = [job for lease in claimed.leases for job in lease.ids]
        claim.bodies(connection, ids)
        now = time.time_ns() // 1000
        settle.settle(
            connection, worker, [Settlement(job, JobState.Completed, now, now, 0, 0, -1, None) for job in ids]
        )
        times.append(time.perf_counter() - began)
        start, jobs = claimed.leases[-1].sort_at, jobs + len(ids)
    return times, jobs
