"""Counts the CPUs that this process may really use: its affinity, and its container's quota."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path

from awa.processes.cgroups import CGROUPS, MEMBERSHIP, directories, read

_V1_MOUNTS = ("cpu", "cpu,cpuacct", "cpuacct,cpu")


def available_cpus(membership: Path = MEMBERSHIP, cgroups: Path = CGROUPS) -> int:
    """Return the number of CPUs to use, at least 1: the affinity mask, cut by the tightest cgroup quota, rounded up."""
    quotas = (math.ceil(quota) for quota in _quotas(membership, cgroups))
    return max(1, min([_affinity(), *quotas]))


def _affinity() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _quotas(membership: Path, cgroups: Path) -> Iterator[float]:
    """Yield the quotas, in CPUs, of this process's control groups and of every group around them."""
    for version, directory in directories("cpu", _V1_MOUNTS, membership, cgroups):
        yield from _quota_v2(directory) if version == 2 else _quota_v1(directory)


def _quota_v2(directory: Path) -> Iterator[float]:
    quota, _, period = read(directory / "cpu.max").strip().partition(" ")
    if quota.isdigit() and period.isdigit():
        yield int(quota) / int(period)


def _quota_v1(directory: Path) -> Iterator[float]:
    quota = read(directory / "cpu.cfs_quota_us").strip()
    period = read(directory / "cpu.cfs_period_us").strip()
    if quota.isdigit() and period.isdigit():  # "-1": no limit
        yield int(quota) / int(period)
