"""Memory: what one worker more costs, and what the supervisor does, with an application of 300 MB.

The application is loaded once and its workers are forked from there, so they share its pages; what counts is the
proportional set size, in which a page shared by n processes counts a n-th for each. The workers have run jobs before it
is read. The figure is the growth of the whole tree from two workers to six, by worker.
"""

from __future__ import annotations

from pathlib import Path

import psutil

from awa import Client
from awa.database.open import connect
from benchmarks.harness.plan import Plan
from benchmarks.harness.report import Figure, Result
from benchmarks.harness.server import fresh_database
from benchmarks.harness.supervisor import resident_mb, supervisor, until

FEW, MANY = 2, 6
BALLAST_MB = 300
JOBS = 3_000
WAIT_S = 120.0
DONE = "select coalesce(sum(jobs), 0)::int from awa.outcome_count where outcome = 3"


def run(plan: Plan) -> Result:
    """Measure with few and with many workers: once, where next to nothing varies; with --full in each round."""
    rounds = [
        {workers: _measure(workers, plan.size(JOBS)) for workers in (FEW, MANY)}
        for _ in range(plan.rounds if plan.full else 1)
    ]
    per_worker = [(each[MANY][0] - each[FEW][0]) / (MANY - FEW) for each in rounds]
    return Result(
        [
            Figure(f"memory per extra worker (PSS), {BALLAST_MB} MB app", "MB", per_worker, 25, at_most=True),
            Figure("supervisor resident memory", "MB", [each[FEW][1] for each in rounds], 60, at_most=True),
        ]
    )


def _measure(workers: int, jobs: int) -> tuple[float, float]:
    """Return the proportional memory of the whole tree, and the resident memory of its supervisor, in MB."""
    with (
        fresh_database() as dsn,
        connect(dsn, role="benchmark") as connection,
        Client(dsn) as client,
        supervisor(dsn, workers, {"BALLAST_MB": str(BALLAST_MB)}) as process,
    ):
        client.insert_many(({"n": n} for n in range(jobs)), kind="noop")

        def done() -> bool:
            row = connection.execute(DONE).fetchone()
            return row is not None and row[0] == jobs

        until(done, WAIT_S, f"{jobs} jobs completed", every_s=0.1)
        tree = [process.pid, *(child.pid for child in psutil.Process(process.pid).children(recursive=True))]
        return sum(map(_proportional_mb, tree)), resident_mb(process.pid)


def _proportional_mb(pid: int) -> float:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):  # it ended meanwhile
        return 0.0
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("Pss:"))
