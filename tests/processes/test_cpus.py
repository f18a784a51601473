"""CPUs available, under the control groups of several kinds of machine."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from awa.processes import cpus


@pytest.fixture(autouse=True)
def eight_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)


def available(root: Path, membership: str, files: dict[str, str]) -> int:
    (root / "membership").write_text(membership)
    for name, text in files.items():
        path = root / "cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return cpus.available_cpus(root / "membership", root / "cgroup")


V1 = "4:memory:/a\n3:cpu,cpuacct:/docker/abc\n"


@pytest.mark.parametrize(
    ("membership", "files", "count"),
    [
        pytest.param("", {}, 8, id="no control groups"),
        pytest.param("0::/\n", {"cpu.max": "max 100000\n"}, 8, id="v2, no limit"),
        pytest.param("0::/\n", {"cpu.max": "150000 100000\n"}, 2, id="v2, rounded up"),
        pytest.param("0::/\n", {"cpu.max": "5000 100000\n"}, 1, id="v2, at least one"),
        pytest.param("0::/a/b\n", {"a/cpu.max": "300000 100000\n", "a/b/cpu.max": "max 100000\n"}, 3, id="v2, parent"),
        pytest.param(
            "0::/a/b\n", {"a/cpu.max": "300000 100000\n", "a/b/cpu.max": "200000 100000\n"}, 2, id="v2, inner"
        ),
        pytest.param("0::/../x\n", {"cpu.max": "400000 100000\n"}, 4, id="v2, group seen from outside"),
        pytest.param("0::/\n", {"cpu.max": "2000000 100000\n"}, 8, id="v2, more than there are"),
        pytest.param("0::/s\n1:cpu:/\n", {"unified/s/cpu.max": "200000 100000\n"}, 2, id="hybrid"),
        pytest.param(
            V1,
            {"cpu,cpuacct/docker/abc/cpu.cfs_quota_us": "250000", "cpu,cpuacct/docker/abc/cpu.cfs_period_us": "100000"},
            3,
            id="v1",
        ),
        pytest.param(
            V1, {"cpu/cpu.cfs_quota_us": "50000", "cpu/cpu.cfs_period_us": "100000"}, 1, id="v1 in a container"
        ),
        pytest.param(V1, {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, 8, id="v1, no limit"),
        pytest.param("3:cpuset:/\n", {"cpu/cpu.cfs_quota_us": "100"}, 8, id="v1, other controllers"),
    ],
)
def test_the_tightest_limit_counts(tmp_path: Path, membership: str, files: dict[str, str], count: int) -> None:
    assert available(tmp_path, membership, files) == count


def test_without_affinity_all_cpus_count(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    assert available(tmp_path, "", {}) == 3
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert available(tmp_path, "", {}) == 1


def test_this_machine_has_some() -> None:
    assert 1 <= cpus.available_cpus() <= 8
