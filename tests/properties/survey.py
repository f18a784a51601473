"""What is: everything the database says about its jobs, read in one snapshot."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import psycopg

PLACES = """
select 'ready', u.id, b.id, b.retry_round, coalesce(b.attempts[u.pos], 0), null::int, b.lane
  from awa.batch b, unnest(b.ids) with ordinality u(id, pos) where b.owner is null
union all
select 'leased', u.id, b.id, b.retry_round, coalesce(b.attempts[u.pos], 0), b.owner, b.lane
  from awa.batch b, unnest(b.ids) with ordinality u(id, pos) where b.owner is not null
union all
select 'deferred', job_id, null, retry_round, attempt, null, lane from awa.deferred"""
BATCHES = "select id, cardinality(ids), cardinality(attempts) from awa.batch"
ATTEMPTS = (
    "select job_id, retry_round, attempt, outcome, started_at is not null from awa.every_attempt order by 1, 2, 3"
)
BODIES = """
select id, substr(tableoid::regclass::text, 5), queue, kind, priority from awa.job_log
union all select id, 'held', queue, kind, priority from awa.job_archive"""
JOBS = "select id, queue, kind, state::text, attempt, max_attempts, cardinality(errors) from awa.jobs"
SEGMENTS = "select id, first_id, end_id, sealed from awa.segment order by first_id"
LETTERS = "select job_id, lane from awa.dlq"
ROUTES = "select job_id, lane from awa.job_override"
LANES = "select id, queue, kind, priority from awa.lane"
FLOOR = """
select coalesce((select min(first_id) from awa.segment where not sealed), (select coalesce(max(end_id), 1) from
awa.segment))"""


@dataclass
class Spot:
    """One place a job's id is at."""

    name: str
    retry_round: int
    spent: int
    owner: int | None
    lane: tuple[str, str, int]


@dataclass
class Survey:
    """One look at the whole database."""

    spots: dict[int, list[Spot]] = field(default_factory=dict)
    """By job id."""
    batches: list[tuple[int, int, int | None]] = field(default_factory=list)
    """Id, number of ids, number of attempts (None: no array)."""
    attempts: dict[int, list[tuple[int, int, int, bool]]] = field(default_factory=dict)
    """By job id: round, attempt, outcome, whether it ran; in order."""
    bodies: dict[int, list[tuple[str, tuple[str, str, int]]]] = field(default_factory=dict)
    """By job id: table, and what its lane ought to be."""
    jobs: dict[int, list[tuple[Any, ...]]] = field(default_factory=dict)
    """By job id, the rows of `awa.jobs`."""
    letters: dict[int, tuple[str, str, int]] = field(default_factory=dict)
    """Dead letters by job id: the lane they failed in."""
    routes: dict[int, tuple[str, str, int]] = field(default_factory=dict)
    """By job id: the lane it is in now, where its body says another."""
    segments: list[tuple[int, int, int, bool]] = field(default_factory=list)
    floor: int = 0
    """Below this id nothing may be unsealed."""


def survey(connection: psycopg.Connection[Any]) -> Survey:
    """Look at everything, in one snapshot and one round trip."""
    connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    asked = (PLACES, BATCHES, ATTEMPTS, BODIES, JOBS, SEGMENTS, LETTERS, ROUTES, LANES, FLOOR)
    with connection.pipeline(), connection.transaction():
        answers = [connection.execute(statement, prepare=True) for statement in asked]  # type: ignore[call-overload]
    places, batches, attempts, bodies, jobs, segments, letters, routes, lanes, floor = (
        answer.fetchall() for answer in answers
    )
    lane_of = {lane: (queue, kind, priority) for lane, queue, kind, priority in lanes}
    seen = Survey(batches=batches, segments=segments, floor=floor[0][0])
    for name, job_id, _, round_, spent, owner, lane in places:
        seen.spots.setdefault(job_id, []).append(Spot(name, round_, spent, owner, lane_of[lane]))
    seen.letters = {job_id: lane_of[lane] for job_id, lane in letters}
    seen.routes = {job_id: lane_of[lane] for job_id, lane in routes}
    for job_id, *row in attempts:
        seen.attempts.setdefault(job_id, []).append(tuple(row))
    for job_id, table, *lane in bodies:
        seen.bodies.setdefault(job_id, []).append((table, tuple(lane)))
    for job_id, *row in jobs:
        seen.jobs.setdefault(job_id, []).append(tuple(row))
    return seen
