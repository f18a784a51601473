"""Kills for want of memory, read from files such as the kernel's."""

from __future__ import annotations

from pathlib import Path

import pytest

from awa.processes import oom
from awa.processes.oom import OomWatch

EVENTS = "low 0\nhigh 3\nmax 812\noom 5\noom_kill {}\noom_group_kill 0\n"
CONTROL = "oom_kill_disable 0\nunder_oom 0\noom_kill {}\n"
VMSTAT = "nr_free_pages 1234\noom_kill {}\nnuma_hit 77\n"


class Machine:
    """The files of a machine that is not this one."""

    def __init__(self, root: Path, membership: str) -> None:
        self.root = root
        self.write("membership", membership)
        self.vmstat(0)

    def write(self, name: str, text: str) -> None:
        (self.root / name).parent.mkdir(parents=True, exist_ok=True)
        (self.root / name).write_text(text)

    def vmstat(self, kills: int) -> None:
        self.write("vmstat", VMSTAT.format(kills))

    def watch(self) -> OomWatch:
        return OomWatch(self.root / "membership", self.root / "cgroup", self.root / "vmstat")


def test_version_2(tmp_path: Path) -> None:
    machine = Machine(tmp_path, "0::/system.slice/shop.service\n")
    events = "cgroup/system.slice/shop.service/memory.events"
    machine.write(events, EVENTS.format(7))
    watch = machine.watch()
    assert not watch.took_one()  # what was before our time
    machine.write(events, EVENTS.format(9))
    assert [watch.took_one() for _ in range(3)] == [True, True, False]
    machine.vmstat(4)
    assert not watch.took_one()  # elsewhere on this machine


def test_version_1_and_the_mixture_of_both(tmp_path: Path) -> None:
    machine = Machine(tmp_path, "4:memory:/shop\n3:cpu,cpuacct:/\n0::/shop\n")
    machine.write("cgroup/unified/shop/cgroup.procs", "")  # no memory controller there
    machine.write("cgroup/memory/shop/memory.oom_control", CONTROL.format(0))
    watch = machine.watch()
    machine.write("cgroup/memory/shop/memory.oom_control", CONTROL.format(1))
    assert [watch.took_one() for _ in range(2)] == [True, False]


def test_a_container_that_sees_its_own_group_as_the_root(tmp_path: Path) -> None:
    machine = Machine(tmp_path, "0::/docker/0123456789abcdef\n")
    machine.write("cgroup/memory.events", EVENTS.format(0))
    watch = machine.watch()
    machine.write("cgroup/memory.events", EVENTS.format(1))
    assert watch.took_one()


def test_without_a_group_the_machine_counts(tmp_path: Path) -> None:
    machine = Machine(tmp_path, "0::/\n")
    watch = machine.watch()
    machine.vmstat(1)
    assert [watch.took_one() for _ in range(2)] == [True, False]


def test_where_nobody_counts(tmp_path: Path) -> None:
    watch = OomWatch(tmp_path / "none", tmp_path / "none", tmp_path / "none")
    watch.look()
    assert not watch.took_one()


def test_a_kill_of_long_ago_was_somebody_elses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine, now = Machine(tmp_path, "0::/\n"), 1000.0
    monkeypatch.setattr(oom, "monotonic", lambda: now)
    watch = machine.watch()
    machine.vmstat(1)
    watch.look()
    now += oom.OOM_KILL_WINDOW_S + 1
    assert not watch.took_one()
    machine.vmstat(2)
    watch.look()
    now += oom.OOM_KILL_WINDOW_S - 1
    assert watch.took_one()


def test_a_count_that_falls_is_no_kill(tmp_path: Path) -> None:
    machine = Machine(tmp_path, "0::/\n")
    machine.vmstat(5)
    watch = machine.watch()
    machine.vmstat(0)
    assert not watch.took_one()
