"""Upkeep: how long the longest single insert takes while the log is looked after in the dear ways.

One connection inserts job after job, each with its own commit, while another does what a leader does: it retires a
segment with jobs of 20 KB that must live on; makes segments after ids ran past the last one by many; and seals what was
restored from another cluster. A lock held for long shows in the longest insert, and nothing else does: so the first
figure to read is p100. It holds whatever else the machine does at that moment, the disk's flushes included.

`--jobs` is the number of jobs in the segment; there are a hundredth as many that live on, 0.3 times as many strays, and
five times as many restored ones. The tables are filled in SQL, as they are after such jobs have been run.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

import psycopg

from awa.database.open import connect
from awa.engine import retire, seal
from awa.engine.insert.single import Envelope, NewJob, insert
from awa.engine.leaving import Retention
from benchmarks.harness.plan import Plan
from benchmarks.harness.report import Figure, Result, percentile
from benchmarks.harness.server import fresh_database

JOBS: Final = 50_000
FULL: Final = 1_000_000
BODY_BYTES: Final = 20_000
GOAL_MS: Final = 100.0
SEGMENT_IDS: Final = 1_000_000
AT_ONCE: Final = Retention(0.0, 0.0)
JOB: Final = NewJob(b'{"to": "you"}', Envelope("default", "upkeep", 2, 25))

# Text that does not shrink to nothing when it is compressed.
_SURVIVORS = """
    insert into awa.job_log (id, xid, queue, kind, args)
    select i, null, 'default', 'kept', jsonb_build_object('text',
           (select string_agg(md5(random()::text || i || part), '') from generate_series(1, %(parts)s::int) part))
    from generate_series(1::bigint, %(jobs)s) i"""
_ENDED = """
    insert into awa.job_log (id, xid, queue, kind)
    select i, null, 'default', 'ended' from generate_series(%(first_id)s::bigint, %(end_id)s::bigint) i"""
_LANE = "insert into awa.lane (queue, kind, priority) values ('default', 'kept', 2) returning id"
_BATCHES = """
    insert into awa.batch (sort_at, lane, ids)
    select now(), %(lane)s, array_agg(i) from generate_series(1::bigint, %(jobs)s) i group by i / 128"""
_ATTEMPTS = """
    insert into awa.attempt_log (job_id, started_at, finished_at, lane, retry_round, attempt, outcome)
    select i, now(), now(), %(lane)s, 0, 1, 3 from generate_series(%(first_id)s::bigint, %(end_id)s::bigint) i"""
_PASSED = """
    update awa.segment set sealed = true, exhausted_at = now() - interval '1 day', open_writers = '{}', closed_at =
    now(),
                           closed_seal = 1 where first_id = 1"""
# With xids of another cluster, which is far ahead, a hundred jobs a transaction.
_UNSEALED = """
    insert into awa.job_log (queue, kind, xid)
    select 'default', 'restored', (pg_current_xact_id()::text::bigint + 1000000000 + i / 100)::text::xid8
    from generate_series(1::bigint, %(jobs)s) i"""
_STRAY = """
    insert into awa.job_log (xid, queue, kind)
    select null, 'default', 'stray' from generate_series(1::bigint, %(jobs)s)"""


class Held(NamedTuple):
    """What inserts met with while something was done."""

    inserts_ms: list[float]
    took_s: float


def run(plan: Plan) -> Result:
    """Do each of the three once a round."""
    jobs = plan.size(JOBS, FULL)
    rounds = [_round(jobs) for _ in range(plan.rounds if plan.full else 1)]
    figures: list[Figure] = []
    for at, name in enumerate(("a segment is retired", "strays are taken in", "a restore is sealed")):
        found = [each[at] for each in rounds]
        figures += [
            Figure(f"insert while {name}, longest", "ms", [max(h.inserts_ms) for h in found], GOAL_MS, at_most=True),
            Figure(f"insert while {name}, p99.9", "ms", [percentile(h.inserts_ms, 99.9) for h in found]),
            Figure(f"{name}: takes", "s", [h.took_s for h in found]),
        ]
    restored = [5 * jobs / each[2].took_s for each in rounds]
    figures.append(Figure("restored jobs sealed", "jobs/s", restored, 100_000))
    return Result(figures)


def _round(jobs: int) -> tuple[Held, Held, Held]:
    with fresh_database() as dsn, connect(dsn, role="benchmark") as connection:
        return (
            _while(dsn, _retired(connection, jobs)),
            _while(dsn, _extended(connection, max(1, jobs * 3 // 10))),
            _while(dsn, _resealed(connection, 5 * jobs)),
        )


def _retired(connection: psycopg.Connection[Any], jobs: int) -> Callable[[], None]:
    """Fill the first segment with jobs of which a hundredth must live on; return what retires it."""
    kept = max(1, jobs // 100)
    (lane,) = connection.execute(_LANE).fetchone() or (0,)
    connection.execute(_SURVIVORS.encode(), {"jobs": kept, "parts": BODY_BYTES // 32})
    connection.execute(_ENDED.encode(), {"first_id": kept + 1, "end_id": jobs})
    connection.execute(_ATTEMPTS.encode(), {"lane": lane, "first_id": kept + 1, "end_id": jobs})
    connection.execute(_BATCHES.encode(), {"lane": lane, "jobs": kept})
    connection.execute("select setval('awa.job_id', %s)", [SEGMENT_IDS])
    connection.execute(_PASSED.encode())
    connection.execute("analyze awa.job_log, awa.attempt_log, awa.batch")

    def act() -> None:
        while not retire.retire(connection, AT_ONCE, recheck_s=0.0):
            pass

    return act


def _extended(connection: psycopg.Connection[Any], strays: int) -> Callable[[], None]:
    """Have ids run past the last segment; return what makes new segments."""
    connection.execute("select setval('awa.job_id', max(end_id)) from awa.segment")
    connection.execute(_STRAY.encode(), {"jobs": strays})

    def act() -> None:
        while retire.extend(connection, SEGMENT_IDS, 8) or connection.execute(
            "select last_value >= (select max(end_id) from awa.segment) from awa.job_id"
        ).fetchone() == (True,):
            pass

    return act


def _resealed(connection: psycopg.Connection[Any], jobs: int) -> Callable[[], None]:
    """Make jobs that nobody has sealed, and a ledger of another cluster; return what seals them."""
    seal.seal_all(connection)
    connection.execute(_UNSEALED.encode(), {"jobs": jobs})
    connection.execute("update awa.seal_ledger set system_id = system_id + 1")

    def act() -> None:
        while seal.seal(connection).more:
            pass

    return act


def _while(dsn: str, act: Callable[[], None]) -> Held:
    with _inserting(dsn) as took_ms:
        began = time.monotonic()
        act()
        took_s = time.monotonic() - began
    return Held(took_ms, took_s)


@contextmanager
def _inserting(dsn: str) -> Iterator[list[float]]:
    """Insert job after job in another thread; yield the list of how long each took, in milliseconds."""
    took_ms: list[float] = []
    ends, begun = threading.Event(), threading.Event()

    def insert_on() -> None:
        with connect(dsn, role="producer") as connection:
            while not ends.is_set():
                began = time.perf_counter()
                insert(connection, JOB)
                took_ms.append((time.perf_counter() - began) * 1000)
                begun.set()

    thread = threading.Thread(target=insert_on)
    thread.start()
    try:
        begun.wait(10.0)
        yield took_ms
    finally:
        ends.set()
        thread.join()
