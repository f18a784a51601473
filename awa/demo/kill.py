"""The kill: choose a worker that is in the middle of a job, end it with SIGKILL, and watch what becomes of both."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from time import monotonic, time
from typing import Any, Final, NamedTuple

import psycopg

from awa.demo.errors import DemoError

PATIENCE_S_PER_FILE: Final = 0.0005
"""For so long the hunt waits for a large file, a short while of the whole run; then any will do."""
KILLS_MAX: Final = 3
"""A worker may be killed just between two jobs. Then another has to be."""

LEASES: Final = """
select w.id, w.pid, array_agg(u.job order by b.lease_pos, b.id, u.position)
from awa.worker w
join awa.node n on n.id = w.node_id
join awa.batch b on b.owner = w.id
cross join lateral unnest(b.ids) with ordinality as u(job, position)
where n.pid = %(supervisor)s
  and not exists (select from awa_demo.files f where f.run = %(run)s and f.job = u.job)
group by w.id, w.pid
"""
"""Every worker that has a lease, with those of its jobs, in the order they are run, whose rows are not written yet."""

NEWS: Final = """
select
  exists (select from awa.worker where id = %(worker)s) as is_signed_in,
  (select min(w.started_at) from awa.worker w join awa.node n on n.id = w.node_id
   where n.pid = %(supervisor)s and w.started_at > %(at)s) as replaced_at,
  spent.job_id, spent.finished_at, again.started_at
from (values (1)) as one
left join awa.attempts spent on spent.worker = %(worker)s and spent.error ->> 'type' = 'WorkerDied'
left join awa.attempts again on again.job_id = spent.job_id and again.attempt = spent.attempt + 1
"""


class Victim(NamedTuple):
    """A worker, and the job it seems to be in."""

    worker: int
    pid: int
    job: int


@dataclass
class Kill:
    """One kill. Each time span is in seconds from the signal, None until it is known."""

    victim: Victim
    at: datetime
    """By the server's clock …"""
    at_local: float
    """… and by this machine's: what a worker wrote down is measured by that."""
    is_over: bool = False
    """The queue has noticed that the worker is dead."""
    job: int | None = None
    """The job it died in: its attempt is spent."""
    rescued_s: float | None = None
    """Its lease was taken apart."""
    replaced_s: float | None = None
    """A new worker had signed in."""
    resumed_s: float | None = None
    """The job it died in was running again. Known when that attempt has ended."""

    @property
    def recovery_s(self) -> float | None:
        """After how long everything was as before: a new worker there, and the job under way again."""
        if self.replaced_s is None or self.resumed_s is None:
            return None
        return max(self.replaced_s, self.resumed_s)

    @property
    def has_missed(self) -> bool:
        """Return whether the worker died between two jobs."""
        return self.is_over and self.job is None


class Killer:
    """Kills one worker of a supervisor in the middle of a job."""

    def __init__(self, supervisor: int, run: int, sizes: Mapping[int, int]) -> None:
        """`supervisor` is a process id; `sizes` tells how large the file of each job is, in bytes."""
        self._supervisor = supervisor
        self._run = run
        self._sizes = sizes
        self._large = sorted(sizes.values())[int(len(sizes) * 0.9)]
        self._since = 0.0
        self.kills: list[Kill] = []

    @property
    def last(self) -> Kill | None:
        """The kill that counts."""
        return self.kills[-1] if self.kills else None

    @property
    def is_hunting(self) -> bool:
        """Return whether a worker has yet to be killed in a job."""
        return self.last is None or self.last.has_missed

    @property
    def is_done(self) -> bool:
        """Return whether all there is to know is known."""
        return self.last is not None and self.last.recovery_s is not None

    def step(self, connection: psycopg.Connection[Any]) -> Kill | None:
        """Hunt, or look what became of the kill. Returns the kill if one was made just now."""
        if self.is_hunting:
            return self._hunt(connection)
        assert self.last is not None
        self._follow(connection, self.last)
        return None

    def _hunt(self, connection: psycopg.Connection[Any]) -> Kill | None:
        """Kill the worker whose file is the largest: there it will be for some time yet."""
        self._since = self._since or monotonic()
        if len(self.kills) == KILLS_MAX:
            raise DemoError(f"{KILLS_MAX} workers were killed, and none of them in the middle of a job")
        rows = connection.execute(LEASES, {"supervisor": self._supervisor, "run": self._run}).fetchall()
        victims = [Victim(worker, pid, jobs[0]) for worker, pid, jobs in rows]
        victim = max(victims, key=lambda each: self._sizes[each.job], default=None)
        if victim is None or (self._sizes[victim.job] < self._large and not self._is_tired()):
            return None
        return self._kill(connection, victim)

    def _is_tired(self) -> bool:
        return monotonic() - self._since > len(self._sizes) * PATIENCE_S_PER_FILE

    def _kill(self, connection: psycopg.Connection[Any], victim: Victim) -> Kill | None:
        row = connection.execute("select clock_timestamp()").fetchone()
        assert row is not None
        now = time()
        try:
            os.kill(victim.pid, signal.SIGKILL)
        except ProcessLookupError:
            return None  # it has ended by itself
        self.kills.append(Kill(victim, row[0], now))
        return self.kills[-1]

    def _follow(self, connection: psycopg.Connection[Any], kill: Kill) -> None:
        given = {"worker": kill.victim.worker, "supervisor": self._supervisor, "at": kill.at}
        row = connection.execute(NEWS, given).fetchone()
        assert row is not None
        is_signed_in, replaced_at, job, rescued_at, resumed_at = row
        kill.is_over = not is_signed_in
        kill.job = job
        kill.replaced_s = _seconds(kill.at, replaced_at)
        kill.rescued_s = _seconds(kill.at, rescued_at)
        kill.resumed_s = resumed_at.timestamp() - kill.at_local if resumed_at else None


def _seconds(since: datetime, until: datetime | None) -> float | None:
    return (until - since).total_seconds() if until else None
