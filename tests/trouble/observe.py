"""What a supervisor costs and says while its database is in trouble."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic

from tests.fixtures.supervisor import Shop, Supervisor
from tests.fixtures.waiting import until

CPU_SHARE_MAX = 0.25
"""Of one CPU, for supervisor, forkserver and workers together: they take 0.01 to 0.02, on a crowded machine four times
that; one that tries without a pause takes more than 1."""
RSS_GROWTH_MAX = 24 * 2**20
"""Bytes a process may grow by while it waits."""
LONG_S = 60.0
"""Enough for the longest pause between two tries, on a busy machine."""


def cpu_s(supervisor: Supervisor) -> float:
    """The CPU time that the supervisor and all it started have used, in seconds."""
    times = [process.cpu_times() for process in supervisor.family()]
    return sum(each.user + each.system for each in times)


def memory(supervisor: Supervisor) -> dict[int, int]:
    """The resident memory of each of its processes, bytes."""
    return {process.pid: process.memory_info().rss for process in supervisor.family()}


def said(supervisor: Supervisor) -> list[tuple[str, str, str]]:
    """What was said to be wrong: process, event, and what it is about. Nothing may be in it twice."""
    names = ("database.lost", "supervisor.service_failed", "supervisor.warning")
    return [
        (each["process"], name, str(each.get("service") or each.get("warning") or ""))
        for name in names
        for each in supervisor.events(name)
    ]


@contextmanager
def endured(supervisor: Supervisor, seconds: float = 3.0, **fields: str) -> Iterator[None]:
    """Begin some trouble in the block; afterwards wait until it is noticed, and see that it is suffered in silence.

    For so many seconds: the same processes, little CPU time, no more memory, and nothing said twice. `fields` of the
    event say who has to notice.
    """
    workers = supervisor.workers()
    yield
    supervisor.until_event("database.lost", timeout=LONG_S, **fields)
    before, cpu, began = memory(supervisor), cpu_s(supervisor), monotonic()
    until(lambda: monotonic() - began > seconds, seconds + 5)
    used, wall = cpu_s(supervisor) - cpu, monotonic() - began
    assert used < CPU_SHARE_MAX * wall, f"{used:.2f} s of CPU in {wall:.2f} s"
    after = memory(supervisor)
    assert after.keys() == before.keys()
    assert all(after[pid] - before[pid] < RSS_GROWTH_MAX for pid in after), (before, after)
    assert supervisor.workers() == workers
    assert len(set(said(supervisor))) == len(said(supervisor)), supervisor.text()


def hold(shop: Shop, count: int = 2) -> list[int]:
    """Jobs that run until the gate is opened, one in each worker; they need no database."""
    held = shop.insert_many([("wait", {"gate": "gate"})] * count)
    until(lambda: shop.states(*held) == ["running"] * count, LONG_S)
    return held


def resumed(
    supervisor: Supervisor, shop: Shop, held: list[int], more: Callable[[Shop], list[int]] | None = None
) -> None:
    """See that work goes on by itself; what was finished meanwhile is settled, and did not run twice."""
    jobs = more(shop) if more else shop.insert_many([("note", {})] * 20)
    shop.until_state("completed", *held, *jobs, timeout=LONG_S)
    assert [len(shop.attempts(job)) for job in held] == [1] * len(held)
    assert shop.rows("select count(*) from awa.every_attempt group by job_id having count(*) > 1") == []
    assert shop.rows("select id from awa.batch") == []
    assert not supervisor.events("worker.exited")
    lost = {each["process"] for each in supervisor.events("database.lost")}
    for process in lost:
        supervisor.until_event("database.connected", process=process, timeout=LONG_S)
    assert supervisor.stop() == 0
