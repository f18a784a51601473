"""A database with jobs in every state there is, and a way to run all that have not ended."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta, timezone
from typing import Any

import psycopg

from awa.database.open import connect
from awa.engine import leaving, nodes, rescue, retire
from awa.engine.admin import control
from awa.engine.claim import bodies
from awa.engine.insert.direct_batches import JOBS_MIN
from awa.engine.promote import promote
from awa.engine.seal import seal, seal_all
from awa.engine.settle import settle
from awa.job.model import JobState as S
from tests.engine.helpers import Connection, add, ids_of, outcome, outcomes, places, sign_in, small_segments, take

HOUR_US = 3_600_000_000
ENDED = ("completed", "failed", "cancelled", "held failed")
KINDS = ("work", "held", "other")
ROUNDS_MAX = 50

Jobs = dict[str, list[int]]


def populate(dsn: str) -> Jobs:
    """Put jobs into every state; return their ids by what they are."""
    with connect(dsn, role="test") as db, connect(dsn, role="long") as long:
        small_segments(db, 40, 4)
        jobs = held_jobs(db)
        jobs |= settled_jobs(db)
        jobs |= waiting_jobs(db)
        # A transaction begun before the last seals and committed after them: found by its xid, not by its place.
        long.execute("begin")
        jobs["late"] = add(long, 2)
        jobs["ready"] = add(db, 3, kind="other")
        seal_all(db)
        long.execute("commit")
        jobs["half sealed"] = add(db, 5)
        assert seal(db, jobs_max=4).more
        jobs["unsealed"] = add(db, 4) + add(db, 2, run_at=soon())
        jobs["batched"] = add(db, JOBS_MIN, kind="other")
    return jobs


def soon() -> datetime:
    """A time that has not come."""
    return datetime.now(timezone.utc) + timedelta(hours=1)


def held_jobs(db: Connection) -> Jobs:
    """Jobs whose segment is gone."""
    ready, failed = add(db, 3, kind="held"), add(db, 2)
    later = add(db, 1, kind="held", run_at=soon())
    seal_all(db)
    worker = sign_in(db)
    settle(db, worker, [outcome(job, S.Failed, payload={"error": "E"}) for job in ids_of(take(db, worker))])
    db.execute("update awa.attempt_log set finished_at = now()")
    retire.watch(db)
    assert retire.rotate(db, 0.0)
    add(db, 1, kind="first of the next segment")
    for _ in range(5):
        retire.watch(db)
    assert retire.retire(db, leaving.Retention(0.0, 3600.0), recheck_s=0.0) == 1
    db.execute("delete from awa.batch where lane = (select id from awa.lane where kind like 'first%')")
    db.execute("delete from awa.job_log where kind like 'first%'")
    return {"held": ready, "held later": later, "held failed": failed}


def settled_jobs(db: Connection) -> Jobs:
    """Jobs that have been run, with every outcome, or that somebody is running."""
    ids = add(db, 14)
    seal_all(db)
    worker, other = sign_in(db), sign_in(db, "another node")
    assert set(ids_of(take(db, worker, 10))) == set(ids[:10])
    settle(db, worker, outcomes(ids[:2]))
    settle(db, worker, [outcome(job, S.Failed, payload={"error": "E"}) for job in ids[2:4]])
    settle(db, worker, [outcome(ids[4], S.Retryable, delay_us=HOUR_US), outcome(ids[5], S.Scheduled, delay_us=HOUR_US)])
    control.retry(db, ids[3])
    control.cancel(db, ids[6])
    assert len(ids_of(take(db, other, 3))) == 3
    return {
        "completed": ids[:2],
        "failed": ids[2:3],
        "retried by hand, and what nobody has claimed": [ids[3], ids[13]],
        "put aside": ids[4:6],
        "cancelled": ids[6:7],
        "leased": ids[7:13],
    }


def waiting_jobs(db: Connection) -> Jobs:
    """Jobs whose time has not come."""
    jobs = {"scheduled": add(db, 3, run_at=soon())}
    seal_all(db)
    return jobs


def run_all(db: Connection) -> Counter[int]:
    """Let every job that has not ended run, whatever it waits for; return how often each one ran."""
    ran: Counter[int] = Counter()
    seal_all(db)
    rescue.rescue_stale(db, nodes.beats(db))
    worker = sign_in(db, "the new node")
    for _ in range(ROUNDS_MAX):
        db.execute("update awa.deferred set run_at = now() where run_at > now()")
        promote(db)
        ids = ids_of(take(db, worker, 10, *KINDS))
        if not ids:
            return ran
        assert bodies(db, ids).keys() == set(ids)
        ran.update(ids)
        assert settle(db, worker, outcomes(ids)) == set(ids)
    raise AssertionError("there is no end to it")


def check(db: psycopg.Connection[Any], jobs: Jobs, ran: Counter[int]) -> None:
    """Every job that had not ended ran once, no other one did, and all have ended."""
    ended = {job for name in ENDED for job in jobs[name]}
    open_ = {name: ids for name, ids in jobs.items() if name not in ENDED}
    missed = {name: [job for job in ids if not ran[job]] for name, ids in open_.items()}
    assert not any(missed.values()), f"never ran: {missed}"
    assert not ended & ran.keys(), "ran though it had ended"
    assert ran.keys() == {job for ids in open_.values() for job in ids}
    assert set(ran.values()) == {1}, f"ran more than once: {ran}"
    assert all(place == ["ended"] for place in places(db).values())
