"""The program that checks a change: what it installs, and that it does not pass over what it could not install."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

RUN = Path(__file__).parents[2] / ".ci" / "run"
if not RUN.exists():
    pytest.skip("this is no checkout", allow_module_level=True)


def machine(directory: Path, *, user: int, apt: str | None) -> dict[str, str]:
    """Return the environment of a machine that lacks SPIN. `apt`: what its apt-get does."""
    programs = {
        "id": f"echo {user}",
        "make": 'echo "made $*"',
        "python3": "exit 0",
        "cc": "exit 0",
        "node": "exit 0",
        "npm": "exit 0",
        "pgbouncer": "exit 0",
        "dirname": 'exec /usr/bin/dirname "$@"',
        **({"apt-get": apt} if apt is not None else {}),
    }
    for name, text in programs.items():
        (directory / name).write_text(f"#!/bin/sh\n{text}\n")
        (directory / name).chmod(0o755)
    return {**os.environ, "PATH": str(directory)}


def run(environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    bash = next(path for path in ("/bin/bash", "/usr/bin/bash") if os.path.exists(path))
    return subprocess.run([bash, str(RUN)], env=environment, capture_output=True, text=True, timeout=60, check=False)


def test_what_cannot_be_installed_is_no_skipped_test(tmp_path: Path) -> None:
    done = run(machine(tmp_path, user=0, apt='case $* in *spin*) exit 100; esac; echo "apt-get $*"'))
    assert done.returncode == 1
    assert "could not install spin gcc libc6-dev: its tests would be skipped" in done.stderr
    assert "made" not in done.stdout


def test_what_is_missing_is_installed(tmp_path: Path) -> None:
    done = run(machine(tmp_path, user=0, apt='echo "apt-get $*"'))
    assert done.returncode == 0, done.stderr
    assert [line for line in done.stdout.splitlines() if "install" in line] == [
        "apt-get install -qq -y spin gcc libc6-dev"
    ]
    assert done.stdout.count("made") == 3


@pytest.mark.parametrize(("user", "apt"), [(1000, "exit 100"), (0, None)])
def test_where_nothing_can_be_installed_the_tests_skip(tmp_path: Path, user: int, apt: str | None) -> None:
    done = run(machine(tmp_path, user=user, apt=apt))
    assert (done.returncode, done.stdout.count("made")) == (0, 3)
