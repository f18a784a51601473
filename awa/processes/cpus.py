"""How many CPUs this process may really use: what it is pinned to, and what its container is allowed."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

_MEMBERSHIP = Path("/proc/self/cgroup")
_CGROUPS = Path("/sys/fs/cgroup")
_V1_MOUNTS = ("cpu", "cpu,cpuacct", "cpuacct,cpu")


def available_cpus(membership: Path = _MEMBERSHIP, cgroups: Path = _CGROUPS) -> int:
    """Return the number of CPUs to use, at least 1: the affinity mask, cut by the tightest cgroup quota, rounded up."""
    quotas = (math.ceil(quota) for quota in _quotas(membership, cgroups))
    return max(1, min([_affinity(), *quotas]))


def _affinity() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _quotas(membership: Path, cgroups: Path) -> Iterator[float]:
    """Yield the quotas, in CPUs, of this process's control groups and of every group around them."""
    for line in _read(membership).splitlines():
        number, controllers, group = line.split(":", 2)
        if number == "0":
            for directory in _upwards([cgroups, cgroups / "unified"], group):
                yield from _quota_v2(directory)
        elif "cpu" in controllers.split(","):
            for directory in _upwards([cgroups / name for name in _V1_MOUNTS], group):
                yield from _quota_v1(directory)


def _upwards(mounts: list[Path], group: str) -> Iterator[Path]:
    """Yield the directories of `group` and its parents.

    Inside a container the group may be named as the host sees it while only its own directory is mounted, as the root:
    then the inner directories do not exist, and the root is the one that counts.
    """
    inner = PurePosixPath(group.lstrip("/"))
    for mount in mounts:
        for level in (inner, *inner.parents):
            yield mount / level


def _quota_v2(directory: Path) -> Iterator[float]:
    quota, _, period = _read(directory / "cpu.max").strip().partition(" ")
    if quota.isdigit() and period.isdigit():
        yield int(quota) / int(period)


def _quota_v1(directory: Path) -> Iterator[float]:
    quota = _read(directory / "cpu.cfs_quota_us").strip()
    period = _read(directory / "cpu.cfs_period_us").strip()
    if quota.isdigit() and period.isdigit():  # "-1": no limit
        yield int(quota) / int(period)


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""  # no such group here, or not for us to see: then it sets no limit we could know of
