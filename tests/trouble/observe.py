"""What a supervisor costs and says while its database is in trouble."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic

from tests.fixtures.supervisor import Supervisor
from tests.fixtures.waiting import until

CPU_SHARE_MAX = 0.3
"""Of one CPU, for supervisor, forkserver and workers together, on a machine that is busy with other tests."""
RSS_GROWTH_MAX = 24 * 2**20
"""Bytes a process may grow by while it waits."""


def cpu_s(supervisor: Supervisor) -> float:
    """The CPU time that the supervisor and all it started have used, in seconds."""
    times = [process.cpu_times() for process in supervisor.family()]
    return sum(each.user + each.system for each in times)


def memory(supervisor: Supervisor) -> dict[int, int]:
    """The resident memory of each of its processes, bytes."""
    return {process.pid: process.memory_info().rss for process in supervisor.family()}


@contextmanager
def endured(supervisor: Supervisor, seconds: float = 3.0) -> Iterator[None]:
    """Begin some trouble in the block; afterwards wait until it is noticed, and see that it is suffered in silence.

    For so many seconds: the same processes, little CPU time, no more memory, and nothing said twice.
    """
    workers = supervisor.workers()
    yield
    supervisor.until_event("database.lost", process="supervisor", timeout=60)
    before, cpu, began = memory(supervisor), cpu_s(supervisor), monotonic()
    until(lambda: monotonic() - began > seconds, seconds + 5)
    used, wall = cpu_s(supervisor) - cpu, monotonic() - began
    assert used < CPU_SHARE_MAX * wall, f"{used:.2f} s of CPU in {wall:.2f} s"
    after = memory(supervisor)
    assert after.keys() == before.keys()
    assert all(after[pid] - before[pid] < RSS_GROWTH_MAX for pid in after), (before, after)
    assert supervisor.workers() == workers
    assert said(supervisor) <= 1 + len(workers), supervisor.text()


def said(supervisor: Supervisor) -> int:
    """How often it was said that something is wrong: once by the supervisor and once by each worker, at most."""
    return len(supervisor.events("database.lost")) + len(supervisor.events("supervisor.service_failed"))
