"""Insert, drain and pickup, each measured once, on real workers."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from time import monotonic, perf_counter, sleep, time
from typing import Any, Final

import psycopg

from awa.bench.app import KIND, QUEUE
from awa.client.client import Client
from awa.database.open import connect
from awa.database.schema import chain
from awa.demo.place import Workspace, opened
from awa.demo.supervisor import Supervisor
from awa.errors import AwaError

APP: Final = "awa.bench.app:client"
TEXT: Final = "x" * 230
"""Makes the arguments 250 bytes of JSON."""
SINGLES_S: Final = 1.0
PICKUPS: Final = 100
WARM_UP: Final = 10
PICKUP_PAUSES_S: Final = (0.01, 0.06)
"""Of random length, so that no poll interval is in step with it."""
STALL_S: Final = 30.0
SETTINGS: Final = ("server_version", "fsync", "synchronous_commit")

_NEARLY: Final = "select count(*) from awa.attempt_log where job_id between %s and %s and outcome = 3"
"""Cheap to ask, but other jobs of this database may have ids in between."""
_RUN: Final = """
    select count(*), extract(epoch from max(finished_at) - min(started_at))::float8 from awa.attempt_log
    where job_id = any (%s) and outcome = 3"""
_STARTED: Final = "select extract(epoch from started_at)::float8 from awa.attempt_log where job_id = %s"


@dataclass(frozen=True)
class BenchOptions:
    """The options of a run."""

    jobs: int
    processes: int
    database_url: str | None
    """None: an embedded one, gone afterwards."""


@dataclass(frozen=True)
class BenchReport:
    """The measured figures."""

    jobs: int
    processes: int
    settings: dict[str, str]
    insert_many_per_s: float
    insert_per_s: float
    drain_per_s: float
    pickup_p50_ms: float
    pickup_p99_ms: float


def run(options: BenchOptions, say: Callable[[str], None]) -> BenchReport:
    """Insert a backlog, let workers drain it, then hand them one job at a time."""
    with opened(options.database_url, say) as place:
        with connect(place.dsn, role="bench") as connection, Client(place.dsn) as client:
            if options.database_url is None:
                chain.migrate(connection)
            chain.check(connection)
            say(f"inserting {options.jobs:,} jobs at once, then one by one …")
            ids, many_per_s = _insert_many(client, options.jobs)
            singles, single_per_s = _insert_singles(client)
            backlog = [*ids, *singles]
            say(f"draining {len(backlog):,} jobs with {options.processes} workers …")
            with _workers(place, options.processes):
                drain_per_s = _drain(connection, backlog)
                say(f"handing over {PICKUPS} jobs, one by one …")
                waits = sorted(_waits(client, connection))
            settings = {name: _shown(connection, name) for name in SETTINGS}
        return BenchReport(
            options.jobs,
            options.processes,
            settings,
            many_per_s,
            single_per_s,
            drain_per_s,
            waits[len(waits) // 2],
            waits[len(waits) * 99 // 100],
        )


def _insert_many(client: Client, jobs: int) -> tuple[list[int], float]:
    """Return the ids, and the jobs inserted a second."""
    began = perf_counter()
    many = client.insert_many(({"n": n, "text": TEXT} for n in range(jobs)), kind=KIND, queue=QUEUE)
    return list(many.ids), jobs / (perf_counter() - began)


def _insert_singles(client: Client) -> tuple[list[int], float]:
    """Insert single jobs for a while, each with its own commit; return their ids, and how many a second."""
    ids: list[int] = []
    began = perf_counter()
    while perf_counter() - began < SINGLES_S:
        ids.append(client.insert({"n": len(ids), "text": TEXT}, kind=KIND, queue=QUEUE).id)
    return ids, len(ids) / (perf_counter() - began)


def _workers(place: Workspace, processes: int) -> Supervisor:
    return Supervisor(place, processes, app=APP)


def _drain(connection: psycopg.Connection[Any], ids: list[int]) -> float:
    """Wait until these jobs have run; return how many a second, from the first start to the last end."""
    done, moved = 0, monotonic()
    while True:
        row = connection.execute(_NEARLY, [min(ids), max(ids)]).fetchone()
        if row and row[0] > done:
            done, moved = row[0], monotonic()
        if done >= len(ids):
            jobs, seconds = connection.execute(_RUN, [ids]).fetchone() or (0, 0.0)
            if jobs == len(ids):
                return jobs / float(seconds)
        if monotonic() - moved > STALL_S:
            raise AwaError(
                f"{done:,} of {len(ids):,} jobs have run, and none for {STALL_S:.0f} s. "
                f"See whether something else holds locks in this database: awa queue stats"
            )
        sleep(0.1)


def _waits(client: Client, connection: psycopg.Connection[Any]) -> Iterator[float]:
    """Yield how many milliseconds each of some single jobs has waited for its start."""
    for at in range(WARM_UP + PICKUPS):
        sleep(random.uniform(*PICKUP_PAUSES_S))
        job = client.insert({"n": at, "text": TEXT}, kind=KIND, queue=QUEUE).id
        committed = time()
        deadline = monotonic() + STALL_S
        while (row := connection.execute(_STARTED, [job]).fetchone()) is None:
            if monotonic() > deadline:
                raise AwaError(f"job {job} has not run within {STALL_S:.0f} s of its insert")
            sleep(0.005)
        if at >= WARM_UP:
            yield max(0.0, (float(row[0]) - committed) * 1000)


def _shown(connection: psycopg.Connection[Any], name: str) -> str:
    row = connection.execute(f"show {name}").fetchone()
    return str(row[0]) if row else ""
