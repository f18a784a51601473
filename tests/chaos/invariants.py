"""What has to be true after the storm: each a query for what must not be, or a look at the system.

A job's name `n` stands in the ledger, in its arguments and in what its handler left; ids are the database's.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Any, Final

import psutil
import psycopg

SHOWN: Final = 12
GONE_S: Final = 10.0
"""How long processes and connections may take to be gone after their supervisor."""


@dataclass(frozen=True)
class Verdict:
    """One invariant, and what offends against it."""

    claim: str
    offenders: list[str] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        """Whether nothing offends."""
        return not self.offenders

    def __str__(self) -> str:
        if self.holds:
            return f"holds      {self.claim}"
        shown = "; ".join(self.offenders[:SHOWN])
        more = f" and {len(self.offenders) - SHOWN} more" if len(self.offenders) > SHOWN else ""
        return f"VIOLATED   {self.claim}: {shown}{more}"


_PLACES: Final = """
with places as (
  select u.id, 'batch ' || b.id || coalesce(' of worker ' || b.owner, '') as place
  from awa.batch b, unnest(b.ids) u(id)
  union all
  select job_id, 'deferred' from awa.deferred
  union all
  select distinct job, 'the ended' from chaos.attempt where outcome in (3, 5, 6)
)"""

QUERIES: Final = {
    "no committed job is lost": """
        select 'job ' || n || ' (' || kind || ')' from chaos.ledger l
        where not exists (select from chaos.body b where b.n = l.n)""",
    "no job exists that nobody committed, and none twice": """
        select 'job ' || b.id || ' (' || n || ')' from chaos.body b
        where not exists (select from chaos.ledger l where l.n = b.n)
        union all
        select 'jobs ' || string_agg(id::text, ', ') || ' (' || n || ')' from chaos.body
        group by n having count(*) > 1""",
    "jobs inserted = jobs ended + jobs waiting, each in one place": _PLACES
    + """
        select 'job ' || b.id || ' is in ' || coalesce(string_agg(p.place, ' and '), 'no place')
        from chaos.body b left join places p on p.id = b.id group by b.id having count(p.place) <> 1
        union all
        select 'job ' || p.id || ' has never been inserted and is in ' || p.place from places p
        where not exists (select from chaos.body b where b.id = p.id)""",
    "no job is forgotten before its end, and none is left when all has been worked off": """
        select 'job ' || b.id || ' (' || b.kind || ') is ' || coalesce(j.state::text, 'forgotten')
        from chaos.body b left join awa.jobs j on j.id = b.id
        where not exists (select from chaos.attempt a where a.job = b.id and a.outcome in (3, 5, 6))""",
    "no job has two ends, or an attempt after its end": """
        select 'job ' || job || ': outcomes ' || string_agg(outcome::text, ', ' order by attempt)
        from chaos.attempt group by job, retry_round
        having count(*) filter (where outcome in (3, 5, 6)) > 1
            or max(attempt) > max(attempt) filter (where outcome in (3, 5, 6))""",
    "attempts are counted one by one": """
        select 'job ' || job || ': attempts ' || string_agg(attempt::text, ', ' order by attempt)
        from chaos.attempt where outcome <> 1 group by job, retry_round
        having min(attempt) <> 1 or max(attempt) <> count(*)""",
    "the outcome count agrees with the attempts": """
        select 'outcome ' || outcome || ': ' || coalesce(t.jobs, 0) || ' counted, ' || coalesce(a.jobs, 0) || ' settled'
        from (select outcome, sum(jobs) as jobs from awa.outcome_count group by 1) t
        full join (select outcome, count(*) as jobs from chaos.attempt where outcome <> 1 group by 1) a
        using (outcome)
        where t.jobs is distinct from a.jobs""",
    "a job is in the lease of one worker at a time": """
        select distinct 'job ' || job from (
          select job, owner, net, sum(net) over (partition by job order by seq) as held,
                 lag(owner) over (partition by job order by seq) as before
          from (select job, owner, sum(case when took then 1 else -1 end) as net, min(seq) as seq
                from chaos.lease group by job, owner, xmin::text) moves
          where net <> 0
        ) history where held not in (0, 1) or net not in (-1, 1) or net = -1 and before is distinct from owner""",
    "every attempt was settled out of the lease of its worker, in the same transaction": """
        select 'job ' || job || ' attempt ' || attempt || ' by worker ' || worker from chaos.attempt a
        where worker is not null and not exists (
          select from chaos.lease l where l.job = a.job and l.owner = a.worker and not l.took and l.xmin = a.xmin)""",
    "what is called completed has been run to its end": """
        select 'job ' || job || ' attempt ' || attempt from chaos.attempt a
        where outcome = 3
        and not exists (
          select from chaos.effect e where e.job = a.job and e.attempt = a.attempt and e.what = 'ran')
        and not exists (select from chaos.once o where o.job = a.job and o.attempt = a.attempt)""",
    "only jobs that were meant to fail have failed": """
        select 'job ' || job || ' (' || kind || '): ' || coalesce(error ->> 'error', 'no error')
        from chaos.attempt a join chaos.body b on b.id = a.job where outcome = 5 and kind <> 'doomed'""",
    "effects in the job's own transaction are there exactly once": """
        select 'job ' || o.n || ': ' || count(*) || ' times' from chaos.once o group by o.n having count(*) > 1
        union all
        select 'job ' || b.id || ' (once) completed without' from chaos.attempt a join chaos.body b on b.id = a.job
        where b.kind = 'once' and a.outcome = 3
          and not exists (select from chaos.once o where o.job = a.job and o.attempt = a.attempt)
        union all
        select 'job ' || o.job || ' (once) did it and is not completed' from chaos.once o
        where not exists (
          select from chaos.attempt a where a.job = o.job and a.attempt = o.attempt and a.outcome = 3)""",
}


def of_database(connection: psycopg.Connection[Any]) -> list[Verdict]:
    """Judge what the database says."""
    return [
        Verdict(claim, [text for (text,) in connection.execute(query.encode())]) for claim, query in QUERIES.items()
    ]


def of_producer(
    connection: psycopg.Connection[Any],
    acknowledged: Collection[str],
    rolled_back: Collection[str],
    cancelled: Collection[int],
) -> list[Verdict]:
    """Judge what the server has told the producer."""
    ledger = {n for (n,) in connection.execute("select n from chaos.ledger")}
    seen = {n for (n,) in connection.execute("select n from chaos.effect union select n from chaos.body")}
    ends = dict(
        connection.execute(
            "select distinct on (job) job, outcome from chaos.attempt order by job, retry_round desc, attempt desc"
        )
    )
    return [
        Verdict(
            "what was committed is there, whatever the server has been through", sorted(set(acknowledged) - ledger)
        ),
        Verdict("what was rolled back has never been seen", sorted(set(rolled_back) & (seen | ledger))),
        Verdict(
            "what was cancelled stays cancelled",
            [f"job {job} has outcome {ends.get(job)}" for job in sorted(cancelled) if ends.get(job) != 6],
        ),
    ]


def of_system(
    connection: psycopg.Connection[Any], leftovers: Iterable[psutil.Process], stubborn: list[str]
) -> list[Verdict]:
    """Judge what the fleet has left behind. `leftovers` are its processes that still live, `stubborn` the nodes that
    would not end."""
    return [
        Verdict("every node ends when it is told to", stubborn),
        Verdict("no process is left, and with it no shared memory", [_shown(process) for process in leftovers]),
        Verdict("no connection is left", _connections(connection)),
        Verdict(
            "no node or worker is left signed in",
            [text for (text,) in connection.execute(_SIGNED_IN)],
        ),
    ]


_SIGNED_IN: Final = "select 'node ' || id from awa.node union all select 'worker ' || id from awa.worker"
_CONNECTIONS: Final = """
select application_name || ' (' || pid || ')' from pg_stat_activity
where datname = current_database() and backend_type = 'client backend' and application_name !~ '^chaos'"""


def _connections(connection: psycopg.Connection[Any]) -> list[str]:
    """Connections that are not the driver's and do not end."""
    deadline = time.monotonic() + GONE_S
    while True:
        found = [text for (text,) in connection.execute(_CONNECTIONS)]
        if not found or time.monotonic() > deadline:
            return found
        time.sleep(0.05)


def _shown(process: psutil.Process) -> str:
    try:
        return f"{process.pid} {' '.join(process.cmdline())[:80]} (parent {process.ppid()}){_memory(process)}"
    except psutil.NoSuchProcess:
        return f"{process.pid}, which has ended since"


def _memory(process: psutil.Process) -> str:
    """Whether it still holds a board."""
    try:
        return ", holds a board" if any("awa-board" in each.path for each in process.memory_maps()) else ""
    except (psutil.Error, AttributeError):  # not Linux, or gone
        return ""
