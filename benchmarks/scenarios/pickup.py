"""Pickup: how long an idle queue takes from the commit of an insert to the start of the handler.

One job at a time, each awaited, with pauses of random length in between so that no poll interval is in step with it.
Both ends are read from the same machine's clock. The 50th percentile is what a user feels; the 99th shows whether
wake-ups get lost (it would jump to the poll interval, 100 ms).
"""

from __future__ import annotations

import random
import time
from typing import Any

import psycopg

from awa import Client
from awa.database.connections import connect
from benchmarks.harness.report import Figure, percentile
from benchmarks.harness.server import fresh_database
from benchmarks.harness.supervisor import supervisor, until

PROCESSES = 2
WARM_UP = 20


def run(rounds: int, jobs: int) -> list[Figure]:
    """Measure `rounds` times with `jobs` jobs, one after the other."""
    results = [_round(jobs) for _ in range(rounds)]
    return [
        Figure("pickup on an idle queue, p50", "ms", [percentile(r, 50) for r in results], 5, at_most=True),
        Figure("pickup on an idle queue, p99", "ms", [percentile(r, 99) for r in results]),
    ]


def _round(jobs: int) -> list[float]:
    with (
        fresh_database() as dsn,
        supervisor(dsn, PROCESSES),
        connect(dsn, role="benchmark") as connection,
        Client(dsn) as client,
    ):
        return [_one(client, connection) for _ in range(WARM_UP + jobs)][WARM_UP:]


def _one(client: Client, connection: psycopg.Connection[Any]) -> float:
    """Return the milliseconds from commit to start of one job."""
    time.sleep(random.uniform(0.01, 0.06))
    job = client.insert({}, kind="noop")
    committed = time.time()
    started: list[float] = []

    def ran() -> bool:
        row = connection.execute(
            "select extract(epoch from started_at)::float8 from awa.attempt_log where job_id = %s", [job.id]
        ).fetchone()
        started.extend(row or ())
        return bool(row)

    until(ran, 10, f"job {job.id} ran", every_s=0.005)
    return (started[0] - committed) * 1000
