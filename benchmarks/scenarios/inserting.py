"""Inserting: single jobs, each with its own commit, from 32 connections at once; and many unique jobs in one call.

Each commit waits for the disk, while no worker is running. The connections belong to four processes: threads where
the library is synchronous, tasks where it is not. Two bounds: the same rows, by the same driver, into a table that
has nothing but a primary key; and `awa.insert_job`, the statement behind `Client.insert`, without the client. The
statement beside the bare table is what the queue costs a producer: its checks, its second index, its partitions, and
the look whether somebody is idle. `Client.insert` adds what Python does before and after, which with 32 connections
competes with the server for the same cores.

The unique jobs are inserted by one client into one table, which grows from round to round.
"""

from __future__ import annotations

import time

from awa import Client
from benchmarks.harness.comparison import compare
from benchmarks.harness.contender import Contender
from benchmarks.harness.field import field, rivals
from benchmarks.harness.plan import Plan
from benchmarks.harness.report import Figure, Result
from benchmarks.harness.rivals.specs import BARE_TABLE, OURS, STATEMENT
from benchmarks.harness.server import fresh_database

CONNECTIONS = 32
SECONDS = 1.0
WARM_UP_S = 0.2
UNIQUE = 50_000
ARGS = {"n": 0, "text": "x" * 230}
"""Arguments of 250 bytes as JSON."""
TITLE = f"single inserts, {CONNECTIONS} connections"


def run(plan: Plan) -> Result:
    """Let every contender insert from many connections in each round; then insert unique jobs in bulk as often."""

    def insert(contender: Contender) -> float:
        rate: float = contender.ask("singles", connections=CONNECTIONS, seconds=plan.span(SECONDS), warm_up_s=WARM_UP_S)
        return rate

    with field(plan, [OURS, STATEMENT, BARE_TABLE, *rivals(plan)]) as it:
        rates = it.turns(insert)
        figures = compare(TITLE, "inserts/s", rates, it.failed, {"awa-pg": 5.0})
        beside = [ours / bare for ours, bare in zip(rates[STATEMENT.name], rates[BARE_TABLE.name], strict=True)]
        figures.append(Figure(f"{TITLE}: {STATEMENT.name} ÷ {BARE_TABLE.name}", "×", beside, 0.6))
        contenders = it.about()
    jobs = plan.size(UNIQUE)
    with fresh_database() as dsn, Client(dsn) as client:
        unique = [_unique(client, jobs, at) for at in range(plan.rounds)]
    figures.append(Figure(f"insert_many of {jobs:,} unique jobs", "jobs/s", unique, 30_000))
    return Result(figures, contenders=contenders)


def _unique(client: Client, jobs: int, at: int) -> float:
    """Return the rate of one bulk insert, the `at`th; all of its jobs are new."""
    numbers = range(at * jobs, (at + 1) * jobs)
    began = time.perf_counter()
    many = client.insert_many(({**ARGS, "n": n} for n in numbers), kind="noop", unique_opts={})
    seconds = time.perf_counter() - began
    if many.inserted != jobs:
        raise RuntimeError(f"{jobs} unique jobs given, {many.inserted} inserted")
    return jobs / seconds
