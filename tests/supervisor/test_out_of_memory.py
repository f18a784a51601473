"""A real kill for want of memory: the supervisor in a control group of its own, and a job that takes more than it has.

Needs the right to make control groups, as root has on most machines. The formats of the files:
tests/processes/test_oom.py.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from awa.processes.cgroups import CGROUPS, MEMBERSHIP
from tests.fixtures.supervisor import Shop, Start
from tests.fixtures.waiting import until

pytestmark = [pytest.mark.processes, pytest.mark.postgres]

LIMIT_MB = 400


def make_group() -> Path:
    """Make a control group that has little memory, or skip the test."""
    for root, limit in ((CGROUPS / "memory", "memory.limit_in_bytes"), (CGROUPS, "memory.max")):
        group = root / f"awa-test-{os.getpid()}"
        try:
            group.mkdir()
        except OSError:
            continue
        if (group / limit).exists():
            (group / limit).write_text(str(LIMIT_MB << 20))
            return group
        group.rmdir()
    pytest.skip("no control group with a limit of memory can be made here")


def own_group(group: Path) -> Path:
    """The group that this process is in, beside `group`."""
    is_v1 = group.parent.name == "memory"
    for line in MEMBERSHIP.read_text().splitlines():
        number, controllers, path = line.split(":", 2)
        if ("memory" in controllers.split(",")) if is_v1 else number == "0":
            inner = group.parent / path.lstrip("/")
            return inner if inner.exists() else group.parent
    raise AssertionError("this process is in no group")


def removed(group: Path) -> bool:
    """Remove a group; False while something that was killed is still in it."""
    with contextlib.suppress(OSError):
        group.rmdir()
        return True
    return False


@pytest.fixture
def small_group() -> Iterator[None]:
    """What the test starts has little memory."""
    group = make_group()
    before = own_group(group)
    try:
        (group / "cgroup.procs").write_text(str(os.getpid()))
        yield
    finally:
        with contextlib.suppress(OSError):
            (before / "cgroup.procs").write_text(str(os.getpid()))
        for pid in (group / "cgroup.procs").read_text().split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        until(lambda: removed(group), 30, "the group is empty")


def test_is_named_as_such_and_others_go_on(shop: Shop, small_group: None, supervise: Start) -> None:
    supervisor = supervise(processes=1).ready()
    greedy = shop.insert("leak", {"mb": 1000}, max_attempts=2)
    others = shop.insert_many([("note", {})] * 20)
    shop.until_state("failed", greedy, timeout=60)
    shop.until_state("completed", *others, timeout=60)
    for attempt in shop.attempts(greedy):
        assert attempt["error"]["type"] == "OutOfMemory"
        assert attempt["error"]["error"].startswith("worker killed by SIGKILL: out of memory (peak ")
        assert attempt["error"]["signal"] == signal.SIGKILL
        assert 150 << 10 <= attempt["peak_kb"] <= LIMIT_MB << 10
    assert supervisor.process.poll() is None
    exited = supervisor.events("worker.exited")[0]
    assert exited["how"].startswith("killed by SIGKILL: out of memory (peak ")


def test_another_kill_is_not_taken_for_one(shop: Shop, small_group: None, supervise: Start) -> None:
    supervise(processes=1)
    job = shop.insert("die", max_attempts=1)
    shop.until_state("failed", job, timeout=60)
    (error,) = shop.job(job)["errors"]
    assert (error["error"], error["type"]) == ("worker killed by SIGKILL", "WorkerDied")
