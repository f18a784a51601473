"""Drain: a backlog of no-op jobs, filled by one process with `insert_many`, worked off by two workers.

What is left when the handler does nothing is the queue's own cost. Read `drain` as an upper limit on jobs per second;
the other figures say what each job costs the server: WAL (the price of durability), and rows updated or deleted (the
price of vacuum later). Every job is verified to have completed, once.
"""

from __future__ import annotations

import time
from typing import Any

import psycopg

from awa import Client
from awa.database.connections import connect
from benchmarks.harness.report import Figure
from benchmarks.harness.server import fresh_database
from benchmarks.harness.supervisor import resident_mb, supervisor, until

PROCESSES = 2
BODY = {"n": 0, "text": "x" * 230}
"""A body of 250 bytes as JSON."""
TIMEOUT_S = 300.0


def run(rounds: int, jobs: int) -> list[Figure]:
    """Measure `rounds` times with a backlog of `jobs`, each on a fresh server."""
    results = [_round(jobs) for _ in range(rounds)]

    def values(name: str) -> list[float]:
        return [result[name] for result in results]

    return [
        Figure(f"drain of {jobs:,} no-op jobs, {PROCESSES} workers", "jobs/s", values("drain"), 25_000),
        Figure("insert_many, one process", "jobs/s", values("insert"), 80_000),
        Figure("supervisor resident memory", "MB", values("memory"), 60, at_most=True),
        Figure("WAL per job, insert to completion", "B", values("wal"), 1_200, at_most=True),
        Figure("rows updated or deleted per job", "rows", values("churn"), 0.1, at_most=True),
    ]


def _round(jobs: int) -> dict[str, float]:
    with fresh_database() as dsn, connect(dsn, role="benchmark") as connection:
        before = _counters(connection)
        began = time.perf_counter()
        with Client(dsn) as client:
            client.insert_many(({**BODY, "n": n} for n in range(jobs)), kind="noop")
        insert_s = time.perf_counter() - began
        with supervisor(dsn, PROCESSES) as process:
            until(lambda: _completed(connection) == jobs, TIMEOUT_S, f"{jobs} jobs completed", every_s=0.1)
            memory_mb = resident_mb(process.pid)
        after = _counters(connection)
        return {
            "insert": jobs / insert_s,
            "drain": jobs / _drain_seconds(connection, jobs),
            "memory": memory_mb,
            "wal": (after["wal"] - before["wal"]) / jobs,
            "churn": (after["churn"] - before["churn"]) / jobs,
        }


def _completed(connection: psycopg.Connection[Any]) -> int:
    """Return how many jobs are done: from the tallies, so that asking does not load what is measured."""
    row = connection.execute("select coalesce(sum(jobs), 0)::int from awa.tally where outcome = 3").fetchone()
    return row[0] if row else 0


def _drain_seconds(connection: psycopg.Connection[Any], jobs: int) -> float:
    """Return the time from the first handler's start to the last one's end; verify that each job ran once."""
    row = connection.execute(
        "select count(*), count(distinct job_id), extract(epoch from max(finished_at) - min(started_at))::float8 "
        "from awa.attempt_log where outcome = 3"
    ).fetchone()
    assert row is not None
    attempts, distinct, seconds = row
    if (attempts, distinct) != (jobs, jobs):
        raise RuntimeError(f"{jobs} jobs inserted, {attempts} attempts of {distinct} jobs completed")
    return float(seconds)


def _counters(connection: psycopg.Connection[Any]) -> dict[str, float]:
    """Return the server's running totals: WAL written, rows updated and deleted."""
    connection.execute("select pg_stat_force_next_flush()")
    row = connection.execute(
        "select pg_current_wal_lsn() - '0/0'::pg_lsn, "
        "(select coalesce(sum(n_tup_upd + n_tup_del), 0) from pg_stat_user_tables where schemaname = 'awa')"
    ).fetchone()
    assert row is not None
    return {"wal": float(row[0]), "churn": float(row[1])}
