"""Recovery: how soon the job of a killed worker can run again, and how soon the worker is replaced.

A worker that runs a job is sent SIGKILL, again and again. Measured from just before the signal, by the clock of one
machine: until the job is ready to be claimed, until another worker has it, until the replacement has signed in and
begins to claim. The application is a large one: 300 MB are in memory before the first worker is forked.

The last figure is the loss of a whole node: its supervisor gets SIGKILL, and a second node must notice the silence.
That takes three heartbeats of five seconds by default, and some. Nobody has anything to do meanwhile, so workers are
killed while it goes on; when the other node had the job is read from the table afterwards.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import psycopg

from awa import Client
from awa.database.open import connect
from benchmarks.harness.plan import Plan
from benchmarks.harness.report import Figure, Result, percentile
from benchmarks.harness.server import fresh_database
from benchmarks.harness.supervisor import supervisor, until

PROCESSES = 2
BALLAST_MB = "300"
KILLS = 10
FULL = 100
"""Kills a round; a 99th percentile means something with many."""
WAIT_S = 60.0
BEGIN_S = 0.05
"""From its claim on, a job has begun by then: killed before, it would only go back, with no attempt spent."""

_OWNER = """
    select w.id, w.pid, extract(epoch from b.leased_at)::float8 from awa.batch b join awa.worker w on w.id = b.owner
    where %(job)s = any (b.ids) and w.id <> %(but)s"""
_CLAIMABLE = "select extract(epoch from finished_at)::float8 from awa.attempt_log where job_id = %(job)s"
_READY = "select extract(epoch from started_at)::float8 from awa.worker where id > %(newest)s order by id limit 1"


class Recovery(NamedTuple):
    """What followed a kill, in milliseconds from it."""

    claimable: float
    elsewhere: float
    replaced: float


def run(plan: Plan) -> Result:
    """Kill many workers, and lose one supervisor, in each round."""
    rounds, kills = plan.rounds, plan.size(KILLS, FULL)
    with _lost_node() as recovered_s:
        results = [_round(kills) for _ in range(rounds)]
        lost = [recovered_s()]
    for _ in range(rounds - 1 if plan.full else 0):  # a quarter of a minute each
        with _lost_node() as recovered_s:
            lost.append(recovered_s())

    def figures(name: str, field: str, goal: float | None) -> list[Figure]:
        values = [[getattr(each, field) for each in result] for result in results]
        return [
            Figure(f"{name}, p50", "ms", [percentile(each, 50) for each in values]),
            Figure(f"{name}, p99", "ms", [percentile(each, 99) for each in values], goal, at_most=True),
        ]

    return Result(
        [
            *figures("worker killed → its job is claimable", "claimable", 250),
            *figures("worker killed → its job is another's", "elsewhere", None),
            *figures("worker killed → replacement ready", "replaced", 500),
            Figure("supervisor killed → its job is another node's", "s", lost, 20, at_most=True),
        ]
    )


def _round(kills: int) -> list[Recovery]:
    env = {"BALLAST_MB": BALLAST_MB}
    with (
        fresh_database() as dsn,
        supervisor(dsn, PROCESSES, env, log_level="error"),
        connect(dsn, role="benchmark") as connection,
        Client(dsn) as client,
    ):
        return [_kill_one(client, connection) for _ in range(kills)]


def _kill_one(client: Client, connection: psycopg.Connection[Any]) -> Recovery:
    job = client.insert({}, kind="hang").id
    worker, pid, _ = _owner(connection, job, but=0)
    time.sleep(BEGIN_S)
    (newest,) = _row(connection, "select max(id) from awa.worker", {})
    killed = time.time()
    os.kill(pid, signal.SIGKILL)
    _, _, leased = _owner(connection, job, but=worker)
    (claimable,) = _row(connection, _CLAIMABLE, {"job": job})
    (ready,) = _row(connection, _READY, {"newest": newest})
    client.cancel(job)  # its task asks for an exception then
    return Recovery(*((moment - killed) * 1000 for moment in (claimable, leased, ready)))


@contextmanager
def _lost_node() -> Iterator[Callable[[], float]]:
    """Kill a supervisor; yield what waits until another one has its job, and returns how many seconds that took."""
    with (
        fresh_database() as dsn,
        connect(dsn, role="benchmark") as connection,
        Client(dsn) as client,
        supervisor(dsn, 1, log_level="error") as first,
    ):
        job = client.insert({}, kind="hang").id
        worker, _, _ = _owner(connection, job, but=0)
        with supervisor(dsn, 1, log_level="error"):
            killed = time.time()
            first.kill()

            def recovered_s() -> float:
                _, _, leased = _owner(connection, job, but=worker)
                client.cancel(job)
                return float(leased - killed)

            yield recovered_s


def _owner(connection: psycopg.Connection[Any], job: int, but: int) -> tuple[Any, ...]:
    """Wait until a worker other than `but` has the job: its id, its process, and when it got it."""
    return _row(connection, _OWNER, {"job": job, "but": but})


def _row(connection: psycopg.Connection[Any], query: str, values: dict[str, int]) -> tuple[Any, ...]:
    """Wait until a query finds a row; return it."""
    found: list[tuple[Any, ...]] = []

    def there() -> bool:
        row = connection.execute(query.encode(), values).fetchone()
        found.extend([row] if row else [])
        return row is not None

    until(there, WAIT_S, query, every_s=0.002)
    return found[0]
