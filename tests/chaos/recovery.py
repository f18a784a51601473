"""How long it took to get over a fault, from the database's own records and the nodes' logs.

One machine has one clock, so the driver's `time.time()` and the server's `clock_timestamp()` can be compared, until the
server's is set: what may end after that is left out. Nodes with a skewed clock are left out where their own log is
needed. Faults come thick here: a recovery counts as undisturbed when no other fault could hold it up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any, Final

import psycopg

from tests.chaos.fault import Hit
from tests.chaos.node import Life, Node

LONGEST_S: Final = 60.0
HARMLESS: Final = ("worker_oom", "worker_pause")
"""Faults that hold up no recovery but their own."""
BEFORE_S: Final = 3.0
"""A fault so shortly before disturbs as well."""


@dataclass(frozen=True)
class Injected:
    """A fault that was injected."""

    kind: str
    began: float
    ended: float
    hit: Hit


@dataclass
class Times:
    """Seconds that recoveries of one sort took."""

    what: str
    undisturbed: list[float] = field(default_factory=list)
    all: list[float] = field(default_factory=list)

    def add(self, seconds: float, quiet: bool) -> None:
        """Note one."""
        self.all.append(seconds)
        if quiet:
            self.undisturbed.append(seconds)


_DIED: Final = """
select a.job, a.worker, extract(epoch from l.at)::float8 from chaos.attempt a
join chaos.lease l on l.job = a.job and l.owner = a.worker and not l.took and l.xmin = a.xmin
where a.attempt = 1 and a.error ->> 'pid' = %(pid)s::text and a.error ->> 'signal' = '9'
  and l.at between to_timestamp(%(at)s) and to_timestamp(%(at)s + %(longest)s)"""
_TAKEN: Final = """
select extract(epoch from min(at))::float8 from chaos.lease
where job = %(job)s and took and owner <> %(owner)s and at > to_timestamp(%(at)s)"""


def measure(connection: psycopg.Connection[Any], injected: Sequence[Injected], nodes: Sequence[Node]) -> list[Times]:
    """Return the times of all recoveries that can be told from each other."""
    claimable = Times("worker killed -> its job can be claimed")
    running = Times("worker killed -> its job is claimed again")
    replaced = Times("worker killed -> another is ready")
    elsewhere = Times("supervisor killed -> a job of it is claimed elsewhere")
    set_at = min((fault.began for fault in injected if fault.kind == "clock_step"), default=float("inf"))
    for fault in injected:
        if fault.kind == "worker_kill":
            _replacement_of(fault, injected, nodes, replaced)
        if fault.hit.at + LONGEST_S > set_at:
            continue
        if fault.kind == "worker_kill":
            _job_of(connection, fault, injected, claimable, running)
        elif fault.kind == "supervisor_kill":
            _jobs_of(connection, fault, injected, elsewhere)
    return [claimable, running, replaced, elsewhere]


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value that `share` of `values` do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def _job_of(
    connection: psycopg.Connection[Any], fault: Injected, others: Sequence[Injected], claimable: Times, running: Times
) -> None:
    """The job a killed worker was in, if it was its first attempt: later ones wait on purpose."""
    at = fault.hit.at
    row = connection.execute(_DIED, {"pid": fault.hit.pid, "at": at, "longest": LONGEST_S}).fetchone()
    if row is None:
        return
    job, owner, freed = row
    claimable.add(freed - at, _quiet(fault, freed, others))
    taken = _taken(connection, job, owner, at)
    if taken is not None:
        running.add(taken - at, _quiet(fault, taken, others))


def _jobs_of(
    connection: psycopg.Connection[Any], fault: Injected, others: Sequence[Injected], elsewhere: Times
) -> None:
    for job, owner in fault.hit.jobs:
        taken = _taken(connection, job, owner, fault.hit.at)
        if taken is not None:
            elsewhere.add(taken - fault.hit.at, _quiet(fault, taken, others, any_node=True))


def _taken(connection: psycopg.Connection[Any], job: int, owner: int, at: float) -> float | None:
    row = connection.execute(_TAKEN, {"job": job, "owner": owner, "at": at}).fetchone()
    return row[0] if row else None


def _replacement_of(fault: Injected, others: Sequence[Injected], nodes: Sequence[Node], replaced: Times) -> None:
    """The first worker of the node that got ready after the killed one was seen to have ended."""
    at, node = fault.hit.at, fault.hit.node
    life = _life(nodes[node].lives, at) if node is not None else None
    if life is None or life.skew_s:
        return
    gone = False
    for line in life.lines():
        if line.get("event") == "worker.exited" and line.get("pid") == fault.hit.pid:
            gone = _time(line) >= at - 1
        elif gone and line.get("event") == "worker.ready":
            replaced.add(_time(line) - at, _quiet(fault, _time(line), others))
            return


def _life(lives: Sequence[Life], at: float) -> Life | None:
    return next((life for life in reversed(lives) if life.began <= at), None)


def _time(line: dict[str, Any]) -> float:
    moment = datetime.strptime(line["time"], "%Y-%m-%dT%H:%M:%S.%fZ")
    return moment.replace(tzinfo=timezone.utc).timestamp()


def _quiet(fault: Injected, until: float, others: Sequence[Injected], *, any_node: bool = False) -> bool:
    """Whether no other fault that matters was under way between the fault and `until`: of everybody's and the node's
    own, or of any node's where another one has to help."""
    return not any(
        other.began <= until
        and other.ended >= fault.hit.at - BEFORE_S
        and (any_node or other.hit.node in (None, fault.hit.node))
        for other in others
        if other is not fault and other.kind not in HARMLESS
    )
