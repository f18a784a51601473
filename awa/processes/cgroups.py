"""Finds the control groups of this process in the file system, in either version."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Final

MEMBERSHIP: Final = Path("/proc/self/cgroup")
CGROUPS: Final = Path("/sys/fs/cgroup")


def directories(
    controller: str, v1_mounts: tuple[str, ...], membership: Path, cgroups: Path
) -> Iterator[tuple[int, Path]]:
    """Yield the version (1 or 2) and the directory of this process's groups that `controller` may govern, each followed
    by those of the groups around it.

    Inside a container the group may be named as the host sees it while only its own directory is mounted, as the root:
    then the inner directories do not exist, and the root is the one that counts.
    """
    for line in read(membership).splitlines():
        number, controllers, group = line.split(":", 2)
        if number == "0":
            for directory in _upwards([cgroups, cgroups / "unified"], group):
                yield 2, directory
        elif controller in controllers.split(","):
            for directory in _upwards([cgroups / name for name in v1_mounts], group):
                yield 1, directory


def read(path: Path) -> str:
    """Return what a file holds; nothing if it does not exist, or is not readable."""
    try:
        return path.read_text()
    except OSError:
        return ""


def _upwards(mounts: list[Path], group: str) -> Iterator[Path]:
    inner = PurePosixPath(group.lstrip("/"))
    for mount in mounts:
        for level in (inner, *inner.parents):
            yield mount / level
