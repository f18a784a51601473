"""Processor time of processes and of all that descend from them, as the kernel counts it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.harness.processor import parent, used_s

pytestmark = pytest.mark.skipif(not Path("/proc/self/schedstat").exists(), reason="this kernel does not tell")

CHILD = """
import sys, time
while time.process_time() < 0.2:
    pass
print("burnt", flush=True)
sys.stdin.read()
"""
PARENT = "import subprocess, sys; sys.stdin.readline(); subprocess.run([sys.executable, '-c', sys.argv[1]])"


def test_what_a_child_of_the_process_uses_counts() -> None:
    program = [sys.executable, "-c", PARENT, CHILD]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        before = used_s({process.pid})
        process.stdin.write("go\n")
        process.stdin.flush()
        assert process.stdout.readline() == "burnt\n"
        after = used_s({process.pid})
        process.stdin.close()
    assert before is not None
    assert after is not None
    assert after - before >= 0.19


def test_the_parent_of_a_process() -> None:
    assert parent(os.getpid()) == os.getppid()


def test_of_what_is_gone_nothing_is_known() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    assert used_s({process.pid}) is None
