"""Who takes part, in which versions, with which settings tried, and in what its jobs differ from Awa's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Spec:
    """One contender."""

    name: str
    module: str
    requirements: tuple[str, ...] = ()
    """Pinned; none: it runs in the environment of the benchmarks themselves."""
    variants: tuple[dict[str, Any], ...] = ({},)
    """Settings to try; the one with the highest rate takes part. `processes` among them stands for jobs that do not
    compute: a runtime that has threads of its own may be faster in one."""
    computing: dict[str, Any] | None = None
    """Settings for jobs that compute, where the best ones for those that do not are worse: a process that takes a
    thousand of them leaves none to the other."""
    needs_redis: bool = False
    runs_jobs: bool = True
    is_bound: bool = False
    """Not a queue, but what limits one."""
    is_python: bool = True
    """A library written in Python: the fastest of them is the one to beat."""
    differs: str = ""
    """What it does more or less for a job than Awa does; the tables say so."""


OURS = Spec("awa", "ours")

BOUNDS = (
    Spec(
        "engine",
        "bound_engine",
        is_bound=True,
        differs="the engine's claim and settle around an empty loop: no handler, no time limit, no measurements",
    ),
    Spec(
        "bare table",
        "bound_table",
        is_bound=True,
        runs_jobs=False,
        differs="the same rows by COPY or INSERT into a table with nothing but a primary key",
    ),
)

STATEMENT = Spec(
    "awa.insert_job",
    "ours_statement",
    is_bound=True,
    differs="the statement behind Client.insert, without the client",
)

ENGINE, BARE_TABLE = BOUNDS

RIVALS = (
    Spec(
        "awa-pg",
        "awa_pg",
        ("awa-pg==0.6.9",),
        tuple({"max_workers": many, "processes": count} for many in (256, 1024) for count in (1, 2)),
        computing={"max_workers": 256},
        is_python=False,
        differs="dispatch in Rust; all jobs of a process share its event loop, so none can be killed; completed jobs "
        "are soon gone",
    ),
    Spec(
        "pgqueuer",
        "pgqueuer",
        ("pgqueuer==1.6.0", "asyncpg==0.32.0"),
        tuple({"batch_size": many} for many in (10, 100, 500)),
        differs="all jobs of a process share its event loop; a finished job leaves a row in a log, no attempts",
    ),
    Spec(
        "procrastinate",
        "procrastinate",
        ("procrastinate==3.10.0", "psycopg[binary,pool]==3.3.9"),
        tuple({"concurrency": many} for many in (1, 20)),
        differs="all jobs of a process share its event loop; each status change leaves a row in a table of events",
    ),
    Spec(
        "chancy",
        "chancy",
        ("chancy==0.26.0", "psycopg[binary]==3.3.9"),
        tuple({"concurrency": many} for many in (20, 200)),
        differs="its executor in the event loop and eager polling, not its default pool of processes, which is slower",
    ),
    Spec(
        "celery",
        "celery_redis",
        ("celery[redis]==5.7.0",),
        tuple({"prefetch": many} for many in (4, 64)),
        needs_redis=True,
        differs="Redis, appendfsync always; no transaction with the database; keeps no record of a finished job; "
        "acks_late, so that no job is lost with its worker",
    ),
    Spec(
        "rq",
        "rq_redis",
        ("rq==3.0.0",),
        ({"in_process": False}, {"in_process": True}),
        needs_redis=True,
        differs="Redis, appendfsync always; no transaction with the database; SimpleWorker where that is faster, "
        "without a fork for each job",
    ),
    Spec(
        "skip locked",
        "diy",
        is_python=False,
        variants=tuple({"batch": many} for many in (1, 10, 100)),
        differs="60 lines of psycopg by hand: no retries, no time limits, no heartbeat, no rescue, no attempts",
    ),
)

ALL = {spec.name: spec for spec in (OURS, STATEMENT, *BOUNDS, *RIVALS)}
